"""Run the bar line: a partition is a provider's symbol in a month; months that follow each other are fetched at once.

A partition is due when it was never complete, when days were asked for that it does not hold, or when its provider's
settings changed. It is then fetched whole: what it held and what is asked for now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from extract.bars.actions import Action, TellsActions
from extract.bars.config import BarSource, bar_source
from extract.bars.days import Span, day_of, joined, session_spans, settled_span
from extract.bars.files import Files
from extract.bars.provider import Bar, BarProvider, BarProviderError
from extract.bars.symbols import canonical
from extract.bars.tables import BAR_TABLES, REQUESTS, action_table, bar_table
from extract.bars.zones import check_zone
from extract.config import Config
from extract.engine import open_engine
from extract.errors import RequestError
from extract.integrity import prepare
from extract.lake import Lake
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, fingerprint, now
from extract.tools import Tools
from extract.where import HERE, Where
from extract.work import Fetched, Job, Outcome, Report, Step, Tell, run_jobs

SOURCE, GROUP, TIMEFRAME = "bars", "m5", "M5"
CODE_VERSION = 2  # raise it when the same answer would land other rows
DAYS_PER_JOB = 580  # below EODHD's 600 for one call


@dataclass(frozen=True)
class BarRequest:
    """What was asked for, in New York dates: `first` None is a file's first, `last` None the newest that is over."""

    symbols: tuple[str, ...]
    first: date | None = None
    last: date | None = None
    provider: str | None = None
    resume: bool = True
    workers: int = 2
    where: Where = HERE


@dataclass(frozen=True)
class PlannedMonth:
    """A partition of the plan: its span, and why it is due (empty: it is complete)."""

    partition: Partition
    span: Span
    row: LedgerRow | None
    why: str
    files: tuple[str, ...] = ()  # names of the files it is read from


@dataclass(frozen=True)
class Plan:
    """What is due, and the symbols of which nothing can be had, with the reason."""

    months: list[PlannedMonth]
    refused: dict[str, str]


class NoBars(BarProviderError):
    """A provider had not one bar for a symbol in all the days asked for."""


async def extract_bars(config: Config, request: BarRequest, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it. Raises what no partition is to blame for (storage, configuration, request)."""
    source, outcome = bar_source(config, request.provider), Outcome()
    if source.kind == "files" and request.where.is_cluster:
        raise RequestError(f"bar provider {source.name} is files of this machine: leave out --engine and --scheduler")
    async with Tools(config) as tools:
        with tools.lake.lock():
            prepare(tools.lake, BAR_TABLES)
            provider = await _provider(tools, source.name)
            planned = _plan(config, request, source, provider, tools.lake, run_id)
            for symbol, reason in planned.refused.items():
                outcome.failed += 1
                outcome.errors.append(f"{source.name}/{symbol}: {reason}")
                report(Step("failed", symbol, message=reason))
            outcome.skipped = sum(month.row is None for month in planned.months)
            jobs = [_job(months, source.name) for months in _jobs(planned.months)]
            report(Step("planned", source.name, total=len(jobs), message=f"{outcome.skipped} partitions are complete"))
            needs = [partial(bar_source, name=source.name)]
            async with open_engine(config, request.where, request.workers, tools, report, needs) as engine:
                await run_jobs(engine, SOURCE, jobs, outcome, report)
    return outcome


async def _provider(tools: Tools, name: str) -> BarProvider:
    """A provider's client, kept open."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[BarProvider]:
        provider = bar_source(tools.config, name).open()
        try:
            yield provider
        finally:
            await provider.close()

    return await tools.keep(("bars", name), opened)


async def plan_bars(config: Config, request: BarRequest) -> Plan:
    """What a run would do, without asking the provider for bars or landing anything."""
    source = bar_source(config, request.provider)
    provider = source.open()
    try:
        return _plan(config, request, source, provider, Lake.of(config), "plan")
    finally:
        await provider.close()


def _plan(
    config: Config, request: BarRequest, source: BarSource, provider: BarProvider, lake: Lake, run_id: str
) -> Plan:
    """A symbol whose file cannot be read is named and left out; the others go on. With only one it is the error."""
    ledger, held, spans, moment = Ledger.read(lake), _held(lake), session_spans(config.seeds), now()
    sessions = _seconds(spans)
    closes = {day: close for day, (_, close) in spans.items()}
    planned, refused, symbols = list[PlannedMonth](), dict[str, str](), _symbols(request)
    for symbol in symbols:
        try:
            if isinstance(provider, Files):
                check_zone(provider, symbol, sessions)
            first, last = _days(provider, symbol, request)
            span = settled_span(closes, first, last, moment, source.settle_minutes)
            for name, part in span.months():
                partition = Partition(SOURCE, GROUP, f"{source.name}/{symbol}", name)
                before = held.get(partition.partition_id)
                whole = part.hull(before) if before else part
                facts = source.facts() | _content(provider, symbol, whole)
                month = _month(partition, whole, facts, ledger, request, run_id)
                planned.append(replace(month, files=_files(provider, symbol)))
        except BarProviderError as error:
            if len(symbols) == 1:
                raise
            refused[symbol] = str(error)
    return Plan(planned, refused)


def _files(provider: BarProvider, symbol: str) -> tuple[str, ...]:
    return tuple(path.name for path in provider.files(symbol)) if isinstance(provider, Files) else ()


def _seconds(spans: Mapping[date, tuple[datetime, datetime]]) -> tuple[Any, Any]:
    edges = np.array([[int(edge.timestamp()) for edge in pair] for pair in spans.values()], np.int64)
    return edges[:, 0], edges[:, 1]


def _month(
    partition: Partition, span: Span, facts: Mapping[str, Any], ledger: Ledger, request: BarRequest, run_id: str
) -> PlannedMonth:
    wanted = fingerprint({"version": CODE_VERSION, **facts, "from": span.first, "to": span.last})
    if request.resume and ledger.complete_row(partition, wanted) is not None:
        return PlannedMonth(partition, span, None, "")
    state, moment = ledger.state(partition), now()
    row = LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint=wanted,
        run_id=run_id,
        started_at=moment,
        finished_at=moment,
        attempts=ledger.next_attempt(partition),
        provider=partition.key.split("/")[0],
    )
    if state is None:
        why = "new"
    elif state.is_failing:
        why = f"failed {state.attempts} times"
    else:
        why = "more days or other settings" if request.resume else "asked again"
    return PlannedMonth(partition, span, row, why)


def _held(lake: Lake) -> dict[str, Span]:
    """The days that each complete partition holds: of its newest committed load."""
    rows = lake.read_committed("bar_requests", REQUESTS).to_pylist()
    return {row["partition_id"]: Span(row["from_date"], row["to_date"]) for row in rows}


def _symbols(request: BarRequest) -> list[str]:
    symbols = list(dict.fromkeys(canonical(symbol) for symbol in request.symbols if symbol.strip()))
    if not symbols:
        raise RequestError("name symbols, e.g. --symbol HOOD or --symbol BRK.B")
    return symbols


def _days(provider: BarProvider, symbol: str, request: BarRequest) -> tuple[date, date | None]:
    """First and last day asked for; a file begins and ends by itself."""
    if isinstance(provider, Files):
        start, end = provider.reach(symbol)
        return request.first or day_of(start), request.last or day_of(end - 1)
    if request.first is None:
        raise RequestError(f"bar provider {provider.name} has years of bars: say where to begin: --from 2025-05-12")
    return request.first, request.last


def _content(provider: BarProvider, symbol: str, span: Span) -> dict[str, Any]:
    """What a partition's rows are, where that is known beforehand: a file may have been edited or made longer."""
    if not isinstance(provider, Files):
        return {}
    (first, last), (start, end) = span.seconds, provider.reach(symbol)
    return {"content": provider.content(symbol, first, last), "reach": (max(first, start), min(last, end))}


def _jobs(planned: Sequence[PlannedMonth]) -> list[list[PlannedMonth]]:
    """Due months of one symbol that follow each other, to be fetched by one call and landed together."""
    jobs = []
    for key in dict.fromkeys(month.partition.key for month in planned):
        due = {m.partition.window: m for m in planned if m.partition.key == key and m.row is not None}
        runs = joined([(name, month.span) for name, month in due.items()], DAYS_PER_JOB)
        jobs += [[due[name] for name, _ in run] for run in runs]
    return jobs


@dataclass(frozen=True)
class Months:
    """Months of one symbol that follow each other, fetched by one call."""

    source: str
    months: tuple[PlannedMonth, ...]

    async def fetch(self, tools: Tools, tell: Tell) -> Fetched:
        provider = await _provider(tools, self.source)
        return await _fetch(self.months, provider, bar_source(tools.config, self.source), tell)


def _job(months: Sequence[PlannedMonth], source: str) -> Job:
    async def make() -> Months:
        return Months(source, tuple(months))

    return Job(_name(months), [month.row for month in months if month.row is not None], make)


def _name(job: Sequence[PlannedMonth]) -> str:
    first, last = job[0].partition, job[-1].partition
    return f"{first.key} {first.window}" + (f"..{last.window}" if last != first else "")


async def _fetch(job: Sequence[PlannedMonth], provider: BarProvider, source: BarSource, tell: Tell) -> Fetched:
    rows = [month.row for month in job if month.row is not None]
    symbol = job[0].partition.key.split("/")[1]
    span = Span(job[0].span.first, job[-1].span.last)
    answer = await provider.fetch([symbol], TIMEFRAME, *span.seconds)
    bars = answer.bars.get(symbol, ())
    if not bars:
        raise NoBars(
            f"bar provider {source.name} has no bar of {symbol} from {span.first} to {span.last}: "
            "check the symbol and the days"
        )
    if any(bar.symbol != symbol for bar in bars):
        raise BarProviderError(f"bar provider {source.name} answered for another symbol than {symbol}")
    _tell_conflicts(symbol, bars, tell)
    actions, status = await _actions(provider, symbol, span, tell)
    reach = provider.reach(symbol) if isinstance(provider, Files) else None
    by_month: dict[str, list[Bar]] = {month.partition.window: [] for month in job}
    for bar in bars:
        by_month[f"{day_of(bar.ts):%Y-%m}"].append(bar)
    parts = [_landed(month, by_month[month.partition.window], actions, status, source, symbol, reach) for month in job]
    filled = [
        replace(
            row,
            finished_at=now(),
            rows=part["bars"].num_rows,
            bytes=part["bars"].nbytes,
            calls=0 if i else answer.calls,
        )
        for i, (row, part) in enumerate(zip(rows, parts, strict=True))
    ]
    return {name: pa.concat_tables([part[name] for part in parts]) for name in BAR_TABLES}, filled


def _tell_conflicts(symbol: str, bars: Sequence[Bar], tell: Tell) -> None:
    """A bar that came twice with other values: the newest stands, and it is said."""
    seen: dict[int, Bar] = {}
    wrong = list[Bar]()
    for bar in bars:
        other = seen.setdefault(bar.ts, bar)
        if any(getattr(other, name) != getattr(bar, name) for name in ("open", "high", "low", "close", "volume")):
            wrong.append(bar)
    if wrong:
        tell(
            symbol,
            f"{len(wrong)} bars came more than once with different values (conflict), first at {wrong[0].raw_time}; "
            "the last one stands: see bar_coverage.conflict_count",
        )


async def _actions(provider: BarProvider, symbol: str, span: Span, tell: Tell) -> tuple[list[Action], str]:
    """Corporate actions of the days, and whether they could be had: bars without them still land, and it is said."""
    if not isinstance(provider, TellsActions):
        return [], "unsupported"
    try:
        return await provider.actions([symbol], span.first, span.last), "complete"
    except BarProviderError as error:
        tell(symbol, f"no corporate actions: {error}. A jump like a split will be refused as unadjusted_split")
        return [], "refused"


def _landed(
    month: PlannedMonth,
    bars: Sequence[Bar],
    actions: Sequence[Action],
    actions_status: str,
    source: BarSource,
    symbol: str,
    reach: tuple[int, int] | None,
) -> dict[str, pa.Table]:
    """The rows of one partition: bars, the request, and the actions of its days."""
    moment = now()
    key = {
        "partition_id": month.partition.partition_id,
        "provider": source.name,
        "feed": source.feed,
        "symbol": symbol,
        "timeframe": TIMEFRAME,
    }
    request = {
        **key,
        "from_date": month.span.first,
        "to_date": month.span.last,
        "reach_from": datetime.fromtimestamp(reach[0], UTC) if reach else None,
        "reach_until": datetime.fromtimestamp(reach[1], UTC) if reach else None,
        "row_count": len(bars),
        "actions_status": actions_status,
        "fetched_at": moment,
    }
    mine = [action for action in actions if month.span.first <= action.ex_date <= month.span.last]
    return {
        "bars": bar_table(key, bars, moment),
        "bar_requests": pa.Table.from_pylist([request], schema=REQUESTS),
        "bar_actions": action_table(key, mine, moment),
    }
