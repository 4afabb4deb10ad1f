"""The lending world: a second embedded chain, with lending markets of every family's shape and the truth about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import simulate

CONTRACTS = Path(__file__).parent / "contracts"


@contextmanager
def running(out: Path, days: int = 10, small: bool = False, seed: int = 7) -> Iterator[simulate.RunningWorld]:
    """A lending world in a process of its own; `info` is its lending_world.json."""
    sizes = [f"--days={days}", f"--seed={seed}", *(["--small"] if small else [])]
    with simulate.serving("lending", "lending_world.json", out, sizes) as world:
        yield world
