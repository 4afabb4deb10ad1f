"""What one decision is made on: the arrays of one exchange, voter, epoch and window, and the limits of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError, Infeasible
from decide.quantiles import Floats
from decide.voting.allocate import Allocation, Problem, solve
from decide.voting.optimum.branch import Effort
from decide.voting.revote import VotingRule

DECISION = Effort(max_nodes=400, settle_nodes=8)  # decisions by the thousand: a gap of 1e-4 will do after 8 nodes

Flags = npt.NDArray[np.bool_]
Outcome = Literal[
    "ok",
    "no_rule",
    "gate_failed",
    "own_votes_unknown",
    "no_voting_power",
    "no_candidates",
    "nothing_to_gain",
    "min_votes_above_power",
    "infeasible",
]


@dataclass(frozen=True)
class RiskProfile:
    """One row of the `risk_profiles` seed: which scenarios, which downside, which limits.

    max_share: of the power on one gauge, None for no cap; max_pools: in one vote, for its gas, None for no cap;
    allowed: the only gauges that may be voted for, empty for all; denied: gauges that may not.
    """

    name: str
    scenario_set: str
    risk: str
    risk_aversion: float
    alpha: float
    k_max: int
    min_votes: float
    max_turnover: float | None
    max_share: float | None = None
    max_pools: int | None = None
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()

    def admits(self, gauges: Sequence[str]) -> Flags:
        """Which gauges (N,) the lists let through."""
        return np.array([(not self.allowed or g in self.allowed) and g not in self.denied for g in gauges], np.bool_)

    @property
    def pools(self) -> int:
        """Most gauges in one vote."""
        return self.k_max if self.max_pools is None else min(self.k_max, self.max_pools)


@dataclass(frozen=True)
class Situation:
    """N candidate gauges under S scenarios. Votes are everybody else's; rewards USD; own votes in votes.

    `standing` is what counts if nothing is sent; `previous` the last allocation, what a change set and the turnover
    cap refer to. `power` is NaN where it is not known.
    """

    gauges: tuple[str, ...]
    votes: Floats  # (N, S)
    rewards: Floats  # (N, S)
    weights: Floats  # (S,)
    standing: Floats  # (N,)
    previous: Floats  # (N,)
    power: float
    is_votable: Flags | None = None  # (N,): None: every gauge; what stands on others is paid, and gets no new votes

    @property
    def votable(self) -> Flags:
        return np.ones(len(self.gauges), dtype=np.bool_) if self.is_votable is None else self.is_votable

    def returns(self, own: Floats) -> Floats:
        """Return (S,) in USD of own votes (N,): Σ R·x/(V + x), 0 where nothing is voted."""
        return returns(self.votes, self.rewards, own)


def returns(votes: Floats, rewards: Floats, own: Floats) -> Floats:
    """USD per scenario (S,) of own votes (N,) among others' votes (N, S) for rewards (N, S)."""
    x = own[:, None]
    total = votes + x
    share = np.divide(x, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray((rewards * share).sum(axis=0))


@dataclass(frozen=True)
class Answer:
    """An allocation, or the named reason why there is none."""

    outcome: Outcome
    explanation: str
    allocation: Allocation | None = None


def problem(situation: Situation, profile: RiskProfile, rule: VotingRule, limited: bool = True) -> Problem:
    """The optimum to solve; without `limited` only the exchange's own limits hold: what the profile's limits cost."""
    votable = situation.votable
    count = int(votable.sum())
    pools = min(count, rule.max_gauges or count)
    made = Problem(
        votes=situation.votes,
        rewards=situation.rewards,
        power=situation.power,
        weights=situation.weights,
        min_votes=profile.min_votes,
        k_max=min(profile.pools, pools),
        risk=profile.risk,
        risk_aversion=profile.risk_aversion,
        alpha=profile.alpha,
        max_turnover=profile.max_turnover,
        previous=situation.previous,
        caps=None if votable.all() else np.where(votable, np.inf, 0.0),
        unit=rule.vote_unit,
    )
    if not limited:
        return replace(made, min_votes=float(rule.vote_unit), k_max=pools, max_turnover=None)
    if profile.max_share is None and not profile.allowed and not profile.denied:
        return made
    most = np.inf if profile.max_share is None else profile.max_share * situation.power
    return replace(made, caps=np.where(votable & profile.admits(situation.gauges), most, 0.0))


def answer(situation: Situation, profile: RiskProfile, rule: VotingRule, limited: bool = True) -> Answer:
    """The exact allocation of a situation, or a named outcome: never a silent substitute."""
    if not np.isfinite(situation.power) or situation.power <= 0:
        return Answer(
            "no_voting_power",
            "the voter has no power at this block: none is delegated to it, or its lock ended "
            "(seeds/voting/voters.csv says who it is)",
        )
    if not situation.votable.any():
        return Answer("no_candidates", "no gauge is alive, readable and priced at this window")
    if not situation.rewards[situation.votable].max() > 0:
        return Answer("nothing_to_gain", "no candidate has any reward, now or in any scenario")
    if limited and profile.min_votes > situation.power:
        return Answer(
            "min_votes_above_power",
            f"the power of {situation.power:,.0f} votes is under the profile's minimum of {profile.min_votes:,.0f} "
            "a gauge: use another risk profile or lower min_votes in seeds/voting/risk_profiles.csv",
        )
    if limited and not (situation.votable & profile.admits(situation.gauges)).any():
        return Answer(
            "no_candidates",
            f"the lists of risk profile {profile.name} leave none of the {int(situation.votable.sum())} candidates: "
            "change allowed_gauges or denied_gauges in seeds/voting/risk_profiles.csv",
        )
    try:
        return Answer("ok", "", solve(problem(situation, profile, rule, limited), DECISION))
    except Infeasible as error:
        return Answer("infeasible", str(error))
    except DecisionError as error:
        return Answer("infeasible", f"the inputs cannot be used: {error}")
