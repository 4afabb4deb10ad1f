"""What a correction of bars would have changed: the same rules on what was known before it and on what came.

All bars that one source corrected at one moment are one correction. Before it stand the values known until then: of
these bars the old ones, of bars that the same source replaced later what they were then, of all others today's. What
was decided then stays decided; this says which signals are gone, new or moved for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from decide.bars.actions import JumpRule, Split, find_as_of, turns
from decide.bars.bars import PRICES, Bars, combine
from decide.bars.orders import Signal
from decide.bars.run import BarStrategy
from decide.bars.sessions import M5, Sessions
from decide.bars.strategy import bars_needed
from decide.bars.tables import SERIES, UTC, bar_columns, jobs, on_security, rules_hash, split_of
from decide.columns import groups
from decide.thresholds import Rows, thresholds

Values = tuple[float, ...]  # open, high, low, close
Known = dict[int, Values | None]  # label -> values; None: no bar
MICROSECONDS = 1_000_000


def revision_effects(
    m5: pa.Table,
    revisions: pa.Table,
    seed: Rows,
    calendar: Sequence[Rows],
    constants: Rows,
    actions: Rows = (),
    ticks: Rows = (),
    promoted: Rows = (),
) -> pa.Table:
    """One row per correction, rules and signal that differs (SCHEMA); none where no signal does.

    `m5`: rows of `bars_m5`. `revisions`: rows of `int_bar_revisions`; a value that is no bar (prices missing, or
    outside their own range) is no bar there either. The rest is as for `bar_run_tables`. Volumes are today's.
    """
    sessions, jumps = Sessions.of(*calendar), JumpRule.of(thresholds(constants))
    chosen = jobs(seed, promoted)
    bars_of = {key: Bars.of(bar_columns(rows)) for key, rows in groups(m5, SERIES, ["bar_at"])}
    made: list[dict[str, Any]] = []
    for series, rows in groups(revisions, SERIES, ["bar_at", "revision_number"]):
        bars = bars_of.get(series)
        wanted = [on_security(job.strategy, ticks, series[0]) for job in chosen if job.wants(series)]
        wanted = list({rules_hash(strategy): strategy for strategy in wanted}.values())
        if bars is None or not wanted:
            continue
        splits = tuple(split_of(row) for row in actions if (row["symbol"], row["feed"]) == series)
        for facts, before, after, touched in _corrections(rows.to_pylist(), sessions):
            for strategy in wanted:
                sides = [_signals(bars, known, touched, strategy, sessions, splits, jumps) for known in (before, after)]
                named = {"strategy_key": strategy.key, "impl_version": strategy.version}
                named |= {"rules_hash": rules_hash(strategy), "symbol": series[0], "feed": series[1]}
                made += [{**named, **facts, **effect} for effect in _differences(*sides)]
    return pa.Table.from_pylist(made, schema=SCHEMA)


def _corrections(rows: Rows, sessions: Sessions) -> Iterator[tuple[dict[str, Any], Known, Known, Known]]:
    """Facts of every correction, the bars that differ from today's before and after it, and those it came with."""
    at: dict[tuple[Any, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if sessions.holds(M5, np.array([_label(row)]))[0]:
            at[row["revised_at"], row["revised_by"], row["revision_outcome"]].append(row)
    then: dict[str, Known] = defaultdict(dict)  # source -> what its bars were before all that has been looked at
    found = []
    for (moment, source, outcome), mine in sorted(at.items(), key=lambda item: item[0], reverse=True):
        old = {_label(row): _values(row, "old") for row in reversed(mine)}
        new = {_label(row): _values(row, "new") for row in mine}
        before, after = then[source] | old, then[source] | new
        facts = {"revised_by": source, "revision_outcome": outcome, "revised_at": moment, "revised_bar_count": len(new)}
        facts |= {"first_bar_at": min(new) * MICROSECONDS, "last_bar_at": max(new) * MICROSECONDS}
        if before != after:
            found.append((facts, before, after, new))
        if outcome == "replaced":
            then[source] = before
    yield from reversed(found)


def _label(row: Mapping[str, Any]) -> int:
    return int(row["bar_at"].timestamp())


def _values(row: Mapping[str, Any], side: str) -> Values | None:
    found = [row[f"{side}_{name}"] for name in PRICES]
    if any(value is None or not np.isfinite(value) or value <= 0 for value in found):
        return None
    opened, high, low, close = values = tuple(float(value) for value in found)
    return values if high >= max(opened, close) and low <= min(opened, close) else None


def _signals(
    bars: Bars,
    known: Known,
    touched: Known,
    strategy: BarStrategy,
    sessions: Sessions,
    splits: tuple[Split, ...],
    jumps: JumpRule,
) -> dict[tuple[int, str], Signal]:
    """Signals of every session that `touched` bars reach into, with `known` in place of today's."""
    rules = strategy.rules
    most = int((sessions.closes - sessions.opens).max()) // rules.step
    reach = bars_needed(rules, most)
    first, last = (sessions.closed(rules.step, edge) for edge in (min(touched), max(touched) + M5))
    total = sessions.closed(rules.step, int(sessions.closes[-1]))
    edges = sessions.labels(rules.step, max(0, first - reach), min(total, last + reach))[[0, -1]].tolist()
    start, stop = np.searchsorted(bars.labels, [edges[0], edges[1] + rules.step]).tolist()
    series = combine(_with(bars[start:stop], known, edges), M5, rules.step)
    chosen = (sessions.closes > min(touched)) & (sessions.opens <= edges[1])
    if not len(series) or not chosen.any():
        return {}
    turned = turns(series, sessions, splits, jumps)
    found = find_as_of(rules, series, Sessions(sessions.opens[chosen], sessions.closes[chosen]), turned.splits)
    return {(s.trigger_at, s.side): s for s in found.signals}


def _with(bars: Bars, known: Known, edges: Sequence[int]) -> Bars:
    """The bars with other values within their span."""
    names = (*PRICES, "volume")
    rows: dict[int, tuple[float, ...]] = dict(
        zip(bars.labels.tolist(), zip(*(getattr(bars, n).tolist() for n in names), strict=True), strict=True)
    )
    for label, values in known.items():
        if values is None:
            rows.pop(label, None)
        elif edges[0] <= label <= edges[1]:
            rows[label] = (*values, rows[label][-1] if label in rows else 0.0)
    columns = list(zip(*(rows[label] for label in sorted(rows)), strict=True)) or [()] * len(names)
    return Bars.of({"label": sorted(rows), **dict(zip(names, columns, strict=True))})


def _differences(
    before: Mapping[tuple[int, str], Signal], after: Mapping[tuple[int, str], Signal]
) -> Iterator[dict[str, Any]]:
    """Every signal that is gone, new or moved, in time order."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None and _order(old) == _order(new):
            continue
        either = old or new
        assert either is not None
        yield {
            "side": either.side,
            "signal_effect": "moved" if old and new else "gone" if old else "new",
            **{f"old_{name}": getattr(old, name, None) for name in LEVELS},
            **{f"new_{name}": getattr(new, name, None) for name in LEVELS},
            "trigger_at": either.trigger_at * MICROSECONDS,
        }


def _order(signal: Signal) -> tuple[Any, ...]:
    return (*(getattr(signal, name) for name in LEVELS), signal.reason, signal.inside_at)


LEVELS = ("entry_price", "stop_price", "take_profit_price")
_TEXTS = ["strategy_key", "impl_version", "rules_hash", "symbol", "feed", "revised_by", "revision_outcome", "side"]
SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in (*_TEXTS, "signal_effect")]
    + [pa.field(f"{age}_{name}", pa.float64()) for age in ("old", "new") for name in LEVELS]
    + [pa.field("revised_bar_count", pa.int64())]
    + [pa.field(name, UTC) for name in ("first_bar_at", "last_bar_at", "trigger_at", "revised_at")]
)
