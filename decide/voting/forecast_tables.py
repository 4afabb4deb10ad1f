"""The forecaster on the warehouse's tables: panel rows in, quantile rows and scenario rows out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decide.columns import (
    NEVER,
    booleans,
    codes,
    floats,
    groups,
    in_order,
    integers,
    microseconds,
    timestamps,
)
from decide.once import Answers, Kept, digest
from decide.quantiles import Codes, Floats
from decide.thresholds import Rows, thresholds
from decide.voting.conduits import Held
from decide.voting.constants import forecast_rules, scenario_sets
from decide.voting.forecast import LEVELS, Forecast, ForecastRules, Panel, Past, Race, move
from decide.voting.late_rewards import growth, surprises
from decide.voting.scenarios import ScenarioSet, scenario_values

QUANTILES = [f"p{round(level * 100)}" for level in LEVELS]
KEYS = ["protocol", "voter_id", "decision_window", "epoch", "gauge_address"]
UNIT = ["protocol", "voter_id", "decision_window", "measure", "epoch"]
PENALTIES = (
    "penalty_sparse_history",
    "penalty_high_variance",
    "penalty_stale_history_price",
    "penalty_cap",
    "high_variance_log",
    "min_gauge_epochs",
)
MEASURES = {"drift": ("other_votes_now", "other_votes_final"), "uplift": ("rewards_now_usd", "rewards_final_usd")}


def forecast_quantiles(
    panel: pa.Table, candidates: Rows, threshold_rows: Rows, kept: pa.Table | None = None, code: str = ""
) -> pa.Table:
    """Two rows (drift, uplift) per row of `int_forecast_panel`, each learned from labels known before its decision.

    A unit is an exchange, voter, window, measure and epoch. `kept` is this table as an earlier build left it, `code`
    the version of what computes: a unit that rests on the same rows, rules and code is taken over as it stands.
    """
    values = thresholds(threshold_rows)
    rules = forecast_rules(candidates, values)
    answers = Answers(Kept(kept, SCHEMA, UNIT), SCHEMA)
    for key, rows in groups(panel, KEYS[:3], KEYS[3:]):
        for measure in MEASURES:
            _Measure(rows, measure, rules, values, code).answer(key, answers)
    return answers.table()


class _Measure:
    """One measure of one exchange, voter and window: its panel, what each epoch rests on, its epochs in turn."""

    def __init__(
        self, rows: pa.Table, measure: str, rules: ForecastRules, values: Mapping[str, float], code: str
    ) -> None:
        now, final = (floats(rows, column) for column in MEASURES[measure])
        if measure != "drift":  # rewards chase nobody
            rules = replace(
                rules, candidates=tuple(replace(c, chase=0.0, large_voters=False) for c in rules.candidates)
            )
        self.table, self.measure, self.rules, self.values = rows, measure, rules, values
        self.gauges = rows["gauge_address"].to_pylist()
        self.panel = Panel(
            epoch=integers(rows, "epoch"),
            gauge=codes(rows, "gauge_address")[0],
            votes=floats(rows, "other_votes_now"),
            rewards=floats(rows, "rewards_now_usd"),
            decision_at=microseconds(rows, "decision_at"),
            known_at=microseconds(rows, "known_at"),
        )
        moves = move(now, final, rules.drift_floor if measure == "drift" else rules.uplift_floor)
        is_told_apart = any(candidate.large_voters for candidate in rules.candidates)
        self.voters, held = _voters(rows) if is_told_apart else ([], None)
        self.race = Race(self.panel, moves, rules, held)
        self.code = digest(code, measure, rules, {name: values[name] for name in PENALTIES})

    def answer(self, key: tuple[Any, ...], answers: Answers) -> None:
        """Every epoch kept or forecast, in order of time."""
        race = self.race
        epochs = self.panel.epoch[race.starts[:-1]].tolist() if race.epochs else []
        inputs = self.inputs()
        found = [
            answers.kept.find((*key, self.measure, epoch), hashed) for epoch, hashed in zip(epochs, inputs, strict=True)
        ]
        fresh = [place for place, where in enumerate(found) if where is None]
        for place in range(fresh[-1] + 1 if fresh else 0):
            where = found[place]
            if where is None:
                race.forecast(place)
            else:
                race.recall(place, _past(answers.kept.rows.slice(where.start, where.stop - where.start), self.rules))
        made = self.rows(race.result()) if fresh else SCHEMA.empty_table()
        for place, where in enumerate(found):
            if where is None:
                start = int(race.starts[place])
                answers.add(made.slice(start, int(race.starts[place + 1]) - start), inputs[place])
            else:
                answers.keep(where)

    def inputs(self) -> list[str]:
        """What each epoch's forecast rests on: its own visible rows, and everything that was known before its decision.

        What was known is hashed epoch by epoch: the rows as they were visible then (their ranks make the clusters), and
        which of their moves were known. As epochs become known whole and in order, one running hash serves all.
        """
        race, panel = self.race, self.panel
        stale = booleans(self.table, "is_price_stale")
        labelled = np.where(np.isfinite(race.moves), panel.known_at, NEVER)
        own, seen, first, last = [], [], [], []
        for place in range(race.epochs):
            rows = race.rows(place)
            visible = digest(
                [self.gauges[n] for n in rows],
                panel.votes[rows],
                panel.rewards[rows],
                panel.decision_at[rows],
                self._held(race.held.now, rows),
            )
            seen.append(visible)
            own.append(digest(visible, stale[rows]))
            first.append(int(labelled[rows].min()))
            last.append(int(labelled[rows][labelled[rows] < NEVER].max(initial=-1)))
        found, whole, history = [], 0, ""
        for place in range(race.epochs):
            decided = int(panel.decision_at[race.rows(place)].min())
            while whole < place and last[whole] < decided:
                if last[whole] >= 0:
                    history = digest(history, whole, seen[whole], self._known(whole, labelled, NEVER))
                whole += 1
            partly = [
                (n, seen[n], self._known(n, labelled, decided)) for n in range(whole, place) if first[n] < decided
            ]
            found.append(digest(self.code, place, own[place], history, partly))
        return found

    def _known(self, place: int, labelled: Codes, before: int) -> str:
        rows = self.race.rows(place)
        known = rows[labelled[rows] < before]
        ended = self._held(self.race.held.final, known)
        return digest(known - rows[0], self.race.moves[known], self.panel.known_at[known], ended)

    def _held(self, votes: Floats, rows: Codes) -> str:
        """Who holds what on some rows, whoever else there is in the panel."""
        row, place = np.nonzero(votes[rows])
        return digest(row, [self.voters[n] for n in place], votes[rows[row], place])

    def rows(self, found: Forecast) -> pa.Table:
        """SCHEMA rows of every row of the panel."""
        columns = {key: self.table[key] for key in KEYS}
        columns["measure"] = pa.array([self.measure] * self.table.num_rows, pa.string())
        columns |= {name: pa.array(found.quantiles[:, q]) for q, name in enumerate(QUANTILES)}
        columns |= _basis(found, self.rules) | _confidence(self.table, found, self.values)
        columns["decision_at"] = timestamps(self.panel.decision_at)
        columns["trained_until"] = timestamps(found.trained_until)
        raw = found.raw.reshape(self.table.num_rows, -1)
        columns["raw_quantiles"] = pa.FixedSizeListArray.from_arrays(raw.ravel(), raw.shape[1]).cast(
            pa.list_(pa.float64())
        )
        return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def _voters(rows: pa.Table) -> tuple[list[str], Held | None]:
    """Single voters of a panel's rows, and what they hold; nobody where a store does not tell them apart."""
    columns = [
        rows[name].combine_chunks() for name in ("large_votes_now", "large_votes_final") if name in rows.schema.names
    ]
    if len(columns) < 2:
        return [], None
    parts = [(pc.list_parent_indices(c).to_numpy(), pc.list_flatten(c)) for c in columns]
    names = sorted({name for _, held in parts for name in held.field("voter_id").to_pylist()})
    places = {name: n for n, name in enumerate(names)}
    found = []
    for row, held in parts:
        votes = np.zeros((rows.num_rows, len(names)))
        place = np.array([places[name] for name in held.field("voter_id").to_pylist()], dtype=np.int64)
        votes[row, place] = held.field("votes").to_numpy(zero_copy_only=False)
        found.append(votes)
    return names, Held(found[0], found[1])


def _past(rows: pa.Table, rules: ForecastRules) -> Past:
    """What later epochs need of an epoch that was kept."""
    count, places = rows.num_rows, {candidate.name: n for n, candidate in enumerate(rules.candidates)}
    raw = pc.list_flatten(rows["raw_quantiles"]).to_numpy().reshape(count, len(places), len(LEVELS))
    return Past(
        raw=raw,
        chosen=np.array([places[name] for name in rows["candidate"].to_pylist()], dtype=np.int64),
        has_history=rows["trained_until"][0].is_valid,
    )


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
        "sample_epochs": pa.array(found.sample_epochs),
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


def forecast_scenarios(
    panel: pa.Table, quantiles: pa.Table, sets: Rows, threshold_rows: Rows, epoch: int | None = None
) -> pa.Table:
    """One row per panel row, scenario set and scenario: others' votes and rewards at the truth if it comes about.

    Rewards count those that no quantile knows of (`decide.voting.late_rewards`). With `epoch` (Unix seconds) only its
    rows are made; what was learned from the others is in them.
    """
    values = thresholds(threshold_rows)
    floors = values["drift_floor_votes"], values["uplift_floor_usd"]
    strength = values.get("late_reward_strength", np.inf)  # a store built before there was one: none
    ordered = in_order(panel, KEYS)
    drift, uplift = (_matrix(quantiles, measure) for measure in MEASURES)
    votes, rewards = floats(ordered, "other_votes_now"), floats(ordered, "rewards_now_usd")
    mine = np.arange(ordered.num_rows) if epoch is None else np.flatnonzero(integers(ordered, "epoch") == epoch)
    parts = []
    for wanted in scenario_sets(sets).values():
        others, paid = scenario_values(wanted, votes, rewards, drift, uplift, floors)
        expected = paid @ wanted.weights
        late = surprises(ordered, expected, strength)
        grown = growth(ordered, expected + late, values["min_calibration_epochs"])
        paid = (paid + late[:, None]) * grown[:, None]
        parts.append(_scenario_rows(ordered.take(mine), wanted, (others[mine], paid[mine])))
    return pa.concat_tables(parts)


def _matrix(quantiles: pa.Table, measure: str) -> Floats:
    """Quantiles (N, 5) of one measure in the order of KEYS."""
    rows = in_order(quantiles.filter(pc.equal(quantiles["measure"], measure)), KEYS)
    return np.stack([floats(rows, name) for name in QUANTILES], axis=1)


def _scenario_rows(rows: pa.Table, wanted: ScenarioSet, made: tuple[Floats, Floats]) -> pa.Table:
    """A row per panel row and scenario, in that order."""
    n, scenarios = rows.num_rows, wanted.scenarios
    each = pa.array(np.repeat(np.arange(n), len(scenarios)))
    kept = rows.select([*KEYS, "decision_at"]).take(each)
    place = np.tile(np.arange(len(scenarios)), n)
    return pa.table(
        {key: kept[key] for key in KEYS}
        | {
            "scenario_set": pa.repeat(pa.scalar(wanted.name), len(place)),
            "scenario": pa.array([s.name for s in scenarios], pa.string()).take(pa.array(place)),
            "scenario_position": pa.array(place + 1),
            "scenario_weight": pa.array(wanted.weights[place]),
            "other_votes": pa.array(made[0].ravel()),
            "rewards_usd": pa.array(made[1].ravel()),
            "decision_at": kept["decision_at"],
        }
    )


def _named(kind: pa.DataType, names: str) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names.split()]


SCHEMA = pa.schema(
    _named(pa.string(), "protocol voter_id decision_window")
    + _named(pa.int64(), "epoch")
    + _named(pa.string(), "gauge_address measure")
    + _named(pa.float64(), "p10 p25 p50 p75 p90")
    + _named(pa.string(), "level candidate cluster")
    + _named(pa.int64(), "gauge_epochs cluster_epochs sample_rows sample_epochs calibration_rows")
    + _named(
        pa.float64(),
        "own_share cluster_share penalty_sparse_history penalty_high_variance penalty_stale_price confidence",
    )
    + _named(pa.timestamp("us", "UTC"), "decision_at trained_until")
    + [pa.field("raw_quantiles", pa.list_(pa.float64()))]
)
