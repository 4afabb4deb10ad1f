"""Voters and epochs that are legitimate and awkward: each is answered, none breaks what the tables promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decide.voting.backtest_statistics import backtest_statistics
from decide.voting.recommend_tables import recommend_tables
from tests.decision_fixtures import Exchange, Row, seed_rows, seeds

EPOCHS = 26  # enough for every criterion
SCORES = pa.schema(
    [
        *((name, pa.string()) for name in ("protocol", "voter_id", "decision_window", "measure")),
        ("epoch", pa.int64()),
        *((name, pa.float64()) for name in ("coverage_80", "unmoved_share", "pinball", "pinball_no_move")),
    ]
)


def profiles(**changed: Any) -> list[Row]:
    return [row | changed for row in seed_rows("risk_profiles")]


def statistics(exchange: Exchange, **changed: Any) -> list[Row]:
    """The backtest's statistics with every criterion judged: intervals are said to have covered 80 %."""
    results = exchange.replayed(chosen=seeds(risk_profiles=profiles(**changed)) if changed else None)
    keys = {(r["protocol"], r["voter_id"], r["decision_window"], r["epoch"]) for r in results.to_pylist()}
    names = ("protocol", "voter_id", "decision_window", "epoch")
    scores = [
        dict(zip(names, key, strict=True))
        | {"measure": measure, "coverage_80": 0.8, "unmoved_share": 0.0, "pinball": 0.1, "pinball_no_move": 0.2}
        for key in sorted(keys)
        for measure in ("drift", "uplift")
    ]
    constants = seed_rows("thresholds"), seed_rows("interval_coverage")
    return backtest_statistics(results, pa.Table.from_pylist(scores, SCORES), *constants).to_pylist()


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange.drawn(epochs=EPOCHS, gauges=6)


def test_an_epoch_without_visible_rewards_at_one_window_is_paired_away(exchange: Exchange) -> None:
    """Nothing to forecast from at `day` in one epoch, and `proportional` knows nothing to vote for either."""
    rewards = exchange.rewards_now.copy()
    rewards[4, 0] = 0.0
    found = statistics(Exchange.drawn(epochs=EPOCHS, gauges=6, rewards_now=rewards))
    [p10] = [r for r in found if r["baseline"] == "p10_share" and r["decision_window"] == "day"]
    assert p10["passed"] is not None


def test_a_window_before_any_bribe_answers_nothing_and_stops_nothing(exchange: Exchange) -> None:
    rewards = exchange.rewards_now.copy()
    rewards[:, 0] = 0.0
    early = Exchange.drawn(epochs=EPOCHS, gauges=6, rewards_now=rewards)
    found = statistics(early)
    assert {r["decision_window"] for r in found if r["metric"] == "criterion"} >= {"T-5"}
    first = next(r for r in early.recommended() if r["decision_window"] == "day")
    assert first["outcome"] == "nothing_to_gain" and first["votes"] == []


def test_a_strategy_that_answers_in_no_epoch_proves_nothing_and_stops_nothing() -> None:
    """Half a vote: whole votes cannot be cast, so neither rules nor optimum answer."""
    found = statistics(Exchange.drawn(epochs=EPOCHS, gauges=6, power=0.5))
    # how well the exchange was forecast does not hang on what anybody answered
    about_answers = [row for row in found if not str(row["baseline"]).startswith("coverage_")]
    assert about_answers and not any(row["passed"] for row in about_answers)
    # only some strategies answer: the cautious profile wants more votes a gauge than there are
    cautious = [row | ({"min_votes": 10**9} if row["risk_profile"] == "cautious" else {}) for row in profiles()]
    results = Exchange.drawn(epochs=EPOCHS, gauges=6).replayed(chosen=seeds(risk_profiles=cautious)).to_pylist()
    silent = [r for r in results if r["strategy"] == "foreshore_cautious" and r["decision_window"] != "staged"]
    assert silent and {r["outcome"] for r in silent} == {"min_votes_above_power"}


@pytest.mark.parametrize("cap", [None, 0.8, 0.3])
@pytest.mark.parametrize("power", [5_000.0, 4_999.37])
def test_a_voter_of_5000_votes_keeps_whole_votes_and_an_honest_gap(power: float, cap: float | None) -> None:
    """One vote is 2e-4 of all of them: whole votes may lie further than 1e-6 from the bound, which is no data error."""
    limits = {"min_votes": 1_000, "max_turnover": cap}
    made = Exchange.drawn(epochs=4, gauges=12, power=power).recommended(seeds(risk_profiles=profiles(**limits)))
    answered = [row for row in made if row["outcome"] == "ok"]
    assert answered
    for row in answered:
        votes = [line["votes"] for line in row["votes"] if line["votes"] > 0]
        assert power - 1 <= sum(votes) <= power and min(votes) >= 1_000
        assert row["objective_usd"] <= row["bound_usd"] * (1 + 1e-9) and row["optimality_gap"] < 1e-2


@pytest.mark.parametrize("cap", [0.8, 0.3, 0.05])
def test_a_decaying_lock_under_a_turnover_cap_is_answered_or_says_why(cap: float) -> None:
    """Last week's votes add up to more than today's power: what may move is a share of what is left."""
    panel, quantiles, forecasts, windows = Exchange.drawn(epochs=3, gauges=6, power=5_000.0, resets=False).tables()
    held = np.where(np.arange(panel.num_rows) % 6 < 3, 3_000.0, 0.0)  # 9,000 votes on three gauges
    panel = panel.set_column(panel.schema.get_field_index("previous_votes"), "previous_votes", pa.array(held))
    chosen = seeds(risk_profiles=profiles(min_votes=1_000, max_turnover=cap))
    for row in recommend_tables(panel, quantiles, forecasts, windows, chosen).to_pylist():
        assert row["outcome"] == "ok" or (row["outcome"] == "infeasible" and "max_turnover" in row["reason"])
        if row["outcome"] == "ok":
            assert 0 <= row["turnover_share"] <= cap + 1e-3  # whole votes: one of 5,000 is 2e-4
            assert 4_999 <= sum(line["votes"] for line in row["votes"]) <= 5_000


def test_a_failed_gate_is_a_reason_and_leaves_the_backtest() -> None:
    exchange = Exchange.drawn(epochs=4)
    panel, quantiles, forecasts, windows = exchange.tables()
    spoiled = [
        row
        | ({"failed_gates": "votes_confirmed_by_events: 3 gauges differ"} if row["decision_window"] == "T-5" else {})
        for row in windows.to_pylist()
    ]
    marked = pa.Table.from_pylist(spoiled, windows.schema)
    made = recommend_tables(panel, quantiles, forecasts, marked, seeds()).to_pylist()
    assert {r["outcome"] for r in made if r["decision_window"] == "T-5"} == {"gate_failed"}
    assert all("3 gauges differ" in r["reason"] for r in made if r["decision_window"] == "T-5")
    whole = {(r["epoch"], r["expected_usd"]) for r in exchange.recommended() if r["decision_window"] == "day"}
    assert {(r["epoch"], r["expected_usd"]) for r in made if r["decision_window"] == "day"} == whole
