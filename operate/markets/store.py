"""The run ledger: claims, markets, failures, outcomes. About ten statements, the same on DuckDB and PostgreSQL.

A run is one (run_date, window_days). Whoever claims it holds a lease that every write renews and proves, so a process
that was taken for dead cannot write any more. Each market of a run is one row, written in one statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from decide.markets.experiments.protocol import Outcome, canonical, sha256_of
from extract.markets.resolve import Asked
from extract.text import storable
from operate.markets import statements
from operate.markets.answers import record_answers
from operate.markets.calls import CALL_COLUMNS, Call
from operate.markets.engines import DuckDbEngine, Engine, LedgerError, PostgresEngine, Run
from operate.markets.migrating import migrate
from operate.markets.rows import Claim, Failure, MarketRow, OutcomeRow, Stored, is_dead, owner_name, run_id_of
from operate.markets.settings import MarketSettings


class LeaseLost(LedgerError):
    """Another process has taken this run over."""


class Store:
    """The ledger on one of the two engines."""

    is_dry = False

    def __init__(self, engine: Engine, lease_seconds: float = 120.0) -> None:
        self.engine, self.lease = engine, timedelta(seconds=lease_seconds)

    @classmethod
    def open(cls, settings: MarketSettings, read_only: bool = False) -> Store:
        """The configured ledger, migrated (unless read only)."""
        engine: Engine
        if settings.ledger_url:
            engine = PostgresEngine(settings.ledger_url, settings.patience_seconds, read_only)
        else:
            engine = DuckDbEngine(settings.ledger_file, settings.patience_seconds, read_only)
        store = cls(engine, settings.lease_seconds)
        if not read_only:
            store.migrate()
        return store

    def close(self) -> None:
        self.engine.close()

    # -- schema

    def migrate(self) -> list[str]:
        """Apply the repository's migrations that this ledger lacks; returns their names."""
        return migrate(self.engine)

    def is_migrated(self) -> bool:
        """Whether this ledger's tables are there (asked where migrating is not allowed)."""
        found = self._read("select count(*) from information_schema.tables where table_name = 'processing_runs'")
        return bool(found[0][0])

    # -- the run

    def claim(
        self, run_date: date, window_days: int, *, force: bool, facts: dict[str, str], owner: str | None = None
    ) -> Claim:
        """Claim a run: by inserting it, else by taking over one that nobody holds. One of many claimers wins."""
        now, mine = datetime.now(UTC), owner or owner_name()
        base = Claim(run_id_of(run_date, window_days), run_date, window_days, "new", 1, mine)

        def work(run: Run) -> Claim:
            row = (base.run_id, run_date, window_days, base.target_date, mine, now + self.lease)
            run(statements.CLAIM, (*row, facts["code_version"], facts["config_sha256"], now, now))
            status, attempt, owner, lease_until = run(statements.SEE_RUN, (base.run_id,))[0]
            if owner == mine:
                return replace(base, attempt=attempt)
            if status == "running" and lease_until > now and not is_dead(owner):
                return replace(
                    base, kind="busy", attempt=attempt, note=f"{owner} holds it until {lease_until:%H:%M:%S} UTC"
                )
            if status == "complete" and not force:
                return replace(base, kind="done", attempt=attempt)
            versions = (facts["code_version"], facts["config_sha256"])
            parameters = (mine, now + self.lease, attempt + 1, now, *versions, base.run_id, owner, attempt)
            taken = run(statements.TAKE_OVER, parameters)
            if not taken:
                return replace(base, kind="busy", attempt=attempt, note="another process was faster")
            return replace(base, kind="forced" if force else "resumed", attempt=attempt + 1)

        return self.engine.transaction(work)

    def describe(
        self, claim: Claim, snapshot_at: datetime | None, listed: int, refused: int, made: Sequence[Any]
    ) -> None:
        """Note what the run has found to do and with which experiments."""
        json_type, text = self.engine.json, canonical(list(made))
        self._as_owner(
            claim,
            lambda run: run(
                f"update processing_runs set snapshot_at = ?, listed_count = ?, refused_count = ?, "
                f"experiments = cast(? as {json_type}) where run_id = ?",
                (snapshot_at, listed, refused, text, claim.run_id),
            ),
        )

    def write(self, claim: Claim, markets: Sequence[MarketRow], failures: Sequence[Failure]) -> None:
        """Markets and failures in one transaction; writing them again changes nothing but the time."""
        now = datetime.now(UTC)

        def work(run: Run) -> None:
            if markets:
                line = f"(?, ?, ?, ?, ?, ?, cast(? as {self.engine.json}), ?, ?, ?, ?, ?, ?)"
                rows = [_market_values(claim, market, now) for market in markets]
                run(
                    statements.UPSERT_MARKETS.format(values=", ".join([line] * len(rows))),
                    [v for row in rows for v in row],
                )
            self._note(run, claim.run_id, claim.attempt, failures)

        self._as_owner(claim, work)

    def finish(self, claim: Claim, status: str, error: str | None = None) -> None:
        """Release the run with its status: complete, partial or failed."""
        now = datetime.now(UTC)
        words = None if error is None else storable(error)
        self._as_owner(claim, lambda run: run(statements.FINISH, (status, words, now, now, claim.run_id)))

    def _as_owner(self, claim: Claim, work: Any) -> None:
        """Run `work` in a transaction that proves and renews the lease first."""

        def guarded(run: Run) -> None:
            lease = datetime.now(UTC) + self.lease
            if not run(statements.RENEW, (lease, claim.run_id, claim.owner, claim.attempt)):
                raise LeaseLost(f"run {claim.run_id} was taken over by another process: this one stops")
            work(run)

        self.engine.transaction(guarded)

    # -- reading

    def processed(self, run_id: str) -> dict[str, int]:
        """Market → attempt that wrote it."""
        return dict(self._read("select market_id, attempt from processed_markets where run_id = ?", (run_id,)))

    def inputs(self, run_id: str) -> dict[str, str]:
        """Market → digest of what its results rest on; markets written before there was one are left out."""
        sql = "select market_id, inputs_sha256 from processed_markets where run_id = ? and inputs_sha256 is not null"
        return dict(self._read(sql, (run_id,)))

    def failing(self, run_id: str) -> set[str]:
        """Markets whose newest failure is not older than what was written for them."""
        return {row[0] for row in self._read(statements.FAILING, (run_id,))}

    def counts(self, run_id: str) -> dict[str, int]:
        """Rows of a run: markets, and markets that fail."""
        found = self._read("select count(*) from processed_markets where run_id = ?", (run_id,))
        return {"processed": found[0][0], "failing": len(self.failing(run_id) - {""})}

    def runs(self, since: date | None = None, until: date | None = None) -> list[dict[str, Any]]:
        """Runs in order of their date, with the moment their forecasts were made at."""
        rows = self._read(statements.RUNS, (since or date.min, until or date.max))
        return [
            dict(zip(("run_id", "run_date", "window_days", "status", "snapshot_at"), row, strict=True)) for row in rows
        ]

    def payloads(self, run_id: str) -> list[Stored]:
        """What a run wrote, by market."""
        rows = self._read(statements.PAYLOADS, (run_id,))
        return [Stored(m, e, json.loads(p) if isinstance(p, str) else p, sha) for m, e, p, sha in rows]

    def history(self) -> list[Outcome]:
        """Every own resolved market: its last price seen before the end was known, what happened, known since when."""
        return [Outcome(*row) for row in self._read(statements.HISTORY)]

    def unresolved(self, for_days: int, recheck_days: int = 0) -> list[Asked]:
        """Markets whose end is not final, or final since less than `recheck_days`, as their newest snapshot has them.

        Those whose scheduled end is `for_days` ago are given up. Days count back from the newest thing in the ledger.
        """
        newest = self._read(statements.NEWEST)[0][0]
        if newest is None:
            return []
        spans = (newest - timedelta(days=for_days), newest - timedelta(days=recheck_days))
        return [
            Asked(market, condition, tuple(json.loads(outcomes or "[]")), tuple(json.loads(tokens or "[]")))
            for market, condition, outcomes, tokens in self._read(statements.UNRESOLVED, spans)
        ]

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.engine.transaction(lambda run: run(sql, parameters))

    # -- outcomes and second thoughts

    def record_outcomes(self, rows: Iterable[OutcomeRow]) -> None:
        """Note the newest answers. One that differs from what stood is a row of its own in `market_answers`: a result
        that was taken back or turned stays on record with its time, as what was known until then."""
        told = {row.market_id: row for row in rows if not row.says_nothing}
        if told:
            self.engine.transaction(lambda run: record_answers(run, list(told.values())))

    def answers(self, market_id: str) -> list[tuple[Any, ...]]:
        """Every answer that stood about a market: (status, label, known_at), oldest first."""
        sql = "select status, label, known_at from market_answers where market_id = ? order by known_at"
        return self._read(sql, (market_id,))

    # -- what language models were asked

    def record_calls(self, run_id: str, calls: Sequence[Call]) -> None:
        """Keep calls; one that is there already is left as it is."""
        self.engine.transaction(lambda run: self._insert_calls(run, run_id, calls))

    def _insert_calls(self, run: Run, run_id: str, calls: Sequence[Call]) -> None:
        if not calls:
            return
        line = "(" + ", ".join(f"cast(? as {self.engine.json})" if n == "messages" else "?" for n in CALL_COLUMNS) + ")"
        sql = statements.INSERT_CALLS.format(columns=", ".join(CALL_COLUMNS), values=", ".join([line] * len(calls)))
        run(sql, [value for call in calls for value in call.values(run_id)])

    def keep_calls(self, claim: Claim, calls: Sequence[Call]) -> None:
        """Keep calls of a run that we hold; without any it is a sign of life that renews the lease."""
        self._as_owner(claim, lambda run: self._insert_calls(run, claim.run_id, calls))

    def calls(self, run_id: str, experiment: str | None = None, market_id: str | None = None) -> list[Call]:
        """Calls of a run in the order of market, experiment, sample and attempt."""
        wanted = {"experiment": experiment, "market_id": market_id}
        named = {name: value for name, value in wanted.items() if value is not None}
        condition = "".join(f" and {name} = ?" for name in named)
        sql = f"select {', '.join(CALL_COLUMNS)} from model_calls where run_id = ?{condition} {statements.CALL_ORDER}"
        return [Call.of(row) for row in self._read(sql, (run_id, *named.values()))]

    def amend(self, run_id: str, changes: Sequence[tuple[Stored, dict[str, Any]]], failures: Sequence[Failure]) -> int:
        """Give markets that were written before a new payload (a backfill), unless another has changed them since;
        returns how many were amended."""
        sql = (
            f"update processed_markets set payload = cast(? as {self.engine.json}), payload_sha256 = ?, written_at = ? "
            "where run_id = ? and market_id = ? and payload_sha256 = ? returning market_id"
        )
        now = datetime.now(UTC)

        def work(run: Run) -> int:
            attempt = run("select attempt from processing_runs where run_id = ?", (run_id,))[0][0]
            self._note(run, run_id, attempt, failures)
            done = [
                run(sql, (canonical(new), sha256_of(new), now, run_id, old.market_id, old.payload_sha256))
                for old, new in changes
            ]
            return sum(map(len, done))

        return self.engine.transaction(work)

    def _note(self, run: Run, run_id: str, attempt: int, failures: Sequence[Failure]) -> None:
        now = datetime.now(UTC)
        # one statement may not meet a key twice
        unique = {(f.market_id, f.stage, f.experiment, f.problem): f for f in failures}
        rows = [_failure_values(run_id, attempt, failure, now) for failure in unique.values()]
        if rows:
            line = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            run(
                statements.UPSERT_FAILURES.format(values=", ".join([line] * len(rows))),
                [v for row in rows for v in row],
            )


def _market_values(claim: Claim, market: MarketRow, now: datetime) -> tuple[Any, ...]:
    return (
        claim.run_id,
        market.market_id,
        market.event_id,
        claim.attempt,
        market.snapshot_at,
        market.midpoint,
        canonical(market.payload),
        market.sha256,
        now,
        market.payload["snapshot"].get("end_at"),
        *_two_tokens(market),
        market.inputs_sha256,
    )


def _two_tokens(market: MarketRow) -> tuple[str | None, str | None]:
    first, second, *_ = (*market.payload["snapshot"].get("token_ids", ()), None, None)
    return first, second


def _failure_values(run_id: str, attempt: int, failure: Failure, now: datetime) -> tuple[Any, ...]:
    return (
        run_id,
        attempt,
        failure.market_id,
        failure.stage,
        failure.experiment,
        failure.problem,
        storable(failure.error_class),
        storable(failure.message)[:2000],
        failure.is_retriable,
        failure.is_stale_success,
        now,
    )
