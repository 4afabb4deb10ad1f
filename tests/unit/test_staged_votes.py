"""When to send a vote: p decides whether, guardrails hold, one-vote exchanges wait for their best moment."""

from __future__ import annotations

import pytest

from decide.errors import DecisionError
from decide.revote import Guardrails, Stage, StageDecision, VotingRule, decide_stage, standing_probabilities

STAGES = (
    Stage("day", 86_400, "boundary", 1.0),
    Stage("T-5", 300, "boundary", 0.99),
    Stage("T-1", 60, "boundary", 0.95),
    Stage("T-0", 0, "flip", 0.80),
)
FREE = VotingRule("hydrex", None, None, 0, 1)
ONCE = VotingRule("aerodrome", 1, 30, 3_600, 1)
GUARD = Guardrails(50, 25, 200, 0.95, 0.80, 0.02)


def decide(
    name: str, standing: float, new: float, rule: VotingRule = FREE, p: float | None = None, **asked: bool
) -> StageDecision:
    stages = tuple(
        Stage(s.name, s.seconds_before, s.anchor, p if p is not None and s.name == name else s.inclusion_prob)
        for s in STAGES
    )
    stage = next(s for s in stages if s.name == name)
    return decide_stage(stage, stages, rule, GUARD, standing, new, **asked)


def test_probability_multiplies_the_uplift_never_the_return() -> None:
    """The product rule would refuse 20 % more at p = 0.7: 0.7 x 1,200 is less than 1,000."""
    found = decide("T-1", 1_000, 1_200, p=0.7)
    assert found.action == "submit"
    assert found.value_if_submitted_usd == pytest.approx(0.7 * 1_200 + 0.3 * 1_000 - 0.02)
    assert found.value_if_kept_usd == 1_000 and found.uplift_bps == pytest.approx(2_000)


@pytest.mark.parametrize(
    ("standing", "new", "action"),
    [
        (100_000, 100_400, "wait"),  # 400 USD, but 40 bps
        (1_000, 1_024, "wait"),  # 240 bps, but 24 USD
        (10_000, 10_050.01, "submit"),  # both
        (1_000, 990, "wait"),  # what stands is better
    ],
)
def test_both_guardrails_hold(standing: float, new: float, action: str) -> None:
    found = decide("T-5", standing, new)
    assert found.action == action and found.reason
    assert decide("T-0", standing, new).action == ("submit" if action == "submit" else "keep")


def test_a_first_vote_needs_only_to_be_worth_its_gas() -> None:
    found = decide("day", 0.0, 3.0)
    assert found.action == "submit" and found.uplift_bps is None
    assert decide("day", 0.0, 0.01).action == "wait"


def test_high_inclusion_risk_blocks_a_marginal_rewrite_in_the_last_window_only() -> None:
    assert decide("T-0", 10_000, 10_150, p=0.79).action == "keep"
    assert "marginal" in decide("T-0", 10_000, 10_150, p=0.79).reason
    assert decide("T-0", 10_000, 10_150, p=0.80).action == "submit"
    assert decide("T-0", 10_000, 10_250, p=0.79).action == "submit"
    assert decide("T-1", 10_000, 10_150, p=0.79).action == "submit"


@pytest.mark.parametrize(("p", "risk"), [(1.0, "Low"), (0.95, "Low"), (0.949, "Med"), (0.80, "Med"), (0.799, "High")])
def test_inclusion_risk_is_named(p: float, risk: str) -> None:
    assert decide("T-1", 0, 100, p=p).inclusion_risk == risk


def test_one_vote_an_epoch_goes_to_its_best_moment() -> None:
    assert decide("day", 100, 500, ONCE).action == "submit"
    assert decide("day", 100, 500, ONCE, has_voted=True).action == "keep"
    closed = decide("T-5", 100, 500, ONCE)
    assert closed.action == "closed" and "last 60 minutes" in closed.reason
    assert decide("T-5", 100, 500, ONCE, is_exempt=True).action == "wait"
    assert decide("T-0", 100, 500, ONCE, is_exempt=True).action == "submit"


def test_a_window_just_before_closing_becomes_the_best_moment() -> None:
    later = Stage("T-61", 3_660, "boundary", 0.99)
    at_the_end = Stage("T-60", 3_600, "boundary", 0.99)  # its vote would land in the closed hour
    stages = (STAGES[0], later, at_the_end, *STAGES[1:])
    assert decide_stage(stages[0], stages, ONCE, GUARD, 100, 500).action == "wait"
    assert decide_stage(later, stages, ONCE, GUARD, 100, 500).action == "submit"
    assert decide_stage(at_the_end, stages, ONCE, GUARD, 100, 500).action == "closed"


def test_what_stands_in_the_end_is_a_mixture() -> None:
    each, none = standing_probabilities([0.95, 0.90, 0.85, 0.70])
    assert each == pytest.approx([0.004275, 0.0405, 0.255, 0.70]) and none == pytest.approx(0.000225)
    assert sum(each) + none == pytest.approx(1)
    with pytest.raises(DecisionError, match="between 0 and 1"):
        standing_probabilities([1.2])


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(DecisionError, match="not a decision window"):
        decide_stage(Stage("boundary", 0, "boundary", 0.0), STAGES, FREE, GUARD, 1, 2)
