"""General solvers on one allocation, run by the peers' interpreter: instances as JSON lines in, results as lines out.

Both get the perspective formulation, the strongest known: r_is ≤ R(z − V·t), t·(V·z + x) ≥ z², low·z ≤ x ≤ z, Σz ≤ K.
Votes are shares of the power, rewards shares of one gauge's best return. Seconds are the solver's call and the model.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np


def scip(given: dict[str, Any]) -> dict[str, Any]:
    """The mixed-integer program, to a relative gap of 1e-6 or the time limit."""
    from pyscipopt import Model, quicksum

    votes, rewards, weights = (np.array(given[key]) for key in ("votes", "rewards", "weights"))
    started, (n, s) = time.perf_counter(), votes.shape
    model = Model()
    model.hideOutput()
    model.setParam("limits/time", given["seconds"])
    model.setParam("limits/gap", 1e-6)
    model.setParam("parallel/maxnthreads", 1)
    x = [model.addVar(lb=0, ub=1) for _ in range(n)]
    z = [model.addVar(vtype="B") for _ in range(n)]
    least = model.addVar(lb=None)
    returns = [[model.addVar(lb=0) for _ in range(s)] for _ in range(n)]
    for i in range(n):
        model.addCons(x[i] <= z[i])
        model.addCons(x[i] >= given["low"] * z[i])
        for j in range(s):
            t = model.addVar(lb=0)
            model.addCons(returns[i][j] <= float(rewards[i, j]) * (z[i] - float(votes[i, j]) * t))
            model.addCons(t * (float(votes[i, j]) * z[i] + x[i]) >= z[i] * z[i])
    model.addCons(quicksum(x) == 1)
    model.addCons(quicksum(z) <= given["count"])
    totals = [quicksum(returns[i][j] for i in range(n)) for j in range(s)]
    for total in totals:
        model.addCons(least <= total)
    if given["previous"] is not None:
        moved = [model.addVar(lb=0) for _ in range(n)]
        for i, p in enumerate(given["previous"]):
            model.addCons(moved[i] >= x[i] - p * z[i])
        model.addCons(quicksum(moved) <= given["turnover"])
    share = given["aversion"]
    mean = quicksum(float(w) * total for w, total in zip(weights, totals, strict=True))
    model.setObjective((1 - share) * mean + share * least, "maximize")
    model.optimize()
    seconds = time.perf_counter() - started
    best = [model.getVal(v) for v in x] if model.getNSols() else None
    return {
        "seconds": seconds,
        "bound": model.getDualbound(),
        "x": best,
        "proved": model.getStatus() in ("optimal", "gaplimit"),
    }


def clarabel(given: dict[str, Any]) -> dict[str, Any]:
    """The relaxation (0 ≤ z ≤ 1), then the K gauges with the largest z, solved again with these alone."""
    started = time.perf_counter()
    bound, z = _relaxed(given, None)
    chosen = np.sort(np.argsort(-z)[: given["count"]])
    _, _ = bound, z
    worth = _relaxed(given, chosen)
    return {"seconds": time.perf_counter() - started, "bound": bound, "x": worth[1].tolist(), "proved": False}


def _relaxed(given: dict[str, Any], fixed: np.ndarray | None) -> tuple[float, np.ndarray]:
    import cvxpy as cp

    votes, rewards, weights = (np.array(given[key]) for key in ("votes", "rewards", "weights"))
    gauges = np.arange(len(votes)) if fixed is None else fixed
    v, r = votes[gauges], rewards[gauges]
    n, s = v.shape
    x, least = cp.Variable(n), cp.Variable()
    z = cp.Variable(n) if fixed is None else np.ones(n)
    t = cp.Variable((n, s))
    rules = [x >= given["low"] * z, x <= z, cp.sum(x) == 1]
    if fixed is None:
        rules += [z <= 1, cp.sum(z) <= given["count"]]
    totals = []
    for j in range(s):
        width = cp.multiply(v[:, j], z) + x
        rules.append(cp.SOC(t[:, j] + width, cp.vstack([2 * z, t[:, j] - width]), axis=0))
        totals.append(r[:, j] @ (z - cp.multiply(v[:, j], t[:, j])))
    rules += [least <= total for total in totals]
    if given["previous"] is not None:
        previous = np.array(given["previous"])[gauges]
        moved = cp.Variable(n, nonneg=True)
        rules += [moved >= x - cp.multiply(previous, z), cp.sum(moved) <= given["turnover"]]
    mean = sum(float(w) * total for w, total in zip(weights, totals, strict=True))
    share = given["aversion"]
    problem = cp.Problem(cp.Maximize((1 - share) * mean + share * least), rules)
    problem.solve(solver=cp.CLARABEL)
    if x.value is None:
        return (float("nan"), np.zeros(len(votes)))
    if fixed is None:
        return float(problem.value), np.asarray(z.value)
    full = np.zeros(len(votes))
    full[gauges] = x.value
    return float(problem.value), full


def main() -> None:
    """One solver by name; a line of JSON for each line of JSON."""
    solve = {"scip": scip, "clarabel": clarabel}[sys.argv[1]]
    for line in sys.stdin:
        try:
            answer = solve(json.loads(line))
        except Exception as error:  # the benchmark reports it and goes on
            answer = {"problem": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
