"""The staged vote against a plan written out by cases, and under the seeds' own windows, rules and guardrails."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from decide.voting.revote import Stage, VotingRule, decide_stage, standing_probabilities
from tests.decision_fixtures import seed_rows, settings

SETTINGS = settings()
STAGES, GUARD = SETTINGS.stages, SETTINGS.guard
FREE, ONCE = SETTINGS.rules["hydrex"], SETTINGS.rules["aerodrome"]
usd = st.one_of(st.just(0.0), st.floats(0, 1e6))
chances = st.sampled_from([0.0, 0.3, 0.7, 0.79, 0.8, 0.95, 1.0])


def with_chances(p: list[float]) -> tuple[Stage, ...]:
    return tuple(Stage(s.name, s.seconds_before, s.anchor, x) for s, x in zip(STAGES, p, strict=True))


def by_cases(
    n: int, stages: tuple[Stage, ...], rule: VotingRule, old: float, new: float, voted: bool, exempt: bool
) -> str:
    """The action at stage `n`, case by case."""
    can = [exempt or not rule.closed_seconds_before or s.seconds_before > rule.closed_seconds_before for s in stages]
    if not can[n]:
        return "closed"
    more_to_come = any(can[n + 1 :])
    if rule.votes_per_epoch == 1 and voted:
        return "keep"
    if rule.votes_per_epoch == 1 and more_to_come:
        return "wait"
    gain, p = new - old, stages[n].inclusion_prob
    worth_gas = p * gain > GUARD.gas_usd
    enough = old <= 0 or (gain >= GUARD.uplift_usd and 1e4 * gain / old >= GUARD.uplift_bps)
    risky = not more_to_come and p < GUARD.medium_risk and old > 0 and 1e4 * gain / old < GUARD.marginal_bps
    if worth_gas and enough and not risky:
        return "submit"
    return "wait" if more_to_come else "keep"


@given(
    st.integers(0, len(STAGES) - 1),
    st.lists(chances, min_size=len(STAGES), max_size=len(STAGES)),
    st.sampled_from([FREE, ONCE]),
    usd,
    st.one_of(usd, st.sampled_from([-500.0, 0.0, 24.9, 25.1, 60.0, 500.0])),
    st.booleans(),
    st.booleans(),
)
def test_every_case_is_decided_as_written_out(
    n: int, p: list[float], rule: VotingRule, old: float, more: float, voted: bool, exempt: bool
) -> None:
    stages, new = with_chances(p), max(old + more, 0.0)
    found = decide_stage(stages[n], stages, rule, GUARD, old, new, has_voted=voted, is_exempt=exempt)
    assert found.action == by_cases(n, stages, rule, old, new, voted, exempt)
    assert found.reason and found.uplift_usd == new - old and (found.uplift_bps is None) == (old <= 0)


@given(st.floats(1, 1e6), st.floats(0, 2), chances, st.integers(0, len(STAGES) - 1))
def test_sending_is_worth_p_of_the_uplift(old: float, more: float, p: float, n: int) -> None:
    """Value sent minus value kept is p times the uplift less gas: p never touches what stands."""
    stages = with_chances([p] * len(STAGES))
    found = decide_stage(stages[n], stages, FREE, GUARD, old, old * (1 + more))
    gain = found.value_if_submitted_usd - found.value_if_kept_usd
    assert gain == pytest.approx(p * old * more - GUARD.gas_usd, abs=1e-6) and found.value_if_kept_usd == old
    if found.action == "submit":
        assert gain > -1e-9, "a vote that loses money was sent"


def test_a_vote_that_the_product_rule_refuses_is_sent() -> None:
    """p = 0.7, 1,000 USD stand, 1,300 are possible: 0.7 x 1,300 is less than 1,000, yet failing costs nothing."""
    stages = with_chances([0.7] * len(STAGES))
    assert 0.7 * 1_300 < 1_000
    for stage in stages:
        found = decide_stage(stage, stages, FREE, GUARD, 1_000, 1_300)
        assert found.action == "submit" and found.inclusion_risk == "High"


@given(st.floats(1, 1e5), st.floats(0, 5e3), st.floats(0, 5e3), chances, st.integers(0, len(STAGES) - 1))
def test_promising_more_never_takes_a_submission_back(old: float, more: float, extra: float, p: float, n: int) -> None:
    stages = with_chances([p] * len(STAGES))
    assume(decide_stage(stages[n], stages, FREE, GUARD, old, old + more).action == "submit")
    assert decide_stage(stages[n], stages, FREE, GUARD, old, old + more + extra).action == "submit"


@pytest.mark.parametrize(
    ("old", "new", "sent"),
    [
        (5_000, 5_024.99, False),  # 49.98 bps and 24.99 USD
        (4_000, 4_024.99, False),  # bps hold, 24.99 USD do not
        (6_000, 6_029.99, False),  # USD hold, 49.98 bps do not
        (4_000, 4_025.00, True),  # exactly 25 USD
        (10_000, 10_050.0, True),  # exactly 50 bps
        (0, 0.03, True),  # nothing stands: gas is 0.02 USD
        (0, 0.02, False),
    ],
)
def test_each_guardrail_alone_blocks(old: float, new: float, sent: bool) -> None:
    assert (decide_stage(STAGES[0], STAGES, FREE, GUARD, old, new).action == "submit") is sent


def test_a_seed_row_before_closing_time_moves_the_one_vote_there() -> None:
    """A window of 3,660 s is the last open one where voting closes an hour before; one of 3,600 s is closed."""
    rows = seed_rows("decision_windows")
    assert decide_stage(STAGES[0], STAGES, ONCE, GUARD, 0, 900).action == "submit"
    new = [{**rows[0], "decision_window": f"T-{s // 60}", "seconds_before": s} for s in (3_660, 3_600)]
    ordered = [rows[0], *new, *rows[1:]]
    stages = settings(decision_windows=[row | {"position": n} for n, row in enumerate(ordered)]).stages
    assert [s.name for s in stages] == ["day", "T-61", "T-60", "T-5", "T-1", "T-0"], "the control is no stage"

    def plan(voted: bool = False, exempt: bool = False) -> list[str]:
        return [decide_stage(s, stages, ONCE, GUARD, 0, 900, has_voted=voted, is_exempt=exempt).action for s in stages]

    assert plan() == ["wait", "submit", "closed", "closed", "closed", "closed"]
    assert plan(voted=True) == ["keep", "keep", "closed", "closed", "closed", "closed"]
    assert plan(exempt=True) == ["wait"] * 5 + ["submit"]
    first = decide_stage(stages[0], stages, ONCE, GUARD, 0, 900)
    assert "T-61" in first.reason


@given(st.lists(st.floats(0, 1), max_size=6))
def test_what_stands_is_found_by_trying_every_fate(p: list[float]) -> None:
    each, none = [0.0] * len(p), 0.0
    for fate in product([False, True], repeat=len(p)):
        chance = 1.0
        for landed, x in zip(fate, p, strict=True):
            chance *= x if landed else 1 - x
        if any(fate):
            each[max(n for n, landed in enumerate(fate) if landed)] += chance
        else:
            none += chance
    found, left = standing_probabilities(p)
    assert found == pytest.approx(each, abs=1e-12) and left == pytest.approx(none, abs=1e-12)
    assert sum(found) + left == pytest.approx(1)


def test_what_stands_of_the_documented_plan() -> None:
    """docs/voting/method-staging.md: T-0 stands with 0.70, what came before with what it leaves."""
    found, left = standing_probabilities((0.95, 0.90, 0.85, 0.70))
    assert [round(x, 4) for x in found[::-1]] == [0.70, 0.255, 0.0405, 0.0043] and round(left, 4) == 0.0002
