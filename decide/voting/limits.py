"""What each limit of a risk profile costs: the same decision without it, all others kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


Without = Callable[[RiskProfile], float | None]  # USD that would be expected under another profile; None: no answer


def limit_costs(
    situation: Situation, profile: RiskProfile, rule: VotingRule, made: Allocation
) -> dict[str, float | None]:
    """USD of expected return that each limit takes, by name; None where the profile has no such limit.

    A limit that the allocation does not touch costs 0. Costs of several do not add up: what one limit forbids another
    may forbid too.
    """

    def without(other: RiskProfile) -> float | None:
        found = answer(situation, other, rule).allocation
        return None if found is None else found.expected_return

    touched = {
        "pools": made.gauges_used,
        "moves": made.turnover_limit is not None and made.turnover >= made.turnover_limit - made.gauges_used,
        "share": float(made.votes.max()) / max(float(made.votes.sum()), 1.0),
    }
    return costs(profile, rule, len(situation.gauges), made.expected_return, touched, without)


def costs(
    profile: RiskProfile,
    rule: VotingRule,
    gauges: int,
    expected_usd: float,
    touched: Mapping[str, float | bool],
    without: Without,
) -> dict[str, float | None]:
    """The same of any decision. `touched`: the most `pools` of a vote, whether `moves` are at their limit, the largest
    `share` of a gauge; `gauges` there are."""

    def cost(name: str) -> float | None:
        if not _is_set(name, profile):
            return None
        if not _binds(name, profile, rule, touched):
            return 0.0
        free = {"k_max": gauges} if name == "k_max" else FREE[name]
        usd = without(replace(profile, **free))
        return None if usd is None else max(usd - expected_usd, 0.0)

    return {name: cost(name) for name in LIMITS}


def _is_set(name: str, profile: RiskProfile) -> bool:
    if name == "gauge_lists":
        return bool(profile.allowed or profile.denied)
    return bool(name in ("k_max", "min_votes") or getattr(profile, name) is not None)


def _binds(name: str, profile: RiskProfile, rule: VotingRule, touched: Mapping[str, float | bool]) -> bool:
    if name in ("k_max", "max_pools"):
        return bool(touched["pools"] >= getattr(profile, name))
    if name == "min_votes":
        return profile.min_votes > rule.vote_unit  # less than that no vote can be
    if name == "max_turnover":
        return bool(touched["moves"])
    if name == "max_share":
        return touched["share"] >= (profile.max_share or 1.0) - 1e-6
    return True
