"""The replay on a small exchange of our own making: regret, denominators, landing, leaks, and every named outcome."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.decision_tables import WINDOW_SCHEMA, seed_rows, window_row
from decide.backtest_statistics import backtest_statistics
from decide.backtest_tables import backtest_tables
from decide.forecast_tables import forecast_quantiles, forecast_scenarios
from decide.recommend_tables import Seeds, recommend_tables

WEEK, FIRST = 604_800, 1_700_092_800
STAGES = (("day", 86_400), ("T-5", 300))
TEXT = {
    "protocol",
    "voter_id",
    "decision_window",
    "strategy",
    "kind",
    "threshold",
    "risk_profile",
    "risk",
    "scenario_set",
}
Tables = dict[str, Any]


SEED_NAMES = ("thresholds", "scenario_weights", "risk_profiles", "voting_rules", "decision_windows")


def seeds() -> Seeds:
    return Seeds(*(seed_rows(name) for name in SEED_NAMES))


def exchange(
    epochs: int = 8,
    gauges: int = 12,
    power: float | None = 500_000.0,
    protocol: str = "hydrex",
    status: str = "none",
    late: float = 0.0,
    reward: float = 1.0,
    seed: int = 3,
) -> Tables:
    """Panel and voter windows; with `late`, every even gauge's votes grow by exp(late) after each decision."""
    chance = np.random.default_rng(seed)
    panel, windows = [], []
    for epoch, (position, (window, seconds)) in itertools.product(range(epochs), enumerate(STAGES, 1)):
        start = FIRST + epoch * WEEK
        decision_at = datetime.fromtimestamp(start + WEEK, UTC) - timedelta(seconds=seconds)
        key = {"protocol": protocol, "voter_id": "observer", "epoch": start, "decision_window": window}
        windows.append(key | window_row(position, decision_at, power, status))
        level = np.random.default_rng((seed, epoch)).lognormal(11, 0.7, gauges)
        paid = np.random.default_rng((seed, epoch, 1)).lognormal(6, 0.6, gauges) * reward
        for g in range(gauges):
            now = level[g] * chance.lognormal(0, 0.05)
            panel.append(
                key
                | {
                    "gauge_address": f"0x{g:040x}",
                    "other_votes_now": now,
                    "other_votes_final": now * (np.exp(late) if g % 2 == 0 else 1.0),
                    "own_votes_now": 0.0,
                    "own_votes_final": 0.0,
                    "previous_votes": 0.0,
                    "rewards_now_usd": paid[g],
                    "rewards_final_usd": paid[g],
                    "data_confidence": 1.0,
                    "is_price_stale": False,
                    "decision_at": decision_at,
                    "known_at": datetime.fromtimestamp(start + WEEK + 10, UTC),
                }
            )
    return {"panel": pa.Table.from_pylist(panel), "windows": pa.Table.from_pylist(windows, schema=WINDOW_SCHEMA)}


def forecast(tables: Tables) -> tuple[pa.Table, pa.Table]:
    constants = seed_rows("thresholds")
    quantiles = forecast_quantiles(tables["panel"], seed_rows("forecast_candidates"), constants)
    return quantiles, forecast_scenarios(tables["panel"], quantiles, seed_rows("scenario_weights"), constants)


def replayed(tables: Tables, chosen: Seeds | None = None) -> list[dict[str, Any]]:
    made = forecast(tables)
    variants = seed_rows("backtest_variants")
    return backtest_tables(tables["panel"], *made, tables["windows"], chosen or seeds(), variants).to_pylist()


def recommended(tables: Tables, chosen: Seeds | None = None) -> list[dict[str, Any]]:
    return recommend_tables(tables["panel"], *forecast(tables), tables["windows"], chosen or seeds()).to_pylist()


def mean_log_uplift(rows: list[dict[str, Any]], window: str = "T-5", after: int = 4) -> float:
    earned = {
        (r["strategy"], r["epoch"]): r["realised_usd"]
        for r in rows
        if r["decision_window"] == window and r["realised_usd"]
    }
    epochs = sorted({epoch for _, epoch in earned})[after:]
    return float(np.mean([np.log(earned["foreshore", e] / earned["snapshot", e]) for e in epochs]))


@pytest.fixture(scope="module")
def plain() -> Iterator[list[dict[str, Any]]]:
    yield replayed(exchange())


def test_nobody_beats_hindsight_under_its_own_limits(plain: list[dict[str, Any]]) -> None:
    voted = [row for row in plain if row["outcome"] == "ok" and row["hindsight_usd"] is not None]
    assert {row["strategy"] for row in voted} == {row["strategy"] for row in seed_rows("backtest_variants")}
    for row in voted:
        assert row["realised_usd"] <= row["hindsight_usd"] * (1 + 1e-9), row
        assert row["optimality_gap"] is None or row["optimality_gap"] <= 1e-6


def test_own_votes_stand_in_the_denominator(plain: list[dict[str, Any]]) -> None:
    row = next(r for r in plain if r["strategy"] == "foreshore" and r["decision_window"] == "day")
    by_hand = sum(v["rewards_final_usd"] * v["votes"] / (v["votes_final"] + v["votes"]) for v in row["votes"])
    assert row["realised_usd"] == pytest.approx(by_hand, rel=1e-12)
    assert sum(v["votes"] for v in row["votes"]) == 500_000


def test_hold_keeps_what_ours_voted_an_epoch_ago() -> None:
    rows = replayed(exchange(epochs=3))
    ours = {r["epoch"]: r for r in rows if r["strategy"] == "foreshore" and r["decision_window"] == "T-5"}
    held = {r["epoch"]: r for r in rows if r["strategy"] == "hold" and r["decision_window"] == "T-5"}
    first, second = sorted(ours)[:2]
    assert held[first]["outcome"] == "nothing_to_hold"
    panel = {
        (r["epoch"], r["gauge_address"]): r
        for r in exchange(epochs=3)["panel"].to_pylist()
        if r["decision_window"] == "T-5"
    }
    by_hand = 0.0
    for vote in ours[first]["votes"]:
        truth = panel[second, vote["gauge_address"]]
        by_hand += truth["rewards_final_usd"] * vote["votes"] / (truth["other_votes_final"] + vote["votes"])
    assert held[second]["realised_usd"] == pytest.approx(by_hand, rel=1e-12)


def test_staged_votes_land_with_their_probability() -> None:
    """Where every vote lands the plan earns what its last sent vote earns; where none does, nothing stands."""

    def with_chance(p: float) -> Seeds:
        chosen = seeds()
        return replace(chosen, decision_windows=[row | {"inclusion_prob": p} for row in chosen.decision_windows])

    tables = exchange(epochs=4)
    sure, never = replayed(tables, with_chance(1.0)), replayed(tables, with_chance(0.0))
    for row in (r for r in sure if r["decision_window"] == "staged"):
        alone = [r["realised_usd"] for r in sure if r["epoch"] == row["epoch"] and r["strategy"] == "foreshore"]
        assert any(row["realised_usd"] == pytest.approx(usd, rel=1e-6) for usd in alone) and row["submissions"] >= 1
    assert {r["realised_usd"] for r in never if r["decision_window"] == "staged"} == {0.0}


def test_the_order_of_rows_does_not_matter(plain: list[dict[str, Any]]) -> None:
    tables = exchange()
    chance = np.random.default_rng(0)
    shuffled = {name: table.take(chance.permutation(table.num_rows)) for name, table in tables.items()}
    assert replayed(shuffled) == plain


def test_a_predictable_drift_is_worth_money_and_permuted_labels_kill_it() -> None:
    """Every even gauge's votes double late. Knowing it pays; labels shuffled across gauges carry no such knowledge."""
    tables = exchange(epochs=12, gauges=20, late=np.log(3.0))
    honest = mean_log_uplift(replayed(tables))
    assert honest > 0.02
    blind = np.mean([mean_log_uplift(replayed(permuted(tables, seed))) for seed in range(4)])
    assert blind < 0.25 * honest


def permuted(tables: Tables, seed: int) -> Tables:
    """The same exchange with each decision's late moves dealt out anew among its gauges."""
    rows, chance = tables["panel"].to_pylist(), np.random.default_rng(seed)
    for _, decision in itertools.groupby(rows, key=lambda r: (r["epoch"], r["decision_window"])):
        mine = list(decision)
        ratios = chance.permutation([r["other_votes_final"] / r["other_votes_now"] for r in mine])
        for row, ratio in zip(mine, ratios, strict=True):
            row["other_votes_final"] = row["other_votes_now"] * ratio
    return tables | {"panel": pa.Table.from_pylist(rows)}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"power": None}, "no_voting_power"),
        ({"power": 0.0}, "no_voting_power"),
        ({"power": 49_999.0}, "min_votes_above_power"),
        ({"reward": 0.0}, "nothing_to_gain"),
        ({"protocol": "nowhere"}, "no_rule"),
        ({"status": "unknown"}, "own_votes_unknown"),
        ({"gauges": 1}, "ok"),
        ({"epochs": 1}, "ok"),
    ],
)
def test_every_outcome_has_its_name(change: dict[str, Any], outcome: str) -> None:
    for row in recommended(exchange(**({"epochs": 2} | change))):
        assert row["outcome"] == outcome, row["reason"]
        assert row["reason"] and (row["expected_usd"] is None) == (outcome != "ok")
        if change.get("epochs") == 1:
            assert row["forecast_level"] == "none", "no history must be said"


def test_no_candidate_at_a_window_is_named() -> None:
    tables = exchange(epochs=2)
    kept = tables["panel"].filter(pa.compute.equal(tables["panel"]["decision_window"], "day"))
    found = {(r["epoch"], r["decision_window"]): r["outcome"] for r in recommended(tables | {"panel": kept})}
    assert {outcome for (_, window), outcome in found.items() if window == "T-5"} == {"no_candidates"}
    assert {outcome for (_, window), outcome in found.items() if window == "day"} == {"ok"}


def test_statistics_carry_intervals_or_say_why_not(plain: list[dict[str, Any]]) -> None:
    scores = pa.table(
        {"protocol": ["hydrex"], "voter_id": ["observer"], "epoch": [FIRST], "decision_window": ["T-5"]}
        | {"measure": ["drift"], "coverage_80": [0.8], "unmoved_share": [0.0]}
    )
    results = backtest_tables(
        *(lambda t: (t["panel"], *forecast(t), t["windows"]))(exchange()), seeds(), seed_rows("backtest_variants")
    )
    rows = backtest_statistics(results, scores, seed_rows("thresholds")).to_pylist()
    uplifts = [r for r in rows if r["metric"] == "median_log_uplift" and r["decision_window"] == "T-5"]
    assert {r["baseline"] for r in uplifts} == {"proportional", "hold", "snapshot", "equal"}
    assert all(r["low"] <= r["value"] <= r["high"] and r["observations"] >= 7 for r in uplifts)
    (snooping,) = [r for r in rows if r["metric"] == "snooping" and r["decision_window"] == "T-5"]
    assert snooping["p_value"] is None and "12" in snooping["explanation"]
    assert {r["passed"] for r in rows if r["metric"] == "criterion"} <= {True, False, None}
    assert any(r["metric"] == "criterion" and r["passed"] for r in rows)
