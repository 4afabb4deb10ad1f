"""The voting world: a chain with two exchanges and their agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import simulate

CONTRACTS = Path(__file__).parent / "contracts"


@contextmanager
def running(
    out: Path,
    epochs: int = 3,
    gauges: int = 10,
    voters: int = 8,
    seed: int = 7,
    stops_before: int = 40,
    lateness: str = "usual",
    vote_delay: int = 0,
) -> Iterator[simulate.RunningWorld]:
    """The voting world in a process of its own, for the duration."""
    wanted = {"epochs": epochs, "gauges": gauges, "voters": voters, "seed": seed, "lateness": lateness}
    sizes = [f"--{name}={value}" for name, value in wanted.items()]
    sizes += [f"--stops-before={stops_before}", f"--vote-delay={vote_delay}"]
    with simulate.serving("voting", "world.json", out, sizes) as world:
        yield world
