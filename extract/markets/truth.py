"""Fetch how markets ended, by id, in batches that land on their own; what cannot be told yet lands as undetermined."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

import pyarrow as pa

from extract.config import Config
from extract.evm.pace import Clock
from extract.lake import Lake
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, failed, fingerprint, now
from extract.markets.client import PolymarketClient, batches
from extract.markets.config import load_polymarket
from extract.markets.normalize import Row
from extract.markets.package import SOURCE, commit
from extract.markets.resolve import REFUSED, RESOLVED, VOID, Asked, classify, unknown, wants_the_clob, with_the_clob
from extract.markets.rows import clocks
from extract.markets.tables import POLYMARKET_TABLES, RESOLUTIONS
from extract.web import WebError
from extract.work import Report, Step

CODE_VERSION = 2
_BATCHES_PER_PACKAGE = 20  # a package costs about a quarter of a second whatever it holds


@dataclass
class ResolutionFetch:
    """Answers by market, counts by status, and what failed in words."""

    rows: pa.Table = field(default_factory=RESOLUTIONS.empty_table)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    requests: int = 0


@dataclass
class _Batch:
    """What one batch came to: rows that land, ledger rows for what answered and for what did not, problems in words."""

    table: pa.Table
    ledger_rows: list[LedgerRow]
    problems: list[str]


async def fetch_resolutions(
    config: Config,
    asked: Iterable[Asked],
    run_id: str,
    report: Report,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> ResolutionFetch:
    """Ask how markets ended and land the answers; what fails is recorded, by id where it can be, and the rest goes on.

    Every answer stays: asking again lands beside the earlier ones, so that a result that changes is seen to change.
    """
    wanted, lake = load_polymarket(config.section("polymarket")), Lake.of(config)
    made, by_id = ResolutionFetch(), {each.market_id: each for each in asked}
    parts = batches(by_id, wanted.ids_per_request)
    ledger = Ledger.read(lake)
    async with PolymarketClient.open(wanted, clock) as client:
        for start in range(0, len(parts), _BATCHES_PER_PACKAGE):
            tables, rows = list[pa.Table](), list[LedgerRow]()
            for ids in parts[start : start + _BATCHES_PER_PACKAGE]:
                batch = await _batch(client, ledger, [by_id[name] for name in ids], run_id)
                rows += batch.ledger_rows
                tables.append(batch.table)
                made.problems += batch.problems
                unit = f"resolutions {len(tables) + start} of {len(parts)}"
                kind = "failed" if batch.problems else "done"
                words = "; ".join(batch.problems)
                report(Step(kind, unit, len(parts), len(tables) + start, batch.table.num_rows, words))
            landed = pa.concat_tables(tables)
            rows = list({row.partition: row for row in rows}.values())  # the source as a whole is in every batch
            if not dry_run:
                await commit(lake, {"polymarket_resolutions": landed}, rows, wanted.lock_wait_seconds)
            made.rows = pa.concat_tables([made.rows, landed])
        made.requests = client.requests
    made.counts.update(made.rows.column("status").to_pylist())
    return made


async def _batch(client: PolymarketClient, ledger: Ledger, asked: Sequence[Asked], run_id: str) -> _Batch:
    """Rows of one batch with their ledger row; a failed one for ids that did not answer."""
    started, before, by_id = now(), client.requests, {each.market_id: each for each in asked}
    try:
        answers = await client.markets_by_id(list(by_id))
    except WebError as error:
        row = _ledger_row(_unanswered("the source"), ledger, run_id, started)
        return _Batch(RESOLUTIONS.empty_table(), [failed(row, error, str(error))], [f"{len(asked)} markets: {error}"])
    found: dict[str, Row] = {}
    for name, (answer, record) in answers.found.items():
        # a record may hold what msgspec does not write (half a character): escapes keep it as it came
        found[name] = {**classify(record, by_id[name]), "body": json.dumps(record), **clocks(answer)}
    problems = await _ask_the_clob(client, found, by_id)
    observed = max((row["observed_at"] for row in found.values()), default=started)
    told = [name for name in by_id if name not in answers.failed]
    batch = _Batch(RESOLUTIONS.empty_table(), [], problems)
    if told:
        partition = _partition(told, observed)
        rows = [found.get(name) or _not_found(by_id[name], observed) for name in told]
        stamp = {"partition_id": partition.partition_id}
        stamped = [{**row, **stamp, "market_id": name} for name, row in zip(told, rows, strict=True)]
        batch.table = pa.Table.from_pylist(stamped, schema=RESOLUTIONS)
        made = _ledger_row(partition, ledger, run_id, started)
        calls = client.requests - before
        batch.ledger_rows.append(replace(made, rows=len(rows), bytes=batch.table.nbytes, calls=calls))
        for partition in map(_unanswered, ("the source", *told)):
            state = ledger.states.get(partition.partition_id)
            if state is not None and state.is_failing:
                batch.ledger_rows.append(replaced_by_newer(partition, run_id))
    if answers.failed:
        [example, *_] = answers.failed.values()
        names = sorted(answers.failed)
        batch.problems.append(f"{len(names)} markets ({', '.join(names[:5])}): {example}")
        for name, trouble in answers.failed.items():
            row = _ledger_row(_unanswered(name), ledger, run_id, started)
            batch.ledger_rows.append(failed(row, trouble, str(trouble)))
    return batch


async def _ask_the_clob(client: PolymarketClient, found: dict[str, Row], by_id: dict[str, Asked]) -> list[str]:
    """Decide rows that lack nothing but a statement by the CLOB's; problems in words (the rows then stay open)."""
    problems: list[str] = []

    async def ask(name: str) -> None:
        asked = by_id[name]
        try:
            answer = await client.clob_market(str(asked.condition_id or found[name]["condition_id"]))
        except WebError as error:
            problems.append(f"market {name} at the CLOB: {error}")
            return
        if answer is not None:
            found[name] = with_the_clob(found[name], answer.value, asked)

    await asyncio.gather(*(ask(name) for name, row in found.items() if wants_the_clob(row)))
    return problems


def _partition(ids: Sequence[str], observed: datetime) -> Partition:
    key = f"{ids[0]}..{ids[-1]}-{fingerprint({'ids': list(ids)})[:8]}"
    return Partition(SOURCE, "resolutions", key, f"{observed:%Y-%m-%dT%H%M%S}")


def replaced_by_newer(partition: Partition, run_id: str) -> LedgerRow:
    """A ledger row that completes a damaged or unanswered partition with no rows: answers stand in newer ones."""
    moment = now()
    return LedgerRow(partition, COMPLETE, fingerprint({"version": CODE_VERSION}), run_id, moment, moment)


def _unanswered(name: str) -> Partition:
    """What failed to answer, a market or the source as a whole: failing until it answers."""
    return Partition(SOURCE, "resolutions", name, "unanswered")


def _ledger_row(partition: Partition, ledger: Ledger, run_id: str, started: datetime) -> LedgerRow:
    return LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint=fingerprint({"version": CODE_VERSION}),
        run_id=run_id,
        started_at=started,
        finished_at=now(),
        attempts=ledger.next_attempt(partition),
        provider="gamma",
    )


def _not_found(asked: Asked, observed: datetime) -> Row:
    return unknown(asked) | {"body": "", "observed_at": observed, "fetched_at": now()}


def pending_markets(config: Config) -> list[Asked]:
    """Markets whose snapshot landed and whose end is not known yet or was seen final only lately, as their newest
    snapshot had them; without those whose scheduled end is longer ago than `resolve_for_days`.

    Both spans count back from the newest observation in the lake: the wall clock has no say.
    """
    wanted, lake = load_polymarket(config.section("polymarket")), Lake.of(config)
    complete = {name for name, state in Ledger.read(lake).states.items() if state.complete}
    names = ("partition_id", "market_id", "condition_id", "outcomes", "token_ids", "end_at", "end_date", "observed_at")
    snapshots = [row for row in _columns(lake, "polymarket_markets", *names) if row["partition_id"] in complete]
    answers = _columns(lake, "polymarket_resolutions", "market_id", "status", "observed_at")
    newest = max((row["observed_at"] for row in [*snapshots, *answers]), default=None)
    if newest is None:
        return []
    oldest, settled = newest - timedelta(days=wanted.resolve_for_days), newest - timedelta(days=wanted.recheck_for_days)
    final: dict[str, datetime] = {}  # market -> since when it has been final without a break
    for row in sorted(answers, key=lambda row: row["observed_at"]):
        if row["status"] in (RESOLVED, VOID):
            final.setdefault(row["market_id"], row["observed_at"])
        elif row["status"] != REFUSED:
            final.pop(row["market_id"], None)
    due = {row["market_id"]: row for row in sorted(snapshots, key=lambda r: r["observed_at"]) if _ends(row) >= oldest}
    asked = [_asked(row) for name, row in due.items() if name not in final or final[name] > settled]
    return sorted(asked, key=lambda each: (len(each.market_id), each.market_id))


def _ends(row: Row) -> datetime:
    """The scheduled end; the end of the day where only the day is known."""
    moment: datetime = row["end_at"] or datetime.combine(row["end_date"], time.max, UTC)
    return moment


def _asked(row: Row) -> Asked:
    return Asked(row["market_id"], row["condition_id"], tuple(row["outcomes"]), tuple(row["token_ids"]))


def _columns(lake: Lake, table: str, *names: str) -> list[Row]:
    schema = pa.schema([POLYMARKET_TABLES[table].field(name) for name in names])
    rows: list[Row] = lake.read_committed(table, schema).to_pylist()
    return rows
