"""The voting world: a chain with two exchanges and their agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import simulate

CONTRACTS = Path(__file__).parent / "contracts"


@contextmanager
def running(
    out: Path, epochs: int = 3, gauges: int = 10, voters: int = 8, seed: int = 7, stops_before: int = 40
) -> Iterator[simulate.RunningWorld]:
    """The voting world in a process of its own, for the duration."""
    sizes = [
        f"--epochs={epochs}",
        f"--gauges={gauges}",
        f"--voters={voters}",
        f"--seed={seed}",
        f"--stops-before={stops_before}",
    ]
    with simulate.serving("voting", "world.json", out, sizes) as world:
        yield world
