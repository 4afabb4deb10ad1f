"""What each limit of a risk profile costs: the same decision without it, all others kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from decide.voting.allocate import Allocation
from decide.voting.revote import VotingRule
from decide.voting.situation import RiskProfile, Situation, answer

LIMITS = ("k_max", "max_pools", "min_votes", "max_turnover", "max_share", "gauge_lists")
FREE: dict[str, dict[str, Any]] = {
    "max_pools": {"max_pools": None},
    "min_votes": {"min_votes": 0.0},
    "max_turnover": {"max_turnover": None},
    "max_share": {"max_share": None},
    "gauge_lists": {"allowed": frozenset(), "denied": frozenset()},
}


def limit_costs(
    situation: Situation, profile: RiskProfile, rule: VotingRule, made: Allocation
) -> dict[str, float | None]:
    """USD of expected return that each limit takes, by name; None where the profile has no such limit.

    A limit that the allocation does not touch costs 0. Costs of several do not add up: what one limit forbids another
    may forbid too.
    """
    return {name: _cost(name, situation, profile, rule, made) for name in LIMITS}


def _cost(name: str, situation: Situation, profile: RiskProfile, rule: VotingRule, made: Allocation) -> float | None:
    if not _is_set(name, profile):
        return None
    if not _binds(name, profile, made):
        return 0.0
    free = {"k_max": len(situation.gauges)} if name == "k_max" else FREE[name]
    without = answer(situation, replace(profile, **free), rule).allocation
    return None if without is None else max(without.expected_return - made.expected_return, 0.0)


def _is_set(name: str, profile: RiskProfile) -> bool:
    if name == "gauge_lists":
        return bool(profile.allowed or profile.denied)
    return bool(name in ("k_max", "min_votes") or getattr(profile, name) is not None)


def _binds(name: str, profile: RiskProfile, made: Allocation) -> bool:
    if name in ("k_max", "max_pools"):
        return bool(made.gauges_used >= getattr(profile, name))
    if name == "max_turnover":
        return made.turnover_limit is not None and made.turnover >= made.turnover_limit - made.gauges_used
    if name == "max_share":
        return float(made.votes.max()) >= (profile.max_share or 1.0) * float(made.votes.sum()) - 1.0
    return True
