"""The staged vote against a plan written out by cases, and against every plan of the small decision tree."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from decide.voting.revote import Stage, VotingRule, decide_stage, landing, standing_probabilities, vote_once
from tests.decision_fixtures import settings

SETTINGS = settings()
GUARD = SETTINGS.guard
FREE, ONCE = SETTINGS.rules["hydrex"], SETTINGS.rules["aerodrome"]
STAGES = FREE.stages(SETTINGS.stages)
usd = st.one_of(st.just(0.0), st.floats(0, 1e6))
chances = st.sampled_from([0.0, 0.3, 0.7, 0.79, 0.8, 0.95, 1.0])


def with_chances(p: list[float], outage: float = 0.0) -> tuple[Stage, ...]:
    """The stages with other chances; with an outage, all but the first are within its reach."""
    found = zip(STAGES, p, strict=True)
    return tuple(
        Stage(s.name, s.seconds_before, s.anchor, x, outage if n else 0.0, s.value_share)
        for n, (s, x) in enumerate(found)
    )


def by_cases(
    n: int, stages: tuple[Stage, ...], rule: VotingRule, old: float, new: float, voted: bool, exempt: bool
) -> str:
    """The action at stage `n`, case by case; an epoch's one vote is left to the trees below."""
    can = [exempt or not rule.closed_seconds_before or s.seconds_before > rule.closed_seconds_before for s in stages]
    if not can[n]:
        return "closed"
    more_to_come = any(can[n + 1 :])
    if rule.votes_per_epoch == 1 and voted:
        return "keep"
    gain, p = new - old, stages[n].inclusion_prob
    worth_gas = p * gain > GUARD.gas_usd
    enough = old <= 0 or (gain >= GUARD.gas_multiple * GUARD.gas_usd and 1e4 * gain / old >= GUARD.uplift_bps)
    if worth_gas and enough:
        return "submit"
    return "wait" if more_to_come else "keep"


@given(
    st.integers(0, len(STAGES) - 1),
    st.lists(chances, min_size=len(STAGES), max_size=len(STAGES)),
    st.sampled_from([FREE, ONCE]),
    usd,
    st.one_of(usd, st.sampled_from([-500.0, 0.0, 0.09, 0.11, 24.9, 60.0, 500.0])),
    st.booleans(),
    st.booleans(),
)
def test_every_case_is_decided_as_written_out(
    n: int, p: list[float], rule: VotingRule, old: float, more: float, voted: bool, exempt: bool
) -> None:
    stages, new = with_chances(p), max(old + more, 0.0)
    found = decide_stage(stages[n], stages, rule, GUARD, old, new, has_voted=voted, is_exempt=exempt)
    expected = by_cases(n, stages, rule, old, new, voted, exempt)
    may_wait = rule.votes_per_epoch == 1 and exempt and n < len(stages) - 1
    assert found.action == expected or (may_wait and (expected, found.action) == ("submit", "wait"))
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
        (50, 50.09, False),  # 18 bps, but less than five times the gas
        (1_000, 1_000.99, False),  # 9.9 bps
        (50, 50.11, True),  # a small voter's gain of eleven cents
        (1_000, 1_001.0, True),  # exactly 10 bps
        (0, 0.03, True),  # nothing stands: gas is 0.02 USD
        (0, 0.02, False),
    ],
)
def test_each_guardrail_alone_blocks(old: float, new: float, sent: bool) -> None:
    stages = with_chances([1.0] * len(STAGES))
    assert (decide_stage(stages[0], stages, FREE, GUARD, old, new).action == "submit") is sent


def test_windows_that_end_with_the_last_hour_are_for_exchanges_that_close_then() -> None:
    assert [s.name for s in STAGES] == ["day", "T-5", "T-1", "T-0"], "the control is no stage"
    assert [s.name for s in ONCE.stages(SETTINGS.stages)] == ["day", "T-61", "T-5", "T-1", "T-0"]


def test_one_vote_does_not_wait_for_the_worst_window() -> None:
    """With the recorded chances a vote a day before is worth more than one in reach of an outage; a failed one is
    tried again, and what stands is left alone once it has landed.
    """
    stages = ONCE.stages(SETTINGS.stages)

    def plan(voted: bool = False, exempt: bool = False) -> list[str]:
        return [decide_stage(s, stages, ONCE, GUARD, 0, 900, has_voted=voted, is_exempt=exempt).action for s in stages]

    assert plan() == ["submit", "submit", "closed", "closed", "closed"]
    assert plan(voted=True) == ["keep", "keep", "closed", "closed", "closed"]
    sure = tuple(Stage(s.name, s.seconds_before, s.anchor, 1.0, 0.0, s.value_share, s.scope) for s in stages)
    waits = decide_stage(sure[0], sure, ONCE, GUARD, 0, 900)
    assert waits.action == "wait" and "T-61" in waits.reason, "when nothing can fail the later window is the better one"


# The small decision tree, plan by plan

worths = st.floats(1, 1e4)


def every_plan(plan: list[tuple[Stage, float]], standing: float, gas: float, outage: float) -> float:
    """The best of all plans where one vote counts: a plan says for each stage, and each record of sends that failed,
    whether to send. Worlds (outage or none, landed or not) are counted one by one; nothing is shared with the product.
    """
    count = len(plan)
    histories = [h for n in range(count) for h in product([False, True], repeat=n)]  # what was sent before, in vain
    best = -1.0
    for choices in product([False, True], repeat=len(histories)):
        sends = dict(zip(histories, choices, strict=True))
        value = 0.0
        for is_out, chance in ((True, outage), (False, 1 - outage)):
            for fates in product([False, True], repeat=count):
                p, earned, gas_paid = chance, standing, 0.0
                for (stage, _), fate in zip(plan, fates, strict=True):
                    lands = 0.0 if is_out and stage.outage_prob > 0 else stage.landing_prob
                    p *= lands if fate else 1 - lands
                history: tuple[bool, ...] = ()
                for n, (_, worth) in enumerate(plan):
                    is_sent = sends[history]
                    gas_paid += gas * is_sent
                    if is_sent and fates[n]:
                        earned = worth
                        break
                    history = (*history, is_sent)
                value += p * (earned - gas_paid)
        best = max(best, value)
    return best


@given(
    st.lists(st.tuples(st.floats(0, 1), worths), min_size=1, max_size=3),
    st.floats(0, 0.9),
    st.floats(0, 1e3),
    st.integers(0, 2),
)
def test_the_one_vote_plan_is_the_best_of_all_plans(
    each: list[tuple[float, float]], outage: float, standing: float, early: int
) -> None:
    stages = [Stage(str(n), 0, "boundary", p, outage if n >= early else 0.0) for n, (p, _) in enumerate(each)]
    plan = [(stage, worth) for stage, (_, worth) in zip(stages, each, strict=True)]
    is_any_late = any(stage.outage_prob > 0 for stage in stages)
    expected = every_plan(plan, standing, 0.02, outage if is_any_late else 0.0)
    assert vote_once(plan, standing, 0.02) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(
    st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
    st.floats(0, 0.9),
    st.lists(worths, min_size=3, max_size=3),
    st.floats(10, 1e4),
)
def test_free_re_votes_are_within_a_thousandth_of_the_best_plan(
    p: list[float], outage: float, worth: list[float], standing: float
) -> None:
    """Sending whenever it gains more than its gas and the guard, against expectation over all fates of every rule."""
    worth = sorted(worth)
    stages = [Stage(str(n), 0, "boundary", x, outage if n else 0.0) for n, x in enumerate(p)]

    def value(n: int, stands: float, failed: tuple[Stage, ...], is_clear: bool, ours: bool) -> float:
        if n == len(stages):
            return stands
        stage = stages[n]
        chance = landing(stage, () if is_clear else failed) if not is_clear else stage.landing_prob
        waits = value(n + 1, stands, failed, is_clear, ours)
        sends = -0.02 + chance * value(n + 1, worth[n], failed, is_clear or n > 0, ours)
        sends += (1 - chance) * value(n + 1, stands, (*failed, stage), is_clear, ours)
        if not ours:
            return max(waits, sends)
        decision = decide_stage(stage, stages, FREE, GUARD, stands, worth[n], failed=() if is_clear else failed)
        return sends if decision.action == "submit" else waits

    best, found = (value(0, standing, (), False, ours) for ours in (False, True))
    assert found <= best + 1e-9 and found >= best * (1 - 1e-3) - 0.1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=4), st.floats(0.01, 0.99))
def test_a_late_failure_is_evidence_of_an_outage(p: list[float], outage: float) -> None:
    """The chance to land after failures, by Bayes over all fates."""
    stages = [Stage(str(n), 0, "boundary", x, outage) for n, x in enumerate(p)]
    assume(any(x < 1 for x in p[:-1]) or outage > 0)
    out, clear = outage, (1 - outage)
    for x in p[:-1]:
        clear *= 1 - x
    assert landing(stages[-1], stages[:-1]) == pytest.approx(clear * p[-1] / (clear + out))
    assert landing(stages[-1], stages[:-1]) <= landing(stages[-1]) + 1e-12


@given(st.lists(st.floats(0, 1), max_size=5), st.floats(0, 1), st.integers(0, 5))
def test_what_stands_is_found_by_trying_every_fate(p: list[float], outage: float, early: int) -> None:
    stages = [Stage(str(n), 0, "boundary", x, outage if n >= early else 0.0) for n, x in enumerate(p)]
    each, none = [0.0] * len(p), 0.0
    worlds = ((True, outage), (False, 1 - outage)) if early < len(p) else ((False, 1.0),)
    for is_out, share in worlds:
        for fate in product([False, True], repeat=len(p)):
            chance = share
            for landed, stage in zip(fate, stages, strict=True):
                x = 0.0 if is_out and stage.outage_prob > 0 else stage.landing_prob
                chance *= x if landed else 1 - x
            if any(fate):
                each[max(n for n, landed in enumerate(fate) if landed)] += chance
            else:
                none += chance
    found, left = standing_probabilities(stages)
    assert found == pytest.approx(each, abs=1e-12) and left == pytest.approx(none, abs=1e-12)
    assert sum(found) + left == pytest.approx(1)


def test_what_stands_of_the_documented_plan() -> None:
    """docs/voting/method-staging.md: with the recorded chances, which window's vote stands in the end."""
    found, left = standing_probabilities(STAGES)
    assert [round(x, 3) for x in found[::-1]] == DOCUMENTED[:-1] and round(left, 3) == DOCUMENTED[-1]


DOCUMENTED = [0.244, 0.547, 0.02, 0.176, 0.014]  # T-0, T-1, T-5, day, none
