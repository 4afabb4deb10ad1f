"""A lake in front of a markets' server, and records as Gamma writes them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.config import Config
from extract.evm.pace import Clock
from extract.lake import Lake
from extract.ledger import Ledger
from extract.markets.daily import DayIngest, ingest_day
from extract.markets.resolve import Asked
from extract.markets.truth import ResolutionFetch, fetch_resolutions, pending_markets
from simulate.markets.process import RunningMarkets, RunningModel, running_markets, running_model

FIRST = date(2026, 1, 5)


async def _no_wait(_: float) -> None:
    await asyncio.sleep(0)


def hasty() -> Clock:
    """Backoff without waiting."""
    return Clock(sleep=_no_wait)


def a_record(**changes: Any) -> dict[str, Any]:
    """An open market as Gamma writes one; a change to `...` takes the field away."""
    record: dict[str, Any] = {
        "id": "507285",
        "question": "Will it?",
        "conditionId": "0x" + "ab" * 32,
        "slug": "will-it",
        "endDate": "2026-01-12T12:00:00Z",
        "outcomes": '["Yes", "No"]',
        "outcomePrices": '["0.11", "0.89"]',
        "clobTokenIds": '["111", "222"]',
        "volume": "2341641.626583",
        "liquidityNum": 125686.6,
        "active": True,
        "closed": False,
        "bestBid": 0.1,
        "bestAsk": 0.12,
        "umaResolutionStatuses": "[]",
        "events": [{"id": "12585", "slug": "it", "title": "It"}],
    }
    return {name: value for name, value in (record | changes).items() if value is not ...}


def ended(prices: list[str], *statuses: str, **changes: Any) -> dict[str, Any]:
    """A closed market with a history of UMA statuses."""
    told = {"umaResolutionStatuses": json.dumps(list(statuses)), "outcomePrices": json.dumps(prices)}
    return a_record(**{"closed": True, "closedTime": "2026-01-12 15:00:00+00", **told, **changes})


@dataclass(frozen=True)
class MarketLine:
    """One lake, one server."""

    server: RunningMarkets
    folder: Path

    def config(self, **changes: Any) -> Config:
        section = {"gamma_url": self.server.url, "clob_url": self.server.url, **changes}
        storage = {"root": str(self.folder), "raw_url": f"{self.folder}/raw"}
        return Config(self.folder / "foreshore.toml", {"storage": storage, "polymarket": section}, {})

    def at(self, day: date, hour: int = 7) -> None:
        self.server.set_clock(datetime.combine(day, time(hour, 17), UTC))

    def ingest(self, day: date = FIRST, config: Config | None = None, **asked: Any) -> DayIngest:
        asked = {"clock": hasty(), **asked}
        return asyncio.run(ingest_day(config or self.config(), day, 7, "run", lambda _: None, **asked))

    def resolve(self, asked: list[Asked], **changes: Any) -> ResolutionFetch:
        config = self.config(**changes)
        return asyncio.run(fetch_resolutions(config, asked, "run", lambda _: None, clock=hasty()))

    def pending(self) -> list[Asked]:
        return pending_markets(self.config())

    def ledger(self) -> Ledger:
        return Ledger.read(Lake(self.config().raw_url))

    def wanted(self, day: date = FIRST, window: int = 7) -> set[str]:
        """Ids that the day should have, out of the world's own books."""
        target, snapshot = day + timedelta(days=window), datetime.combine(day, time(7, 17), UTC)
        return {
            name
            for name, row in self.server.truth().items()
            if datetime.fromisoformat(row["end_at"]).date() == target
            and row["series"] is None
            and row["oddity"] in (None, "text_liquidity")  # a liquidity that is no number is a null with a note
            and datetime.fromisoformat(row["ended_at"]) > snapshot
        }


def reasons(made: DayIngest) -> Counter[str]:
    return Counter(made.refusals.column("reason").to_pylist())


def ids(made: DayIngest) -> list[str]:
    return list(made.markets.column("market_id").to_pylist())


@pytest.fixture(scope="session")
def market_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMarkets]:
    """Twenty closing days of sixty ordinary markets and a recurring series; pages of at most 25."""
    with running_markets(tmp_path_factory.mktemp("markets"), days=20, markets=60, page_cap=25) as server:
        yield server


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningModel]:
    """An OpenAI-compatible endpoint."""
    pytest.importorskip("openai", reason="the llm extra is not installed")
    with running_model(tmp_path_factory.mktemp("model")) as server:
        yield server


@pytest.fixture
def endpoint(model_server: RunningModel) -> Iterator[RunningModel]:
    """The endpoint, healthy and not called yet."""
    model_server.heal()
    yield model_server
    model_server.heal()


@pytest.fixture
def market_line(market_server: RunningMarkets, tmp_path: Path) -> Iterator[MarketLine]:
    """An empty lake; the server healthy, its clock at the first run."""
    line = MarketLine(market_server, tmp_path)
    market_server.heal()
    line.at(FIRST)
    yield line
    market_server.heal()
