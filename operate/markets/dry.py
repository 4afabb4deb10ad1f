"""The run ledger of a dry run: reads what there is, keeps what would be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from decide.markets.experiments.protocol import Outcome
from operate.markets.calls import Call
from operate.markets.rows import Claim, Failure, MarketRow, owner_name, run_id_of
from operate.markets.settings import MarketSettings
from operate.markets.store import Store


class DryStore(Store):
    """Reads the ledger if there is one; keeps what would be written, and writes nothing."""

    is_dry = True

    def __init__(self, reader: Store | None) -> None:
        self.reader = reader
        self.markets: list[MarketRow] = []
        self.failures: list[Failure] = []

    @classmethod
    def open(cls, settings: MarketSettings, read_only: bool = True) -> DryStore:
        """Over the configured ledger as it is, which may not be there yet."""
        if not settings.ledger_url and not settings.ledger_file.exists():
            return cls(None)
        reader = Store.open(settings, read_only=True)
        return cls(reader if reader.is_migrated() else None)

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()

    def claim(
        self, run_date: date, window_days: int, *, force: bool, facts: dict[str, str], owner: str | None = None
    ) -> Claim:
        claim = Claim(run_id_of(run_date, window_days), run_date, window_days, "new", 1, owner or owner_name())
        before = [run for run in self.runs() if run["run_id"] == claim.run_id]
        if not before:
            return claim
        if before[0]["status"] == "complete" and not force:
            return replace(claim, kind="done")
        return replace(claim, kind="forced" if force else "resumed")

    def describe(
        self, claim: Claim, snapshot_at: datetime | None, listed: int, refused: int, made: Sequence[Any]
    ) -> None: ...

    def write(self, claim: Claim, markets: Sequence[MarketRow], failures: Sequence[Failure]) -> None:
        self.markets += markets
        self.failures += failures

    def finish(self, claim: Claim, status: str, error: str | None = None) -> None: ...

    def processed(self, run_id: str) -> dict[str, int]:
        return self.reader.processed(run_id) if self.reader else {}

    def failing(self, run_id: str) -> set[str]:
        return self.reader.failing(run_id) if self.reader else set()

    def counts(self, run_id: str) -> dict[str, int]:
        written = {*self.processed(run_id), *(market.market_id for market in self.markets)}
        return {"processed": len(written), "failing": len({f.market_id for f in self.failures} - {""})}

    def runs(self, since: date | None = None, until: date | None = None) -> list[dict[str, Any]]:
        return self.reader.runs(since, until) if self.reader else []

    def inputs(self, run_id: str) -> dict[str, str]:
        return self.reader.inputs(run_id) if self.reader else {}

    def calls(self, run_id: str, experiment: str | None = None, market_id: str | None = None) -> list[Call]:
        return self.reader.calls(run_id, experiment, market_id) if self.reader else []

    def record_calls(self, run_id: str, calls: Sequence[Call]) -> None: ...

    def keep_calls(self, claim: Claim, calls: Sequence[Call]) -> None: ...

    def history(self) -> list[Outcome]:
        return self.reader.history() if self.reader else []
