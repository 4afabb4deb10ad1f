"""The staged vote: at each decision window submit now, wait for a later one, or keep what stands.

If a submission does not land in time the earlier allocation stands, so it is worth p·Ret(new) + (1 − p)·Ret(standing):
p decides whether to send, never what. Where a vote takes later windows away (one vote counts, or the contract wants
time between two), waiting is weighed against sending by the plan that is best from there on, with an outage that is
common to all late windows (docs/voting/method-staging.md). Nothing here signs or sends a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from decide.errors import DecisionError

Action = Literal["submit", "wait", "keep", "closed"]
InclusionRisk = Literal["Low", "Med", "High"]


@dataclass(frozen=True)
class Stage:
    """A decision window: seconds before its anchor (`boundary` or `last_vote`), and a vote's chances from there.

    `landing_prob` holds without an outage; `outage_prob` is the chance of an outage that takes all late windows of an
    epoch together (0: this window is out of its reach). `value_share` is what an allocation decided here earns, as a
    share of one decided at the last window.
    """

    name: str
    seconds_before: int
    anchor: str
    landing_prob: float
    outage_prob: float = 0.0
    value_share: float = 1.0
    scope: str = "every"  # or "closes": a window only of exchanges whose voting closes before the boundary

    @property
    def inclusion_prob(self) -> float:
        return (1 - self.outage_prob) * self.landing_prob


@dataclass(frozen=True)
class VotingRule:
    """The protocol record: votes per epoch, gauges per vote (None: any), seconds closed before the boundary.

    `vote_delay_seconds`: a vote reverts until more than these have gone by since the voter's last one, of any epoch.
    """

    protocol: str
    votes_per_epoch: int | None
    max_gauges: int | None
    closed_seconds_before: int
    vote_unit: int
    vote_delay_seconds: int = 0

    def is_open(self, stage: Stage, is_exempt: bool) -> bool:
        """Whether a vote decided at `stage` can still land: exactly at the closing second it cannot."""
        return is_exempt or self.closed_seconds_before == 0 or stage.seconds_before > self.closed_seconds_before

    def stages(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """The decision windows that mean something on this exchange."""
        return tuple(s for s in stages if s.scope == "every" or self.closed_seconds_before > 0)

    def open_stages(self, stages: Sequence[Stage], is_exempt: bool) -> list[Stage]:
        return [stage for stage in stages if self.is_open(stage, is_exempt)]

    def lets(self, since_vote: float | None) -> bool:
        """Whether a vote decided these seconds after the last one landed (None: there is none) is not too early.

        A vote decided on a block lands in a later one, so more seconds have gone by when it does.
        """
        return since_vote is None or self.vote_delay_seconds == 0 or since_vote >= self.vote_delay_seconds

    def left(self, stage: Stage, later: Sequence[Stage], landing_seconds: float) -> list[Stage]:
        """Of `later` stages those at which a vote can land after one sent at `stage` has: it may take so many seconds
        to land, the next may land at once.
        """
        if self.votes_per_epoch == 1:
            return []
        return [s for s in later if self.lets(stage.seconds_before - s.seconds_before - landing_seconds)]


@dataclass(frozen=True)
class Guardrails:
    """What a re-vote must promise: bps over what stands and a multiple of its gas; where inclusion risk is named.

    `landing_seconds`: most that a vote took from its decision to the block it landed in.
    """

    uplift_bps: float
    gas_multiple: float
    low_risk: float
    medium_risk: float
    gas_usd: float
    landing_seconds: float = 0.0

    def inclusion_risk(self, probability: float) -> InclusionRisk:
        if probability >= self.low_risk:
            return "Low"
        return "Med" if probability >= self.medium_risk else "High"


@dataclass(frozen=True)
class StageDecision:
    """What to do now, in USD of expected return, and why. `uplift_bps`: see `in_bps`."""

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
    failed: Sequence[Stage] = (),
    since_vote: float | None = None,
) -> StageDecision:
    """Submit, wait or keep at `stage`, one of `stages` (earliest first).

    `standing_usd` and `new_usd` are expected returns of what stands and of the new allocation on the same information;
    `has_voted`: a vote of this epoch is already cast; `failed`: windows of this epoch at which a vote was sent and did
    not land; `since_vote`: seconds since the voter's last vote landed, of any epoch, None where there is none.
    DecisionError when `stage` is not among `stages`.
    """
    if stage not in stages:
        raise DecisionError(f"{stage.name} is not a decision window; use one of {', '.join(s.name for s in stages)}")
    open_stages = rule.open_stages(stages, is_exempt)
    later = [s for s in open_stages if stages.index(s) > stages.index(stage)]
    if since_vote is not None:
        later = [s for s in later if rule.lets(since_vote + stage.seconds_before - s.seconds_before)]
    uplift = new_usd - standing_usd
    situation = _Situation(stage, open_stages, later, tuple(failed), standing_usd, new_usd, has_voted, since_vote)
    action, reason = _choose(situation, rule, guard)
    p = landing(stage, failed)
    return StageDecision(
        action=action,
        reason=reason,
        inclusion_risk=guard.inclusion_risk(p),
        standing_usd=standing_usd,
        new_usd=new_usd,
        uplift_usd=uplift,
        uplift_bps=in_bps(uplift, standing_usd),
        value_if_submitted_usd=p * new_usd + (1 - p) * standing_usd - guard.gas_usd,
        value_if_kept_usd=standing_usd,
    )


@dataclass(frozen=True)
class _Situation:
    stage: Stage
    open_stages: Sequence[Stage]
    later: Sequence[Stage]
    failed: tuple[Stage, ...]
    standing: float
    new: float
    has_voted: bool
    since_vote: float | None

    @property
    def uplift(self) -> float:
        return self.new - self.standing


def _choose(at: _Situation, rule: VotingRule, guard: Guardrails) -> tuple[Action, str]:
    if at.stage not in at.open_stages:
        minutes = rule.closed_seconds_before // 60
        return "closed", f"{rule.protocol} takes no votes in the last {minutes} minutes; what stands stays"
    is_once = rule.votes_per_epoch == 1
    if is_once and at.has_voted:
        return "keep", "the one vote of this epoch is cast; it cannot be changed before the next"
    p = landing(at.stage, at.failed)
    rest: Action = "wait" if at.later else "keep"
    then = f"look again at {at.later[0].name}" if at.later else "keep what stands"
    if not rule.lets(at.since_vote):
        return rest, (
            f"{rule.protocol} wants {rule.vote_delay_seconds:,} seconds between two votes, and the last one landed "
            f"{at.since_vote:,.0f} ago: a vote now would revert (VoteDelayNotMet): {then}"
        )
    if at.uplift < 0:
        return rest, f"what stands earns {-at.uplift:,.2f} USD more than anything these limits allow: {then}"
    if p * at.uplift <= guard.gas_usd:
        return rest, f"a new vote would gain {at.uplift:,.2f} USD, not worth its gas: {then}"
    if len(rule.left(at.stage, at.later, guard.landing_seconds)) < len(at.later) and (
        better := _waiting(at, rule, guard)
    ):
        return "wait", better
    if at.standing <= 0:
        return "submit", f"nothing stands yet: a vote now is worth {at.uplift:,.2f} USD"
    return _guarded(at, guard, rest, then, p)


def _waiting(at: _Situation, rule: VotingRule, guard: Guardrails) -> str | None:
    """Why a vote that takes later windows away had better wait; None where it had not."""
    scale = at.new / at.stage.value_share
    plan = [(s, s.value_share * scale) for s in (at.stage, *at.later)]
    now = plan_worth(plan, at.standing, rule, guard, at.failed, must_send=True)
    wait = plan_worth(plan[1:], at.standing, rule, guard, at.failed)
    if wait <= now:
        return None
    why = (
        "one vote per epoch"
        if rule.votes_per_epoch == 1
        else f"a vote now takes away those of the next {rule.vote_delay_seconds:,} seconds"
    )
    return (
        f"{why}: waiting for {at.later[0].name} is worth {wait:,.2f} USD, sending now {now:,.2f}, with "
        "the chance to land in both"
    )


def _guarded(at: _Situation, guard: Guardrails, rest: Action, then: str, p: float) -> tuple[Action, str]:
    bps = in_bps(at.uplift, at.standing)
    over = f"the {at.standing:,.2f} USD that stand" if bps is None else f"what stands ({bps:,.0f} bps)"
    gain = f"{at.uplift:,.2f} USD over {over}"
    least = guard.gas_multiple * guard.gas_usd
    if 1e4 * at.uplift / at.standing < guard.uplift_bps or at.uplift < least:
        return rest, f"it gains {gain}; a re-vote must gain {guard.uplift_bps:g} bps and {least:.2f} USD: {then}"
    return "submit", f"it gains {gain}; with a chance of {p:.0%} to land, worth {p * at.uplift:,.2f} USD"


def in_bps(uplift: float, standing: float) -> float | None:
    """A gain in basis points of what stands; None where less stands than is gained: a share of next to nothing says
    nothing.
    """
    return 1e4 * uplift / standing if standing > 0 and uplift <= standing else None


def landing(stage: Stage, failed: Sequence[Stage] = ()) -> float:
    """The chance that a vote sent at `stage` lands, after votes at `failed` did not.

    A late failure is evidence of an outage: P(clear | failures) = (1 − q)·Π(1 − p) / ((1 − q)·Π(1 − p) + q).
    """
    if stage.outage_prob <= 0:
        return stage.landing_prob
    clear = 1 - stage.outage_prob
    for s in failed:
        clear *= 1 - s.landing_prob if s.outage_prob > 0 else 1.0
    if clear + stage.outage_prob <= 0:
        return 0.0
    return clear / (clear + stage.outage_prob) * stage.landing_prob


def plan_worth(
    plan: Sequence[tuple[Stage, float]],
    standing_usd: float,
    rule: VotingRule,
    guard: Guardrails,
    failed: Sequence[Stage] = (),
    must_send: bool = False,
) -> float:
    """USD that the best plan is worth where a vote takes later windows away: per stage (earliest first) what its
    allocation earns.

    At each stage a vote is sent or not; after one that did not land the next may be tried, after one that did only
    those that the rule leaves, and no outage is feared. With `must_send` it is sent at the first stage, whatever is
    best. Solved backwards over the few stages, exactly.
    """
    if not plan:
        return standing_usd
    (stage, worth), rest = plan[0], plan[1:]
    p = landing(stage, failed)
    left = rule.left(stage, [s for s, _ in rest], guard.landing_seconds)
    after = [(s, usd) for s, usd in rest if s in left]
    if stage.outage_prob > 0:
        after = [(replace(s, outage_prob=0.0), usd) for s, usd in after]
    landed = plan_worth(after, worth, rule, guard, failed) if p > 0 else worth
    missed = plan_worth(rest, standing_usd, rule, guard, (*failed, stage)) if p < 1 else standing_usd
    sent = p * landed + (1 - p) * missed - guard.gas_usd
    return sent if must_send else max(sent, plan_worth(rest, standing_usd, rule, guard, failed))


def standing_probabilities(stages: Sequence[Stage]) -> tuple[list[float], float]:
    """Which stage's vote stands in the end if every stage submits: probability per stage, and of none.

    Stage k stands when it lands and no later one does: with an outage over all late windows, or without one.
    """
    outage = max((stage.outage_prob for stage in stages), default=0.0)
    left = {True: outage, False: 1 - outage}
    found = []
    for stage in reversed(stages):
        if not 0 <= stage.landing_prob <= 1 or not 0 <= stage.outage_prob <= 1:
            raise DecisionError(f"the chances of {stage.name} are not between 0 and 1")
        stands = 0.0
        for is_out in left:
            p = 0.0 if is_out and stage.outage_prob > 0 else stage.landing_prob
            stands += left[is_out] * p
            left[is_out] *= 1 - p
        found.append(stands)
    return found[::-1], sum(left.values())
