"""Allocation where votes have chased rewards: many gauges nearly equal; and several NFTs decided together.

`python -m benchmarks.voting.ties`: 610 gauges under the limits of the default risk profile, identical, equal in
reward per vote, in classes, or untied; noise of 1e-9 to 1 %; scenarios ordered or not; a first vote, and re-votes from
good or from arbitrary gauges. Then 4 NFTs x 300 gauges. CPU time of this process beside wall time: others share the
machine. No peer is known that certifies either; `benchmarks.voting.allocation` has the general solvers.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.common import arguments
from benchmarks.voting.decision_tables import seed_rows
from decide.voting.allocate import Problem, solve
from decide.voting.constants import default_profile, risk_profiles
from decide.voting.joint import JointProblem, Nft, solve_together
from decide.voting.situation import DECISION

GAUGES, POWER, WEIGHTS = 610, 1_774_908.0, np.array([0.25, 0.5, 0.25])
KINDS = (
    *(("same", noise) for noise in (0.0, 1e-9, 1e-6, 1e-4, 1e-2)),
    *(("ratio", noise) for noise in (0.0, 1e-9, 1e-6, 1e-4, 1e-2)),
    ("classes", 0.0), ("classes", 1e-3), ("untied", 0.0),
)  # fmt: skip
NARROW = ("plan", "cautious")  # five gauges under a turnover cap: proved slower, within 1e-4
SCENARIOS, HELD = ("ordered", "by gauge", "chasing"), ("nothing", "good gauges", "any gauges")


def market(
    kind: str, noise: float, scenarios: str, gauges: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """V, R (N, 3) of one epoch."""

    def about(*shape: int) -> np.ndarray:
        return 1 + noise * rng.standard_normal(shape)

    if kind == "same":
        rewards, votes = 100 * about(gauges), 1e5 * about(gauges)
    elif kind == "ratio":
        rewards = rng.lognormal(4, 1.4, gauges)
        votes = rewards * 700 * about(gauges)
    elif kind == "classes":
        group = rng.integers(0, 12, gauges)
        rewards = rng.lognormal(4, 1.2, 12)[group] * about(gauges)
        votes = rng.lognormal(11, 1, 12)[group] * about(gauges)
    else:
        rewards = rng.lognormal(4, 1.4, gauges)
        votes = rewards * rng.lognormal(6.5, 1.0, gauges) + 1000
    if scenarios == "chasing":
        more = rng.lognormal(0, 0.5, (gauges, 3))
        return votes[:, None] * rng.lognormal(0, 0.5, (gauges, 3)) * more**0.7, rewards[:, None] * more
    drift, uplift = np.array([0.15, 0.02, -0.05]), np.array([0.0, 0.05, 0.3])
    if scenarios == "by gauge":
        drift, uplift = (each * (1 + 0.5 * rng.random((gauges, 1))) for each in (drift, uplift))
    return votes[:, None] * np.exp(drift), rewards[:, None] * np.exp(uplift)


def instances(seeds: int, wanted: str | None = None) -> Iterator[tuple[str, Problem]]:
    """Every kind under a profile, the default one if none is named, by name."""
    rows = seed_rows("risk_profiles")
    profile = risk_profiles(rows)[wanted or default_profile(rows)]
    for held in HELD:
        for scenarios in SCENARIOS:
            for kind, noise in KINDS:
                for seed in range(seeds):
                    rng = np.random.default_rng([seed, GAUGES])
                    votes, rewards = market(kind, noise, scenarios, GAUGES, rng)
                    previous = np.zeros(GAUGES)
                    good = np.argsort(-rewards[:, 1] / (votes[:, 1] + POWER / profile.k_max))[: 3 * profile.k_max]
                    some = rng.choice(good if held == "good gauges" else GAUGES, profile.k_max, replace=False)
                    if held != "nothing":
                        previous[some] = rng.dirichlet(np.ones(len(some))) * POWER
                    name = "untied" if kind == "untied" else "tied" if noise == 0 else "nearly tied"
                    yield (
                        f"{name}, {held} held",
                        Problem(
                            votes, rewards, POWER, WEIGHTS, profile.min_votes, profile.k_max, profile.risk,
                            profile.risk_aversion, profile.alpha, profile.max_turnover, previous,
                        ),
                    )  # fmt: skip


def joint(seeds: int) -> Iterator[tuple[str, JointProblem]]:
    """Four NFTs of one voter on 300 gauges, K 5 and 20 each, with and without a turnover limit of 0.8."""
    for count, least in ((5, 20_000.0), (20, 1_000.0)):
        for turnover in (None, 0.8):
            for scenarios in SCENARIOS:
                for seed in range(seeds):
                    rng = np.random.default_rng([seed, count])
                    votes, rewards = market("untied", 0.0, scenarios, 300, rng)
                    nfts = []
                    for n, power in enumerate(np.round(rng.dirichlet(np.full(4, 2.0)) * POWER)):
                        previous = np.zeros(300)
                        previous[rng.choice(300, count, replace=False)] = rng.dirichlet(np.ones(count))
                        nfts.append(Nft(str(n), max(float(power), 2 * least), least, count, turnover, previous))
                    yield (
                        f"4 NFTs, K {count}, turnover {turnover}, {scenarios}",
                        JointProblem(votes, rewards, WEIGHTS, tuple(nfts), "worst", 0.2),
                    )


def measured(call: Any) -> dict[str, float]:
    """Seconds of CPU and of wall time, gap and nodes of one answer."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = call()
    gap = max(made.gap, getattr(made, "continuous_gap", 0.0))
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "gap": gap, "nodes": made.nodes}


def main() -> None:
    """Run and print."""
    options = arguments(__doc__ or "", rounds=3).parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name, problem in instances(options.rounds):
        found[name].append(measured(lambda problem=problem: solve(problem, DECISION)))
    for profile in NARROW:
        for _, problem in instances(1, profile):
            found[f"all of one seed under {profile}"].append(measured(lambda problem=problem: solve(problem, DECISION)))
    for name, problem in joint(options.rounds):
        found[name].append(measured(lambda problem=problem: solve_together(problem, DECISION)))
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("instances: CPU ms p50 / p99 / most, wall p99; proved within 1e-6, worst gap, most nodes")
    for name, rows in found.items():
        cpu, wall = (1000 * np.array([row[key] for row in rows]) for key in ("cpu", "wall"))
        gaps = np.array([row["gap"] for row in rows])
        print(
            f"{name:48}{len(rows):4}: {np.median(cpu):7.1f} {np.quantile(cpu, 0.99):7.1f} {cpu.max():7.1f}, "
            f"{np.quantile(wall, 0.99):7.1f}; {(gaps <= 1e-6).sum()}/{len(rows)}, {gaps.max():.0e}, "
            f"{max(row['nodes'] for row in rows):.0f}"
        )


if __name__ == "__main__":
    main()
