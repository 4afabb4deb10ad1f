"""The runtime bar cache: one SQLite file (WAL) per feed, written bar by bar and read at the same time.

    bars          primary key (symbol, tf, ts); ts is the bar's open, unix seconds UTC
    bar_revisions every value that was replaced or refused, written in the same transaction
    bar_blocks    the same bars as bits, sixty slots a row: a window of a hundred bars is a handful of look-ups
    no_trade      slots whose neighbours the provider had but not them; counted, and believed from the second time on

What was known later stands, whatever its source; known at the same moment, final beats websocket beats provisional. A
provisional bar may lack minutes: it is kept until a whole one comes, is not there yet, and never replaces a whole one.
A bar that only fills a slot in which nobody traded is noted as that. Only bars on the session grid are kept.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from decide.bars.bars import Bars
from decide.bars.sessions import M5, Ints, Sessions
from extract.bars.provider import Bar
from extract.errors import ForeshoreError, StorageError
from operate.bars.pre_paper.recent import Recent

MISSES_BELIEVED = 2  # a slot the provider twice had no bar for, among bars before and after it, had no trade
BUSY_SECONDS = 10.0
TIMEFRAMES = {"M5": M5}

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null) without rowid;
create table if not exists bars (
    symbol text not null, tf text not null, ts integer not null,
    open real not null, high real not null, low real not null, close real not null, volume real,
    source text not null check (source in ('final', 'websocket', 'provisional')),
    updated_at integer not null,
    primary key (symbol, tf, ts)
) without rowid;
create table if not exists bar_revisions (
    revision_id integer primary key, symbol text not null, tf text not null, ts integer not null,
    old_open real, old_high real, old_low real, old_close real, old_volume real, old_source text not null,
    new_open real, new_high real, new_low real, new_close real, new_volume real, new_source text not null,
    revised_at integer not null, outcome text not null default 'replaced'
);
create table if not exists no_trade (
    symbol text not null, tf text not null, ts integer not null, misses integer not null, updated_at integer not null,
    primary key (symbol, tf, ts)
) without rowid;
create trigger if not exists bars_revised after update on bars
when (old.open, old.high, old.low, old.close, old.volume) is not (new.open, new.high, new.low, new.close, new.volume)
begin
    insert into bar_revisions (
        symbol, tf, ts, old_open, old_high, old_low, old_close, old_volume, old_source,
        new_open, new_high, new_low, new_close, new_volume, new_source, revised_at
    ) values (
        old.symbol, old.tf, old.ts, old.open, old.high, old.low, old.close, old.volume, old.source,
        new.open, new.high, new.low, new.close, new.volume, new.source, new.updated_at
    );
end;
create table if not exists bar_blocks (
    symbol text not null, tf text not null, block integer not null, mask integer not null,
    primary key (symbol, tf, block)
) without rowid;
create trigger if not exists bars_put after insert on bars when new.source <> 'provisional'
begin
    insert into bar_blocks values (new.symbol, new.tf, new.ts / 18000, 1 << (new.ts % 18000 / 300))
    on conflict (symbol, tf, block) do update set mask = mask | excluded.mask;
end;
create trigger if not exists bars_made_whole after update of source on bars
when old.source = 'provisional' and new.source <> 'provisional'
begin
    insert into bar_blocks values (new.symbol, new.tf, new.ts / 18000, 1 << (new.ts % 18000 / 300))
    on conflict (symbol, tf, block) do update set mask = mask | excluded.mask;
end;
create trigger if not exists bars_dropped after delete on bars
begin
    update bar_blocks set mask = mask & ~(1 << (old.ts % 18000 / 300))
    where symbol = old.symbol and tf = old.tf and block = old.ts / 18000;
end;
create trigger if not exists bars_traded after insert on bars
begin
    delete from no_trade where symbol = new.symbol and tf = new.tf and ts = new.ts;
end;
"""
_RANK = "case {} when 'final' then 3 when 'websocket' then 2 else 1 end"
_STANDS = f"""
    (?9 <> 'provisional' or bars.source = 'provisional')
    and (?10 > bars.updated_at or (?10 = bars.updated_at
        and {_RANK.format("?9")} >= {_RANK.format("bars.source")}))
"""
_DIFFERS = """
    (?4, ?5, ?6, ?7, ?8) is not (bars.open, bars.high, bars.low, bars.close, bars.volume)
"""
_REFUSED = f"""
insert into bar_revisions (
    symbol, tf, ts, old_open, old_high, old_low, old_close, old_volume, old_source,
    new_open, new_high, new_low, new_close, new_volume, new_source, revised_at, outcome
)
select symbol, tf, ts, open, high, low, close, volume, source,
    ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'refused'
from bars where symbol = ?1 and tf = ?2 and ts = ?3 and {_DIFFERS} and not ({_STANDS})
"""
_PUT = f"""
insert into bars (symbol, tf, ts, open, high, low, close, volume, source, updated_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
on conflict (symbol, tf, ts) do update set
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    source = excluded.source, updated_at = excluded.updated_at
where ({_STANDS} and {_DIFFERS})
    or ({_RANK.format("excluded.source")} > {_RANK.format("bars.source")} and not {_DIFFERS})
"""
_NO_TRADE = """
insert into no_trade select ?1, ?2, ?3, ?4, ?5
where not exists (select 1 from bars where symbol = ?1 and tf = ?2 and ts = ?3)
on conflict (symbol, tf, ts) do update set misses = max(misses, excluded.misses), updated_at = excluded.updated_at
"""
_BLOCK = 60 * M5  # seconds of a block: sixty five-minute bars, a bit each
_WHOLE = "source <> 'provisional'"  # a bar that may lack minutes is kept, but it is not there yet


class Source(StrEnum):
    """Where a bar came from: the provider's history, its socket, or a socket bar that may lack minutes."""

    FINAL = "final"
    WEBSOCKET = "websocket"
    PROVISIONAL = "provisional"


class FeedMismatch(ForeshoreError):
    """The cache holds another feed's bars."""


@dataclass(frozen=True)
class Written:
    """What became of rows: `changed` (new, or other values, or a better source), `off_grid` and `broken` left out."""

    changed: int = 0
    off_grid: int = 0
    broken: int = 0


class BarCache:
    """An open cache. One object per thread; any number of processes on one file."""

    def __init__(self, path: Path, feed: str, sessions: Sessions) -> None:
        """Opens or makes it; FeedMismatch when it belongs to another feed, StorageError when it cannot be opened."""
        self.path, self.feed, self.sessions = path, feed, sessions
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._db.executescript(_SCHEMA)
            self._recent = Recent(self._db)
            self._upgrade()
            self._adopt()
        except sqlite3.Error as error:
            raise StorageError(f"the bar cache {path} cannot be opened ({error}): move it away to start anew") from None

    def _upgrade(self) -> None:
        """A file of an earlier version lacks how a revision went: all it has were replaced."""
        held = {row[1] for row in self._db.execute("pragma table_info(bar_revisions)")}
        if "outcome" not in held:
            self._db.execute("alter table bar_revisions add column outcome text not null default 'replaced'")

    def _adopt(self) -> None:
        """Take the file for this feed; under another calendar, drop what is no longer on the grid."""
        self._db.execute("begin immediate")
        self._db.execute("insert or ignore into meta values ('feed', ?)", (self.feed,))
        held = self._db.execute("select value from meta where key = 'feed'").fetchone()[0]
        calendar = hashlib.sha256(self.sessions.opens.tobytes() + self.sessions.closes.tobytes()).hexdigest()
        known = self._db.execute("select value from meta where key = 'calendar'").fetchone()
        if known is not None and known[0] != calendar:
            stamps = np.array(
                [r[0] for r in self._db.execute("select distinct ts from bars where tf = 'M5'")], np.int64
            )
            gone = stamps[~self.sessions.holds(M5, stamps)] if len(stamps) else stamps
            self._db.executemany("delete from bars where ts = ?", [(int(ts),) for ts in gone])
        self._db.execute("insert or replace into meta values ('calendar', ?)", (calendar,))
        self._db.execute("commit")
        if held != self.feed:
            self._db.close()
            raise FeedMismatch(
                f"the bar cache {self.path} holds the feed {held!r}, not {self.feed!r}: use another file"
            )

    def put(self, bars: Iterable[Bar], source: Source, at: int | None = None, timeframe: str = "M5") -> Written:
        """Store bars of one source in one transaction; `at` is when they were had (unix seconds, default now)."""
        rows = list(bars)
        labels = np.array([bar.ts for bar in rows], np.int64)
        on_grid = self.sessions.holds(TIMEFRAMES[timeframe], labels) if rows else np.array([], bool)
        moment = int(time.time()) if at is None else at
        whole = [bar for bar, fits in zip(rows, on_grid.tolist(), strict=True) if fits and bar.is_whole]
        shared = (source.value, moment)
        values = [
            (bar.symbol, timeframe, bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume, *shared)
            for bar in whole
            if not bar.is_no_trade
        ]
        filled = [(bar.symbol, timeframe, bar.ts, MISSES_BELIEVED, moment) for bar in whole if bar.is_no_trade]
        changed = 0
        with self._transaction():
            if values:
                held = self._held(values, timeframe)
                self._db.executemany(_REFUSED, [row for row in values if (row[0], row[2]) in held])
                changed = self._db.executemany(_PUT, values).rowcount
            if source is Source.FINAL:
                self._db.executemany(_NO_TRADE, filled)
        if changed:
            self._recent.wrote(timeframe, [row[2] for row in values])
        off_grid = int((~on_grid).sum())
        return Written(changed, off_grid, len(rows) - off_grid - len(whole))

    def _held(self, values: Sequence[tuple[Any, ...]], timeframe: str) -> set[tuple[str, int]]:
        """Symbol and label of what stands already, among those of rows to be written."""
        stamps = [row[2] for row in values]
        return set(
            self._db.execute(
                "select symbol, ts from bars where symbol in (select value from json_each(?)) and tf = ? "
                "and ts between ? and ?",
                (json.dumps(sorted({row[0] for row in values})), timeframe, min(stamps), max(stamps)),
            )
        )

    def missed(self, symbol: str, labels: Sequence[int], at: int, timeframe: str = "M5") -> None:
        """Count one more answer that had bars before and after these slots but none for them."""
        with self._transaction():
            self._db.executemany(
                "insert into no_trade values (?, ?, ?, 1, ?) on conflict (symbol, tf, ts) do update "
                "set misses = misses + 1, updated_at = excluded.updated_at",
                [(symbol, timeframe, int(ts), at) for ts in labels],
            )

    def holding(self, symbols: Sequence[str], labels: Ints, timeframe: str = "M5") -> set[str]:
        """The symbols that have a whole bar for every one of `labels`: each label is looked at, as a bit of a block."""
        wanted: dict[int, int] = {}
        for ts in labels.tolist():
            wanted[ts // _BLOCK] = wanted.get(ts // _BLOCK, 0) | 1 << (ts % _BLOCK // M5)
        if not wanted:
            return set(symbols)
        values = ", ".join(f"({block}, {mask})" for block, mask in wanted.items())
        rows = self._db.execute(
            f"with wanted (block, mask) as (values {values}) "
            "select value from json_each(?) where not exists (select 1 from wanted left join bar_blocks as held "
            "on held.symbol = value and held.tf = ? and held.block = wanted.block "
            "where coalesce(held.mask, 0) & wanted.mask <> wanted.mask)",
            (json.dumps(list(symbols)), timeframe),
        )
        return {row[0] for row in rows}

    def labels(self, symbol: str, first: int, last: int, timeframe: str = "M5") -> Ints:
        """Labels of whole bars in `[first, last]`, ascending."""
        rows = self._db.execute(
            f"select ts from bars where symbol = ? and tf = ? and ts between ? and ? and {_WHOLE} order by ts",
            (symbol, timeframe, first, last),
        )
        return np.array([row[0] for row in rows], np.int64)

    def bars(self, symbol: str, first: int, last: int, timeframe: str = "M5") -> Bars:
        """Whole bars in `[first, last]`, ascending."""
        rows = self._db.execute(
            "select ts, open, high, low, close, volume from bars "
            f"where symbol = ? and tf = ? and ts between ? and ? and {_WHOLE} order by ts",
            (symbol, timeframe, first, last),
        ).fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * 6
        return Bars(np.array(columns[0], np.int64), *(np.array(values, np.float64) for values in columns[1:]))

    def hold(self, symbols: Sequence[str], first: int, last: int, timeframe: str = "M5") -> None:
        """Read what `many` and `side_by_side` will be asked for."""
        self._recent.block(symbols, first, last, timeframe)

    def many(self, symbols: Sequence[str], first: int, last: int, timeframe: str = "M5") -> dict[str, Bars]:
        """The same for many symbols; what this object has read before and nobody changed is not read again."""
        labels, values, there = self._recent.block(symbols, first, last, timeframe).cut(symbols, first, last)
        return {
            symbol: Bars(labels, *values[:, row]) if there[row].all() else Bars(labels[mask], *values[:, row, mask])
            for row, symbol in enumerate(symbols)
            for mask in (there[row],)
        }

    def side_by_side(
        self, symbols: Sequence[str], first: int, last: int, timeframe: str = "M5"
    ) -> tuple[list[str], Bars]:
        """The K symbols with the most bars in `[first, last]`, N each, and their prices as (K, N); labels (N,) are the
        first one's.
        """
        labels, values, there = self._recent.block(symbols, first, last, timeframe).cut(symbols, first, last)
        counts = there.sum(axis=1)
        most = int(counts.max(initial=0))
        if not most:
            return [], Bars(labels[:0], *values[:, :0, :0])
        even = np.flatnonzero(counts == most)
        columns = values[:, even][:, there[even]].reshape(5, len(even), most)
        return [symbols[row] for row in even.tolist()], Bars(labels[there[even[0]]], *columns)

    def no_trade(self, symbol: str, first: int, last: int, timeframe: str = "M5") -> Ints:
        """Slots in `[first, last]` that are believed to have had no trade."""
        rows = self._db.execute(
            "select ts from no_trade where symbol = ? and tf = ? and ts between ? and ? and misses >= ? order by ts",
            (symbol, timeframe, first, last, MISSES_BELIEVED),
        )
        return np.array([row[0] for row in rows], np.int64)

    def revisions(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Every value that was replaced or refused, oldest first."""
        cursor = self._db.execute(
            "select * from bar_revisions where symbol = ? or ? is null order by revision_id", (symbol, symbol)
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise StorageError(
                f"the bar cache {self.path} cannot be written ({error}): free space, or stop whoever holds it"
            ) from None

    def defer_checkpoints(self) -> None:
        """Leave the write-ahead log as it is until `checkpoint`: SQLite's own moment is in the middle of a burst."""
        self._db.execute("pragma wal_autocheckpoint = 0")

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, as far as no reader needs it (tens of milliseconds on the disk)."""
        self._db.execute("pragma wal_checkpoint(passive)")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> BarCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
