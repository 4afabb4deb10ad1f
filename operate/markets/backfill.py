"""Run experiments on snapshots that were taken before they existed: with what was known then, and nothing later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from decide.markets.experiments.protocol import Experiment, Snapshot
from extract.where import HERE, Where
from operate.log import DurableLog
from operate.markets.asking import Wanted, ask_models
from operate.markets.daily import RETRIABLE, ROWS_PER_COMMIT, count_results
from operate.markets.evaluating import evaluate
from operate.markets.pool import Evaluated, tasks_of
from operate.markets.registry import load_experiments
from operate.markets.rows import Failure, Stored
from operate.markets.settings import MarketSettings
from operate.markets.snapshots import documents_from, snapshot_from
from operate.markets.store import Store
from operate.markets.worker import Inputs, Task


@dataclass
class Backfilled:
    """Runs looked at, markets amended, results by experiment, failures."""

    runs: int = 0
    amended: int = 0
    results: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if self.failures:
            return 2 if self.amended else 1
        return 0 if self.amended else 3


def backfill(
    settings: MarketSettings,
    store: Store,
    log: DurableLog,
    since: date | None = None,
    until: date | None = None,
    where: Where = HERE,
) -> Backfilled:
    """Give every stored market the results it lacks of the experiments (and versions) configured now."""
    experiments = load_experiments(*settings.setup)
    found = Backfilled()

    def evaluated(snapshots: Sequence[Snapshot], tasks: Sequence[Task]) -> Iterator[Evaluated]:
        def say(text: str) -> None:
            log.write("cluster", stage="backfill", message=text)

        return evaluate(settings, store, snapshots[0], tasks, where, say)

    for run in store.runs(since, until):
        stored = {row.market_id: row for row in store.payloads(run["run_id"])}
        snapshots = {market: snapshot_from(row.payload["snapshot"]) for market, row in stored.items()}
        wanted = {market for market, row in stored.items() if _lacks(row, experiments)}
        found.runs += 1
        inputs = _inputs(settings, store, log, run["run_id"], [snapshots[name] for name in sorted(wanted)], stored)
        for moment in sorted({snapshots[market].snapshot_at for market in wanted}):
            together = [s for s in snapshots.values() if s.snapshot_at == moment]
            _one_moment(store, evaluated, run["run_id"], together, wanted, stored, inputs, found)
        log.write("backfilled", stage="backfill", of_run=run["run_id"], markets=len(wanted))
    return found


def _lacks(row: Stored, experiments: Sequence[Experiment]) -> bool:
    there = _versions(row)
    return any((e.name, e.version) not in there for e in experiments)


def _versions(row: Stored) -> set[tuple[str, str]]:
    return {(result["experiment"], result["version"]) for result in row.payload["results"]}


def _inputs(
    settings: MarketSettings,
    store: Store,
    log: DurableLog,
    run_id: str,
    snapshots: Sequence[Snapshot],
    stored: Mapping[str, Stored],
) -> Inputs:
    """What was found about the markets then, and what models say of it now, where they have not said it yet."""
    documents = {market: documents_from(row.payload) for market, row in stored.items()}
    earlier = {market: row.payload["results"] for market, row in stored.items()}
    wanted = [
        Wanted(model, s, documents[s.market_id])
        for model in settings.models
        for s in snapshots
        if (model.experiment.name, model.experiment.version) not in _versions(stored[s.market_id])
    ]
    if not wanted:
        return Inputs(documents=documents, earlier=earlier)
    asked = ask_models(
        wanted,
        store.calls(run_id),
        settings.run_limits,
        lambda calls: store.record_calls(run_id, calls),
        lambda event, message: log.write(event, stage="backfill", of_run=run_id, message=message),
    )
    return Inputs(documents=documents, heard=asked.heard, barred=asked.failures, earlier=earlier)


def _one_moment(
    store: Store,
    evaluated: Callable[[Sequence[Snapshot], Sequence[Task]], Iterator[Evaluated]],
    run_id: str,
    snapshots: list[Snapshot],
    wanted: set[str],
    stored: dict[str, Stored],
    inputs: Inputs,
    found: Backfilled,
) -> None:
    changes: list[tuple[Stored, dict[str, Any]]] = []
    failures: list[Failure] = []

    def flush() -> None:
        found.amended += store.amend(run_id, changes, failures)
        found.failures += failures
        changes.clear()
        failures.clear()

    for market in evaluated(snapshots, tasks_of(snapshots, wanted, inputs)):
        row = stored[market.snapshot.market_id]
        good = [result for result in market.rows if "error_class" not in result]
        failures += [_failure(row.market_id, result) for result in market.rows if "error_class" in result]
        count_results(found.results, market.rows)
        if good:
            changes.append((row, {**row.payload, "results": [*row.payload["results"], *good]}))
        if len(changes) >= ROWS_PER_COMMIT:
            flush()
    flush()


def _failure(market_id: str, row: dict[str, Any]) -> Failure:
    retriable = row["error_class"] in RETRIABLE
    return Failure(market_id, "backfill", row["error_class"], row["message"], row["experiment"], retriable)
