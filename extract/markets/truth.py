"""Fetch how markets ended, by id, in batches that land on their own; what cannot be told yet lands as undetermined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import pyarrow as pa

from extract.config import Config
from extract.evm.pace import Clock
from extract.land import Lake
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, failed, fingerprint, now
from extract.markets.client import PolymarketClient, batches
from extract.markets.config import load_polymarket
from extract.markets.normalize import Row
from extract.markets.package import SOURCE, commit
from extract.markets.resolve import UNDETERMINED, classify
from extract.markets.rows import clocks
from extract.markets.tables import POLYMARKET_TABLES, RESOLUTIONS
from extract.web import WebError
from extract.work import Report, Step

CODE_VERSION = 1
_BATCHES_PER_PACKAGE = 20  # a package costs about a quarter of a second whatever it holds


@dataclass
class ResolutionFetch:
    """Answers by market, counts by status, and what failed in words."""

    rows: pa.Table = field(default_factory=RESOLUTIONS.empty_table)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    requests: int = 0


async def fetch_resolutions(
    config: Config,
    market_ids: Iterable[str],
    run_id: str,
    report: Report,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> ResolutionFetch:
    """Ask how `market_ids` ended and land the answers; a batch that fails is recorded and the others go on.

    Asking the same ids again on the same day of the source lands over the earlier answers, not beside them.
    """
    wanted, lake = load_polymarket(config.section("polymarket")), Lake.of(config)
    made = ResolutionFetch()
    parts = batches(market_ids, wanted.ids_per_request)
    ledger = Ledger.read(lake)
    async with PolymarketClient.open(wanted, clock) as client:
        for start in range(0, len(parts), _BATCHES_PER_PACKAGE):
            tables, rows = list[pa.Table](), list[LedgerRow]()
            for ids in parts[start : start + _BATCHES_PER_PACKAGE]:
                before = client.requests
                table, row = await _batch(client, ledger, ids, run_id)
                rows.append(row if row.error_class else _counted(row, table, client.requests - before))
                tables.append(table)
                if row.error_message:
                    made.problems.append(f"{len(ids)} markets: {row.error_message}")
                kind = "failed" if row.error_class else "done"
                unit = f"resolutions {len(tables) + start} of {len(parts)}"
                report(Step(kind, unit, len(parts), len(tables) + start, table.num_rows, row.error_message or ""))
            landed = pa.concat_tables(tables)
            if not dry_run:
                await commit(lake, {"polymarket_resolutions": landed}, rows, wanted.lock_wait_seconds)
            made.rows = pa.concat_tables([made.rows, landed])
        made.requests = client.requests
    made.counts.update(made.rows.column("status").to_pylist())
    return made


async def _batch(
    client: PolymarketClient, ledger: Ledger, ids: Sequence[str], run_id: str
) -> tuple[pa.Table, LedgerRow]:
    """Rows of one batch with their ledger row, or none with a failed one."""
    started, found = now(), dict[str, Row]()
    try:
        async for name, answer, record in client.markets_by_id(ids):
            body = msgspec.json.encode(record).decode()
            found[name] = {**classify(record), "market_id": name, "body": body, **clocks(answer)}
    except WebError as error:
        partition = _partition(ids, started)
        row = _row(partition, ledger, run_id, started)
        return RESOLUTIONS.empty_table(), failed(row, error, str(error))
    observed = max((row["observed_at"] for row in found.values()), default=started)
    partition = _partition(ids, observed)
    rows = [found.get(name) or _unknown(name, observed) for name in ids]
    stamped = [{**row, "partition_id": partition.partition_id} for row in rows]
    return pa.Table.from_pylist(stamped, schema=RESOLUTIONS), _row(partition, ledger, run_id, started)


def _partition(ids: Sequence[str], observed: datetime) -> Partition:
    key = f"{ids[0]}..{ids[-1]}-{fingerprint({'ids': list(ids)})[:8]}"
    return Partition(SOURCE, "resolutions", key, f"{observed:%Y-%m-%d}")


def replaced_by_newer(partition: Partition, run_id: str) -> LedgerRow:
    """A ledger row that completes a damaged batch with no rows: its markets' answers stand in newer batches."""
    moment = now()
    return LedgerRow(partition, COMPLETE, fingerprint({"version": CODE_VERSION}), run_id, moment, moment)


def _row(partition: Partition, ledger: Ledger, run_id: str, started: datetime) -> LedgerRow:
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


def _counted(row: LedgerRow, table: pa.Table, calls: int) -> LedgerRow:
    return replace(row, finished_at=now(), rows=table.num_rows, bytes=table.nbytes, calls=calls)


def _unknown(market_id: str, observed: datetime) -> Row:
    """A market that the source does not know (any more)."""
    row = classify({}) | {"market_id": market_id, "reason": "not_found", "body": ""}
    return row | {"observed_at": observed, "fetched_at": now()}


def pending_markets(config: Config) -> list[str]:
    """Markets whose snapshot landed and whose end is not known yet, without those that ended too long ago
    (`resolve_for_days` before the newest observation in the lake: the wall clock has no say).
    """
    wanted, lake = load_polymarket(config.section("polymarket")), Lake.of(config)
    complete = {name for name, state in Ledger.read(lake).states.items() if state.complete}
    snapshots = _columns(lake, "polymarket_markets", "partition_id", "market_id", "end_at", "observed_at")
    answers = _columns(lake, "polymarket_resolutions", "market_id", "status", "observed_at")
    newest = max((row["observed_at"] for row in [*snapshots, *answers]), default=None)
    if newest is None:
        return []
    oldest = newest - timedelta(days=wanted.resolve_for_days)
    final = {row["market_id"] for row in answers if row["status"] != UNDETERMINED}
    due = {r["market_id"] for r in snapshots if r["partition_id"] in complete and r["end_at"] >= oldest}
    return sorted(due - final, key=lambda name: (len(name), name))


def _columns(lake: Lake, table: str, *names: str) -> list[Row]:
    schema = pa.schema([POLYMARKET_TABLES[table].field(name) for name in names])
    rows: list[Row] = lake.read_committed(table, schema).to_pylist()
    return rows
