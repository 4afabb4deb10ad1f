"""One allocation as a JSON object: what people and other programs hand in, and what they get back.

    {"voting_power": 1774908, "min_votes": 50000, "k_max": 5, "scenario_weights": [0.25, 0.5, 0.25],
     "lambda": 0.2, "risk": "worst", "alpha": 0.25, "max_turnover": 0.8, "unit": 1,
     "gauges": [{"id": "0x..", "votes": [..], "rewards": [..], "prev": 0.0, "cap": null}, ..]}

`votes` are everybody else's and `rewards` USD, one of each per scenario; `prev` the own last votes, `cap` the most to
give. Needed: voting_power, min_votes, k_max, scenario_weights, gauges with id, votes, rewards. Left out: lambda 0, risk
"none", alpha 0.25, max_turnover null (no limit), unit 1, prev 0, cap null. A lambda above 0 needs a risk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decide.errors import DecisionError
from decide.voting.allocate import PROOF, RISKS, Allocation, Problem, solve
from decide.voting.optimum import checks
from decide.voting.optimum.branch import Effort

NEEDED = ("voting_power", "min_votes", "k_max", "scenario_weights", "gauges")
OPTIONAL = ("lambda", "risk", "alpha", "max_turnover", "unit")
GAUGE_NEEDED = ("id", "votes", "rewards")
GAUGE_OPTIONAL = ("prev", "cap")
LARGEST = 1e30  # votes or USD; beyond this somebody handed in wei


@dataclass(frozen=True)
class Instance:
    """A problem and its gauges' ids (N,), in the order given."""

    problem: Problem
    ids: tuple[str, ...]


def parse(data: object) -> Instance:
    """The problem of an instance. DecisionError names the field, what is wrong with it, and what to do."""
    given = object_of(data, "the instance", NEEDED, OPTIONAL)
    gauges = list_of(given["gauges"], "gauges", "gauges")
    weights = weights_of(given["scenario_weights"])
    risk, aversion = risk_of(given)
    turnover = given.get("max_turnover")
    rows = [gauge_of(gauge, f"gauges[{i}]", len(weights), GAUGE_OPTIONAL) for i, gauge in enumerate(gauges)]
    ids = tuple(str(row["id"]) for row in rows)
    check_ids(ids, "gauges", "gauge")
    problem = Problem(
        votes=np.array([row["votes"] for row in rows]),
        rewards=np.array([row["rewards"] for row in rows]),
        power=checks.number(given["voting_power"], "voting_power", 0, LARGEST, above=True),
        weights=np.array(weights),
        min_votes=checks.number(given["min_votes"], "min_votes", 0, LARGEST),
        k_max=checks.whole_number(given["k_max"], "k_max", 1),
        risk=risk,
        risk_aversion=aversion,
        alpha=checks.number(given.get("alpha", 0.25), "alpha", 0, 1, above=True),
        max_turnover=None if turnover is None else checks.number(turnover, "max_turnover", 0),
        previous=np.array([row["prev"] for row in rows]),
        caps=np.array([row["cap"] for row in rows]),
        unit=checks.number(given.get("unit", 1), "unit", 0, LARGEST, above=True),
    )
    return Instance(problem, ids)


def allocate(data: object, effort: Effort = PROOF) -> dict[str, Any]:
    """The answer to an instance as plain values. Errors: as `parse` and `decide.voting.allocate.solve`."""
    instance = parse(data)
    return describe(instance, solve(instance.problem, effort))


def describe(instance: Instance, made: Allocation) -> dict[str, Any]:
    """An allocation by gauge id; amounts in USD, votes in votes."""
    ids, votes = instance.ids, [plain(v) for v in made.votes]
    return {
        "status": made.status,
        "allocation": {gauge: v for gauge, v in zip(ids, votes, strict=True) if v},
        "objective": made.objective,
        "bound": made.bound,
        "gap": made.gap,
        "continuous": {
            "objective": made.continuous_objective,
            "bound": made.continuous_bound,
            "gap": made.continuous_gap,
        },
        "expected_return": made.expected_return,
        "downside": made.downside,
        "risk_term": made.risk_term,
        "scenario_returns": made.scenario_returns.tolist(),
        "votes": plain(float(made.votes.sum())),
        "gauges_used": made.gauges_used,
        "turnover": made.turnover,
        "turnover_share": made.turnover_share,
        "turnover_limit": made.turnover_limit,
        "nodes": made.nodes,
        "per_gauge": [_row(instance, made, i, votes[i]) for i in range(len(ids))],
    }


def _row(instance: Instance, made: Allocation, i: int, votes: int | float) -> dict[str, Any]:
    previous = instance.problem.previous
    return {
        "id": instance.ids[i],
        "votes": votes,
        "share": float(made.share[i]),
        "expected_return": float(made.gauge_expected[i]),
        "scenario_returns": made.gauge_returns[i].tolist(),
        "marginal_value": float(made.marginal[i]),
        "continuous_votes": float(made.continuous[i]),
        "prev": 0.0 if previous is None else float(previous[i]),
    }


def plain(votes: float) -> int | float:
    """Whole votes as whole numbers."""
    return int(votes) if float(votes).is_integer() else float(votes)


def weights_of(data: object) -> list[float]:
    """Scenario weights that sum to 1."""
    weights = _numbers(data, "scenario_weights", None)
    if abs(sum(weights) - 1) > 1e-9:
        raise DecisionError(f"scenario_weights sum to {sum(weights):.12g}: give weights that sum to 1")
    return weights


def risk_of(given: Mapping[str, Any]) -> tuple[str, float]:
    """The downside term and λ."""
    risk = checks.one_of(given.get("risk", "none"), "risk", RISKS)
    aversion = checks.number(given.get("lambda", 0.0), "lambda", 0, 1)
    if aversion > 0 and "risk" not in given:
        raise DecisionError(f"lambda is {aversion:g} but risk is missing: name the risk, one of {', '.join(RISKS)}")
    return risk, aversion


def name_of(data: object, field: str) -> str:
    """A text that is not empty."""
    if not isinstance(data, str) or not data.strip():
        raise DecisionError(f"{field} is {data!r}: give a text that is not empty")
    return data


def gauge_of(data: object, field: str, scenarios: int, optional: Sequence[str]) -> dict[str, Any]:
    """One gauge: id, votes, rewards, prev and cap."""
    given = object_of(data, field, GAUGE_NEEDED, optional)
    cap = given.get("cap")
    return {
        "id": name_of(given["id"], f"{field}.id"),
        "votes": _numbers(given["votes"], f"{field}.votes", scenarios),
        "rewards": _numbers(given["rewards"], f"{field}.rewards", scenarios),
        "prev": checks.number(given.get("prev", 0.0), f"{field}.prev", 0, LARGEST),
        "cap": math.inf if cap is None else checks.number(cap, f"{field}.cap", 0, LARGEST),
    }


def object_of(data: object, field: str, needed: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    """An object that has what is needed and nothing that means nothing."""
    if not isinstance(data, Mapping):
        raise DecisionError(f"{field} is {_kind(data)}: give an object with {', '.join(needed)}")
    missing = [key for key in needed if key not in data]
    if missing:
        raise DecisionError(f"{field} lacks {', '.join(missing)}: add {'it' if len(missing) == 1 else 'them'}")
    unknown = [str(key) for key in data if key not in needed and key not in optional]
    if unknown:
        known = ", ".join((*needed, *optional))
        raise DecisionError(f"{field} has {', '.join(unknown)}, which means nothing here: known are {known}")
    return data


def list_of(data: object, field: str, what: str) -> Sequence[Any]:
    """A list with one entry at least."""
    if not isinstance(data, list | tuple):
        raise DecisionError(f"{field} is {_kind(data)}: give a list of {what}")
    if not data:
        raise DecisionError(f"{field} is empty: give one at least")
    return data


def _numbers(data: object, field: str, count: int | None) -> list[float]:
    values = list_of(data, field, "numbers, one per scenario")
    if count is not None and len(values) != count:
        raise DecisionError(f"{field} has {len(values)} numbers, scenario_weights has {count}: give one per scenario")
    return [checks.number(value, f"{field}[{i}]", 0, LARGEST) for i, value in enumerate(values)]


def check_ids(ids: Sequence[str], field: str, what: str) -> None:
    """Every id once, whatever its case."""
    seen: set[str] = set()
    for name in ids:
        if name.lower() in seen:
            raise DecisionError(f"{field} has {name} twice: give each {what} once")
        seen.add(name.lower())


def _kind(data: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(data), f"{data!r}"[:60])
