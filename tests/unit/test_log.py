"""A durable log after a kill: what was whole stays whole, and what comes next is not lost with what was cut off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operate.log import DurableLog, last_lines


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_off_costs_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "logs" / "log.jsonl"
    for number in (1, 2):
        log = DurableLog(path, run_id="r")
        log.write("done", number=number)
        log.close()
    path.write_bytes(path.read_bytes()[:-cut])
    log = DurableLog(path, run_id="r")
    log.write("done", number=3)
    log.close()
    found = [line["number"] for line in last_lines(path, 10)]
    assert found == ([1, 2, 3] if cut == 1 else [1, 3])
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 3
