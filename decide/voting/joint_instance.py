"""Several NFTs of one voter as a JSON object, decided together: what is handed in, and what comes back.

    {"scenario_weights": [0.25, 0.5, 0.25], "lambda": 0.2, "risk": "worst", "min_votes": 1000, "k_max": 20,
     "nfts": [{"id": "8", "voting_power": 900000, "prev": {"0x..": 50000}, "caps": {"0x..": 100000},
               "max_turnover": 0.8, "k_max": 5, "min_votes": 50000, "fixed": false}, ..],
     "gauges": [{"id": "0x..", "votes": [..], "rewards": [..]}, ..]}

`votes` are everybody else's: those of all the voter's NFTs are left out. min_votes, k_max and max_turnover at the top
hold for each NFT that has none of its own. A fixed NFT cannot vote now: its `prev` stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decide.errors import DecisionError
from decide.quantiles import Floats
from decide.voting import instance as single
from decide.voting.allocate import PROOF, RISKS
from decide.voting.joint import JointAllocation, JointProblem, Nft, solve_together
from decide.voting.optimum import checks
from decide.voting.optimum.branch import Effort

NEEDED = ("scenario_weights", "nfts", "gauges")
OPTIONAL = ("lambda", "risk", "alpha", "unit", "min_votes", "k_max", "max_turnover")
NFT_NEEDED = ("id", "voting_power")
NFT_OPTIONAL = ("prev", "caps", "min_votes", "k_max", "max_turnover", "fixed")


def parse(data: object) -> tuple[JointProblem, tuple[str, ...]]:
    """The problem of an instance and its gauges' ids (N,). DecisionError names the field and what to do."""
    given = single.object_of(data, "the instance", NEEDED, OPTIONAL)
    weights = single.weights_of(given["scenario_weights"])
    risk, aversion = single.risk_of(given)
    gauges = single.list_of(given["gauges"], "gauges", "gauges")
    rows = [single.gauge_of(gauge, f"gauges[{i}]", len(weights), ()) for i, gauge in enumerate(gauges)]
    ids = tuple(str(row["id"]) for row in rows)
    single.check_ids(ids, "gauges", "gauge")
    nfts = single.list_of(given["nfts"], "nfts", "NFTs")
    made = tuple(_nft(nft, f"nfts[{i}]", given, ids) for i, nft in enumerate(nfts))
    single.check_ids([nft.name for nft in made], "nfts", "NFT")
    problem = JointProblem(
        votes=np.array([row["votes"] for row in rows]),
        rewards=np.array([row["rewards"] for row in rows]),
        weights=np.array(weights),
        nfts=made,
        risk=checks.one_of(risk, "risk", RISKS),
        risk_aversion=aversion,
        alpha=checks.number(given.get("alpha", 0.25), "alpha", 0, 1, above=True),
        unit=checks.number(given.get("unit", 1), "unit", 0, single.LARGEST, above=True),
    )
    return problem, ids


def allocate(data: object, effort: Effort = PROOF) -> dict[str, Any]:
    """The answer to an instance as plain values. Errors: as `parse` and `decide.voting.joint.solve_together`."""
    problem, ids = parse(data)
    return describe(problem, ids, solve_together(problem, effort))


def describe(problem: JointProblem, ids: Sequence[str], made: JointAllocation) -> dict[str, Any]:
    """A joint allocation: per NFT its votes by gauge id and its change set, and what all earn together in USD."""
    return {
        "status": made.status,
        "objective": made.objective,
        "bound": made.bound,
        "gap": made.gap,
        "expected_return": made.expected_return,
        "scenario_returns": made.scenario_returns.tolist(),
        "nodes": made.nodes,
        "nfts": [
            {
                "id": nft.name,
                "fixed": nft.is_fixed,
                "votes": single.plain(float(x.sum())),
                "allocation": {gauge: single.plain(v) for gauge, v in zip(ids, x.tolist(), strict=True) if v},
                "change": _change(nft, ids, x),
                "turnover": float(moved),
            }
            for nft, x, moved in zip(problem.nfts, made.votes, made.turnover, strict=True)
        ],
        "per_gauge": [
            {
                "id": gauge,
                "votes": single.plain(float(made.votes[:, i].sum())),
                "expected_return": float(made.gauge_returns[i] @ problem.weights),
                "scenario_returns": made.gauge_returns[i].tolist(),
            }
            for i, gauge in enumerate(ids)
            if made.votes[:, i].any()
        ],
    }


def _change(nft: Nft, ids: Sequence[str], x: Floats) -> dict[str, float]:
    """Votes to add (+) or take away (−) against the previous ones."""
    before = np.zeros(len(ids)) if nft.previous is None else nft.previous
    return {gauge: float(v) for gauge, v in zip(ids, (x - before).tolist(), strict=True) if v}


def _nft(data: object, field: str, given: Mapping[str, Any], ids: Sequence[str]) -> Nft:
    own = single.object_of(data, field, NFT_NEEDED, NFT_OPTIONAL)
    limits = {name: own.get(name, given.get(name)) for name in ("min_votes", "k_max", "max_turnover")}
    for name in ("min_votes", "k_max"):
        if limits[name] is None:
            raise DecisionError(f"{field} lacks {name}: add it there, or at the top for all NFTs")
    turnover, fixed = limits["max_turnover"], own.get("fixed", False)
    if not isinstance(fixed, bool):
        raise DecisionError(f"{field}.fixed is {fixed!r}: give true or false")
    return Nft(
        name=single.name_of(own["id"], f"{field}.id"),
        power=checks.number(own["voting_power"], f"{field}.voting_power", 0, single.LARGEST, above=True),
        min_votes=checks.number(limits["min_votes"], f"{field}.min_votes", 0, single.LARGEST),
        k_max=checks.whole_number(limits["k_max"], f"{field}.k_max", 1),
        max_turnover=None if turnover is None else checks.number(turnover, f"{field}.max_turnover", 0),
        previous=_by_gauge(own.get("prev", {}), f"{field}.prev", ids, 0.0),
        caps=_by_gauge(own.get("caps", {}), f"{field}.caps", ids, np.inf),
        is_fixed=fixed,
    )


def _by_gauge(data: object, field: str, ids: Sequence[str], otherwise: float) -> Floats:
    """Numbers by gauge id as an array (N,)."""
    if not isinstance(data, Mapping):
        raise DecisionError(f"{field} is {data!r}: give an object of votes by gauge id")
    places, made = {name: i for i, name in enumerate(ids)}, np.full(len(ids), otherwise)
    for name, value in data.items():
        if name not in places:
            raise DecisionError(f"{field} has {name}, which is none of the gauges: add it to gauges, or leave it out")
        made[places[name]] = checks.number(value, f"{field}[{name}]", 0, single.LARGEST)
    return made
