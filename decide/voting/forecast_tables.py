"""The forecaster on the warehouse's tables: panel rows in, quantile rows and scenario rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
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
from decide.errors import DecisionError
from decide.once import Answers, Kept, digest
from decide.quantiles import Codes, Floats
from decide.thresholds import Rows, thresholds
from decide.voting.conduits import Held
from decide.voting.constants import forecast_rules, scenario_sets
from decide.voting.forecast import LEVELS, Forecast, ForecastRules, Panel, Past, Race, move
from decide.voting.late_rewards import Record, late_rewards
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
    return Learned(panel, candidates, threshold_rows, kept, code).quantiles


class Learned:
    """What the epochs of a panel taught, and their `quantiles` (`forecast_quantiles`).

    An open epoch is then forecast block after block without going through the others again.
    """

    def __init__(
        self, panel: pa.Table, candidates: Rows, threshold_rows: Rows, kept: pa.Table | None = None, code: str = ""
    ) -> None:
        values = thresholds(threshold_rows)
        rules = forecast_rules(candidates, values)
        answers = Answers(Kept(kept, SCHEMA, UNIT), SCHEMA)
        self._fixed = rules, values, code
        self._measures: dict[tuple[Any, ...], _Measure] = {}
        for key, rows in groups(panel, KEYS[:3], KEYS[3:]):
            for measure in MEASURES:
                made = self._measures[(*key, measure)] = _Measure(rows, measure, *self._fixed)
                made.answer(key, answers)
        self.quantiles = answers.table()

    def forecast(self, panel: pa.Table) -> pa.Table:
        """The rows that `forecast_quantiles` gives for a later epoch, all of whose rows are in `panel`, if it follows
        the others: without seals, and with NaN among `raw_quantiles` for whom nobody asks.

        Errors: DecisionError where the epoch does not come after all others.
        """
        parts = [SCHEMA.empty_table()]
        for key, rows in groups(panel, KEYS[:3], KEYS[3:]):
            for measure in MEASURES:
                found = self._measures.get((*key, measure)) or _Measure(rows.slice(0, 0), measure, *self._fixed)
                parts.append(found.of_next(rows))
        return pa.concat_tables(parts)


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
        self.codes, names = codes(rows, "gauge_address")
        self.places = {name: place for place, name in enumerate(names)}
        self.panel = _panel(rows, self.codes)
        moves = move(now, final, rules.drift_floor if measure == "drift" else rules.uplift_floor)
        is_told_apart = any(candidate.large_voters for candidate in rules.candidates)
        self.voters, held = _voters(rows) if is_told_apart else ([], None)
        self.race = Race(self.panel, moves, rules, held)
        self.code = digest(code, measure, rules, {name: values[name] for name in PENALTIES})
        self._unread: list[tuple[int, Kept, slice]] = []  # kept epochs that no forecast needed yet

    def of_next(self, rows: pa.Table) -> pa.Table:
        """SCHEMA rows of an epoch after all others."""
        names = rows["gauge_address"].to_pylist()
        if len(set(rows["epoch"].to_pylist())) != 1 or self.panel.epoch.max(initial=-1) >= rows["epoch"][0].as_py():
            raise DecisionError("one epoch at a time is forecast, and after those that were learned from")
        while self._unread:
            place, kept, where = self._unread.pop(0)
            self.race.recall(place, self._past(kept, where))
        new = {name: len(self.places) + n for n, name in enumerate(n for n in names if n not in self.places)}
        gauge = np.array([self.places.get(name, new.get(name)) for name in names], dtype=np.int64)
        more = _panel(rows, gauge)
        race = self.race.joined(more, _votes(rows, "large_votes_now", self.voters))
        race.forecast(race.epochs - 1, True)
        return self.rows(race.result(race.epochs - 1), rows, more)

    def answer(self, key: tuple[Any, ...], answers: Answers) -> None:
        """Every epoch kept or forecast, in order of time."""
        race = self.race
        epochs = self.panel.epoch[race.starts[:-1]].tolist() if race.epochs else []
        inputs = self.inputs()
        found = [
            answers.kept.find((*key, self.measure, epoch), hashed) for epoch, hashed in zip(epochs, inputs, strict=True)
        ]
        fresh = [place for place, where in enumerate(found) if where is None]
        until = fresh[-1] + 1 if fresh else 0
        for place, where in enumerate(found[:until]):
            if where is None:
                race.forecast(place)
            else:
                race.recall(place, self._past(answers.kept, where))
        self._unread = [(n, answers.kept, where) for n, where in enumerate(found) if n >= until and where is not None]
        made = self.rows(race.result(), self.table, self.panel) if fresh else SCHEMA.empty_table()
        for place, where in enumerate(found):
            if where is None:
                start = int(race.starts[place])
                answers.add(made.slice(start, int(race.starts[place + 1]) - start), inputs[place])
            else:
                answers.keep(where)

    def _past(self, kept: Kept, where: slice) -> Past:
        """What later epochs need of an epoch that was kept."""
        rows, candidates = kept.rows.slice(where.start, where.stop - where.start), self.rules.candidates
        places = {candidate.name: n for n, candidate in enumerate(candidates)}
        return Past(
            raw=pc.list_flatten(rows["raw_quantiles"]).to_numpy().reshape(rows.num_rows, len(places), len(LEVELS)),
            chosen=np.array([places[name] for name in rows["candidate"].to_pylist()], dtype=np.int64),
            has_history=rows["trained_until"][0].is_valid,
        )

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

    def rows(self, found: Forecast, table: pa.Table, panel: Panel) -> pa.Table:
        """SCHEMA rows of what was found for the rows of a panel."""
        columns = {key: table[key] for key in KEYS}
        columns["measure"] = pa.array([self.measure] * table.num_rows, pa.string())
        columns |= {name: pa.array(found.quantiles[:, q]) for q, name in enumerate(QUANTILES)}
        columns |= _basis(found, self.rules) | _confidence(table, found, self.values)
        columns["decision_at"] = timestamps(panel.decision_at)
        columns["trained_until"] = timestamps(found.trained_until)
        raw = found.raw.reshape(table.num_rows, -1)
        columns["raw_quantiles"] = pa.FixedSizeListArray.from_arrays(raw.ravel(), raw.shape[1]).cast(
            pa.list_(pa.float64())
        )
        return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def _panel(rows: pa.Table, gauge: Codes) -> Panel:
    return Panel(
        epoch=integers(rows, "epoch"),
        gauge=gauge,
        votes=floats(rows, "other_votes_now"),
        rewards=floats(rows, "rewards_now_usd"),
        decision_at=microseconds(rows, "decision_at"),
        known_at=microseconds(rows, "known_at"),
    )


def _voters(rows: pa.Table) -> tuple[list[str], Held | None]:
    """Single voters of a panel's rows, and what they hold; nobody where a store does not tell them apart."""
    columns = [name for name in ("large_votes_now", "large_votes_final") if name in rows.schema.names]
    if len(columns) < 2:
        return [], None
    found = {n for c in columns for n in pc.list_flatten(rows[c].combine_chunks()).field("voter_id").to_pylist()}
    names = sorted(found)
    return names, Held(*(_votes(rows, column, names) for column in columns))


def _votes(rows: pa.Table, column: str, names: Sequence[str]) -> Floats:
    """Votes (N, M) on a panel's rows of single voters, in the order of their names; of others nothing."""
    votes, places = np.zeros((rows.num_rows, len(names))), {name: n for n, name in enumerate(names)}
    if names:
        array = rows[column].combine_chunks()
        held = pc.list_flatten(array)
        row, amount = pc.list_parent_indices(array).to_numpy(), held.field("votes").to_numpy(zero_copy_only=False)
        place = np.array([places.get(name, -1) for name in held.field("voter_id").to_pylist()], dtype=np.int64)
        known = place >= 0
        votes[row[known], place[known]] = amount[known]
    return votes


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


def forecast_scenarios(panel: pa.Table, quantiles: pa.Table, sets: Rows, threshold_rows: Rows) -> pa.Table:
    """One row per panel row, scenario set and scenario: others' votes and rewards at the truth if it comes about.

    Rewards count those that no quantile knows of (`decide.voting.late_rewards`).
    """
    return LearnedScenarios(panel, quantiles, sets, threshold_rows).scenarios


class LearnedScenarios:
    """The `scenarios` of a panel (`forecast_scenarios`), and what its ends taught of rewards that come late."""

    def __init__(self, panel: pa.Table, quantiles: pa.Table, sets: Rows, threshold_rows: Rows) -> None:
        values = thresholds(threshold_rows)
        self._sets = scenario_sets(sets)
        self._floors = values["drift_floor_votes"], values["uplift_floor_usd"]
        # a store built before there was a strength: nothing comes late
        self._fixed = values.get("late_reward_strength", np.inf), values["min_calibration_epochs"]
        self._records: dict[tuple[Any, ...], Record] = {}
        self.scenarios = self._of(panel, quantiles, ended=True)

    def forecast(self, panel: pa.Table, quantiles: pa.Table) -> pa.Table:
        """The rows that `forecast_scenarios` gives for a later epoch, all of whose rows are in `panel`, if it follows
        the others.
        """
        return self._of(panel, quantiles, ended=False)

    def _of(self, panel: pa.Table, quantiles: pa.Table, *, ended: bool) -> pa.Table:
        ordered = in_order(panel, KEYS)
        drift, uplift = (_matrix(quantiles, measure) for measure in MEASURES)
        votes, rewards = floats(ordered, "other_votes_now"), floats(ordered, "rewards_now_usd")
        parts = []
        for wanted in self._sets.values():
            others, paid = scenario_values(wanted, votes, rewards, drift, uplift, self._floors)
            record = partial(self._record, wanted.name)
            late, grown = late_rewards(ordered, paid @ wanted.weights, record, ended=ended)
            paid = (paid + late[:, None]) * grown[:, None]
            parts.append(_scenario_rows(ordered, wanted, (others, paid)))
        return pa.concat_tables(parts)

    def _record(self, name: str, unit: tuple[Any, ...], gauges: Sequence[str]) -> Record:
        key = (name, *unit)
        if key not in self._records:
            self._records[key] = Record(sorted(set(gauges)), *self._fixed)
        return self._records[key]


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
    table = pa.table(
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
    return table.cast(SCENARIO_SCHEMA)


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
SCENARIO_SCHEMA = pa.schema(
    _named(pa.string(), "protocol voter_id decision_window")
    + _named(pa.int64(), "epoch")
    + _named(pa.string(), "gauge_address scenario_set scenario")
    + _named(pa.int64(), "scenario_position")
    + _named(pa.float64(), "scenario_weight other_votes rewards_usd")
    + _named(pa.timestamp("us", "UTC"), "decision_at")
)
