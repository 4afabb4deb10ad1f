"""Vote allocation: ours against general solvers on the same instances, in one run.

`python -m benchmarks.voting.allocation`: SciPy's SLSQP, cvxpy with Clarabel (perspective relaxation, then the K
largest), and SCIP through PySCIPOpt (perspective mixed-integer program, certified, with a time limit). Families:
`epoch` (like real ones), `lognormal`, `ties`, `chasing` (votes follow rewards: several pieces), the first and last also
with a turnover limit. All numbers are of the continuous problem, whose optimum SCIP proves; ours includes rounding to
whole votes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import optimize

from benchmarks.common import FOLDER, arguments, peers_python
from decide.errors import Infeasible
from decide.voting.allocate import Problem, solve
from tests.oracles.instances import family

POWER, WEIGHTS, AVERSION = 1_774_908.0, np.array([0.25, 0.5, 0.25]), 0.2
FAMILIES = (
    ("epoch", None), ("lognormal", None), ("ties", None), ("chasing", None),
    ("epoch", 0.8), ("epoch", 0.3), ("chasing", 0.8), ("chasing", 0.3),
)  # fmt: skip
SLSQP_GAUGES, CLARABEL_GAUGES = 200, 1000  # beyond these a run takes minutes


@dataclass(frozen=True)
class Task:
    """One instance."""

    family: str
    turnover: float | None
    gauges: int
    count: int
    seed: int

    @property
    def kind(self) -> str:
        """What makes it hard: nothing (one piece), several pieces, or a turnover limit."""
        return "turnover" if self.turnover is not None else "pieces" if self.family == "chasing" else "plain"

    @property
    def name(self) -> str:
        return self.family if self.turnover is None else f"{self.family} {self.turnover:g}"

    def problem(self) -> Problem:
        """The instance as we take it."""
        rng = np.random.default_rng([self.seed, self.gauges, self.count])
        votes, rewards = family(self.family, self.gauges, 3, rng)
        previous = None
        if self.turnover is not None:
            previous = np.zeros(self.gauges)
            held = min(self.count, self.gauges)
            previous[rng.choice(self.gauges, held, replace=False)] = rng.dirichlet(np.ones(held))
        least = 50_000.0 if self.count == 5 else 1_000.0
        return Problem(
            votes, rewards, POWER, WEIGHTS, least, self.count, "worst", AVERSION, 0.25, self.turnover, previous
        )


class Scaled:
    """An instance in shares, as every peer gets it, and the worth of its votes."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.votes = problem, problem.votes / POWER
        self.unit = float((problem.rewards / (1 + self.votes)).max())
        self.rewards, self.low = problem.rewards / self.unit, problem.min_votes / POWER
        self.previous = None if problem.previous is None else problem.previous / problem.previous.sum()

    def worth(self, x: np.ndarray) -> float:
        """E − λD in USD, or NaN where a limit is broken by more than a solver's tolerance."""
        x = np.where(x > 0.5 * self.low, x, 0.0)
        moved = 0.0 if self.previous is None else float(np.maximum(x - self.previous, 0).sum())
        limit = np.inf if self.problem.max_turnover is None else self.problem.max_turnover
        broken = abs(x.sum() - 1) > 1e-5 or (x > 0).sum() > self.problem.k_max or moved > limit + 1e-5
        if broken or x[x > 0].min() < self.low - 1e-5:
            return float("nan")
        got = (self.rewards * (x[:, None] / (self.votes + x[:, None]))).sum(axis=0)
        return float((1 - AVERSION) * (WEIGHTS @ got) + AVERSION * got.min()) * self.unit

    def line(self, seconds: float) -> str:
        """JSON for the peers' process."""
        return json.dumps(
            {
                "votes": self.votes.tolist(), "rewards": self.rewards.tolist(), "weights": WEIGHTS.tolist(),
                "low": self.low, "count": self.problem.k_max, "aversion": AVERSION, "seconds": seconds,
                "previous": None if self.previous is None else self.previous.tolist(),
                "turnover": self.problem.max_turnover,
            }
        )  # fmt: skip


def slsqp(scaled: Scaled) -> dict[str, Any]:
    """All gauges without K and minimum, then the K largest with the minimum: what scripts do with SciPy."""
    started = time.perf_counter()
    free = _slsqp(scaled, np.arange(len(scaled.votes)), 0.0)
    chosen = np.sort(np.argsort(-free)[: min(scaled.problem.k_max, int(1 / scaled.low))])
    x = np.zeros(len(free))
    x[chosen] = _slsqp(scaled, chosen, scaled.low)
    return {"seconds": time.perf_counter() - started, "bound": None, "x": x.tolist(), "proved": False}


def _slsqp(scaled: Scaled, gauges: np.ndarray, low: float) -> np.ndarray:
    votes, rewards, n = scaled.votes[gauges], scaled.rewards[gauges], len(gauges)
    mixes = (1 - AVERSION) * WEIGHTS + AVERSION * np.eye(3)

    def pieces(v: np.ndarray) -> np.ndarray:
        return mixes @ (rewards * (v[:n, None] / (votes + v[:n, None] + 1e-15))).sum(axis=0) - v[n]

    def rises(v: np.ndarray) -> np.ndarray:
        rise = rewards * votes / (votes + v[:n, None] + 1e-15) ** 2
        return np.hstack([mixes @ rise.T, -np.ones((3, 1))])

    rules: list[dict[str, Any]] = [
        {"type": "eq", "fun": lambda v: v[:n].sum() - 1, "jac": lambda v: np.append(np.ones(n), 0.0)},
        {"type": "ineq", "fun": pieces, "jac": rises},
    ]
    if scaled.previous is not None:  # Σ max(x − p, 0), smooth almost everywhere
        p, limit = scaled.previous[gauges], scaled.problem.max_turnover
        rules.append({"type": "ineq", "fun": lambda v: limit - np.maximum(v[:n] - p, 0).sum()})
    start = np.append(np.full(n, 1 / n), 0.0)
    start[n] = pieces(start).min()
    bounds = [(low, 1.0)] * n + [(None, None)]
    down = np.append(np.zeros(n), -1.0)
    found = optimize.minimize(
        lambda v: -v[n], start, jac=lambda v: down, bounds=bounds, constraints=rules, method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    return np.asarray(found.x[:n])


class Peer:
    """A solver in the peers' environment: one process, one line per instance."""

    def __init__(self, kind: str, requirement: str) -> None:
        self.kind, self.problem, self.process = kind, None, None
        try:
            python = _install(requirement)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            self.problem = str(error)
            return
        command = [str(python), str(FOLDER / "voting" / "allocation_peers.py"), kind]
        environment = dict(os.environ, OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, scaled: Scaled, seconds: float) -> dict[str, Any]:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        print(scaled.line(seconds), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"problem": "its process ended"}

    def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(60)


def _install(requirement: str) -> Path:
    """The peers' interpreter with one solver. RuntimeError with pip's words when it does not install."""
    python = peers_python()
    lines = [line.split("#")[0].strip() for line in (FOLDER / "voting" / "solver-peers.txt").read_text().splitlines()]
    wanted = [line for line in lines if line.startswith(requirement)]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{requirement} does not install: {done.stderr.strip()[-300:]}")
    return python


def tasks(quick: bool, seeds: int) -> Iterator[Task]:
    """Every size and family; few for --quick."""
    for gauges in (20, 60) if quick else (20, 60, 200, 300, 1000):
        for count in (5, 10) if quick else (5, 10, 20, 50):
            for name, turnover in FAMILIES:
                if count < gauges:
                    for seed in range(seeds):
                        yield Task(name, turnover, gauges, count, seed)


def is_for_peers(task: Task) -> bool:
    """Peers see one seed, and K 5 and 20: SCIP alone takes half a minute on most of them."""
    return task.seed == 0 and task.count in (5, 20) and task.gauges != 300


def ours(task: Task) -> dict[str, Any]:
    """Ours on a task: seconds, worth, bound, gaps."""
    problem = task.problem()
    started = time.perf_counter()
    try:
        made = solve(problem)
    except Infeasible as error:
        return {"seconds": time.perf_counter() - started, "infeasible": str(error)}
    return {
        "seconds": time.perf_counter() - started, "worth": made.continuous_objective, "bound": made.continuous_bound,
        "gap": made.continuous_gap, "whole_gap": made.gap, "nodes": made.nodes,
    }  # fmt: skip


def single(gauges: int, repeats: int) -> float:
    """Median seconds of one scenario alone, what a backtest solves."""
    seconds = []
    for seed in range(repeats):
        votes, rewards = family("epoch", gauges, 3, np.random.default_rng(seed))
        problem = Problem(votes[:, 1:2], rewards[:, 1:2], POWER, np.ones(1), 1000.0, 10)
        started = time.perf_counter()
        solve(problem)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def compare(options: Any) -> dict[str, Any]:
    """Every task by us, the peers' tasks by everyone, alternating."""
    peers = {"Clarabel (cvxpy)": Peer("clarabel", "cvxpy"), "SCIP (PySCIPOpt)": Peer("scip", "pyscipopt")}
    mine, theirs = defaultdict(list), defaultdict(list)
    for task in tasks(options.quick, options.rounds):
        found = ours(task)
        mine[task.name, task.gauges].append(found)
        if "worth" not in found or not is_for_peers(task):
            continue
        print(f"{task.name}, {task.gauges} gauges, K {task.count}", file=sys.stderr, flush=True)
        scaled = Scaled(task.problem())
        if task.gauges <= SLSQP_GAUGES:
            theirs["SLSQP (SciPy)"].append(judge(task, found, scaled, slsqp(scaled)))
        for name, peer in peers.items():
            if peer.problem is None and task.gauges <= (1000 if name.startswith("SCIP") else CLARABEL_GAUGES):
                theirs[name].append(judge(task, found, scaled, peer(scaled, options.scip_seconds)))
    for peer in peers.values():
        peer.close()
    skipped = {name: peer.problem for name, peer in peers.items() if peer.problem}
    return {
        "ours": mine,
        "peers": theirs,
        "skipped": skipped,
        "single_seconds": {n: single(n, 50) for n in (20, 60, 200)},
    }


def judge(task: Task, found: dict[str, Any], scaled: Scaled, peer: dict[str, Any]) -> dict[str, Any]:
    """A peer's time against ours, its worth against our bound, its bound against our worth."""
    if "problem" in peer:
        return {"task": task, "failed": peer["problem"]}
    worth = float("nan") if peer["x"] is None else scaled.worth(np.array(peer["x"]))
    return {
        "task": task, "seconds": peer["seconds"], "ratio": peer["seconds"] / found["seconds"],
        "loss": 1 - worth / found["worth"], "proved": peer["proved"],
        "above_bound": worth / found["bound"] - 1,
        "bound_below": float("nan") if peer["bound"] is None else found["worth"] / (peer["bound"] * scaled.unit) - 1,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """Tables: ours by family and size, then each peer by size."""
    print("\nours, K 5 to 50: median ms (most), worst gap before rounding, in whole votes; proved within 1e-6")
    for (name, gauges), rows in found["ours"].items():
        done = [row for row in rows if "worth" in row]
        if not done:
            continue
        ms = [1000 * row["seconds"] for row in done]
        gaps = max(row["gap"] for row in done), max(row["whole_gap"] for row in done)
        proved = sum(max(row["gap"], row["whole_gap"]) <= 1e-6 for row in done)
        print(
            f"{name:16}{gaps_text(gauges, ms)}  {gaps[0]:.0e}  {gaps[1]:.0e}  {proved}/{len(done)} proved"
            f"  nodes {max(row['nodes'] for row in done)}"
        )
    print(
        "\none scenario alone, K 10: "
        + ", ".join(f"{n} gauges {1000 * s:.1f} ms" for n, s in found["single_seconds"].items())
    )
    for name, rows in found["peers"].items():
        show_peer(name, rows)
    for name, problem in found["skipped"].items():
        print(f"{name}: left out: {problem}")


def gaps_text(gauges: int, ms: list[float]) -> str:
    return f"N {gauges:5}  {median(ms):8.1f} ({max(ms):.0f})"


def show_peer(name: str, rows: list[dict[str, Any]]) -> None:
    """One peer: seconds, ratio to ours, what its votes lose, what it proved, and whether it contradicts us."""
    print(f"\n{name}: median s, times ours (least), loss of its votes median (most), proved, above our bound at most")
    for kind, gauges in sorted({(row["task"].kind, row["task"].gauges) for row in rows}):
        here = [row for row in rows if (row["task"].kind, row["task"].gauges) == (kind, gauges)]
        done = [row for row in here if "failed" not in row]
        for row in here:
            if "failed" in row:
                print(f"  {row['task'].name}, N {gauges}: failed: {row['failed']}")
        if not done:
            continue
        ratios, losses = [row["ratio"] for row in done], [row["loss"] for row in done if row["loss"] == row["loss"]]
        above = [row["above_bound"] for row in done if row["above_bound"] == row["above_bound"]]
        lost = f"{median(losses):.1e} ({max(losses):.1e})" if losses else "no votes"
        print(
            f"  {kind:9}N {gauges:5}  {median(row['seconds'] for row in done):8.2f}"
            f"  {median(ratios):8.0f} ({min(ratios):.0f})  {lost}  {sum(row['proved'] for row in done)}/{len(here)}"
            f"  {max(above, default=float('nan')):.1e}  without usable votes {len(done) - len(losses)}"
        )


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """The result for JSON."""
    rows = [{"family": name, "gauges": gauges, **row} for (name, gauges), all_ in found["ours"].items() for row in all_]
    peers = {name: [{**row, "task": vars(row["task"])} for row in all_] for name, all_ in found["peers"].items()}
    return {"ours": rows, "peers": peers, "skipped": found["skipped"], "single_seconds": found["single_seconds"]}


def main() -> None:
    """Run and print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--quick", action="store_true", help="20 and 60 gauges only")
    parser.add_argument("--scip-seconds", type=float, default=40.0, help="time limit of SCIP per instance (default 40)")
    options = parser.parse_args()
    found = compare(options)
    if options.json:
        print(json.dumps(plain(found), indent=1))
    else:
        show(found)


if __name__ == "__main__":
    main()
