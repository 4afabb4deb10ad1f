"""What one decision is made on: the arrays of one exchange, voter, epoch and window, and the limits of a profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from decide.errors import DecisionError, Infeasible
from decide.quantiles import Floats
from decide.voting.allocate import Allocation, Problem, solve
from decide.voting.revote import VotingRule

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
    """One row of the `risk_profiles` seed: which scenarios, which downside, which limits."""

    name: str
    scenario_set: str
    risk: str
    risk_aversion: float
    alpha: float
    k_max: int
    min_votes: float
    max_turnover: float | None


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
    count = len(situation.gauges)
    pools = min(count, rule.max_gauges or count)
    made = Problem(
        votes=situation.votes,
        rewards=situation.rewards,
        power=situation.power,
        weights=situation.weights,
        min_votes=profile.min_votes,
        k_max=min(profile.k_max, pools),
        risk=profile.risk,
        risk_aversion=profile.risk_aversion,
        alpha=profile.alpha,
        max_turnover=profile.max_turnover,
        previous=situation.previous,
        caps=None,
        unit=rule.vote_unit,
    )
    return made if limited else replace(made, min_votes=float(rule.vote_unit), k_max=pools, max_turnover=None)


def answer(situation: Situation, profile: RiskProfile, rule: VotingRule, limited: bool = True) -> Answer:
    """The exact allocation of a situation, or a named outcome: never a silent substitute."""
    if not np.isfinite(situation.power) or situation.power <= 0:
        return Answer(
            "no_voting_power", "the voter never voted and no power is stated: add it to seeds/voting/voters.csv"
        )
    if not situation.gauges:
        return Answer("no_candidates", "no gauge is alive, readable and priced at this window")
    if not situation.rewards.max() > 0:
        return Answer("nothing_to_gain", "no candidate has any reward, now or in any scenario")
    if limited and profile.min_votes > situation.power:
        return Answer(
            "min_votes_above_power",
            f"the power of {situation.power:,.0f} votes is under the profile's minimum of {profile.min_votes:,.0f} "
            "a gauge: use another risk profile or lower min_votes in seeds/voting/risk_profiles.csv",
        )
    try:
        return Answer("ok", "", solve(problem(situation, profile, rule, limited)))
    except Infeasible as error:
        return Answer("infeasible", str(error))
    except DecisionError as error:
        return Answer("infeasible", f"the inputs cannot be used: {error}")
