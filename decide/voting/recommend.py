"""A recommendation: the exact allocation of a situation, what it changes, its worth, whether to send it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decide.quantiles import Floats
from decide.voting.allocate import Allocation
from decide.voting.limits import limit_costs
from decide.voting.revote import Guardrails, Stage, StageDecision, VotingRule, decide_stage
from decide.voting.situation import Answer, RiskProfile, Situation, answer


@dataclass(frozen=True)
class Setting:
    """What is fixed for an exchange and a profile: the windows, the voting rule, the guardrails."""

    stages: tuple[Stage, ...]
    rule: VotingRule
    guard: Guardrails
    profile: RiskProfile


@dataclass(frozen=True)
class Standing:
    """Where the voter stands in the epoch."""

    has_voted: bool  # a vote of this epoch is cast
    is_exempt: bool  # may vote while voting is closed for others
    since_vote: float | None = None  # seconds since the last vote landed, of any epoch; None where there is none


@dataclass(frozen=True)
class Recommendation:
    """One recommendation; amounts in USD of expected return, votes in votes.

    `new` and `standing` are returns per scenario (S,); `unlimited_usd` is what the exchange's own limits would allow,
    `limits_cost_share` what the profile's limits take of it, `limit_costs` what each of them costs alone in USD, None
    where the profile has none of that name (decide.voting.limits). `answer.outcome` other than
    `ok` comes with no allocation: the action is then `keep`, the reason says why.
    """

    answer: Answer
    decision: StageDecision
    votes: Floats  # (N,)
    new: Floats  # (S,)
    standing: Floats  # (S,)
    unlimited_usd: float
    limits_cost_share: float
    limit_costs: Mapping[str, float | None]

    @property
    def allocation(self) -> Allocation | None:
        return self.answer.allocation


def recommend(
    situation: Situation, setting: Setting, stage: Stage, standing: Standing, blocked: Answer | None = None
) -> Recommendation:
    """What to do at `stage` of a situation; `blocked` names why there can be no allocation whatever the numbers say."""
    found = blocked or answer(situation, setting.profile, setting.rule)
    standing_returns = situation.returns(situation.standing)
    standing_usd = float(situation.weights @ standing_returns)
    if found.allocation is None:
        kept = _kept(setting.guard, stage, found, standing_usd)
        nothing = np.zeros(len(situation.gauges))
        return Recommendation(found, kept, nothing, standing_returns, standing_returns, np.nan, np.nan, {})
    votes = np.asarray(found.allocation.votes, dtype=np.float64)
    new = situation.returns(votes)
    new_usd = float(situation.weights @ new)
    unlimited = _unlimited(situation, setting)
    decision = decide_stage(
        stage,
        setting.stages,
        setting.rule,
        setting.guard,
        standing_usd,
        new_usd,
        has_voted=standing.has_voted,
        is_exempt=standing.is_exempt,
        since_vote=standing.since_vote,
    )
    cost = 1 - new_usd / unlimited if unlimited > 0 else 0.0
    each = limit_costs(situation, setting.profile, setting.rule, found.allocation)
    return Recommendation(found, decision, votes, new, standing_returns, unlimited, max(cost, 0.0), each)


def _unlimited(situation: Situation, setting: Setting) -> float:
    free = answer(situation, setting.profile, setting.rule, limited=False).allocation
    return float(situation.weights @ situation.returns(np.asarray(free.votes))) if free is not None else np.nan


def _kept(guard: Guardrails, stage: Stage, found: Answer, standing_usd: float) -> StageDecision:
    return StageDecision(
        action="keep",
        reason=f"no allocation: {found.explanation}",
        inclusion_risk=guard.inclusion_risk(stage.inclusion_prob),
        standing_usd=standing_usd,
        new_usd=standing_usd,
        uplift_usd=0.0,
        uplift_bps=None,
        value_if_submitted_usd=standing_usd,
        value_if_kept_usd=standing_usd,
    )


def confidence(votes: Floats, each: Floats) -> float:
    """Vote-weighted mean of the gauges' confidence; NaN where nothing is voted."""
    total = float(votes.sum())
    return float(votes @ each) / total if total > 0 else float("nan")


def change_set(votes: Floats, previous: Floats) -> Floats:
    """Votes to add (+) or take away (−) per gauge against the last allocation. A report: a vote replaces all of it."""
    return np.asarray(votes - previous)


def turnover_share(votes: Floats, previous: Floats) -> float:
    """Σ max(x − p, 0) / Σ x with p rescaled to Σ x; 0 for a first vote, which moves nothing."""
    power, before = float(votes.sum()), float(previous.sum())
    if power <= 0 or before <= 0:
        return 0.0
    return float(np.maximum(votes - previous * (power / before), 0.0).sum()) / power


def worst_level(levels: Sequence[str]) -> str:
    """The coarsest forecast level among `levels`: none, global, cluster, gauge."""
    order = ["none", "global", "cluster", "gauge"]
    return min(levels, key=order.index, default="none")
