"""The staged vote against a plan written out by cases, and against every plan of the small decision tree."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from decide.voting.revote import Stage, VotingRule, decide_stage, landing, plan_worth, standing_probabilities
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
    assert found.reason and found.uplift_usd == new - old
    assert (found.uplift_bps is None) == (old <= 0 or new - old > old), "a share of next to nothing is none"


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


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (1e-9, 3.0, "it gains 3.00 USD over the 0.00 USD that stand"),
        (2.0, 5.0, "it gains 3.00 USD over the 2.00 USD that stand"),
        (3.0, 6.0, "it gains 3.00 USD over what stands (10,000 bps)"),
        (1_000.0, 1_000.5, "it gains 0.50 USD over what stands (5 bps)"),
    ],
)
def test_a_gain_is_told_as_a_share_only_of_what_is_worth_one(old: float, new: float, said: str) -> None:
    found = decide_stage(STAGES[0], STAGES, FREE, GUARD, old, new)
    assert found.reason.startswith(said), found.reason


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
    assert plan_worth(plan, standing, ONCE, GUARD) == pytest.approx(expected, rel=1e-9, abs=1e-9)


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


# A voter contract that wants time between two votes

DELAYS = [0, 30, 100, 240, 300, 90_000]  # none; under every gap; over T-1 to T-0; T-5 to T-1; T-5 to T-0; over a day
SLOW = GUARD.landing_seconds


def delayed(seconds: int) -> VotingRule:
    return replace(FREE, vote_delay_seconds=seconds)


def by_fates(
    stages: list[Stage], worth: list[float], standing: float, delay: int, outage: float, ours: bool
) -> tuple[float, int]:
    """USD of the best of all plans where votes need `delay` seconds between them, or of ours; and how many of our votes
    were sent into the delay.

    Worlds (an outage or none) are carried along with their probabilities, so nothing of the product's Bayes is shared;
    a vote takes `SLOW` seconds to land, and one sent sooner after it than the contract allows reverts.
    """
    rule, reverted = delayed(delay), 0

    def value(n: int, stands: float, fate: dict[bool, float], cast: int | None, failed: tuple[Stage, ...]) -> float:
        nonlocal reverted
        whole = sum(fate.values())
        if n == len(stages) or whole <= 0:
            return whole * stands
        stage = stages[n]
        waits = value(n + 1, stands, fate, cast, failed)
        since = None if cast is None else stages[cast].seconds_before - stage.seconds_before - SLOW
        is_early = delay > 0 and since is not None and since < delay
        if is_early and not ours:
            return waits
        lands = {is_out: 0.0 if is_out and stage.outage_prob > 0 else stage.landing_prob for is_out in fate}
        sends = -0.02 * whole
        sends += value(n + 1, worth[n], {o: p * lands[o] for o, p in fate.items()}, n, failed)
        sends += value(n + 1, stands, {o: p * (1 - lands[o]) for o, p in fate.items()}, cast, (*failed, stage))
        if not ours:
            return max(waits, sends)
        known = () if fate[True] == 0 else failed
        chosen = decide_stage(stage, stages, rule, GUARD, stands, worth[n], failed=known, since_vote=since)
        if chosen.action != "submit":
            return waits
        reverted += is_early
        return sends

    return value(0, standing, {True: outage, False: 1 - outage}, None, ()), reverted


@given(
    st.lists(st.floats(0.05, 1), min_size=len(STAGES), max_size=len(STAGES)),
    st.sampled_from([0.0, 0.2, 0.6]),
    st.lists(st.floats(0.3, 1), min_size=len(STAGES), max_size=len(STAGES)),
    st.floats(100, 1e4),
    st.floats(0, 1.2),
    st.sampled_from(DELAYS),
)
def test_the_plan_knows_that_a_vote_takes_the_next_windows_away(
    p: list[float], outage: float, shares: list[float], worth: float, standing: float, delay: int
) -> None:
    """Within a thousandth (and the guard) of the best of all plans, and never a vote that the contract refuses."""
    each = zip(STAGES, p, sorted(shares), strict=True)
    stages = [
        replace(s, landing_prob=x, outage_prob=outage if n else 0.0, value_share=v) for n, (s, x, v) in enumerate(each)
    ]
    worths = [s.value_share * worth for s in stages]
    best, _ = by_fates(stages, worths, standing * worth, delay, outage, ours=False)
    found, reverted = by_fates(stages, worths, standing * worth, delay, outage, ours=True)
    assert reverted == 0, "a vote was sent that the contract reverts with VoteDelayNotMet"
    assert found <= best + 1e-9 and found >= best * (1 - 1e-3) - 4 * GUARD.gas_multiple * GUARD.gas_usd
    plan = list(zip(stages, worths, strict=True))
    exact = plan_worth(plan, standing * worth, delayed(delay), GUARD)
    assert exact == pytest.approx(best, rel=1e-9), "the plan's worth is that of the whole tree"


def test_a_delay_longer_than_the_week_is_one_vote_an_epoch() -> None:
    stages = ONCE.stages(SETTINGS.stages)[:2]
    once = [decide_stage(s, stages, ONCE, GUARD, 0, 900).action for s in stages]
    late = [
        decide_stage(s, stages, replace(ONCE, votes_per_epoch=None, vote_delay_seconds=604_800), GUARD, 0, 900).action
        for s in stages
    ]
    assert once == late == ["submit", "submit"]


@pytest.mark.parametrize(
    ("since", "actions"), [(None, "submit"), (200, "wait"), (239.9, "wait"), (240, "submit"), (1e6, "submit")]
)
def test_a_vote_within_the_delay_of_the_last_one_is_not_sent(since: float | None, actions: str) -> None:
    """Whatever it would gain: at T-5, with 240 seconds between votes; T-1 comes 240 s later, so one waits for it."""
    stage = STAGES[1]
    found = decide_stage(stage, STAGES, delayed(240), GUARD, 10.0, 1_000.0, since_vote=since)
    assert found.action == actions
    assert ("VoteDelayNotMet" in found.reason) is (actions == "wait")


def test_where_no_later_window_is_free_what_stands_is_kept() -> None:
    last = decide_stage(STAGES[-1], STAGES, delayed(400), GUARD, 10.0, 1_000.0, since_vote=267)
    assert last.action == "keep" and "400 seconds" in last.reason
    earlier = decide_stage(STAGES[1], STAGES, delayed(90_000), GUARD, 10.0, 1_000.0, since_vote=86_000)
    assert earlier.action == "keep", "T-0 is 300 s later: still within the delay"


def test_a_small_gain_now_does_not_cost_the_better_vote_later() -> None:
    """400 s between votes: at T-5 five dollars more than what stands would take T-1 and T-0 away."""
    stages = tuple(
        replace(s, landing_prob=0.9, outage_prob=0.0, value_share=v)
        for s, v in zip(STAGES, (0.5, 0.6, 0.9, 1), strict=True)
    )
    assert decide_stage(stages[1], stages, delayed(400), GUARD, 600, 605).action == "wait"
    assert decide_stage(stages[1], stages, FREE, GUARD, 600, 605).action == "submit"


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


DOCUMENTED = [0.244, 0.547, 0.02, 0.188, 0.001]  # T-0, T-1, T-5, day, none
