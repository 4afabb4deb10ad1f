"""The daily run: claim the day, list its markets, run every experiment on each, write each market once, release.

Killed anywhere it leaves whole markets and a lease that runs out; the same command again goes on from there.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from decide.markets.experiments.evaluate import usable_documents
from decide.markets.experiments.protocol import (
    Document,
    Snapshot,
    document,
    needs_of,
)
from extract.errors import ForeshoreError
from extract.text import all_storable, storable
from extract.where import HERE, Where
from operate.log import DurableLog
from operate.markets.asking import Wanted, ask_models, heard_of
from operate.markets.engines import LedgerGone
from operate.markets.evaluating import evaluate
from operate.markets.listing import Listing, Source, Wish
from operate.markets.pool import Evaluated, tasks_of
from operate.markets.registry import load_experiments
from operate.markets.rows import Claim, Failure, MarketRow
from operate.markets.settings import MarketSettings
from operate.markets.snapshots import contracts_of, documents_as_stored
from operate.markets.store import LeaseLost, Store
from operate.markets.worker import Inputs, Task

ROWS_PER_COMMIT = 250  # opening and closing an embedded ledger takes 60 ms, whatever is written
SECONDS_PER_COMMIT = 2.0
RETRIABLE = {
    "ExperimentTimeout",
    "ExperimentDied",
    "ExperimentSuspended",
    "ModelAnswerUnusable",
    "ModelGarbage",
    "ModelRateLimited",
    "ModelSuspended",
    "ModelTimeout",
    "ModelUnreachable",
}
DONE, FAILED, PARTIAL, NOTHING = 0, 1, 2, 3


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    run_date: date
    window_days: int
    force: bool = False
    keep_artifacts: bool = False
    refetch: bool = False
    where: Where = HERE


@dataclass
class Summary:
    """What a run did: the content of summary.json."""

    run_id: str
    run_date: date
    window_days: int
    target_date: date
    kind: str
    attempt: int
    is_dry_run: bool = False
    status: str = "running"
    exit_code: int = FAILED
    note: str = ""
    listed: int = 0
    refused: int = 0
    due: int = 0
    changed: int = 0
    dropped_points: int = 0
    model_calls: int = 0
    model_tokens: int = 0
    model_usd: float = 0.0
    written: int = 0
    excluded: int = 0
    processed: int = 0
    failing: int = 0
    results: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    failure_count: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    MOST_FAILURES = 200  # kept in the summary; all of them are in the ledger

    def note_failures(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            self.failure_count += 1
            if len(self.failures) < self.MOST_FAILURES:
                self.failures.append(vars(failure))


class DailyRun:
    """One run from claim to release."""

    def __init__(
        self, settings: MarketSettings, source: Source, store: Store, log: DurableLog | None, request: Request
    ) -> None:
        self.settings, self.source, self.store, self.log, self.request = settings, source, store, log, request
        self.experiments = load_experiments(*settings.setup)
        self.artifacts: list[MarketRow] = []

    def execute(self) -> Summary:
        """Run to the end; what stops it is in the summary. Errors: only of a ledger that cannot be claimed."""
        started = time.monotonic()
        facts = {"code_version": code_version(), "config_sha256": self.settings.sha256}
        force = self.request.force or self.request.refetch
        claim = self.store.claim(self.request.run_date, self.request.window_days, force=force, facts=facts)
        summary = Summary(claim.run_id, claim.run_date, claim.window_days, claim.target_date, claim.kind, claim.attempt)
        summary.is_dry_run = self.store.is_dry
        if not claim.is_ours:
            summary.status, summary.exit_code, summary.note = claim.kind, NOTHING, claim.note
            return summary
        self._say("claimed", stage="claim", kind=claim.kind, attempt=claim.attempt)
        try:
            self._work(claim, summary)
        except (LedgerGone, LeaseLost) as error:  # nothing more can be written, not even this
            summary.note = str(error)
            summary.status = "partial" if summary.written else "failed"
            self._fail(summary, [Failure("", "write", type(error).__name__, str(error))])
        except Exception as error:  # nobody holds a run that its process has given up
            summary.note = storable(f"{type(error).__name__}: {error}")
            summary.status = "partial" if summary.written else "failed"
            self._fail(summary, [Failure("", "run", type(error).__name__, storable(str(error)))])
            self._release(claim, summary.status, summary.note)
        except BaseException as error:
            self._release(claim, "partial" if summary.written else "failed", type(error).__name__)
            raise
        summary.exit_code = {"complete": DONE, "partial": PARTIAL}.get(summary.status, FAILED)
        if summary.status == "complete" and not summary.listed:
            summary.exit_code, summary.note = NOTHING, "no wanted market ends on that day"
        summary.seconds["total"] = round(time.monotonic() - started, 3)
        self._say("finished", stage="finish", status=summary.status, processed=summary.processed)
        return summary

    # -- steps

    def _work(self, claim: Claim, summary: Summary) -> None:
        listing = self._list(claim, summary)
        if listing is None:
            return
        problems = [Failure("", "ingest", "IncompleteListing", problem) for problem in listing.problems]
        self._fail(summary, problems)
        self._describe(claim, listing)
        self.store.write(claim, [], problems)
        before = time.monotonic()
        error = self._experiment(claim, summary, listing)
        summary.seconds["experiments_and_writes"] = round(time.monotonic() - before, 3)
        counts = self.store.counts(claim.run_id)
        summary.processed, summary.failing = counts["processed"], counts["failing"]
        if error is not None:
            summary.note = error
        whole = not problems and not summary.failing and error is None
        summary.status = "complete" if whole else "partial" if summary.processed else "failed"
        self.store.finish(claim, summary.status, error)

    def _list(self, claim: Claim, summary: Summary) -> Listing | None:
        """The day's markets; None when there are none because the source failed, which is recorded."""
        started = time.monotonic()
        needs = sorted({need for experiment in self.experiments for need in needs_of(experiment)})
        try:
            listing = self.source.listing(
                claim.run_date,
                claim.window_days,
                claim.run_id,
                needs,
                Wish(save=not self.store.is_dry, refetch=self.request.refetch),
                lambda kind, message: self._say(kind, stage="ingest", message=message),
            )
        except ForeshoreError as error:
            failure = Failure("", "ingest", type(error).__name__, str(error))
            self._fail(summary, [failure])
            self.store.write(claim, [], [failure])
            summary.status, summary.note = "failed", str(error)
            self.store.finish(claim, "failed", str(error))
            return None
        finally:
            summary.seconds["ingest"] = round(time.monotonic() - started, 3)
        summary.listed, summary.refused = len(listing.snapshots), listing.refused
        summary.dropped_points = listing.dropped_points
        return listing

    def _describe(self, claim: Claim, listing: Listing) -> None:
        made = [
            {"name": e.name, "version": e.version, "requires": list(e.requires), "mandatory": e.mandatory}
            for e in self.experiments
        ]
        snapshot_at = listing.snapshots[0].snapshot_at if listing.snapshots else None
        self.store.describe(claim, snapshot_at, len(listing.snapshots), listing.refused, made)

    def _experiment(self, claim: Claim, summary: Summary, listing: Listing) -> str | None:
        """Every experiment on every market that is due; what stopped it early, if anything did."""
        earlier = self.store.processed(claim.run_id)
        due = self._due(claim, summary, listing, earlier)
        summary.due = len(due)
        if not due:
            return None
        writer = _Writer(self, claim, summary, earlier, listing.documents)
        try:
            inputs = self._inputs(claim, summary, listing, due)
            for evaluated in self._evaluated(tasks_of(listing.snapshots, due, inputs), listing.snapshots[0]):
                writer.take(evaluated)
            writer.flush()
        except (LedgerGone, LeaseLost):
            raise
        except Exception as error:
            words = storable(str(error))
            writer.failures.append(Failure("", "experiment", type(error).__name__, words))
            writer.flush()
            return f"{type(error).__name__}: {words}"
        return None

    def _evaluated(self, tasks: Sequence[Task], first: Snapshot) -> Iterator[Evaluated]:
        def say(text: str) -> None:
            self._say("cluster", stage="experiment", message=text)

        return evaluate(self.settings, self.store, first, tasks, self.request.where, say)

    def _due(self, claim: Claim, summary: Summary, listing: Listing, earlier: Mapping[str, int]) -> set[str]:
        """Markets without a row, with an open failure, or whose row rests on other inputs than there are now.

        Prices that failed at first and came later change what a result rests on; with it, where an experiment looks at
        siblings, the whole event.
        """
        everything = {s.market_id for s in listing.snapshots}
        if claim.kind == "forced":
            return everything
        rested_on = self.store.inputs(claim.run_id)
        changed = {
            s.market_id
            for s in listing.snapshots
            if s.market_id in rested_on and rested_on[s.market_id] != market_row(s, [], listing.documents).inputs_sha256
        }
        if any("siblings" in needs_of(experiment) for experiment in self.experiments):
            touched = {s.event_id for s in listing.snapshots if s.market_id in changed} - {None}
            changed |= {s.market_id for s in listing.snapshots if s.event_id in touched and s.market_id in rested_on}
        summary.changed = len(changed)
        return everything - (set(earlier) - self.store.failing(claim.run_id)) | changed

    def _inputs(self, claim: Claim, summary: Summary, listing: Listing, due: set[str]) -> Inputs:
        """What experiments may be given beside snapshots: documents, and what models say, asked for now."""
        documents = {
            s.market_id: usable_documents(listing.documents.get(s.market_id, ()), s)[0] for s in listing.snapshots
        }
        if not self.settings.models:
            return Inputs(documents=documents)
        recorded = self.store.calls(claim.run_id)
        if self.store.is_dry:  # what a dry run asks would be paid for and lost
            heard = heard_of(self.settings.models, due, recorded, "not asked in a dry run")
            return Inputs(documents=documents, heard=heard)
        wanted = [
            Wanted(model, s, documents[s.market_id])
            for model in self.settings.models
            for s in listing.snapshots
            if s.market_id in due
        ]
        before = time.monotonic()
        asked = ask_models(
            wanted,
            recorded,
            self.settings.run_limits,
            lambda calls: self.store.keep_calls(claim, calls),
            lambda event, message: self._say(event, stage="model", message=message),
        )
        summary.seconds["models"] = round(time.monotonic() - before, 3)
        summary.model_calls, summary.model_tokens = asked.calls, asked.spent.tokens
        summary.model_usd = round(asked.spent.usd, 6)
        return Inputs(documents=documents, heard=asked.heard, barred=asked.failures)

    def _release(self, claim: Claim, status: str, error: str) -> None:
        try:
            self.store.finish(claim, status, error)
        except Exception as why:
            self._say("not released", stage="finish", message=str(why))

    def _fail(self, summary: Summary, failures: Sequence[Failure]) -> None:
        summary.note_failures(failures)
        self._say_all([{"event": "failed", **vars(failure)} for failure in failures])

    def _say(self, event: str, **facts: Any) -> None:
        self._say_all([{"event": event, **facts}])

    def _say_all(self, events: Sequence[dict[str, Any]]) -> None:
        if self.log is not None and events:
            self.log.write_all(events)


class _Writer:
    """Gathers markets and commits those that are ready together; each is one row, so none is ever half there."""

    def __init__(
        self,
        run: DailyRun,
        claim: Claim,
        summary: Summary,
        earlier: Mapping[str, int],
        documents: Mapping[str, tuple[Document, ...]],
    ) -> None:
        self.run, self.claim, self.summary, self.earlier, self.documents = run, claim, summary, earlier, documents
        self.mandatory = {e.name for e in run.experiments if e.mandatory}
        self.markets: list[MarketRow] = []
        self.failures: list[Failure] = []
        self.since = time.monotonic()

    def take(self, evaluated: Evaluated) -> None:
        snapshot, rows = evaluated.snapshot, evaluated.rows
        failed = [row for row in rows if "error_class" in row]
        is_excluded = any(row["experiment"] in self.mandatory for row in failed)
        stale = is_excluded and snapshot.market_id in self.earlier
        self.failures += [_failure(snapshot.market_id, row, stale) for row in failed]
        count_results(self.summary.results, rows)
        if is_excluded:
            self.summary.excluded += 1
        else:
            good = [row for row in rows if "error_class" not in row]
            self.markets.append(market_row(snapshot, good, self.documents))
        if len(self.markets) >= ROWS_PER_COMMIT or time.monotonic() - self.since > SECONDS_PER_COMMIT:
            self.flush()

    def flush(self) -> None:
        if self.markets or self.failures:
            self.run.store.write(self.claim, self.markets, self.failures)
            self.summary.written += len(self.markets)
            self.run._fail(self.summary, self.failures)
            self.run._say_all([{"event": "written", "stage": "write", "market_id": m.market_id} for m in self.markets])
            if self.run.request.keep_artifacts:
                self.run.artifacts += self.markets
        self.markets, self.failures, self.since = [], [], time.monotonic()


def market_row(
    snapshot: Snapshot, results: Sequence[dict[str, Any]], documents: Mapping[str, Sequence[Document]]
) -> MarketRow:
    """The one row of a market: snapshot, contracts, what research found, and results in its payload."""
    payload: dict[str, Any] = {"snapshot": document(snapshot), "contracts": contracts_of(snapshot)}
    if found := documents.get(snapshot.market_id):
        payload["documents"] = documents_as_stored(found, snapshot)
    payload = all_storable({**payload, "results": list(results)})
    return MarketRow(snapshot.market_id, snapshot.event_id, snapshot.snapshot_at, snapshot.midpoint, payload)


def count_results(counts: dict[str, dict[str, int]], rows: Iterable[dict[str, Any]]) -> None:
    """Add a market's rows to experiment -> kind -> count."""
    for row in rows:
        kinds = counts.setdefault(row["experiment"], dict(Counter(forecast=0, stake=0, skip=0, failure=0)))
        kinds[row.get("kind", "failure")] += 1


def _failure(market_id: str, row: dict[str, Any], stale: bool) -> Failure:
    return Failure(
        market_id=market_id,
        stage="experiment",
        error_class=row["error_class"],
        message=row["message"],
        experiment=row["experiment"],
        is_retriable=row["error_class"] in RETRIABLE,
        is_stale_success=stale,
    )


def code_version() -> str:
    """Version and, in a clone, the commit that is checked out."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version("foreshore")
    return f"{version('foreshore')}+{commit}"
