"""The replay on the warehouse's tables, and what its results prove: rows in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from decide.once import Answers, Kept
from decide.thresholds import Rows
from decide.voting.backtest import Best, Held, Key, Replayer
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
    """All rows of a `Backtest` at once."""
    return Backtest(voter_windows, seeds, variants, code).of(panel, quantiles, forecasts, voter_windows, kept)


class Backtest:
    """One row per exchange, first voter, epoch, window and strategy (SCHEMA, sealed), the votes of forecasts nested.

    The NFTs of a holder are replayed as one voter of that name. Every other voter, and every NFT of a holder, has rows
    of hindsight alone: the best that it could have earned (`is_replayed` is false). `voter_windows` are all there are,
    `code` is the version of what computes.
    """

    def __init__(self, voter_windows: pa.Table, seeds: Seeds, variants: Rows, code: str = "") -> None:
        self._settings, self._code = Settings.of(seeds), code
        self._first = _first_voters(voter_windows)
        self._wanted = strategies(variants, self._settings)
        self._replays: dict[tuple[str, str, bool], Replayer | Best] = {}

    def of(
        self,
        panel: pa.Table,
        quantiles: pa.Table,
        forecasts: pa.Table,
        voter_windows: pa.Table,
        kept: pa.Table | None = None,
    ) -> pa.Table:
        """The rows of some epochs, all of whose rows are given; an exchange's epochs come in order of time.

        `kept` holds rows of an earlier build: those that rest on the same inputs are taken over as they stand.
        """
        answered = _Answered(kept)
        answers = Answers(answered.kept, SCHEMA)
        given = panel, quantiles, forecasts, voter_windows
        for (protocol, voter), epochs, is_replayed in _voters(*given, self._settings, self._first):
            replay = self._replay(protocol, voter, is_replayed)
            for unit in (unit for epoch in epochs if replay for unit in replay.epoch(epoch, answered)):
                if unit.where is not None:
                    answers.keep(unit.where)
                else:
                    row = {**(unit.row or {}), "is_replayed": is_replayed}
                    answers.add(pa.Table.from_pylist([row], schema=SCHEMA), unit.inputs)
        return answers.table()

    def _replay(self, protocol: str, voter: str, is_replayed: bool) -> Replayer | Best | None:
        """Where a voter's replay stands; None for an exchange without a rule."""
        setting = self._settings.setting(protocol, self._settings.default_profile)
        if setting is None:
            return None
        key = protocol, voter, is_replayed
        if key not in self._replays:
            best = [strategy for strategy in self._wanted if strategy.kind == "hindsight"][:1]
            self._replays[key] = (
                Replayer(self._wanted, setting, self._code) if is_replayed else Best(best, setting, self._code)
            )
        return self._replays[key]


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
    first = _first_voters(voter_windows)
    for (protocol, _), epochs, is_replayed in _voters(panel, quantiles, forecasts, voter_windows, settings, first):
        if is_replayed:
            yield protocol, epochs


@dataclass(frozen=True)
class _First:
    """Who of an exchange is replayed: a voter, or all NFTs of its `holder` as one where it has several."""

    voter: str
    holder: str
    is_several: bool


def _first_voters(voter_windows: pa.Table) -> dict[str, _First]:
    """By exchange: the first voter that has votes to cast, of whatever epoch."""
    able = [row for row in voter_windows.to_pylist() if not row["is_control"] and _can_vote(row)]
    found = {}
    for protocol in {row["protocol"] for row in able}:
        mine = [row for row in able if row["protocol"] == protocol]
        _, voter, holder = min((row["voter_position"], row["voter_id"], row.get("holder") or "") for row in mine)
        several = {row["voter_id"] for row in mine if holder and row.get("holder") == holder}
        found[protocol] = _First(voter, holder, len(several) > 1)
    return found


def _voters(
    panel: pa.Table,
    quantiles: pa.Table,
    forecasts: pa.Table,
    voter_windows: pa.Table,
    settings: Settings,
    first: Mapping[str, _First],
) -> Iterator[tuple[tuple[str, str], list[Sequence[Case]], bool]]:
    """Each voter with votes to cast, its cases epoch by epoch, and whether it is replayed."""
    found = cases(panel, quantiles, forecasts, voter_windows, settings.sets)
    able = [case for case in found if _can_vote(case.window)]
    for protocol, of in groupby(able, key=lambda case: case.key[0]):
        mine, chosen = list(of), first[protocol]
        if chosen.is_several:
            sisters = [case for case in mine if case.holder == chosen.holder]
            yield (protocol, chosen.holder), _by_epoch(_as_one(sisters, chosen.holder)), True
        for voter, cast in groupby(mine, key=lambda case: case.key[1]):
            yield (protocol, voter), _by_epoch(list(cast)), voter == chosen.voter and not chosen.is_several


def _as_one(sisters: Sequence[Case], holder: str) -> list[Case]:
    """A case per decision; one whose NFTs are not all there is of those that are."""
    order = sorted(sisters, key=lambda case: (case.key[2], case.window["window_position"]))
    return [pooled(list(of), holder) for _, of in groupby(order, key=lambda case: case.key[2:])]


def _by_epoch(found: Sequence[Case]) -> list[Sequence[Case]]:
    return [list(epoch) for _, epoch in groupby(found, key=lambda case: case.key[2])]


def _can_vote(window: Mapping[str, Any]) -> bool:
    """Whether what was read is to be trusted, and there are votes to cast; of a row of `int_voter_windows`."""
    is_trusted = window["own_votes_status"] != "unknown" and not window["failed_gates"]
    return is_trusted and float(window["voting_power"] or 0) > 0


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
