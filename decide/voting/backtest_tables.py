"""The replay on the warehouse's tables, and what its results prove: rows in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from decide.once import Answers, Kept
from decide.thresholds import Rows
from decide.voting.backtest import Held, Key, replay_units
from decide.voting.decision_tables import WINDOW_KEYS, Case, cases
from decide.voting.recommend_tables import Seeds, Settings
from decide.voting.strategies import Strategy

KEYS = [*WINDOW_KEYS, "strategy"]


def strategies(variants: Rows, settings: Settings) -> list[Strategy]:
    """The `backtest_variants` seed, ours first."""
    ordered = sorted(variants, key=lambda row: int(row["position"]))
    return [Strategy(row["strategy"], row["kind"], settings.profiles[row["risk_profile"]]) for row in ordered]


def backtest_tables(
    panel: pa.Table,
    quantiles: pa.Table,
    forecasts: pa.Table,
    voter_windows: pa.Table,
    seeds: Seeds,
    variants: Rows,
    kept: pa.Table | None = None,
    code: str = "",
) -> pa.Table:
    """One row per exchange, first voter, epoch, window and strategy (SCHEMA, sealed), the votes of forecasts nested.

    `kept` is this table as an earlier build left it, `code` the version of what computes; rows that rest on the same
    inputs are taken over as they stand.
    """
    settings = Settings.of(seeds)
    wanted = strategies(variants, settings)
    answered = _Answered(kept)
    answers = Answers(answered.kept, SCHEMA)
    for protocol, epochs in replayable(panel, quantiles, forecasts, voter_windows, settings):
        setting = settings.setting(protocol, settings.default_profile)
        if setting is None:
            continue
        for unit in replay_units(epochs, wanted, setting, answered, code):
            if unit.where is not None:
                answers.keep(unit.where)
            else:
                answers.add(pa.Table.from_pylist([unit.row], schema=SCHEMA), unit.inputs)
    return answers.table()


class _Answered:
    """A replay as an earlier build left it."""

    def __init__(self, kept: pa.Table | None) -> None:
        self.kept = Kept(kept, SCHEMA, KEYS)
        self._marks = self.kept.rows["allocation_hash"].to_pylist()

    def find(self, key: Key, inputs: str) -> slice | None:
        return self.kept.find(key, inputs)

    def allocation(self, where: slice) -> Held:
        def read() -> Mapping[str, float]:
            return {vote["gauge_address"]: vote["votes"] for vote in self.kept.rows["allocation"][where.start].as_py()}

        return Held(self._marks[where.start], read)


def replayable(
    panel: pa.Table, quantiles: pa.Table, forecasts: pa.Table, voter_windows: pa.Table, settings: Settings
) -> Iterator[tuple[str, list[Sequence[Case]]]]:
    """The cases of each exchange's first voter with votes to cast, epoch by epoch."""
    found = cases(panel, quantiles, forecasts, voter_windows, settings.sets)
    able = [case for case in found if _can_vote(case)]
    first = {
        protocol: min((case.window["voter_position"], case.key[1]) for case in mine)[1]
        for protocol, mine in groupby(able, key=lambda case: case.key[0])
    }
    for protocol, voter in first.items():
        mine = [case for case in able if case.key[:2] == (protocol, voter)]
        yield protocol, [list(epoch) for _, epoch in groupby(mine, key=lambda case: case.key[2])]


def _can_vote(case: Case) -> bool:
    is_trusted = case.window["own_votes_status"] != "unknown" and not case.window["failed_gates"]
    return is_trusted and case.snapshot.power > 0


def _named(kind: pa.DataType, names: str) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names.split()]


VOTE = pa.struct(
    _named(pa.string(), "gauge_address")
    + _named(
        pa.float64(),
        "votes votes_now votes_expected votes_final rewards_now_usd rewards_expected_usd rewards_final_usd confidence",
    )
)
STANDING = pa.struct(_named(pa.string(), "gauge_address") + _named(pa.float64(), "votes"))
SCHEMA = pa.schema(
    _named(pa.string(), "protocol voter_id")
    + _named(pa.int64(), "epoch")
    + _named(pa.string(), "decision_window strategy kind outcome")
    + _named(
        pa.float64(),
        "voting_power expected_usd conservative_usd aggressive_usd realised_usd hindsight_usd profile_hindsight_usd "
        "turnover_share unlabelled_share optimality_gap submissions",
    )
    + _named(pa.int64(), "gauges_used")
    + _named(pa.bool_(), "is_votable is_covered")
    + [pa.field("decision_at", pa.timestamp("us", "UTC")), pa.field("votes", pa.list_(VOTE))]
    + [pa.field("allocation", pa.list_(STANDING)), pa.field("allocation_hash", pa.string())]
)
