"""Where a run's markets and results come from: the Polymarket line of `extract`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from extract.config import Config
from extract.markets.daily import BOOK, DOCUMENTS, PRICES
from extract.markets.elsewhere import ingest
from extract.markets.resolve import Asked
from extract.markets.truth import fetch_resolutions
from extract.where import HERE, Where
from extract.work import Step
from operate.markets.listing import Listing, Say, Wish
from operate.markets.rows import OutcomeRow
from operate.markets.snapshots import COLUMNS, documents_of, snapshots_of

WANTS = {
    "prices": PRICES,
    "book": BOOK,
    "documents": DOCUMENTS,
}  # what experiments may need -> what the extractor calls it


class Polymarket:
    """The configured source, landing in the configured lake."""

    def __init__(self, config: Config, where: Where = HERE) -> None:
        self.config, self.where = config, where

    def listing(
        self, run_date: date, window_days: int, run_id: str, needs: Sequence[str], wish: Wish, say: Say
    ) -> Listing:
        wants = frozenset(WANTS[need] for need in needs if need in WANTS)
        found = asyncio.run(
            ingest(
                self.config,
                self.where,
                (run_date, window_days),
                run_id,
                _told(say),
                wants=wants,
                dry_run=not wish.save,
                refetch=wish.refetch,
            )
        )
        markets = found.markets.select(COLUMNS).to_pylist()
        documents = found.documents.to_pylist()
        snapshots = snapshots_of(markets, found.price_history.to_pylist(), found.books.to_pylist(), documents)
        return Listing(
            snapshots, found.refusals.num_rows, found.problems, documents_of(documents), found.dropped_points
        )

    def outcomes(self, asked: Sequence[Asked], run_id: str, say: Say) -> tuple[list[OutcomeRow], list[str]]:
        found = asyncio.run(fetch_resolutions(self.config, asked, run_id, _told(say)))
        columns = ["market_id", "status", "label", "resolved_at", "observed_at", "winning_token_id"]
        return [_outcome(row) for row in found.rows.select(columns).to_pylist()], found.problems


def _told(say: Say) -> Callable[[Step], None]:
    return lambda step: say(step.kind, f"{step.unit} {step.message}".strip())


def _outcome(row: dict[str, Any]) -> OutcomeRow:
    told = (row["label"], row["resolved_at"], row["observed_at"], row["winning_token_id"])
    return OutcomeRow(row["market_id"], row["status"], *told)
