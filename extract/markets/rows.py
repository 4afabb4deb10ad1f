"""Rows of the raw tables out of pages and answers: the typed tables of one day. Pure but for what it is given."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from extract.markets.choose import TargetDay, why_not
from extract.markets.client import Page
from extract.markets.config import Polymarket
from extract.markets.fields import Malformed, identity
from extract.markets.normalize import Row, normalize_records
from extract.markets.tables import MARKETS, PAGES, REFUSALS
from extract.web import WebAnswer

MALFORMED, FILTERED = "malformed", "filtered"


@dataclass
class DayRows:
    """What the pages of one listing turn into; a market that comes twice counts once, as it came first."""

    day: TargetDay
    config: Polymarket
    partition_id: str
    pages: list[Row] = field(default_factory=list)
    markets: list[Row] = field(default_factory=list)
    refusals: list[Row] = field(default_factory=list)
    ends_empty: bool = False  # whether the last page so far had no records and no cursor
    _seen: set[str] = field(default_factory=set)
    _groups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, page: Page) -> None:
        """Take in one page."""
        stamp = self._key | clocks(page.answer)
        self.pages.append(page_row(page) | stamp)
        self.ends_empty = not page.records and page.next_cursor is None
        rows, malformed = normalize_records(page.records)
        stamp |= {"page_number": page.number}
        for position, record, why in malformed:
            name = _name(record)
            words = {"market_id": name, "reason": why.reason, "field": why.field, "detail": why.detail}
            self.refusals.append({**stamp, "record_number": position, "refusal_kind": MALFORMED, **words})
        for position, row in rows:
            self._take(row, {**stamp, "record_number": position, "refusal_kind": FILTERED})

    def _take(self, row: Row, stamp: Row) -> None:
        left_out = why_not(row, self.day, self.config)
        if row["market_id"] in self._seen:
            left_out = ("duplicate", "id", "it came before, on this page or an earlier one")
        elif row["neg_risk_market_id"] and not row["is_closed"]:
            self._groups[row["neg_risk_market_id"]].append(row["price"])
        self._seen.add(row["market_id"])
        if left_out is None:
            self.markets.append({**row, **{name: stamp[name] for name in _STAMP}})
            return
        reason, about, detail = left_out
        words = {"market_id": row["market_id"], "reason": reason, "field": about, "detail": detail}
        self.refusals.append({**stamp, **words})

    @property
    def ids(self) -> set[str]:
        """Every market that came, wanted or not."""
        return set(self._seen)

    @property
    def _key(self) -> Row:
        return day_key(self.day, self.partition_id)

    def tables(self) -> dict[str, pa.Table]:
        """The three raw tables, markets in order of their ids."""
        for row in self.markets:
            prices = self._groups.get(row["neg_risk_market_id"] or "", [])
            row["neg_risk_group_count"] = len(prices) or None
            row["neg_risk_group_price_sum"] = sum(prices) if prices else None
        ordered = sorted(self.markets, key=lambda row: (len(row["market_id"]), row["market_id"]))
        return {
            "polymarket_pages": pa.Table.from_pylist(self.pages, schema=PAGES),
            "polymarket_markets": pa.Table.from_pylist(ordered, schema=MARKETS),
            "polymarket_refusals": pa.Table.from_pylist(self.refusals, schema=REFUSALS),
        }


_STAMP = ("partition_id", "run_date", "window_days", "observed_at", "fetched_at")


def day_key(day: TargetDay, partition_id: str) -> Row:
    return {"partition_id": partition_id, "run_date": day.run_date, "window_days": day.window_days}


def clocks(answer: WebAnswer) -> dict[str, datetime]:
    return {"observed_at": answer.observed_at, "fetched_at": answer.fetched_at}


def page_row(page: Page) -> Row:
    return {
        "page_number": page.number,
        "endpoint": page.endpoint,
        "query": json.dumps(page.query, sort_keys=True),
        "body": page.answer.body.decode(errors="replace"),
        "body_sha256": hashlib.sha256(page.answer.body).hexdigest(),
        "record_count": len(page.records),
        "next_cursor": page.next_cursor,
    }


def _name(record: Any) -> str | None:
    try:
        return identity(record, "id") if isinstance(record, Mapping) else None
    except Malformed:
        return None


def merged(tables: Iterable[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """Tables of several partitions as one package."""
    found: dict[str, list[pa.Table]] = defaultdict(list)
    for part in tables:
        for name, table in part.items():
            found[name].append(table)
    return {name: pa.concat_tables(parts) for name, parts in found.items()}


def in_partition(table: pa.Table, partition_id: str) -> pa.Table:
    """Rows of one partition; a load package may hold several."""
    names: Sequence[str] = table.column("partition_id").to_pylist()
    return table.filter(pa.array([name == partition_id for name in names], pa.bool_()))
