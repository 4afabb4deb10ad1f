"""Two certifiers of a vote allocation that share no code with `decide`.

`certify`: outer approximation by tangents of the perspective formulation, a MILP for HiGHS inside SciPy.
`enumerate_all`: every set of gauges, each solved by SciPy's SLSQP. Both read a plain `Case` in votes and USD.

HiGHS: its row tolerance is 1e-7 absolute, so the objective is scaled to about 1e4; it writes to the C stdout, which is
sent away while it runs (jump-dev/HiGHS.jl issue 312).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from scipy import optimize, sparse

SCALE = 1e4


@dataclass(frozen=True)
class Case:
    """V, R (N, S), power, w (S,), limits; `previous` already sums to the power, None without a turnover limit."""

    votes: np.ndarray
    rewards: np.ndarray
    power: float
    weights: np.ndarray
    least: float
    most: np.ndarray
    count: int
    risk: str
    aversion: float
    alpha: float
    previous: np.ndarray | None
    movable: float  # votes

    def returns(self, x: np.ndarray) -> np.ndarray:
        total = self.votes + x[:, None]
        return (self.rewards * np.where(total > 0, x[:, None] / np.where(total > 0, total, 1), 0)).sum(axis=0)

    def objective(self, x: np.ndarray, best: Sequence[float] = ()) -> float:
        """E − λD by the definitions, as in a textbook."""
        got, w = self.returns(x), self.weights
        mean = float(w @ got)
        if self.risk == "worst":
            down = mean - got.min()
        elif self.risk == "cvar":
            down = mean - max(eta - (w @ np.maximum(eta - got, 0)) / self.alpha for eta in got)
        elif self.risk == "semidev":
            down = float(w @ np.maximum(mean - got, 0))
        elif self.risk == "regret":
            down = float((np.asarray(best) - got).max())
        else:
            down = 0.0
        return mean - self.aversion * down

    def excess(self, x: np.ndarray) -> float:
        """How far x breaks the limits, in votes."""
        used = x > 0
        broken = [abs(x.sum() - self.power), (x - self.most).max(), float(used.sum() - self.count) * self.power]
        if used.any():
            broken.append(self.least - x[used].min())
        if self.previous is not None:
            broken.append(np.maximum(x - self.previous, 0).sum() - self.movable)
        return float(max(broken))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


class _Milp:
    """Columns: x/P (N), z (N), r_is scaled returns (N·S), moved (N), t (risk: y, or eta and shortfalls)."""

    def __init__(self, case: Case, best: Sequence[float]) -> None:
        self.case, self.best = case, best
        n, s = case.votes.shape
        self.n, self.s = n, s
        single = (case.rewards * (case.power / (case.votes + case.power))).max()
        self.unit = SCALE / max(float(single), 1e-300)
        self.x, self.z = np.arange(n), n + np.arange(n)
        self.r = 2 * n + np.arange(n * s).reshape(n, s)
        self.moved = 2 * n + n * s + np.arange(n)
        self.extra = 3 * n + n * s + np.arange(s + 1)
        self.columns = 3 * n + n * s + s + 1
        self.rows: list[tuple[np.ndarray, np.ndarray, float]] = []  # columns, values, upper bound
        self.seen: set[tuple[int, int, float]] = set()
        for i in range(n):
            self._add([self.x[i], self.z[i]], [1, -case.most[i] / case.power], 0)
            self._add([self.x[i], self.z[i]], [-1, case.least / case.power], 0)
            for at in (case.least, 0.05 * case.power, 0.3 * case.power, float(case.most[i])):
                self.tangent(i, at)
        self._add(self.z, np.ones(n), case.count)
        if case.previous is not None:
            for i in range(n):
                self._add([self.x[i], self.moved[i], self.z[i]], [1, -1, -case.previous[i] / case.power], 0)
            self._add(self.moved, np.ones(n), case.movable / case.power)
        self._risk()

    def _add(self, columns: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray, upper: float) -> None:
        self.rows.append((np.asarray(columns), np.asarray(values, dtype=float), upper))

    def tangent(self, i: int, at: float) -> None:
        """r_is ≤ f(v)·z + f'(v)(x − v z): the perspective's tangent along x = v z, for every scenario."""
        case = self.case
        for s in range(self.s):
            key = (i, s, round(at, 6))
            if key in self.seen or at <= 0:
                continue
            self.seen.add(key)
            total = case.votes[i, s] + at
            worth = case.rewards[i, s] * at / total * self.unit
            slope = case.rewards[i, s] * case.votes[i, s] / total**2 * self.unit
            self._add([self.r[i, s], self.x[i], self.z[i]], [1, -slope * case.power, -(worth - slope * at)], 0)

    def _risk(self) -> None:
        """Rows that bind the extra columns y_0.. to the returns Σ_i r_is; the objective then reads both."""
        case, first, rest = self.case, self.extra[0], self.extra[1:]
        everything = self.r.T  # (S, N)
        flat, each = self.r.ravel(), np.tile(case.weights, self.n)
        for s in range(self.s):
            if case.risk == "worst":
                self._add([first, *everything[s]], [1, *-np.ones(self.n)], 0)
            elif case.risk == "regret":  # y ≤ Ret_s − Opt_s
                self._add([first, *everything[s]], [1, *-np.ones(self.n)], -self.best[s] * self.unit)
            elif case.risk == "cvar":
                self._add([first, rest[s], *everything[s]], [1, -1, *-np.ones(self.n)], 0)
            elif case.risk == "semidev":  # shortfall ≥ E − Ret_s
                values = each.copy()
                values[np.isin(flat, everything[s])] -= 1
                self._add([rest[s], *flat], [-1, *values], 0)

    def objective(self) -> np.ndarray:
        case, cost, lam = self.case, np.zeros(self.columns), self.case.aversion
        share = 1 - lam if case.risk in ("worst", "cvar") else 1.0
        cost[self.r] = share * case.weights
        if case.risk in ("worst", "cvar", "regret"):
            cost[self.extra[0]] = lam
        if case.risk == "cvar":
            cost[self.extra[1:]] = -lam * case.weights / case.alpha
        if case.risk == "semidev":
            cost[self.extra[1:]] = -lam * case.weights
        return cost

    def solve(self) -> tuple[float, np.ndarray] | None:
        """Upper bound in USD and votes; None where no votes fit."""
        case = self.case
        data = np.concatenate([values for _, values, _ in self.rows])
        columns = np.concatenate([c for c, _, _ in self.rows])
        starts = np.concatenate([[0], np.cumsum([len(c) for c, _, _ in self.rows])])
        matrix = sparse.csr_array((data, columns, starts), shape=(len(self.rows), self.columns))
        limits = optimize.LinearConstraint(matrix, -np.inf, np.array([u for _, _, u in self.rows]))
        total = np.zeros((1, self.columns))
        total[0, self.x] = 1
        lower, upper = np.zeros(self.columns), np.full(self.columns, np.inf)
        upper[self.x] = upper[self.z] = 1
        upper[self.z[case.most < case.least]] = 0
        lower[self.extra[0]] = -np.inf
        if case.risk not in ("worst", "cvar", "regret"):
            lower[self.extra[0]] = upper[self.extra[0]] = 0
        integer = np.zeros(self.columns)
        integer[self.z] = 1
        options = {"mip_rel_gap": 1e-9, "time_limit": 60.0}
        with _silence():
            found = optimize.milp(
                -self.objective(),
                integrality=integer,
                bounds=optimize.Bounds(lower, upper),
                constraints=[limits, optimize.LinearConstraint(total, 1, 1)],
                options=options,
            )
        if found.x is None:
            return None
        bound = -found.mip_dual_bound / self.unit
        return bound, found.x[self.x] * case.power


def certify(
    case: Case, best: Sequence[float] = (), rounds: int = 25, close: float = 1e-7
) -> tuple[float, float, np.ndarray] | None:
    """(bound, objective of the best votes found, these votes), or None where nothing fits.

    Each round adds tangents at the MILP's votes; with all of them the bound falls to the optimum.
    """
    milp = _Milp(case, best)
    low, at, bound = -np.inf, np.zeros(len(case.most)), np.inf
    for _ in range(rounds):
        found = milp.solve()
        if found is None:
            return None
        bound, x = min(bound, found[0]), np.where(found[1] < 0.5 * case.least, 0, found[1])
        worth = case.objective(x, best)
        if worth > low:
            low, at = worth, x
        if bound - worth <= close * abs(bound):
            break
        polished = _polish(case, x > 0, x, best)
        if polished is not None and case.objective(polished, best) > low:
            low, at = case.objective(polished, best), polished
        for votes in (x, polished if polished is not None else x):
            for i in np.flatnonzero(votes):
                milp.tangent(int(i), float(votes[i]))
    return bound, low, at


def _polish(case: Case, support: np.ndarray, start: np.ndarray, best: Sequence[float]) -> np.ndarray | None:
    """Votes on a support by SciPy's SLSQP over the epigraph of the risk term; None if they break a limit."""
    gauges = np.flatnonzero(support)
    k, p = len(gauges), case.power
    if not k:
        return None

    def full(v: np.ndarray) -> np.ndarray:
        x = np.zeros(len(case.most))
        x[gauges] = v[:k] * p
        return x

    scale = max(case.objective(start, best), 1e-9)
    pieces = _pieces(case, best)
    rows = [{"type": "eq", "fun": lambda v: v[:k].sum() - 1}]

    def jac(q: np.ndarray, v: np.ndarray) -> np.ndarray:
        x = np.maximum(v[:k] * p, 1e-12)[:, None]
        return (case.rewards[gauges] * case.votes[gauges] / (case.votes[gauges] + x) ** 2 @ q) * p / scale

    for q, c in pieces:
        rows.append(
            {
                "type": "ineq",
                "fun": lambda v, q=q, c=c: (q @ case.returns(full(v)) + c) / scale - v[k],
                "jac": lambda v, q=q: np.concatenate([jac(q, v), [-1.0], np.zeros(len(v) - k - 1)]),
            }
        )
    extra = 0
    if case.previous is not None:
        extra = k
        old = case.previous[gauges] / p
        rows.append({"type": "ineq", "fun": lambda v: case.movable / p - v[k + 1 :].sum()})
        rows.append({"type": "ineq", "fun": lambda v: v[k + 1 :] - (v[:k] - old)})
    first = np.clip(start[gauges] / p, case.least / p, case.most[gauges] / p)
    moved = np.maximum(first - case.previous[gauges] / p, 0) if case.previous is not None else np.zeros(0)
    bounds = [(case.least / p, case.most[i] / p) for i in gauges] + [(None, None)] + [(0, 1)] * extra
    found = optimize.minimize(
        lambda v: -v[k],
        np.concatenate([first, [case.objective(start, best) / scale], moved]),
        jac=lambda v: np.concatenate([np.zeros(k), [-1.0], np.zeros(extra)]),
        bounds=bounds,
        constraints=rows,
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-14},
    )
    x = full(
        np.clip(
            found.x,
            [b[0] if b[0] is not None else -np.inf for b in bounds],
            [b[1] if b[1] is not None else np.inf for b in bounds],
        )
    )
    return x if case.excess(x) < 1e-8 * p else None


def _pieces(case: Case, best: Sequence[float]) -> list[tuple[np.ndarray, float]]:
    """E − λD as the least of q·Ret + c, by enumeration of scenarios, orders or sets."""
    w, lam, s = case.weights, case.aversion, len(case.weights)
    eye = np.eye(s)
    if case.risk == "worst":
        return [((1 - lam) * w + lam * eye[j], 0.0) for j in range(s)]
    if case.risk == "regret":
        return [(w + lam * eye[j], -lam * best[j]) for j in range(s)]
    if case.risk == "semidev":
        sets = [np.array([(m >> j) & 1 for j in range(s)]) for m in range(2**s)]
        return [(w * (1 - lam * (w @ a)) + lam * w * a, 0.0) for a in sets]
    if case.risk == "cvar":
        found = []
        for order in permutations(range(s)):
            left, t = case.alpha, np.zeros(s)
            for j in order:
                t[j] = min(left, w[j])
                left -= t[j]
            found.append(((1 - lam) * w + lam * t / case.alpha, 0.0))
        return found
    return [(w, 0.0)]


def enumerate_all(case: Case, best: Sequence[float] = ()) -> tuple[float, np.ndarray] | None:
    """The best of every set of at most `count` gauges, each by SLSQP from two starts; None where nothing fits."""
    usable = np.flatnonzero(case.most >= case.least)
    low, at = -np.inf, None
    for size in range(1, case.count + 1):
        for chosen in combinations(usable, size):
            gauges = np.array(chosen)
            if size * case.least > case.power * (1 + 1e-12) or case.most[gauges].sum() < case.power * (1 - 1e-12):
                continue
            support = np.zeros(len(case.most), dtype=bool)
            support[gauges] = True
            for start in _starts(case, gauges):
                x = _polish(case, support, start, best)
                if x is not None and case.objective(x, best) > low:
                    low, at = case.objective(x, best), x
    return None if at is None else (low, at)


def _starts(case: Case, gauges: np.ndarray) -> list[np.ndarray]:
    equal = np.zeros(len(case.most))
    equal[gauges] = case.power / len(gauges)
    if case.previous is None:
        return [equal]
    stay = np.zeros(len(case.most))
    stay[gauges] = np.clip(case.previous[gauges], case.least, case.most[gauges])
    stay[gauges] += (case.power - stay.sum()) / len(gauges)
    return [stay, equal]
