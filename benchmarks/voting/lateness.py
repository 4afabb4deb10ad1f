"""What the forecast is worth where votes come late and chase rewards. `python -m benchmarks.voting.lateness`

Worlds of several seeds, from the agents' books alone: the same agents as on the embedded chain, whose transactions go
nowhere. Their lateness is `recorded` (simulate.voting.agents says what it is calibrated to); the first table shows how
near: an optimum on what was visible, hours and minutes before the boundary, against what it then paid. The rest is the
product's own replay, walked forward: what every strategy earned of the unlimited optimum in hindsight, and what the
windows promised against what they paid.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from eth_utils.crypto import keccak

from decide.voting.allocate import Problem, solve
from decide.voting.situation import DECISION, returns
from simulate.chain.contracts import ARTIFACTS
from simulate.chain.rpc import Rpc
from simulate.voting.world import FIRST_EPOCH, Size, World
from tests.decision_fixtures import Exchange

WEEK = 604_800
WINDOWS = {"day": 86_400, "T-5": 300, "T-1": 60, "T-0": 2}  # seconds before the boundary
RECORDED = {"10.6 h": 38_160, "8.9 h": 32_040, "6.7 h": 24_120, "240 s": 240, "35 s": 35}
STAKE = 0.06  # of all votes: the recorded voter held 3 % of them in one epoch and 10 % in another
Floats = npt.NDArray[np.float64]


class _Nowhere(Rpc):
    """A node that takes everything and knows nothing: the agents' books are the only account of the world."""

    def __init__(self) -> None:
        self.sent = 0

    def call(self, method: str, *params: Any) -> Any:
        """A hash of its own for every transaction, an address of its own for every question."""
        self.sent += 1
        asked = f"{self.sent} {params}" if method == "eth_sendTransaction" else str(params)
        return "0x" + "00" * 12 + keccak(text=asked)[-20:].hex()

    def batch(self, requests: Sequence[Any]) -> list[Any]:
        return [[] for _ in requests]


class _Watched(World):
    """A world that keeps, at every block, what stands and what is in the pots of the Hydrex-like exchange."""

    def __init__(self, size: Size) -> None:
        super().__init__(_Nowhere(), size, ARTIFACTS, lambda _: None)
        self.seen: dict[int, list[tuple[int, dict[int, dict[int, int]], Counter[int]]]] = defaultdict(list)

    def _mine(self, time: int, acts: Sequence[Any] = ()) -> int:
        before = self.thena.epoch
        number = super()._mine(time, acts)
        held = {voter: dict(votes) for voter, votes in self.thena.standing.items() if votes}
        pays = {g.index for g in self.thena.gauges if g.is_alive and g.votable}
        pots = Counter({g: usd for (e, g), usd in self.thena.pots.items() if e == before and g in pays})
        if self.thena.epoch == before:
            self.seen[before].append((time, held, pots))
        return number


@dataclass(frozen=True)
class Weeks:
    """Others' votes and USD of rewards by epoch and gauge (E, N) at moments before the boundary, and at the truth."""

    now: dict[str, tuple[Floats, Floats]]
    final: tuple[Floats, Floats]
    power: float
    voters: dict[str, Floats]  # (E, M, N) at the same moments and, as `final`, at the truth: who holds what

    def exchange(self) -> Exchange:
        """The same as an exchange of the decision tables, for the product's own forecast and replay."""
        votes, rewards = (np.stack([self.now[w][k] for w in WINDOWS], axis=1) for k in (0, 1))
        return Exchange(
            votes_now=votes,
            votes_final=self.final[0],
            rewards_now=rewards,
            rewards_final=self.final[1],
            power=self.power,
            windows=tuple(WINDOWS),
            voters_now=np.stack([self.voters[w] for w in WINDOWS], axis=1),
            voters_final=self.voters["final"],
        )


def weeks(seed: int, epochs: int, gauges: int = 60, voters: int = 40, lateness: str = "recorded") -> Weeks:
    """A world lived through in its agents' books."""
    world = _Watched(Size(epochs, gauges, voters, seed, lateness=lateness))
    world.build()
    count = len(world.thena.gauges)
    starts = [FIRST_EPOCH + n * WEEK for n in range(epochs)]

    def at(seconds: float) -> tuple[Floats, Floats]:
        """Votes in tokens by voter (E, M, N) and USD (E, N) at the newest block at a moment before each boundary."""
        votes, rewards = np.zeros((epochs, len(world.thena.voters), count)), np.zeros((epochs, count))
        for e, start in enumerate(starts):
            _, held, pots = [row for row in world.seen[start] if row[0] <= start + WEEK - seconds][-1]
            for voter, cast in held.items():
                for g, amount in cast.items():
                    votes[e, voter, g] = amount / 1e18
            for g in range(count):
                rewards[e, g] = pots[g]
        return votes, rewards

    found = {name: at(seconds) for name, seconds in (WINDOWS | RECORDED | {"final": -WEEK}).items()}
    now = {name: (votes.sum(axis=1), rewards) for name, (votes, rewards) in found.items()}
    final = now.pop("final")
    power = float(round(STAKE * np.median(final[0].sum(axis=1))))
    return Weeks(now, final, power, {name: votes for name, (votes, _) in found.items()})


def decay(of: Weeks) -> dict[str, list[float]]:
    """Per moment: what the optimum on what was visible promised over what it then paid, epoch by epoch."""
    found = defaultdict(list)
    for name in (*RECORDED, "day"):
        for votes, rewards, last, paid in zip(*of.now[name], *of.final, strict=True):
            x = solve(Problem(votes[:, None], rewards[:, None], of.power, np.ones(1), 1, 50), DECISION).votes
            promised, entitled = (
                float(returns(v[:, None], r[:, None], x)[0]) for v, r in ((votes, rewards), (last, paid))
            )
            found[name].append(promised / entitled)
    return dict(found)


def replayed(of: Weeks) -> list[dict[str, Any]]:
    """Rows of the product's backtest."""
    rows: list[dict[str, Any]] = of.exchange().replayed().to_pylist()
    return rows


def shares(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Mean share of the unlimited hindsight optimum by window and strategy, over epochs in which it has an outcome."""
    found = defaultdict(list)
    for row in rows:
        if row["realised_usd"] is not None and row["hindsight_usd"]:
            found[row["decision_window"], row["strategy"]].append(row["realised_usd"] / row["hindsight_usd"])
    return {key: statistics.fmean(values) for key, values in found.items()}


def promises(rows: Iterable[dict[str, Any]], skip: int = 0) -> dict[tuple[str, str], list[float]]:
    """Promised over paid by window and strategy, without the first epochs, in which nothing is learned yet."""
    found = defaultdict(list)
    rows = [row for row in rows if row.get("expected_usd") and row["realised_usd"]]
    for row in rows:
        if row["epoch"] >= min(r["epoch"] for r in rows) + skip * WEEK:
            found[row["decision_window"], row["strategy"]].append(row["expected_usd"] / row["realised_usd"])
    return dict(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[401, 402, 403, 404, 451, 452, 453, 454])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--skip", type=int, default=6, help="first epochs that the promises leave out")
    parser.add_argument("--lateness", default="recorded")
    options = parser.parse_args()
    late: dict[str, list[float]] = defaultdict(list)
    earned: dict[tuple[str, str], list[float]] = defaultdict(list)
    promised: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in options.seeds:
        of = weeks(seed, options.epochs, lateness=options.lateness)
        rows = replayed(of)
        for found, into in ((decay(of), late), (promises(rows, options.skip), promised)):
            for key, values in found.items():
                into[key] += values  # type: ignore[index]
        for key, share in shares(rows).items():
            earned[key].append(share)
        print(f"seed {seed}: staged {earned['staged', 'foreshore'][-1]:.3f}", flush=True)
    print("\nvisible optimum, promised / paid: median (least to most)")
    for name, values in late.items():
        print(f"{name:8}{statistics.median(values):6.2f} ({min(values):.2f} to {max(values):.2f})")
    print("\nmean share of the unlimited optimum in hindsight; promised / paid, median and quartiles")
    for (window, strategy), values in sorted(earned.items()):
        told = promised.get((window, strategy))
        spread = "" if not told else " ".join(f"{q:6.2f}" for q in np.quantile(told, [0.5, 0.25, 0.75]))
        print(f"{window:8}{strategy:20}{statistics.fmean(values):7.3f} {spread}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
