"""One day of the Polymarket line: the markets that close on run_date + N, as one snapshot that lands whole.

A day that is complete is never fetched again, because the source only answers about now: a rerun reads back what
landed, and experiments see the same snapshot. A listing that broke off lands for the record under a failed ledger
row, is handed on as incomplete, and is fetched anew by the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from extract.config import Config
from extract.errors import RequestError
from extract.evm.pace import Clock
from extract.lake import Lake
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, failed, fingerprint, now
from extract.markets import research
from extract.markets.choose import TargetDay
from extract.markets.client import PagingError, PolymarketClient
from extract.markets.config import Polymarket, load_polymarket
from extract.markets.fields import Malformed
from extract.markets.normalize import Row
from extract.markets.package import SOURCE, commit
from extract.markets.quotes import history_points, no_book, read_book
from extract.markets.rows import DayRows, clocks, day_key, in_partition, merged
from extract.markets.tables import BOOKS, MARKETS, POLYMARKET_TABLES, PRICE_HISTORY
from extract.markets.tables import DOCUMENTS as NEWS
from extract.web import WebError
from extract.work import Report, Step

CODE_VERSION = 2
PRICES, BOOK, DOCUMENTS = "price_history", "books", "documents"  # what an experiment may ask for besides the listing
_PROVIDERS = {"markets": "gamma", DOCUMENTS: "gdelt"}
_LISTINGS = 2  # tries at a listing whose cursor does not advance: that may pass


@dataclass(frozen=True)
class DayIngest:
    """A day's snapshot. `problems` says in words what is missing; `is_complete` is about the list of markets."""

    day: TargetDay
    markets: pa.Table
    refusals: pa.Table
    price_history: pa.Table
    books: pa.Table
    documents: pa.Table
    is_complete: bool = True
    is_reused: bool = False
    problems: tuple[str, ...] = ()
    requests: int = 0
    dropped_points: int = 0


@dataclass
class _Run:
    """What one call of ingest_day knows and gathers for its load package."""

    client: PolymarketClient
    config: Polymarket
    lake: Lake
    ledger: Ledger
    day: TargetDay
    run_id: str
    report: Report
    refetch: bool = False
    dropped_points: int = 0
    tables: list[dict[str, pa.Table]] = field(default_factory=list)
    rows: list[LedgerRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def partition(self, group: str) -> Partition:
        return Partition(SOURCE, group, self.day.run_date.isoformat(), f"{self.day.window_days}d")

    def started(self, group: str) -> LedgerRow:
        moment, partition = now(), self.partition(group)
        return LedgerRow(
            partition=partition,
            status=COMPLETE,
            fingerprint=fingerprint({"version": CODE_VERSION, **self.config.selection()}),
            run_id=self.run_id,
            started_at=moment,
            finished_at=moment,
            attempts=self.ledger.next_attempt(partition),
            provider=_PROVIDERS.get(group, "clob"),
        )

    def landed(self, group: str, table: str) -> pa.Table | None:
        """Rows of a partition that is complete, or None; None too for whoever wants it anew."""
        if self.refetch:
            return None
        partition = self.partition(group)
        state = self.ledger.state(partition)
        if state is None or state.complete is None:
            return None
        rows = self.lake.read_load(table, state.complete["load_id"], POLYMARKET_TABLES[table])
        return in_partition(rows, partition.partition_id)

    def gather(self, row: LedgerRow, tables: dict[str, pa.Table], calls: int, problem: BaseException | None) -> None:
        """Take rows into the package; under a failed ledger row they are kept for the record and read by nobody."""
        filled = replace(
            row,
            finished_at=now(),
            calls=calls,
            rows=sum(table.num_rows for table in tables.values()),
            bytes=sum(table.nbytes for table in tables.values()),
        )
        self.tables.append(tables)
        self.rows.append(filled if problem is None else failed(filled, problem, str(problem)))
        if problem is not None:
            self.problems.append(f"{row.partition.table_group}: {problem}")
        kind = "done" if problem is None else "failed"
        self.report(Step(kind, row.partition.partition_id, rows=filled.rows, message=str(problem or "")))


async def ingest_day(
    config: Config,
    run_date: date,
    window_days: int,
    run_id: str,
    report: Report,
    *,
    wants: frozenset[str] = frozenset(),
    dry_run: bool = False,
    refetch: bool = False,
    clock: Clock | None = None,
) -> DayIngest:
    """The snapshot of the markets that close on run_date + window_days; lands it, or reads it back if it landed.

    `wants`: PRICES and BOOK, for every market of the day; DOCUMENTS, for the most liquid ones. `dry_run` fetches and
    lands nothing. `refetch` takes a new snapshot, of now, in the place of one that landed.
    Errors: WebError when not even the first page came (recorded as failed), Busy, StorageError, ConfigError.
    """
    if window_days < 0:
        raise RequestError(f"--window-days {window_days}: it must not be negative")
    wanted = load_polymarket(config.section("polymarket"))
    lake = Lake.of(config)
    async with PolymarketClient.open(wanted, clock) as client:
        day = TargetDay(run_date, window_days)
        run = _Run(client, wanted, lake, Ledger.read(lake), day, run_id, report, refetch)
        try:
            made = await _ingest(run, wants)
        finally:
            if run.rows and not dry_run:
                await commit(lake, merged(run.tables), run.rows, wanted.lock_wait_seconds)
        return replace(made, problems=tuple(run.problems), requests=client.requests, dropped_points=run.dropped_points)


async def _ingest(run: _Run, wants: frozenset[str]) -> DayIngest:
    markets, is_complete = run.landed("markets", "polymarket_markets"), True
    is_reused = markets is not None
    if markets is None:
        tables, is_complete = await _fetch_markets(run)
        markets, refusals = tables["polymarket_markets"], tables["polymarket_refusals"]
    else:
        refusals = run.landed("markets", "polymarket_refusals")
    return DayIngest(
        day=run.day,
        markets=markets,
        refusals=refusals,
        price_history=await _history(run, markets, PRICES in wants, is_complete),
        books=await _books(run, markets, BOOK in wants, is_complete),
        documents=await _documents(run, markets, DOCUMENTS in wants, is_complete),
        is_complete=is_complete,
        is_reused=is_reused,
    )


async def _fetch_markets(run: _Run) -> tuple[dict[str, pa.Table], bool]:
    row, before = run.started("markets"), run.client.requests
    best: DayRows | None = None
    problem: WebError | None = None
    for _ in range(_LISTINGS):
        found, problem = await _list(run, row.partition.partition_id)
        if best is None or problem is None or len(found.pages) > len(best.pages):
            best = found
        if not isinstance(problem, PagingError):
            break
    if best is not None and problem is None and best.ends_empty:
        best, problem = await _confirmed(run, best)
    tables = best.tables() if best else {}
    run.gather(row, tables, run.client.requests - before, problem)
    if problem is not None and not (best and best.pages):
        raise problem
    return tables, problem is None


async def _confirmed(run: _Run, first: DayRows) -> tuple[DayRows, WebError | None]:
    """A listing that ended with an empty page, or had nothing at all, is believed only when a second one, cut into
    other pages, brings the same markets, and the source has open markets to list at all.
    """
    held = [page["record_count"] for page in first.pages if page["record_count"]]
    size = max(1, min(held, default=run.config.page_size) // 2)
    second, problem = await _list(run, first.partition_id, size)
    if problem is not None:
        return first, problem
    if second.ids > first.ids and not second.ends_empty:
        return second, None
    if second.ids != first.ids:
        words = f"{len(first.ids)} markets, then {len(second.ids)}"
        return first, WebError(
            f"Gamma's list ended with an empty page and brought {words} when cut into other pages: it is not complete. "
            "Run the same command again later"
        )
    if not first.ids and not await run.client.has_open_markets():
        return first, WebError("Gamma lists no open market on any day: an empty list is no day without markets")
    return first, None


async def _list(run: _Run, partition_id: str, page_size: int | None = None) -> tuple[DayRows, WebError | None]:
    """Every page of the day, and what broke the listing off if something did."""
    rows = DayRows(run.day, run.config, partition_id)
    filters = {
        "closed": "false",
        "end_date_min": f"{run.day.start_at:%Y-%m-%dT%H:%M:%SZ}",
        "end_date_max": f"{run.day.end_at:%Y-%m-%dT%H:%M:%SZ}",  # the last moment itself is cut off here, locally
    }
    try:
        async for page in run.client.pages(filters, page_size):
            rows.add(page)
            run.report(Step("page", f"{partition_id} page {page.number}", rows=len(page.records)))
    except WebError as error:
        return rows, error
    return rows, None


async def _history(run: _Run, markets: pa.Table, is_wanted: bool, is_whole: bool) -> pa.Table:
    """History of every market up to its own snapshot; a day that landed without it may still get it."""
    landed = run.landed(PRICES, "polymarket_price_history")
    if landed is not None or not is_wanted or not markets.num_rows:
        return PRICE_HISTORY.empty_table() if landed is None else landed
    minutes = run.config.history_fidelity_minutes
    row = run.started(PRICES)
    key = day_key(run.day, row.partition.partition_id) | {"fidelity_minutes": minutes}

    async def of_market(market: Row) -> list[Row]:
        until: datetime = market["observed_at"]
        since = until - timedelta(days=run.config.history_days)
        answers = await run.client.price_history(market["token_id"], since, until, minutes)
        points, dropped = history_points([answer.value for answer in answers], until)
        run.dropped_points += dropped
        about = key | clocks(answers[-1]) | {name: market[name] for name in ("market_id", "token_id")}
        return [{**about, "price_at": moment, "price": price} for moment, price in points]

    return await _each(run, row, markets, of_market, "polymarket_price_history", is_whole)


async def _books(run: _Run, markets: pa.Table, is_wanted: bool, is_whole: bool) -> pa.Table:
    """Books of every market, only right after the listing: a book of tomorrow is no part of today's snapshot."""
    landed = run.landed(BOOK, "polymarket_books")
    if landed is not None and set(markets["market_id"].to_pylist()) - set(landed["market_id"].to_pylist()):
        landed = None  # of another listing of the day
    if landed is not None or not is_wanted or not markets.num_rows:
        return BOOKS.empty_table() if landed is None else landed
    row = run.started(BOOK)
    key = day_key(run.day, row.partition.partition_id)
    oldest = timedelta(minutes=run.config.book_max_age_minutes)

    async def of_market(market: Row) -> list[Row]:
        answer = await run.client.book(market["token_id"])
        if answer is not None and answer.observed_at - market["observed_at"] > oldest:
            raise WebError("the snapshot is too old for a book to belong to it")
        stamp = clocks(answer) if answer else {"observed_at": market["observed_at"], "fetched_at": now()}
        about = key | stamp | {name: market[name] for name in ("market_id", "token_id")}
        return [about | (read_book(answer.value) if answer else no_book())]

    return await _each(run, row, markets, of_market, "polymarket_books", is_whole)


async def _documents(run: _Run, markets: pa.Table, is_wanted: bool, is_whole: bool) -> pa.Table:
    """What the news said about the most liquid markets, found right after the listing, once for every experiment."""
    landed = run.landed(DOCUMENTS, "polymarket_documents")
    if landed is not None or not is_wanted or not markets.num_rows:
        return NEWS.empty_table() if landed is None else landed
    row, config = run.started(DOCUMENTS), run.config
    key = day_key(run.day, row.partition.partition_id)
    oldest = timedelta(minutes=config.news_max_age_minutes)

    async def of_market(market: Row) -> list[Row]:
        until: datetime = market["observed_at"]
        query = research.query_of(market["question"], until, config.news_days, config.news_per_market)
        if query is None:
            return []
        answer = await run.client.articles(query)
        if answer.observed_at - until > oldest:
            raise WebError("the snapshot is too old for research to belong to it")
        about = key | clocks(answer) | {"market_id": market["market_id"], "query": query["query"]}
        return [about | found for found in research.document_rows(answer.value, config.news_per_market)]

    ranked = sorted(range(markets.num_rows), key=lambda n: (-(markets["liquidity_usd"][n].as_py() or 0), n))
    chosen = markets.take(sorted(ranked[: config.news_max_markets]))
    return await _each(run, row, chosen, of_market, "polymarket_documents", is_whole)


async def _each(
    run: _Run,
    row: LedgerRow,
    markets: pa.Table,
    fetch: Callable[[Row], Coroutine[Any, Any, list[Row]]],
    table: str,
    is_whole: bool,
) -> pa.Table:
    """`fetch` for every market at once (the client holds the pace); one that fails is counted, others stay.

    What belongs to a listing that is not whole is never complete: the next run asks for all of it again.
    """
    before, errors = run.client.requests, list[BaseException]()
    done: dict[str, list[Row]] = {}

    async def attempt(market: Row) -> None:
        try:
            done[market["market_id"]] = await fetch(market)
        except (WebError, Malformed) as error:
            errors.append(error)

    asked = markets_with_tokens(markets)
    async with asyncio.TaskGroup() as group:
        for market in asked:
            group.create_task(attempt(market))
    rows = [found for market in asked for found in done.get(market["market_id"], [])]
    made = pa.Table.from_pylist(rows, schema=POLYMARKET_TABLES[table])
    problem = WebError(f"{len(errors)} of {len(asked)} markets failed, e.g. {errors[0]}") if errors else None
    if problem is None and not is_whole:
        problem = WebError("the listing is not whole, so neither is this")
    run.gather(row, {table: made}, run.client.requests - before, problem)
    return made


def markets_with_tokens(markets: pa.Table) -> Sequence[Row]:
    """market_id, question, observed_at and the token of the first outcome."""
    names = ["market_id", "question", "token_ids", "observed_at"]
    columns = markets.select(names).cast(pa.schema([MARKETS.field(name) for name in names]))
    return [{**row, "token_id": row["token_ids"][0]} for row in columns.to_pylist()]
