"""What each strategy votes: by hand where it is a simple rule, by its limits where it is an optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decide.voting.backtest import realised
from decide.voting.decision_tables import Case, Truth
from decide.voting.recommend import Setting
from decide.voting.situation import Situation
from decide.voting.strategies import Choice, Kind, Strategy, choose, hindsight
from tests.decision_fixtures import Floats, seed_rows, settings

SETTINGS = settings()
PLAN = SETTINGS.profiles["plan"]
SETTING = SETTINGS.setting("hydrex", "plan")
assert SETTING is not None
KINDS: tuple[Kind, ...] = ("forecast", "snapshot", "proportional", "equal", "hold", "hindsight")


def case(
    gauges: int = 6,
    power: float = 300_000.0,
    votes: Floats | None = None,
    rewards: Floats | None = None,
    truth: Truth | None = None,
    seed: int = 3,
) -> Case:
    """A decision whose three scenarios have others' votes up, as now, and down by a third."""
    chance = np.random.default_rng(seed)
    now = chance.lognormal(11, 0.8, gauges) if votes is None else votes
    paid = chance.lognormal(6, 0.8, gauges) if rewards is None else rewards
    snapshot = Situation(
        gauges=tuple(f"0x{n:040x}" for n in range(gauges)),
        votes=now[:, None],
        rewards=paid[:, None],
        weights=np.ones(1),
        standing=np.zeros(gauges),
        previous=np.zeros(gauges),
        power=power,
    )
    moved = replace(
        snapshot,
        votes=now[:, None] * np.array([4 / 3, 1, 2 / 3]),
        rewards=np.repeat(paid[:, None], 3, axis=1),
        weights=np.array([0.25, 0.5, 0.25]),
    )
    final = truth or Truth(now * chance.lognormal(0, 0.5, gauges), paid * chance.uniform(1, 2, gauges))
    nothing = np.ones(gauges)
    key = ("hydrex", "observer", 1_700_092_800, "T-5")
    return Case(
        key,
        {"votes_reset_each_epoch": True},
        {"quartiles": moved},
        snapshot,
        nothing,
        np.array(["gauge"] * gauges),
        final,
    )


def chosen(
    kind: Kind,
    at: Case,
    previous: Floats | None = None,
    held: Floats | None = None,
    setting: Setting = SETTING,
    **limits: float,
) -> Choice:
    none = np.zeros(len(at.snapshot.gauges))
    strategy = Strategy(kind, kind, replace(PLAN, **limits))
    return choose(strategy, at, setting, none if previous is None else previous, none if held is None else held)


def test_every_kind_of_the_seed_is_known() -> None:
    assert {row["kind"] for row in seed_rows("backtest_variants")} == set(KINDS)
    assert {row["risk_profile"] for row in seed_rows("backtest_variants")} <= set(SETTINGS.profiles)


def test_simple_rules_by_hand() -> None:
    """R/(V + 50,000): 4/1,000, 2/1,000, 1/1,000 and less; 50,000 each, the other 100,000 shared or split."""
    votes, rewards = np.array([50_000.0, 150_000, 50_000, 950_000]), np.array([400.0, 400, 100, 90])
    at = case(4, 250_000.0, votes, rewards)
    shared, split = (chosen(kind, at, k_max=3).votes.tolist() for kind in ("proportional", "equal"))
    assert shared == [107_143, 78_571, 64_286, 0]  # 50,000 + 100,000 x 4/7, 2/7, 1/7
    assert split == [83_334, 83_333, 83_333, 0]


def test_simple_rules_spread_over_no_more_than_they_can_pay_for() -> None:
    votes = chosen("equal", case(power=149_999.0)).votes
    assert (votes > 0).sum() == 2 and votes[votes > 0].min() >= 50_000 and votes.sum() == 149_999


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("hold", "hindsight")])
@pytest.mark.parametrize("seed", range(4))
def test_all_obey_the_limits(kind: Kind, seed: int) -> None:
    found = chosen(kind, case(9, 400_000.0, seed=seed))
    cast = found.votes[found.votes > 0]
    assert found.outcome == "ok" and found.votes.sum() == 400_000 and (found.votes == np.round(found.votes)).all()
    assert 1 <= len(cast) <= PLAN.k_max and cast.min() >= PLAN.min_votes


@pytest.mark.parametrize("kind", ["forecast", "snapshot"])
def test_optima_move_no_more_than_they_may(kind: Kind) -> None:
    """All votes stand on the poorest gauge: a fifth of 300,000 may move, so 240,000 stay; hindsight is free."""
    rewards = np.array([900.0, 900, 900, 900, 900, 10])
    previous = np.array([0.0, 0, 0, 0, 0, 150_000])  # rescaled to the power
    at = case(votes=np.full(6, 1e5), rewards=rewards)
    found = chosen(kind, at, previous, max_turnover=0.2, min_votes=1_000.0)
    assert found.votes[5] == pytest.approx(240_000, abs=1)
    assert chosen(kind, at, max_turnover=0.2).votes[5] == 0, "a first vote moves nothing"
    assert chosen("hindsight", at, previous, max_turnover=0.2).votes[5] == 0


def test_a_forecast_sees_scenarios_a_snapshot_what_stands_and_neither_the_truth() -> None:
    at = case()
    other = replace(at, truth=Truth(at.truth.votes[::-1] * 9, at.truth.rewards[::-1] * 3))
    for kind in KINDS:
        held = np.full(6, 50_000.0)
        same = np.array_equal(chosen(kind, at, held=held).votes, chosen(kind, other, held=held).votes)
        assert same is (kind != "hindsight"), kind
    turned = at.situations["quartiles"]
    turned = replace(turned, rewards=turned.rewards[::-1])
    surprised = replace(at, situations={"quartiles": turned})
    assert np.array_equal(chosen("snapshot", at).votes, chosen("snapshot", surprised).votes)
    assert not np.array_equal(chosen("forecast", at).votes, chosen("forecast", surprised).votes)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_obeys_the_limits_earns_more_than_hindsight(seed: int) -> None:
    at = case(7, 260_000.0, seed=seed)
    best = realised(at, chosen("hindsight", at).votes)
    chance = np.random.default_rng(seed)
    for _ in range(300):
        count = int(chance.integers(1, 6))
        picked = chance.choice(7, count, replace=False)
        votes = np.zeros(7)
        votes[picked] = 50_000 + (260_000 - 50_000 * count) * chance.dirichlet(np.ones(count))
        assert realised(at, votes) <= best * (1 + 1e-6)
    for kind in KINDS[:4]:
        assert realised(at, chosen(kind, at).votes) <= best * (1 + 1e-6)


def test_gauges_whose_truth_is_unknown_earn_nothing_and_hindsight_leaves_them() -> None:
    truth = Truth(np.array([1e5, np.nan, 1e5, 1e5]), np.array([50.0, np.nan, 40.0, np.nan]))
    at = case(4, 100_000.0, truth=truth)
    found = hindsight(at, replace(PLAN, k_max=1), SETTING, limited=True)
    assert found.votes.tolist() == [100_000, 0, 0, 0] and realised(at, found.votes) == pytest.approx(25.0)
    assert realised(at, np.array([0, 50_000.0, 0, 50_000.0])) == 0


def test_what_stands_on_a_dead_gauge_is_paid_and_gets_no_new_votes() -> None:
    """Gauge 0 pays best by far and may not be voted for: no rule votes there, and it counts in what stands."""
    dead = case(3, 200_000.0, np.full(3, 1e5), np.array([5_000.0, 100.0, 90.0]))
    mask = np.array([False, True, True])
    at = replace(
        dead,
        snapshot=replace(dead.snapshot, is_votable=mask),
        situations={name: replace(s, is_votable=mask) for name, s in dead.situations.items()},
    )
    for kind in ("forecast", "snapshot", "proportional", "equal", "hindsight"):
        votes = chosen(kind, at).votes
        assert votes[0] == 0 and votes.sum() == 200_000, kind
    held = np.array([150_000.0, 50_000.0, 0.0])
    assert list(chosen("hold", at, held=held).votes) == [0, 200_000, 0], "votes that restart cannot be cast there again"
    carried = replace(at, window={"votes_reset_each_epoch": False})
    kept = chosen("hold", carried, held=held)
    assert list(kept.votes) == list(held) and kept.expected[0] > 5_000 * 0.5, "votes that carry over stay and earn"


def test_hold_keeps_shares_and_rescales() -> None:
    at = case(4, 300_000.0)
    assert chosen("hold", at, held=np.array([100.0, 0, 200, 0])).votes.tolist() == [100_000, 0, 200_000, 0]
    thirds = chosen("hold", case(3, 100_000.0), held=np.array([1.0, 1, 1]), min_votes=1_000.0).votes
    assert thirds.tolist() == [33_334, 33_333, 33_333], "whole votes, none lost"
    assert chosen("hold", at).outcome == "nothing_to_hold"


def test_hold_obeys_min_votes_when_power_falls() -> None:
    """Rescaled 50,000 and 20,000 and 30,000: the smallest goes, then 37,500 goes too."""
    falling = chosen("hold", case(3, 100_000.0), held=np.array([100_000.0, 40_000, 60_000]))
    assert falling.votes.tolist() == [100_000, 0, 0]
    assert chosen("hold", case(3, 49_999.0), held=np.array([1.0, 1, 1])).outcome == "nothing_to_hold"


def test_a_vote_below_one_unit_in_all_is_no_vote() -> None:
    coarse = replace(SETTING, rule=replace(SETTING.rule, vote_unit=100))
    found = chosen("hold", case(3, 60.0), held=np.array([1.0, 1, 1]), min_votes=0.0, setting=coarse)
    assert found.outcome == "nothing_to_hold" and not found.votes.any()


def test_votes_come_in_the_exchange_s_units() -> None:
    hundreds = replace(SETTING, rule=replace(SETTING.rule, vote_unit=100))
    for kind in ("snapshot", "proportional", "hindsight"):
        votes = chosen(kind, case(power=300_050.0), setting=hundreds).votes
        assert not (votes % 100).any() and votes.sum() == 300_000, kind


@pytest.mark.parametrize(
    ("kind", "at", "limits", "outcome"),
    [
        ("snapshot", case(power=np.nan), {}, "no_voting_power"),
        ("forecast", case(power=0.0), {}, "no_voting_power"),
        ("equal", case(power=np.nan), {}, "nothing_to_vote_for"),
        ("hold", case(power=np.nan), {}, "nothing_to_hold"),
        ("snapshot", case(power=49_999.0), {}, "min_votes_above_power"),
        ("equal", case(power=49_999.0), {}, "nothing_to_vote_for"),
        ("forecast", case(0), {}, "no_candidates"),
        ("proportional", case(0), {}, "nothing_to_vote_for"),
        ("snapshot", case(rewards=np.zeros(6)), {}, "nothing_to_gain"),
        ("proportional", case(rewards=np.zeros(6)), {}, "nothing_to_vote_for"),
        ("hindsight", case(truth=Truth(np.ones(6), np.zeros(6))), {}, "nothing_to_gain"),
        ("forecast", case(power=50_000.0), {}, "ok"),
        ("forecast", case(1), {}, "ok"),
        ("snapshot", case(3), {"k_max": 50}, "ok"),
        ("equal", case(3), {"k_max": 50, "min_votes": 0.0}, "ok"),
        ("proportional", case(1), {"k_max": 50}, "ok"),
    ],
)
def test_every_end_has_its_name(kind: Kind, at: Case, limits: dict[str, float], outcome: str) -> None:
    held = np.full(len(at.snapshot.gauges), 10.0)
    found = chosen(kind, at, held=held, **limits)
    assert found.outcome == outcome
    assert (found.expected is None) == (outcome != "ok") == (not found.votes.any())
    if outcome == "ok":
        assert found.votes.sum() == at.snapshot.power


def test_a_turnover_that_no_allocation_satisfies_is_infeasible() -> None:
    """Five gauges of 60,000 stand, each at its least; with least 150,000 two must go, but nothing may move."""
    previous = np.array([60_000.0] * 5 + [0])
    assert chosen("forecast", case(), previous, max_turnover=0.0, min_votes=150_000.0).outcome == "infeasible"
