"""What a command loads at its start, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

_ASK = """
import json, sys
from operate.cli import VERBS
VERBS["recommend"].load()
heavy = [name for name in ("pandas", "scipy", "cffi", "aiohttp", "dbt", "arch") if name in sys.modules]
import pyarrow as pa
frame = pa.table({"votes": [1, 2]}).to_pandas()
from eth_hash.auto import keccak
print(json.dumps([heavy, "pandas" in sys.modules, int(frame["votes"].sum()), keccak(b"").hex()]))
"""


def test_recommend_loads_no_frames_and_who_wants_one_still_gets_it() -> None:
    ran = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True, timeout=120)
    heavy, came, total, empty = json.loads(ran.stdout)
    assert heavy == []
    assert came and total == 3
    assert empty == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"  # keccak-256 of nothing
