"""The forecaster on the warehouse's tables: panel rows in, quantile rows and scenario rows out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decide.columns import booleans, codes, floats, groups, integers, microseconds, timestamps
from decide.quantiles import Floats
from decide.thresholds import Rows, thresholds
from decide.voting.constants import forecast_rules, scenario_sets
from decide.voting.forecast import LEVELS, Forecast, ForecastRules, Panel, move, walk_forward
from decide.voting.scenarios import ScenarioSet, scenario_values

QUANTILES = [f"p{round(level * 100)}" for level in LEVELS]
KEYS = ["protocol", "voter_id", "decision_window", "epoch", "gauge_address"]
MEASURES = {"drift": ("other_votes_now", "other_votes_final"), "uplift": ("rewards_now_usd", "rewards_final_usd")}


def forecast_quantiles(panel: pa.Table, candidates: Rows, threshold_rows: Rows) -> pa.Table:
    """Two rows (drift, uplift) per row of `int_forecast_panel`, each learned from labels known before its decision."""
    values = thresholds(threshold_rows)
    rules = forecast_rules(candidates, values)
    parts = [
        _measure_rows(rows, measure, rules, values)
        for _, rows in groups(panel, KEYS[:3], KEYS[3:])
        for measure in MEASURES
    ]
    return pa.concat_tables(parts) if parts else _measure_rows(panel, "drift", rules, values)


def _measure_rows(rows: pa.Table, measure: str, rules: ForecastRules, values: Mapping[str, float]) -> pa.Table:
    now, final = (floats(rows, column) for column in MEASURES[measure])
    floor = rules.drift_floor if measure == "drift" else rules.uplift_floor
    realised = move(now, final, floor)
    panel = Panel(
        epoch=integers(rows, "epoch"),
        gauge=codes(rows, "gauge_address")[0],
        votes=floats(rows, "other_votes_now"),
        rewards=floats(rows, "rewards_now_usd"),
        decision_at=microseconds(rows, "decision_at"),
        known_at=microseconds(rows, "known_at"),
    )
    found = walk_forward(panel, realised, rules)
    columns = {key: rows[key] for key in KEYS}
    columns["measure"] = pa.array([measure] * rows.num_rows, pa.string())
    columns |= {name: pa.array(found.quantiles[:, q]) for q, name in enumerate(QUANTILES)}
    columns |= _basis(found, rules) | _confidence(rows, found, values)
    columns["decision_at"] = timestamps(panel.decision_at)
    columns["trained_until"] = timestamps(found.trained_until)
    return pa.table(columns)


def _basis(found: Forecast, rules: ForecastRules) -> dict[str, pa.Array]:
    names = np.array([candidate.name for candidate in rules.candidates], dtype=object)
    kinds = np.where(found.cluster == 0, "no_reward", np.where(found.cluster == 1, "no_votes", "bin"))
    labels = [f"bin_{c - 1}" if kind == "bin" else str(kind) for c, kind in zip(found.cluster, kinds, strict=True)]
    return {
        "level": pa.array(found.level(rules).tolist(), pa.string()),
        "candidate": pa.array(names[found.chosen].tolist(), pa.string()),
        "cluster": pa.array(labels, pa.string()),
        "gauge_epochs": pa.array(found.held.gauge_epochs),
        "cluster_epochs": pa.array(found.held.cluster_epochs),
        "sample_rows": pa.array(found.sample_rows),
        "calibration_rows": pa.array(found.calibration_rows),
        "own_share": pa.array(found.own_share),
        "cluster_share": pa.array(found.cluster_share),
    }


def _confidence(rows: pa.Table, found: Forecast, values: Mapping[str, float]) -> dict[str, pa.Array]:
    """What sparse history, high variance and stale prices take away: shown, never multiplied into rewards."""
    spread = found.quantiles[:, -1] - found.quantiles[:, 0]
    sparse = values["penalty_sparse_history"] * (found.held.gauge_epochs < values["min_gauge_epochs"])
    wide = values["penalty_high_variance"] * (spread > values["high_variance_log"])
    stale = values["penalty_stale_history_price"] * booleans(rows, "is_price_stale")
    total = np.minimum(sparse + wide + stale, values["penalty_cap"])
    return {
        "penalty_sparse_history": pa.array(sparse),
        "penalty_high_variance": pa.array(wide),
        "penalty_stale_price": pa.array(stale),
        "confidence": pa.array(1.0 - total),
    }


def forecast_scenarios(panel: pa.Table, quantiles: pa.Table, sets: Rows, threshold_rows: Rows) -> pa.Table:
    """One row per panel row, scenario set and scenario: others' votes and rewards at the truth if it comes about."""
    values = thresholds(threshold_rows)
    floors = values["drift_floor_votes"], values["uplift_floor_usd"]
    ordered = panel.sort_by([(key, "ascending") for key in KEYS])
    drift, uplift = (_matrix(quantiles, measure) for measure in MEASURES)
    votes, rewards = floats(ordered, "other_votes_now"), floats(ordered, "rewards_now_usd")
    parts = []
    for wanted in scenario_sets(sets).values():
        made = scenario_values(wanted, votes, rewards, drift, uplift, floors)
        parts += [_scenario_rows(ordered, wanted, place, made) for place in range(len(wanted.scenarios))]
    return pa.concat_tables(parts)


def _matrix(quantiles: pa.Table, measure: str) -> Floats:
    """Quantiles (N, 5) of one measure in the order of KEYS."""
    rows = quantiles.filter(pc.equal(quantiles["measure"], measure)).sort_by([(key, "ascending") for key in KEYS])
    return np.stack([floats(rows, name) for name in QUANTILES], axis=1)


def _scenario_rows(rows: pa.Table, wanted: ScenarioSet, place: int, made: tuple[Floats, Floats]) -> pa.Table:
    scenario, n = wanted.scenarios[place], rows.num_rows
    return pa.table(
        {key: rows[key] for key in KEYS}
        | {
            "scenario_set": pa.array([wanted.name] * n, pa.string()),
            "scenario": pa.array([scenario.name] * n, pa.string()),
            "scenario_position": pa.array(np.full(n, place + 1, np.int64)),
            "scenario_weight": pa.array(np.full(n, scenario.weight)),
            "other_votes": pa.array(made[0][:, place]),
            "rewards_usd": pa.array(made[1][:, place]),
            "decision_at": rows["decision_at"],
        }
    )
