"""The replay on the warehouse's tables, and what its results prove: rows in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from decide.once import Answers, Kept
from decide.thresholds import Rows
from decide.voting.backtest import Held, Key, best_units, replay_units
from decide.voting.decision_tables import WINDOW_KEYS, Case, cases
from decide.voting.recommend_tables import Seeds, Settings
from decide.voting.strategies import Strategy
from decide.voting.together import pooled

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

    The NFTs of a holder are replayed as one voter of that name. Every other voter, and every NFT of a holder, has rows
    of hindsight alone: the best that it could have earned (`is_replayed` is false). `kept` is this table as an earlier
    build left it, `code` the version of what computes; rows that rest on the same inputs are taken over as they stand.
    """
    settings = Settings.of(seeds)
    wanted = strategies(variants, settings)
    answered = _Answered(kept)
    answers = Answers(answered.kept, SCHEMA)
    best = [strategy for strategy in wanted if strategy.kind == "hindsight"][:1]
    for protocol, epochs, is_replayed in _voters(panel, quantiles, forecasts, voter_windows, settings):
        setting = settings.setting(protocol, settings.default_profile)
        if setting is None:
            continue
        units = (
            replay_units(epochs, wanted, setting, answered, code)
            if is_replayed
            else best_units(epochs, best, setting, answered, code)
        )
        for unit in units:
            if unit.where is not None:
                answers.keep(unit.where)
            else:
                row = {**(unit.row or {}), "is_replayed": is_replayed}
                answers.add(pa.Table.from_pylist([row], schema=SCHEMA), unit.inputs)
    return answers.table()


class _Answered:
    """A replay as an earlier build left it."""

    def __init__(self, kept: pa.Table | None) -> None:
        self.kept = Kept(kept, SCHEMA, KEYS)
        self._marks, self._voted_at = (self.kept.rows[name].to_pylist() for name in ("allocation_hash", "voted_at"))

    def find(self, key: Key, inputs: str) -> slice | None:
        return self.kept.find(key, inputs)

    def allocation(self, where: slice) -> Held:
        def read() -> Mapping[str, float]:
            return {vote["gauge_address"]: vote["votes"] for vote in self.kept.rows["allocation"][where.start].as_py()}

        return Held(self._marks[where.start], read, self._voted_at[where.start])


def replayable(
    panel: pa.Table, quantiles: pa.Table, forecasts: pa.Table, voter_windows: pa.Table, settings: Settings
) -> Iterator[tuple[str, list[Sequence[Case]]]]:
    """The cases of each exchange's first voter with votes to cast, or of its holder's NFTs as one, epoch by epoch."""
    for protocol, epochs, is_replayed in _voters(panel, quantiles, forecasts, voter_windows, settings):
        if is_replayed:
            yield protocol, epochs


def _voters(
    panel: pa.Table, quantiles: pa.Table, forecasts: pa.Table, voter_windows: pa.Table, settings: Settings
) -> Iterator[tuple[str, list[Sequence[Case]], bool]]:
    """The cases of each exchange's voters with votes to cast, epoch by epoch, and whether they are replayed."""
    found = cases(panel, quantiles, forecasts, voter_windows, settings.sets)
    able = [case for case in found if _can_vote(case)]
    for protocol, of in groupby(able, key=lambda case: case.key[0]):
        mine = list(of)
        first = min((case.window["voter_position"], case.key[1], case.holder or "") for case in mine)
        sisters = [case for case in mine if first[2] and case.holder == first[2]]
        together = len({case.key[1] for case in sisters}) > 1
        if together:
            yield protocol, _by_epoch(_as_one(sisters, first[2])), True
        for voter, cast in groupby(mine, key=lambda case: case.key[1]):
            yield protocol, _by_epoch(list(cast)), voter == first[1] and not together


def _as_one(sisters: Sequence[Case], holder: str) -> list[Case]:
    """A case per decision; one whose NFTs are not all there is of those that are."""
    order = sorted(sisters, key=lambda case: (case.key[2], case.window["window_position"]))
    return [pooled(list(of), holder) for _, of in groupby(order, key=lambda case: case.key[2:])]


def _by_epoch(found: Sequence[Case]) -> list[Sequence[Case]]:
    return [list(epoch) for _, epoch in groupby(found, key=lambda case: case.key[2])]


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
    + _named(pa.bool_(), "is_votable is_covered is_replayed")
    + [pa.field("decision_at", pa.timestamp("us", "UTC")), pa.field("votes", pa.list_(VOTE))]
    + [pa.field("allocation", pa.list_(STANDING)), pa.field("allocation_hash", pa.string())]
    + [pa.field("voted_at", pa.timestamp("us", "UTC"))]
)
