"""The staged vote: at each decision window submit now, wait for a later one, or keep what stands.

If a submission does not land in time the earlier allocation stands, so it is worth p·Ret(new) + (1 − p)·Ret(standing):
p decides whether to send, never what (docs/method-staging.md). Nothing here signs or sends a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from decide.errors import DecisionError

Action = Literal["submit", "wait", "keep", "closed"]
InclusionRisk = Literal["Low", "Med", "High"]


@dataclass(frozen=True)
class Stage:
    """A decision window: seconds before its anchor (`boundary` or `flip`), and the chance to be included in time."""

    name: str
    seconds_before: int
    anchor: str
    inclusion_prob: float


@dataclass(frozen=True)
class VotingRule:
    """The protocol record: votes per epoch, gauges per vote (None: any), seconds closed before the boundary."""

    protocol: str
    votes_per_epoch: int | None
    max_gauges: int | None
    closed_seconds_before: int
    vote_unit: int

    def is_open(self, stage: Stage, is_exempt: bool) -> bool:
        """Whether a vote decided at `stage` can still land: exactly at the closing second it cannot."""
        return is_exempt or self.closed_seconds_before == 0 or stage.seconds_before > self.closed_seconds_before

    def open_stages(self, stages: Sequence[Stage], is_exempt: bool) -> list[Stage]:
        return [stage for stage in stages if self.is_open(stage, is_exempt)]


@dataclass(frozen=True)
class Guardrails:
    """What a re-vote must promise over what stands (bps and USD), and where inclusion risk is named low or medium."""

    uplift_bps: float
    uplift_usd: float
    marginal_bps: float
    low_risk: float
    medium_risk: float
    gas_usd: float

    def inclusion_risk(self, probability: float) -> InclusionRisk:
        if probability >= self.low_risk:
            return "Low"
        return "Med" if probability >= self.medium_risk else "High"


@dataclass(frozen=True)
class StageDecision:
    """What to do now, in USD of expected return, and why. `uplift_bps` is None where nothing stands."""

    action: Action
    reason: str
    inclusion_risk: InclusionRisk
    standing_usd: float
    new_usd: float
    uplift_usd: float
    uplift_bps: float | None
    value_if_submitted_usd: float
    value_if_kept_usd: float


def decide_stage(
    stage: Stage,
    stages: Sequence[Stage],
    rule: VotingRule,
    guard: Guardrails,
    standing_usd: float,
    new_usd: float,
    has_voted: bool = False,
    is_exempt: bool = False,
) -> StageDecision:
    """Submit, wait or keep at `stage`, one of `stages` (earliest first).

    `standing_usd` and `new_usd` are expected returns of what stands and of the new allocation on the same information;
    `has_voted`: a vote of this epoch is already cast. DecisionError when `stage` is not among `stages`.
    """
    if stage not in stages:
        raise DecisionError(f"{stage.name} is not a decision window; use one of {', '.join(s.name for s in stages)}")
    open_stages = rule.open_stages(stages, is_exempt)
    later = [s for s in open_stages if stages.index(s) > stages.index(stage)]
    uplift = new_usd - standing_usd
    action, reason = _choose(stage, open_stages, later, rule, guard, standing_usd, uplift, has_voted)
    p = stage.inclusion_prob
    return StageDecision(
        action=action,
        reason=reason,
        inclusion_risk=guard.inclusion_risk(p),
        standing_usd=standing_usd,
        new_usd=new_usd,
        uplift_usd=uplift,
        uplift_bps=1e4 * uplift / standing_usd if standing_usd > 0 else None,
        value_if_submitted_usd=p * new_usd + (1 - p) * standing_usd - guard.gas_usd,
        value_if_kept_usd=standing_usd,
    )


def _choose(
    stage: Stage,
    open_stages: Sequence[Stage],
    later: Sequence[Stage],
    rule: VotingRule,
    guard: Guardrails,
    standing: float,
    uplift: float,
    has_voted: bool,
) -> tuple[Action, str]:
    if stage not in open_stages:
        minutes = rule.closed_seconds_before // 60
        return "closed", f"{rule.protocol} takes no votes in the last {minutes} minutes; what stands stays"
    if rule.votes_per_epoch == 1:
        if has_voted:
            return "keep", "the one vote of this epoch is cast; it cannot be changed before the next"
        if later:
            return (
                "wait",
                f"one vote per epoch: {later[-1].name} is its best moment, the last that is open",
            )
    rest: Action = "wait" if later else "keep"
    then = f"look again at {later[0].name}" if later else "keep what stands"
    if uplift < 0:
        return rest, f"what stands earns {-uplift:,.2f} USD more than anything these limits allow: {then}"
    if stage.inclusion_prob * uplift <= guard.gas_usd:
        return rest, f"a new vote would gain {uplift:,.2f} USD, not worth its gas: {then}"
    if standing <= 0:
        return "submit", f"nothing stands yet: a vote now is worth {uplift:,.2f} USD"
    return _guarded(stage, guard, standing, uplift, rest, then, is_last=not later)


def _guarded(
    stage: Stage, guard: Guardrails, standing: float, uplift: float, rest: Action, then: str, is_last: bool
) -> tuple[Action, str]:
    bps, p = 1e4 * uplift / standing, stage.inclusion_prob
    gain = f"{uplift:,.2f} USD ({bps:,.0f} bps) over what stands"
    if bps < guard.uplift_bps or uplift < guard.uplift_usd:
        need = f"{guard.uplift_bps:g} bps and {guard.uplift_usd:g} USD"
        return rest, f"it gains {gain}; a re-vote must gain {need}: {then}"
    if is_last and guard.inclusion_risk(p) == "High" and bps < guard.marginal_bps:
        return "keep", f"it gains {gain}, marginal for a chance of {p:.0%} to land in time: keep what stands"
    return "submit", f"it gains {gain}; with a chance of {p:.0%} to land, worth {p * uplift:,.2f} USD"


def standing_probabilities(inclusion: Sequence[float]) -> tuple[list[float], float]:
    """Which stage's vote stands in the end if every stage submits: probability per stage, and of none.

    Stage k stands when it lands and no later one does: p_k·Π_{j>k}(1 − p_j). Failures are taken as independent, which
    flatters late stages that share causes (provider, nonce).
    """
    left, found = 1.0, []
    for p in reversed(inclusion):
        if not 0 <= p <= 1:
            raise DecisionError(f"inclusion probability {p} is not between 0 and 1")
        found.append(left * p)
        left *= 1 - p
    return found[::-1], left
