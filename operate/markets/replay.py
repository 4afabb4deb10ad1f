"""Compute a run's results once more from what was kept of it, without a network, and compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from extract.where import HERE, Where
from operate.markets.asking import heard_of
from operate.markets.evaluating import evaluate
from operate.markets.pool import tasks_of
from operate.markets.rows import Stored
from operate.markets.settings import MarketSettings
from operate.markets.snapshots import documents_from, snapshot_from
from operate.markets.store import Store
from operate.markets.worker import Inputs

BUDGET_OR_NEVER = "budget"  # what an experiment was told where no call of it is on record


@dataclass
class Replayed:
    """Results by what came of them: `same`, `different`, `gone` (of a version that is not configured now)."""

    markets: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if not self.markets:
            return 3
        return 1 if self.counts["different"] else 0


def replay(
    settings: MarketSettings,
    store: Store,
    run_id: str,
    where: Where = HERE,
    say: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """Every result of a run from its stored snapshots, documents and calls; models are not asked."""
    stored = {row.market_id: row for row in store.payloads(run_id)}
    found = Replayed(markets=len(stored))
    if not stored:
        return found
    snapshots = {market: snapshot_from(row.payload["snapshot"]) for market, row in stored.items()}
    inputs = Inputs(
        documents={market: documents_from(row.payload) for market, row in stored.items()},
        heard=heard_of(settings.models, stored, store.calls(run_id), BUDGET_OR_NEVER),
    )
    for moment in sorted({s.snapshot_at for s in snapshots.values()}):
        together = [s for s in snapshots.values() if s.snapshot_at == moment]
        tasks = tasks_of(together, {s.market_id for s in together}, inputs)
        for evaluated in evaluate(settings, store, together[0], tasks, where, say):
            _compare(stored[evaluated.snapshot.market_id], evaluated.rows, found)
    return found


def _compare(row: Stored, rows: list[dict[str, Any]], found: Replayed) -> None:
    now = {(each["experiment"], each["version"]): each for each in rows}
    for before in row.payload["results"]:
        key = (before["experiment"], before["version"])
        kind = "gone" if key not in now else "same" if _told(now[key]) == _told(before) else "different"
        found.counts[kind] += 1
        if kind == "different":
            found.different.append(f"{row.market_id} {key[0]}@{key[1]}")


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A result as it is stored: what a JSON document makes of it."""
    names = ("kind", "probability", "side", "fraction", "price", "reason", "details", "input_hash", "error_class")
    return {name: row.get(name) for name in names}
