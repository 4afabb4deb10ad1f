"""Daily runs on hand-made markets: a source without a network, on a ledger of either kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from decide.markets.experiments.protocol import Document, Snapshot
from extract.markets.resolve import Asked
from operate.markets.daily import DailyRun, Request, Summary
from operate.markets.listing import Listing, Say, Wish
from operate.markets.rows import OutcomeRow
from operate.markets.settings import SHIPPED, MarketSettings
from operate.markets.store import Store

ROOT = Path(__file__).parents[1]
DAY = date(2026, 1, 5)
AT = datetime(2026, 1, 5, 7, 17, tzinfo=UTC)


def a_snapshot(number: int = 1, **changes: Any) -> Snapshot:
    """An ordinary two-sided market; three to an event."""
    middle = 0.05 + 0.9 * (number * 37 % 100) / 100
    made = Snapshot(
        market_id=f"{number:05}",
        question=f"Will it happen by January {1 + number % 28}?",
        snapshot_at=AT,
        observed_at=AT,
        event_id=f"e{number // 3}",
        token_ids=(f"{number}1", f"{number}2"),
        end_at=AT + timedelta(days=7),
        price=middle,
        best_bid=middle - 0.01,
        best_ask=middle + 0.01,
        day_change=0.02,
        week_change=-0.03,
        liquidity_usd=1000.0,
    )
    return replace(made, **changes)


@dataclass
class HandMade:
    """A source that has these markets, and these ends."""

    snapshots: Sequence[Snapshot]
    problems: tuple[str, ...] = ()
    ends: dict[str, OutcomeRow] = field(default_factory=dict)
    error: Exception | None = None
    documents: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    listings: int = 0

    def listing(
        self, run_date: date, window_days: int, run_id: str, needs: Sequence[str], wish: Wish, say: Say
    ) -> Listing:
        self.listings += 1
        if self.error is not None:
            raise self.error
        return Listing(list(self.snapshots), 2, self.problems, self.documents)

    def outcomes(self, asked: Sequence[Asked], run_id: str, say: Say) -> tuple[list[OutcomeRow], list[str]]:
        return [self.ends[each.market_id] for each in asked if each.market_id in self.ends], []


@dataclass
class Room:
    """A folder and a ledger in it (or in PostgreSQL)."""

    settings: MarketSettings

    def store(self) -> Store:
        return Store.open(self.settings)

    def run(self, source: HandMade, day: date = DAY, force: bool = False, **changes: Any) -> Summary:
        store = self.store()
        try:
            settings = replace(self.settings, **changes)
            return DailyRun(settings, source, store, None, Request(day, 7, force=force)).execute()
        finally:
            store.close()


def settings_in(folder: Path, url: str | None = None, **changes: Any) -> MarketSettings:
    made = MarketSettings(
        root=folder,
        seeds=ROOT / "seeds",
        ledger_file=folder / "ledger" / "markets.duckdb",
        ledger_url=url,
        experiments=SHIPPED,
        concurrency=1,
        patience_seconds=10,
    )
    return replace(made, **changes)


@pytest.fixture(params=["duckdb", "postgres"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """The same cases on both ledgers."""
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    yield Room(settings_in(tmp_path, url))
