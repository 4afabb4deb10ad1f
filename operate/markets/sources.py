"""Where a run's markets and results come from: the Polymarket line of `extract`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from extract.config import Config
from extract.markets.daily import BOOK, PRICES, ingest_day
from extract.markets.truth import fetch_resolutions
from extract.work import Step
from operate.markets.listing import Listing, Say
from operate.markets.snapshots import COLUMNS, snapshots_of
from operate.markets.store import OutcomeRow

WANTS = {"prices": PRICES, "book": BOOK}  # what experiments may need -> what the extractor calls it


class Polymarket:
    """The configured source, landing in the configured lake."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def listing(
        self, run_date: date, window_days: int, run_id: str, needs: Sequence[str], save: bool, say: Say
    ) -> Listing:
        wants = frozenset(WANTS[need] for need in needs if need in WANTS)
        found = asyncio.run(
            ingest_day(self.config, run_date, window_days, run_id, _told(say), wants=wants, dry_run=not save)
        )
        markets = found.markets.select(COLUMNS).to_pylist()
        snapshots = snapshots_of(markets, found.price_history.to_pylist(), found.books.to_pylist())
        return Listing(snapshots, found.refusals.num_rows, found.problems)

    def outcomes(self, market_ids: Sequence[str], run_id: str, say: Say) -> tuple[list[OutcomeRow], list[str]]:
        found = asyncio.run(fetch_resolutions(self.config, market_ids, run_id, _told(say)))
        columns = ["market_id", "status", "label", "resolved_at", "observed_at"]
        return [_outcome(row) for row in found.rows.select(columns).to_pylist()], found.problems


def _told(say: Say) -> Callable[[Step], None]:
    return lambda step: say(step.kind, f"{step.unit} {step.message}".strip())


def _outcome(row: dict[str, Any]) -> OutcomeRow:
    return OutcomeRow(row["market_id"], row["status"], row["label"], row["resolved_at"], row["observed_at"])
