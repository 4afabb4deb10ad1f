"""Limits of a risk profile: each is kept, each costs what the decision without it earns more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.voting.decision_tables import seed_rows
from decide.voting.constants import risk_profiles
from decide.voting.limits import LIMITS, limit_costs
from decide.voting.revote import VotingRule
from decide.voting.situation import RiskProfile, Situation, answer

GAUGES = tuple(f"0x{i:02x}" for i in range(12))
RULE = VotingRule("exchange", None, None, 0, 1)
OPEN = RiskProfile("open", "one", "none", 0.0, 0.25, 12, 0.0, None)


def situation(seed: int = 1) -> Situation:
    rng = np.random.default_rng(seed)
    rewards = rng.lognormal(4, 1, (12, 1))
    stands = np.zeros(12)
    stands[[2, 7]] = 500_000.0, 300_000.0
    return Situation(
        GAUGES, rewards * rng.lognormal(6.5, 0.7, (12, 1)), rewards, np.ones(1), stands, stands, 1_000_000.0
    )


def votes(profile: RiskProfile, at: Situation | None = None) -> np.ndarray:
    found = answer(at or situation(), profile, RULE)
    assert found.allocation is not None, found.explanation
    return found.allocation.votes


def test_no_gauge_gets_more_than_its_share() -> None:
    assert votes(OPEN).max() > 120_000
    capped = votes(replace(OPEN, max_share=0.12))
    assert capped.max() <= 120_000 and capped.sum() == 1_000_000


def test_pools_are_capped_for_gas() -> None:
    assert (votes(OPEN) > 0).sum() > 3
    assert (votes(replace(OPEN, max_pools=3)) > 0).sum() == 3
    assert (votes(replace(OPEN, max_pools=3, k_max=2)) > 0).sum() == 2


def test_lists_allow_and_deny() -> None:
    best = GAUGES[int(np.argmax(votes(OPEN)))]
    denied = votes(replace(OPEN, denied=frozenset({best})))
    assert denied[GAUGES.index(best)] == 0 and denied.sum() == 1_000_000
    allowed = votes(replace(OPEN, allowed=frozenset(GAUGES[:3])))
    assert allowed[3:].sum() == 0 and allowed.sum() == 1_000_000
    both = votes(replace(OPEN, allowed=frozenset(GAUGES[:3]), denied=frozenset(GAUGES[:2])))
    assert both[2] == 1_000_000


def test_lists_that_leave_nothing_say_so() -> None:
    found = answer(situation(), replace(OPEN, denied=frozenset(GAUGES)), RULE)
    assert found.outcome == "no_candidates" and "denied_gauges" in found.explanation


def test_a_gauge_that_may_not_be_voted_for_keeps_what_stands_there() -> None:
    """Its standing votes earn and count in the turnover; new votes it gets none."""
    base = situation()
    closed = replace(base, is_votable=np.arange(12) != 2)
    assert closed.returns(closed.standing) == pytest.approx(base.returns(base.standing))
    found = answer(closed, replace(OPEN, max_turnover=0.7), RULE).allocation
    assert found is not None and found.votes[2] == 0
    moved = np.maximum(found.votes - base.previous * 1_000_000 / 800_000, 0).sum()
    assert found.turnover == pytest.approx(moved) and found.turnover <= 700_000 + 12
    denied = answer(base, replace(OPEN, max_turnover=0.7, denied=frozenset({GAUGES[2]})), RULE).allocation
    assert denied is not None and denied.objective == pytest.approx(found.objective, rel=2e-4)


def test_rewards_where_nobody_may_vote_do_not_blur_the_proof() -> None:
    """A gap is relative to what can be earned, however much a closed gauge would pay."""
    base = situation()
    rich = replace(base, rewards=np.where(np.arange(12)[:, None] == 2, 1e12, base.rewards))
    found = answer(replace(rich, is_votable=np.arange(12) != 2), OPEN, RULE).allocation
    assert found is not None and found.gap <= 1e-6 and found.status == "optimal"


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ("k_max", {"k_max": 2}),
        ("max_pools", {"max_pools": 2}),
        ("min_votes", {"min_votes": 200_000.0}),
        ("max_turnover", {"max_turnover": 0.3}),
        ("max_share", {"max_share": 0.1}),
        ("gauge_lists", {"allowed": frozenset(GAUGES[:4])}),
    ],
)
def test_a_limit_costs_what_it_keeps_from_the_voter(limit: str, change: dict[str, object]) -> None:
    at, profile = situation(), replace(OPEN, **change)
    made, free = answer(at, profile, RULE).allocation, answer(at, OPEN, RULE).allocation
    assert made is not None and free is not None
    costs = limit_costs(at, profile, RULE, made)
    assert set(costs) == set(LIMITS)
    assert costs[limit] == pytest.approx(free.expected_return - made.expected_return, rel=1e-3) and costs[limit] > 0
    others = {name: cost for name, cost in costs.items() if name != limit}
    assert all(cost is None or cost <= 1e-3 * free.expected_return for cost in others.values())
    assert others.get("max_share", 0.0) is None or limit == "max_share"


def test_the_seed_says_every_limit() -> None:
    listed = [
        row | {"denied_gauges": "0xAA 0xbb", "max_share": 0.25, "max_pools": 40} for row in seed_rows("risk_profiles")
    ]
    profile = next(iter(risk_profiles(listed).values()))
    assert profile.denied == {"0xaa", "0xbb"} and not profile.allowed
    assert profile.max_share == 0.25 and profile.max_pools == 40 and profile.pools == min(profile.k_max, 40)
    assert all(p.max_share is None and not p.denied for p in risk_profiles(seed_rows("risk_profiles")).values())
