"""The replay on a small exchange: what is realised, held, staged and named; order; and whether knowing a drift pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from decide.once import sealed_schema
from decide.voting.backtest_statistics import BASELINES, backtest_statistics
from decide.voting.backtest_tables import SCHEMA, backtest_tables
from decide.voting.recommend_tables import SCHEMA as RECOMMENDED
from decide.voting.recommend_tables import Seeds, recommend_tables
from tests.decision_fixtures import START, WEEK_SECONDS, Exchange, Row, seed_rows, seeds, under_the_plan

PLAIN = Exchange.drawn()


@cache
def plain() -> pa.Table:
    return PLAIN.replayed()


def rows_of(table: pa.Table, **wanted: Any) -> list[Row]:
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in wanted.items())]


def ours(table: pa.Table, window: str = "T-5") -> list[Row]:
    return rows_of(table, strategy="foreshore", decision_window=window)


def earned(exchange: Exchange, votes: dict[str, float], epoch: int) -> float:
    """USD of votes at the truth of an epoch, gauge by gauge."""
    e, total = (epoch - START) // WEEK_SECONDS, 0.0
    for n in range(exchange.votes_final.shape[1]):
        own = votes.get(exchange.gauge(n), 0.0)
        if own and np.isfinite(exchange.votes_final[e, n]):
            total += exchange.rewards_final[e, n] * own / (exchange.votes_final[e, n] + own)
    return total


def votes_of(row: Row) -> dict[str, float]:
    return {vote["gauge_address"]: vote["votes"] for vote in row["votes"]}


# Rows


def test_every_epoch_window_and_strategy_is_there_once() -> None:
    keys = [(r["epoch"], r["decision_window"], r["strategy"]) for r in plain().to_pylist()]
    variants = len(seed_rows("backtest_variants"))
    assert len(keys) == len(set(keys)) == 5 * 2 * variants + 5
    assert plain().schema == sealed_schema(SCHEMA)


def test_realised_has_own_votes_in_the_denominator() -> None:
    for row in rows_of(plain(), kind="forecast"):
        assert row["realised_usd"] == pytest.approx(earned(PLAIN, votes_of(row), row["epoch"]), rel=1e-12)
        assert sum(votes_of(row).values()) == 500_000


def test_two_gauges_by_hand() -> None:
    """All 100,000 votes on the one paying gauge: 300 x 100/(100 + 200), and it was expected at 100/(100 + 100)."""
    shape = (1, 1, 2)
    world = Exchange(
        votes_now=np.full(shape, 1e5),
        votes_final=np.full((1, 2), 2e5),
        rewards_now=np.array([[[300.0, 0]]]),
        rewards_final=np.array([[300.0, 0]]),
        power=100_000.0,
        windows=("T-5",),
    )
    (row,) = ours(world.replayed())
    assert row["expected_usd"] == pytest.approx(150) and row["realised_usd"] == pytest.approx(100)
    assert row["hindsight_usd"] == pytest.approx(100) and row["gauges_used"] == 1 and row["is_covered"] is False


@pytest.mark.parametrize("seed", range(3))
def test_regret_is_never_negative(seed: int) -> None:
    table = Exchange.drawn(3, 6, seed=seed, power=260_000.0).replayed()
    voted = rows_of(table, outcome="ok")
    assert {row["strategy"] for row in voted} == {row["strategy"] for row in seed_rows("backtest_variants")}
    for row in voted:
        assert 0 < row["realised_usd"] <= row["hindsight_usd"] * (1 + 1e-6), row["strategy"]


def test_hold_is_ours_of_an_epoch_ago_rescaled() -> None:
    world = replace(PLAIN, power=[500_000.0, 500_000.0, 750_000.0, 750_000.0, 900_000.0])
    table = world.replayed()
    for before, after in pairwise(ours(table)):
        (held,) = rows_of(table, strategy="hold", decision_window="T-5", epoch=after["epoch"])
        ratio = after["voting_power"] / before["voting_power"]
        kept = {gauge: votes * ratio for gauge, votes in votes_of(before).items()}
        assert held["realised_usd"] == pytest.approx(earned(world, kept, after["epoch"]), rel=1e-4)
        assert held["gauges_used"] == len(kept)
    first = rows_of(table, strategy="hold", epoch=START)
    assert {row["outcome"] for row in first} == {"nothing_to_hold"} and len(first) == 2


@pytest.mark.parametrize("resets", [True, False])
def test_falling_power_never_beats_hindsight(resets: bool) -> None:
    """What carries over weighs no more than today's power, and what is held obeys min_votes."""
    world = replace(PLAIN, power=[900_000.0, 400_000.0, 210_000.0, 120_000.0, 60_000.0], resets=resets)
    scored = [row for row in world.replayed().to_pylist() if row["outcome"] == "ok"]
    assert {row["kind"] for row in scored} >= {"hold", "staged"}
    for row in scored:
        assert row["realised_usd"] <= row["hindsight_usd"] * (1 + 1e-5), (row["kind"], row["epoch"])


def test_a_gauge_without_truth_earns_nothing_and_is_counted() -> None:
    final = PLAIN.votes_final.copy()
    best = max(votes_of(ours(plain())[2]).items(), key=lambda vote: vote[1])[0]
    place = [PLAIN.gauge(n) for n in range(8)].index(best)
    final[2, place] = np.nan
    world = replace(PLAIN, votes_final=final, rewards_final=np.where(np.isnan(final), np.nan, PLAIN.rewards_final))
    row = ours(world.replayed())[2]
    assert row["unlabelled_share"] == pytest.approx(votes_of(row)[best] / 500_000) and row["unlabelled_share"] > 0.1
    assert row["realised_usd"] == pytest.approx(earned(world, votes_of(row), row["epoch"]))


def test_an_epoch_that_is_not_over_is_left_out() -> None:
    gone = np.where(np.arange(5)[:, None] == 4, np.nan, PLAIN.votes_final)
    world = replace(PLAIN, votes_final=gone, rewards_final=np.where(np.isnan(gone), np.nan, PLAIN.rewards_final))
    found = world.replayed()
    assert found.equals(plain().filter(pc.less(plain()["epoch"], START + 4 * WEEK_SECONDS)))


def test_the_order_of_rows_changes_nothing() -> None:
    for shuffled in (1, 2):
        assert PLAIN.replayed(shuffled).equals(plain())
    assert PLAIN.replayed().equals(plain()), "the same tables give the same bytes"


def test_what_comes_later_changes_no_earlier_vote() -> None:
    """Every truth from epoch 3 on, and every row after it, is another: votes up to epoch 3 are the same."""
    late = np.arange(5)[:, None] >= 3
    other = Exchange.drawn(seed=99)
    world = replace(
        PLAIN,
        votes_now=np.where(late[:, None] & (np.arange(5) > 3)[:, None, None], other.votes_now, PLAIN.votes_now),
        votes_final=np.where(late, other.votes_final, PLAIN.votes_final),
        rewards_final=np.where(late, other.rewards_final, PLAIN.rewards_final),
    )
    before, after = ours(plain()), ours(world.replayed())
    assert [votes_of(row) for row in before[:4]] == [votes_of(row) for row in after[:4]]
    assert before[3]["realised_usd"] != after[3]["realised_usd"] and votes_of(before[4]) != votes_of(after[4])


# The staged plan


def with_chances(day: float, late: float) -> Seeds:
    """Chances at the two windows of these exchanges; nothing lands at others, and there are no outages."""
    given = {"day": day, "T-5": late}
    rows = [
        row | {"landing_prob": given.get(row["decision_window"], 0.0), "outage_prob": 0.0}
        for row in seed_rows("decision_windows")
    ]
    return seeds(decision_windows=rows)


def moving() -> Exchange:
    """At T-5 all rewards lie on other gauges than a day before: a re-vote is always worth it."""
    rewards = np.tile(np.array([[900.0, 800, 5, 5], [5, 5, 900, 800]]), (3, 1, 1))
    base = Exchange.drawn(3, 4)
    return replace(base, rewards_now=rewards, rewards_final=rewards[:, 1], power=200_000.0)


def test_when_every_vote_lands_the_plan_earns_the_last_one() -> None:
    capped = replace(with_chances(1.0, 1.0), risk_profiles=under_the_plan())
    table = moving().replayed(chosen=capped)
    for staged in rows_of(table, decision_window="staged"):
        (last,) = rows_of(table, decision_window="T-5", strategy="foreshore", epoch=staged["epoch"])
        assert staged["submissions"] == 2 and staged["kind"] == "staged"
        if staged["epoch"] == START:  # a fifth of the vote of the day before has to stay where it was
            assert 0.8 * last["realised_usd"] < staged["realised_usd"] < last["realised_usd"]
    free = [row | {"max_turnover": None} for row in seed_rows("risk_profiles")]
    table = moving().replayed(chosen=replace(with_chances(1.0, 1.0), risk_profiles=free))
    for staged in rows_of(table, decision_window="staged"):
        (last,) = rows_of(table, decision_window="T-5", strategy="foreshore", epoch=staged["epoch"])
        assert staged["realised_usd"] == pytest.approx(last["realised_usd"], rel=1e-9)


@pytest.mark.parametrize(("early", "late"), [(1.0, 0.4), (0.7, 0.4), (0.5, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_the_plan_is_the_mixture_of_what_may_land(early: float, late: float) -> None:
    """The late vote with its p, else the early one with its, else nothing: votes here do not carry over."""
    free = [row | {"max_turnover": None} for row in seed_rows("risk_profiles")]
    table = moving().replayed(chosen=replace(with_chances(early, late), risk_profiles=free))
    for staged in rows_of(table, decision_window="staged"):
        first, last = (
            rows_of(table, decision_window=w, strategy="foreshore", epoch=staged["epoch"])[0] for w in ("day", "T-5")
        )
        expected = late * last["realised_usd"] + (1 - late) * early * first["realised_usd"]
        assert staged["realised_usd"] == pytest.approx(expected, rel=1e-9)
        assert staged["submissions"] == (early > 0) + (late > 0), "a vote that cannot land is not worth its gas"


def test_votes_that_carry_over_stand_when_nothing_lands() -> None:
    """Nothing ever changes: where votes stay, the first one is never worth repeating; where they are reset, always."""
    base = Exchange.drawn(3, 4)
    rewards, votes = np.tile([900.0, 700, 5, 5], (3, 1)), np.full((3, 4), 1e5)
    now = {"votes_now": np.repeat(votes[:, None], 2, axis=1), "rewards_now": np.repeat(rewards[:, None], 2, axis=1)}
    still = replace(base, votes_final=votes, rewards_final=rewards, power=200_000.0, **now)
    kept, fresh = (
        rows_of(replace(still, resets=resets).replayed(chosen=with_chances(1.0, 1.0)), decision_window="staged")
        for resets in (False, True)
    )
    assert [row["submissions"] for row in kept] == [1, 0, 0] and [row["submissions"] for row in fresh] == [1, 1, 1]
    assert [row["realised_usd"] for row in kept] == pytest.approx([row["realised_usd"] for row in fresh], rel=1e-6)
    assert kept[2]["realised_usd"] > 0


def test_an_exchange_of_one_vote_sends_it_while_it_is_open() -> None:
    """Closed for the last hour: the vote of the day before is the only one, however good T-5 looks."""
    table = replace(moving(), protocol="aerodrome").replayed(chosen=with_chances(1.0, 1.0))
    for staged in rows_of(table, decision_window="staged"):
        (first,) = rows_of(table, decision_window="day", strategy="foreshore", epoch=staged["epoch"])
        assert staged["submissions"] == 1 and staged["realised_usd"] == pytest.approx(first["realised_usd"])
    assert {r["is_votable"] for r in rows_of(table, decision_window="T-5")} == {False}
    assert {r["is_votable"] for r in rows_of(table, decision_window="day")} == {True}


# Does knowing pay?


def drifting(swap: int | None = None, epochs: int = 14, gauges: int = 16) -> Exchange:
    """Others' votes on every second gauge always triple late. With `swap`, each epoch's truths are dealt out anew."""
    base = Exchange.drawn(epochs, gauges, windows=("T-5",), seed=21)
    ratio = np.where(np.arange(gauges) % 2, 1.0, 3.0) * np.random.default_rng(2).lognormal(0, 0.05, (epochs, gauges))
    if swap is not None:
        ratio = np.random.default_rng(swap).permuted(ratio, axis=1)
    final = base.votes_now[:, 0] * ratio
    return replace(base, votes_final=final, rewards_final=base.rewards_now[:, 0], power=400_000.0)


def uplift(exchange: Exchange, over: str = "snapshot", after: int = 4) -> float:
    """Mean log ratio of our income over a baseline's, once there is some history."""
    rows = rows_of(exchange.replayed(chosen=seeds(risk_profiles=under_the_plan())), decision_window="T-5")
    income = {(r["strategy"], r["epoch"]): r["realised_usd"] for r in rows}
    epochs = sorted({epoch for _, epoch in income})[after:]
    return float(np.mean([np.log(income["foreshore", e] / income[over, e]) for e in epochs]))


def test_a_drift_that_repeats_is_worth_money_until_labels_are_dealt_out_anew() -> None:
    knowing = uplift(drifting())
    assert knowing > 0.05
    blind = [uplift(drifting(swap=seed)) for seed in range(3)]
    assert abs(np.mean(blind)) < 0.25 * knowing, blind


# Named outcomes


def zero(exchange: Exchange) -> Exchange:
    return replace(exchange, rewards_now=exchange.rewards_now * 0, rewards_final=exchange.rewards_final * 0)


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        (lambda x: replace(x, power=None), "no_voting_power", "seeds/voting/voters.csv"),
        (lambda x: replace(x, power=0.0), "no_voting_power", "seeds/voting/voters.csv"),
        (lambda x: replace(x, power=49_999.0), "min_votes_above_power", "49,999"),
        (zero, "nothing_to_gain", "no candidate has any reward"),
        (lambda x: replace(x, protocol="elsewhere"), "no_rule", "no line for elsewhere"),
        (lambda x: replace(x, own_votes_status="unknown"), "own_votes_unknown", "extract again"),
    ],
)
def test_what_cannot_be_decided_is_named(change: Callable[[Exchange], Exchange], outcome: str, said: str) -> None:
    for row in change(Exchange.drawn(2, 4)).recommended(seeds(risk_profiles=under_the_plan())):
        assert row["outcome"] == outcome and said in row["reason"]
        assert row["action"] == "keep" and row["votes"] == [] and row["expected_usd"] is None


@pytest.mark.parametrize(
    ("change", "outcomes"),
    [
        (lambda x: replace(x, power=None), set()),
        (lambda x: replace(x, power=0.0), set()),
        (lambda x: replace(x, protocol="elsewhere"), set()),
        (lambda x: replace(x, own_votes_status="unknown"), set()),
        (
            lambda x: replace(x, power=49_999.0),
            {"min_votes_above_power", "nothing_to_vote_for", "nothing_to_hold", "no_allocation", "ok"},
        ),
        (zero, {"nothing_to_gain", "nothing_to_vote_for", "nothing_to_hold", "no_allocation"}),
    ],
)
def test_a_replay_of_what_cannot_be_decided_claims_no_income(
    change: Callable[[Exchange], Exchange], outcomes: set[str]
) -> None:
    table = change(Exchange.drawn(3, 4)).replayed(chosen=seeds(risk_profiles=under_the_plan()))
    assert {row["outcome"] for row in table.to_pylist()} == outcomes
    for row in table.to_pylist():
        nothing = None if row["outcome"] == "nothing_to_hold" else 0.0
        assert row["outcome"] == "ok" or (row["realised_usd"] == nothing and row["votes"] == [])
        allowed = row["strategy"] in ("foreshore_bold", "hindsight")
        assert row["outcome"] != "ok" or allowed, "the one minimum that is not above it, and no minimum"


def test_no_candidates_is_named_at_the_window_that_has_none() -> None:
    panel, quantiles, forecasts, windows = Exchange.drawn(2, 4).tables()
    parts = [t.filter(pc.equal(t["decision_window"], "day")) for t in (panel, quantiles, forecasts)]
    rows = recommend_tables(*parts, windows, seeds()).to_pylist()
    assert {(r["decision_window"], r["outcome"]) for r in rows} == {("day", "ok"), ("T-5", "no_candidates")}


@pytest.mark.parametrize("gauges", [1, 3])
def test_few_gauges_are_enough(gauges: int) -> None:
    """One gauge, and fewer gauges than k_max: all of the power is voted."""
    world = Exchange.drawn(3, gauges)
    for row in world.recommended():
        assert row["outcome"] == "ok" and sum(v["votes"] for v in row["votes"]) == 500_000
        assert row["gauges_used"] <= gauges
    assert {r["outcome"] for r in world.replayed().to_pylist()} <= {"ok", "nothing_to_hold"}
    if gauges == 1:
        for row in ours(world.replayed()):
            assert row["realised_usd"] == pytest.approx(row["hindsight_usd"])


def test_recommendations_do_not_depend_on_the_order_of_rows() -> None:
    found = [recommend_tables(*PLAIN.tables(shuffled=s), seeds()) for s in (None, 3)]
    assert found[0].equals(found[1]) and found[0].schema == sealed_schema(RECOMMENDED)


# Statistics


def scores(covered: float, epochs: int = 20, better: float = 0.8) -> pa.Table:
    """Forecasts that cover so much and lose `better` of what 'nothing will move' loses."""
    chance = np.random.default_rng(3)
    rows = []
    for e in range(epochs):
        for measure in ("drift", "uplift"):
            still = float(np.exp(chance.normal(-3, 0.2)))
            row = {"protocol": "hydrex", "voter_id": "observer", "decision_window": "T-5", "epoch": e}
            row |= {"measure": measure, "coverage_80": covered, "unmoved_share": 0.0}
            rows.append(row | {"pinball": still * better, "pinball_no_move": still})
    return pa.Table.from_pylist(rows)


def results(epochs: int, advantage: float, skill: float | None = None, **extra: float) -> pa.Table:
    """A replay in which ours earns `advantage` of 100 USD of hindsight more than every baseline, `skill` than snapshot.

    `extra` are more variants, with what they earn in every epoch.
    """
    chance = np.random.default_rng(5)
    rows = []
    for e in range(epochs):
        level = 70 * np.exp(chance.normal(0, 0.03))
        income = {name: level + chance.normal(0, 1) for name in BASELINES}
        ours = level + 100 * advantage + chance.normal(0, 1)
        income |= {"foreshore": ours, "hindsight": 100.0} | extra
        if skill is not None:
            income["snapshot"] = ours - 100 * skill + chance.normal(0, 0.1)
        for name, usd in income.items():
            kind = "forecast" if name in ("foreshore", *extra) else name
            row = {"protocol": "hydrex", "voter_id": "observer", "epoch": e, "decision_window": "T-5"}
            row |= {"strategy": name, "kind": kind, "outcome": "ok", "realised_usd": usd, "hindsight_usd": 100.0}
            rows.append(row | {"expected_usd": usd * 1.1, "profile_hindsight_usd": 90.0})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def judged(table: pa.Table, scored: pa.Table | None = None) -> list[Row]:
    wanted = scores(0.8) if scored is None else scored
    return backtest_statistics(table, wanted, seed_rows("thresholds"), seed_rows("interval_coverage")).to_pylist()


def statistics(epochs: int, advantage: float = 0.1, covered: float = 0.8) -> list[Row]:
    return judged(results(epochs, advantage), scores(covered))


def delayed(exchange: Exchange, delay: int | None, chosen: Seeds, kept: pa.Table | None = None) -> pa.Table:
    """The replay where the contract states this delay between two votes at every block."""
    panel, quantiles, scenarios, windows = exchange.tables()
    stated = pa.array([delay] * windows.num_rows, pa.int64())
    windows = windows.set_column(windows.schema.get_field_index("vote_delay_seconds"), "vote_delay_seconds", stated)
    return backtest_tables(panel, quantiles, scenarios, windows, chosen, seed_rows("backtest_variants"), kept)


def two_windows(**changed: list[Row]) -> Seeds:
    kept = [row for row in seed_rows("decision_windows") if row["decision_window"] in PLAIN.windows]
    return seeds(decision_windows=kept, **changed)


@pytest.mark.parametrize(
    ("delay", "most"),
    [(None, 2.0), (0, 2.0), (86_000, 2.0), (86_100, 1.1), (518_600, 1.1)],  # from the day window to T-5 are 86,100 s
)
def test_the_plan_of_an_epoch_sends_nothing_into_the_contracts_delay(delay: int | None, most: float) -> None:
    """By what the contract states at the block: two votes an epoch, or one once a vote takes the other window away."""
    table = delayed(PLAIN, delay, two_windows())
    staged, free = (rows_of(made, decision_window="staged") for made in (table, PLAIN.replayed(chosen=two_windows())))
    assert len(staged) == len(free) == 5 and max(row["submissions"] for row in free) > 1.5
    for row, same in zip(staged, free, strict=True):
        assert 0 < row["submissions"] <= most
        if most == 2.0:
            assert (row["submissions"], row["realised_usd"]) == (same["submissions"], same["realised_usd"])


def late_first() -> Exchange:
    """Only from the second epoch on is there anything to vote for a day before."""
    rewards = np.tile(np.array([[900.0, 800, 5, 5], [5, 5, 900, 800]]), (3, 1, 1))
    rewards[0, 0] = 0.0
    base = Exchange.drawn(3, 4)
    return replace(base, rewards_now=rewards, rewards_final=rewards[:, 1], power=200_000.0)


def likely_late() -> Seeds:
    """A vote of a day before lands; one of the last minutes in nine of ten epochs, so the earlier one is preferred."""
    return replace(with_chances(1.0, 0.9), risk_profiles=under_the_plan())


@pytest.mark.parametrize(("delay", "is_barred"), [(86_400, False), (518_600, False), (518_668, True), (518_700, True)])
def test_a_vote_of_the_last_minutes_bars_windows_of_the_next_epoch(delay: int, is_barred: bool) -> None:
    """From T-5 to the next day window are 518,700 s, of which the vote took up to 33 to land.

    A day's delay reaches no window of the next epoch: the first is six days away.
    """
    table = delayed(late_first(), delay, likely_late())
    first, second, _ = rows_of(table, decision_window="staged")
    early, late = (
        rows_of(table, decision_window=w, strategy="foreshore", epoch=second["epoch"])[0] for w in ("day", "T-5")
    )
    at_t5 = START + WEEK_SECONDS - 300
    assert first["submissions"] == 1 and first["voted_at"].timestamp() == at_t5
    assert early["outcome"] == late["outcome"] == "ok" and early["realised_usd"] < 0.5 * late["realised_usd"]
    if is_barred:  # the vote of the day before would revert, so the late one is sent
        assert second["realised_usd"] == pytest.approx(0.9 * late["realised_usd"], rel=1e-9)
        assert second["voted_at"].timestamp() == at_t5 + WEEK_SECONDS
    else:
        assert second["voted_at"].timestamp() >= START + 2 * WEEK_SECONDS - 86_400


def test_a_delay_as_long_as_an_epoch_costs_epochs() -> None:
    """A vote of T-5 that may have landed later is less than a week old at the next T-5: that epoch casts nothing."""
    votes = [row["submissions"] for row in rows_of(delayed(late_first(), 604_800, likely_late()), kind="staged")]
    assert votes == [1, 0, 1]


def test_an_epoch_taken_over_knows_when_it_voted() -> None:
    whole = delayed(late_first(), 518_700, likely_late())
    earlier = whole.filter(pc.equal(whole["epoch"], START))
    assert delayed(late_first(), 518_700, likely_late(), kept=earlier).equals(whole)


def of(rows: list[Row], metric: str, baseline: str = "") -> Row:
    (row,) = [r for r in rows if (r["metric"], r["baseline"]) == (metric, baseline)]
    return row


def with_income(table: pa.Table, strategy: str, usd: dict[int, float | None]) -> pa.Table:
    """The replay with other incomes of a strategy in some epochs."""
    rows = table.to_pylist()
    for row in rows:
        if row["strategy"] == strategy and row["epoch"] in usd:
            row["realised_usd"] = usd[row["epoch"]]
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_gains_come_with_interval_and_observations() -> None:
    rows = statistics(20)
    for name in BASELINES:
        row = of(rows, "mean_share_gain", name)
        assert row["low"] < 0.1 + 0.01 and row["high"] > 0.1 - 0.01 and row["value"] == pytest.approx(0.1, abs=0.01)
        assert (
            row["low"] <= row["value"] <= row["high"] and row["observations"] == 20 and "cosine" in row["explanation"]
        )
        assert of(rows, "median_share_gain", name)["low"] is None, "intervals of medians do not cover"
        assert "withheld" in of(rows, "median_share_gain", name)["explanation"]
        won = of(rows, "win_share", name)
        assert won["value"] == 1.0 and won["low"] is None
    assert of(rows, "mean_realised_over_expected")["value"] == pytest.approx(1 / 1.1)
    shares = [of(rows, f"mean_{name}")["value"] for name in ("hindsight_share", "profile_hindsight_share")]
    assert shares[1] == pytest.approx(shares[0] / 0.9)
    snooping = of(rows, "snooping", "proportional")
    assert snooping["p_value"] < 0.05 and snooping["value"] > 0 and "foreshore" in snooping["explanation"]
    for measure in ("drift", "uplift"):
        test = of(rows, "pinball_difference", f"no_move_{measure}")
        assert test["value"] < 0 and test["p_value"] < 0.05 and test["observations"] == 20


def test_a_promise_of_next_to_nothing_is_not_divided_by() -> None:
    """Under the plan's limits a small voter was promised a millionth of a dollar, once: no mean survives that ratio."""
    rows = results(20, 0.1).to_pylist()
    for row in rows:
        if row["strategy"] == "foreshore" and row["epoch"] == 3:
            row["expected_usd"] = 1e-6
    made = of(judged(pa.Table.from_pylist(rows, schema=results(20, 0.1).schema)), "mean_realised_over_expected")
    assert made["observations"] == 19 and made["value"] == pytest.approx(1 / 1.1)


def test_an_epoch_that_earned_nothing_is_an_outcome() -> None:
    table = results(20, 0.1)
    before, after = of(judged(table), "mean_share_gain", "hold"), judged(with_income(table, "foreshore", {3: 0.0}))
    gain = of(after, "mean_share_gain", "hold")
    assert gain["observations"] == before["observations"] == 20
    assert gain["value"] < before["value"] - 0.03, "some 80 of 100 USD lost in one of 20 epochs"
    assert of(after, "win_share", "hold")["value"] == 0.95
    assert of(after, "mean_realised_over_expected")["observations"] == 20
    none = of(judged(with_income(table, "hold", {0: None})), "mean_share_gain", "hold")
    assert none["observations"] == 19, "there was nothing to hold yet"


def test_a_variant_more_changes_no_other_number() -> None:
    """Were the reference the last row's, a variant under narrow limits would change every share."""
    plain, more = judged(results(20, 0.1)), judged(results(20, 0.1, zealous=10.0))
    others = [[r for r in rows if r["metric"] != "snooping"] for rows in (plain, more)]
    assert others[0] == others[1]


def test_a_strategy_that_never_answers_stops_nothing() -> None:
    table = with_income(results(20, 0.1), "hold", dict.fromkeys(range(20)))
    rows = judged(table)
    assert verdicts(rows)["mean_gain_hold"] is None and verdicts(rows)["mean_gain_proportional"] is True
    assert not [r for r in rows if (r["metric"], r["baseline"]) == ("mean_share_gain", "hold")]


def test_an_epoch_in_which_nothing_could_be_earned_is_nobody_s() -> None:
    rows = results(20, 0.1).to_pylist()
    for row in rows:
        if row["epoch"] == 7:
            row |= {"hindsight_usd": None, "profile_hindsight_usd": None, "realised_usd": 0.0, "expected_usd": None}
    found = judged(pa.Table.from_pylist(rows, schema=SCHEMA))
    assert {of(found, "mean_share_gain", name)["observations"] for name in BASELINES} == {19}


def test_too_few_epochs_give_no_interval_and_say_so() -> None:
    rows = statistics(3)
    intervals = [r for r in rows if r["metric"].endswith(("share_gain", "hindsight_share", "expected"))]
    assert len(intervals) == 2 * len(BASELINES) + 3 + 2 + 2
    for row in intervals:
        assert row["low"] is None and row["high"] is None and row["observations"] == 3
        assert np.isfinite(row["value"]) and "3" in row["explanation"]
    snooping = of(rows, "snooping", "proportional")
    assert snooping["p_value"] is None and snooping["explanation"]
    verdicts = [r for r in rows if r["metric"] == "criterion"]
    assert {r["passed"] for r in verdicts if not r["baseline"].startswith("coverage")} == {None}
    assert all("Cannot be judged" in r["explanation"] for r in verdicts if r["passed"] is None)


def verdicts(rows: list[Row]) -> dict[str, bool | None]:
    return {row["baseline"]: row["passed"] for row in rows if row["metric"] == "criterion"}


def test_criteria_pass_fail_or_cannot_be_judged() -> None:
    good, bad, unsure = verdicts(statistics(20)), verdicts(statistics(20, -0.1, 0.5)), verdicts(statistics(3))
    assert set(good) == set(bad) == set(unsure) and len(good) == 10
    assert set(good.values()) == {True} and set(bad.values()) == {False}
    assert unsure["p10_share"] is None and unsure["win_share_hold"] is None and unsure["coverage_drift"] is True


@pytest.mark.parametrize(("skill", "passed"), [(0.02, True), (-0.02, False), (0.0, None)])
def test_no_window_passes_while_the_snapshot_earns_as_much(skill: float, passed: bool | None) -> None:
    found = verdicts(judged(results(20, 0.1, skill)))
    assert found.pop("beats_snapshot") is passed and set(found.values()) == {True}


def test_epochs_in_which_nothing_moved_prove_no_coverage() -> None:
    still = scores(1.0)
    still = still.set_column(still.schema.get_field_index("unmoved_share"), "unmoved_share", pa.array([1.0] * 40))
    found = verdicts(judged(results(20, 0.1), still))
    assert found["coverage_drift"] is None and found["coverage_uplift"] is None


def test_a_window_without_our_strategy_or_scores_claims_less() -> None:
    table = results(20, 0.1)
    assert judged(table.filter(pc.not_equal(table["strategy"], "foreshore"))) == []
    unscored = verdicts(judged(table, scores(0.8).slice(0, 0)))
    assert unscored["coverage_drift"] is None and unscored["mean_gain_hold"] is True
