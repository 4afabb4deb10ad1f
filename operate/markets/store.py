"""The run ledger: claims, markets, failures, outcomes. About ten statements, the same on DuckDB and PostgreSQL.

A run is one (run_date, window_days). Whoever claims it holds a lease that every write renews and proves, so a process
that was taken for dead cannot write any more. Each market of a run is one row, written in one statement.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from decide.markets.experiments.protocol import Outcome, canonical, sha256_of
from extract.markets.resolve import REFUSED, Asked
from extract.text import storable
from operate.markets.calls import CALL_COLUMNS, Call
from operate.markets.engines import DuckDbEngine, Engine, LedgerError, PostgresEngine, Run
from operate.markets.settings import MarketSettings

MIGRATIONS = Path(__file__).parent / "migrations"


class LeaseLost(LedgerError):
    """Another process has taken this run over."""


@dataclass(frozen=True)
class Claim:
    """A run and what it means to us: `new`, `resumed` or `forced` are ours; `done` and `busy` are not."""

    run_id: str
    run_date: date
    window_days: int
    kind: str
    attempt: int
    owner: str
    note: str = ""

    @property
    def is_ours(self) -> bool:
        return self.kind in ("new", "resumed", "forced")

    @property
    def target_date(self) -> date:
        return self.run_date + timedelta(days=self.window_days)


@dataclass(frozen=True)
class MarketRow:
    """One market of a run, as it is written."""

    market_id: str
    event_id: str | None
    snapshot_at: datetime
    midpoint: float | None
    payload: dict[str, Any]

    @property
    def sha256(self) -> str:
        return sha256_of(self.payload)

    @property
    def inputs_sha256(self) -> str:
        """Of what the results rest on, without the times at which it was read."""
        return inputs_sha256(self.payload)


def inputs_sha256(payload: Mapping[str, Any]) -> str:
    """Of a market's snapshot and documents without the moments of reading: the market is due again when it changes."""
    snapshot = {k: v for k, v in payload["snapshot"].items() if k not in ("snapshot_at", "observed_at")}
    return sha256_of([snapshot, payload.get("documents", [])])


@dataclass(frozen=True)
class Stored:
    """One market of a run, as it was written."""

    market_id: str
    event_id: str | None
    payload: dict[str, Any]
    payload_sha256: str


@dataclass(frozen=True)
class Failure:
    """What went wrong, where. Empty market: the run as a whole; empty experiment: not in one."""

    market_id: str
    stage: str
    error_class: str
    message: str
    experiment: str = ""
    is_retriable: bool = True
    is_stale_success: bool = False

    @property
    def problem(self) -> str:
        """What tells two problems of one place apart."""
        return sha256_of([self.error_class, self.message])[:12]


@dataclass(frozen=True)
class OutcomeRow:
    """What the source says of a market's end, in the terms of its newest snapshot."""

    market_id: str
    status: str
    label: int | None
    resolved_at: datetime | None
    checked_at: datetime
    winning_token_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status in ("resolved", "void")

    @property
    def says_nothing(self) -> bool:
        """About another market, or not readable: what was known before stands."""
        return self.status == REFUSED

    @property
    def said(self) -> tuple[str, int | None, str | None]:
        return (self.status, self.label, self.winning_token_id)


def run_id_of(run_date: date, window_days: int) -> str:
    """The one name of a run, e.g. 2026-11-21-w7."""
    return f"{run_date.isoformat()}-w{window_days}"


def owner_name() -> str:
    """This process: host, process id, and when it began to ask (a reused id is another owner)."""
    return f"{socket.gethostname()}/{os.getpid()}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def is_dead(owner: str) -> bool:
    """Whether the owner ran on this host and no process has its id any more."""
    host, pid, *_ = owner.split("/")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


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
        files = {path.stem: path for path in sorted(MIGRATIONS.glob("*.sql"))}

        def work(run: Run) -> list[str]:
            self.engine.lock_migrations(run)
            run("create table if not exists ledger_migrations (name text primary key, applied_at timestamptz not null)")
            applied = {row[0] for row in run("select name from ledger_migrations")}
            if unknown := sorted(applied - set(files)):
                raise LedgerError(
                    f"the ledger has migrations {', '.join(unknown)} of a newer Foreshore: update this one"
                )
            missing = [name for name in files if name not in applied]
            for name in missing:
                for statement in statements(files[name].read_text().replace("{json}", self.engine.json)):
                    run(statement)
                run("insert into ledger_migrations values (?, ?)", (name, datetime.now(UTC)))
            return missing

        return self.engine.transaction(work)

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
            run(_CLAIM, (*row, facts["code_version"], facts["config_sha256"], now, now))
            status, attempt, owner, lease_until = run(_SEE_RUN, (base.run_id,))[0]
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
            taken = run(_TAKE_OVER, parameters)
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
                run(_UPSERT_MARKETS.format(values=", ".join([line] * len(rows))), [v for row in rows for v in row])
            self._note(run, claim.run_id, claim.attempt, failures)

        self._as_owner(claim, work)

    def finish(self, claim: Claim, status: str, error: str | None = None) -> None:
        """Release the run with its status: complete, partial or failed."""
        now = datetime.now(UTC)
        words = None if error is None else storable(error)
        self._as_owner(claim, lambda run: run(_FINISH, (status, words, now, now, claim.run_id)))

    def _as_owner(self, claim: Claim, work: Any) -> None:
        """Run `work` in a transaction that proves and renews the lease first."""

        def guarded(run: Run) -> None:
            lease = datetime.now(UTC) + self.lease
            if not run(_RENEW, (lease, claim.run_id, claim.owner, claim.attempt)):
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
        return {row[0] for row in self._read(_FAILING, (run_id,))}

    def counts(self, run_id: str) -> dict[str, int]:
        """Rows of a run: markets, and markets that fail."""
        found = self._read("select count(*) from processed_markets where run_id = ?", (run_id,))
        return {"processed": found[0][0], "failing": len(self.failing(run_id) - {""})}

    def runs(self, since: date | None = None, until: date | None = None) -> list[dict[str, Any]]:
        """Runs in order of their date, with the moment their forecasts were made at."""
        rows = self._read(_RUNS, (since or date.min, until or date.max))
        return [
            dict(zip(("run_id", "run_date", "window_days", "status", "snapshot_at"), row, strict=True)) for row in rows
        ]

    def payloads(self, run_id: str) -> list[Stored]:
        """What a run wrote, by market."""
        rows = self._read(_PAYLOADS, (run_id,))
        return [Stored(m, e, json.loads(p) if isinstance(p, str) else p, sha) for m, e, p, sha in rows]

    def history(self) -> list[Outcome]:
        """Every own resolved market: its last price seen before the end was known, what happened, known since when."""
        return [Outcome(*row) for row in self._read(_HISTORY)]

    def unresolved(self, for_days: int, recheck_days: int = 0) -> list[Asked]:
        """Markets whose end is not final, or final since less than `recheck_days`, as their newest snapshot has them.

        Those whose scheduled end is `for_days` ago are given up. Days count back from the newest thing in the ledger.
        """
        newest = self._read(_NEWEST)[0][0]
        if newest is None:
            return []
        spans = (newest - timedelta(days=for_days), newest - timedelta(days=recheck_days))
        return [
            Asked(market, condition, tuple(json.loads(outcomes or "[]")), tuple(json.loads(tokens or "[]")))
            for market, condition, outcomes, tokens in self._read(_UNRESOLVED, spans)
        ]

    def _read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.engine.transaction(lambda run: run(sql, parameters))

    # -- outcomes and second thoughts

    def record_outcomes(self, rows: Iterable[OutcomeRow]) -> None:
        """Note the newest answers. One that differs from what stood is a row of its own in `market_answers`: a result
        that was taken back or turned stays on record with its time, as what was known until then."""
        told = {row.market_id: row for row in rows if not row.says_nothing}
        if told:
            self.engine.transaction(lambda run: _record(run, list(told.values())))

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
        sql = _INSERT_CALLS.format(columns=", ".join(CALL_COLUMNS), values=", ".join([line] * len(calls)))
        run(sql, [value for call in calls for value in call.values(run_id)])

    def keep_calls(self, claim: Claim, calls: Sequence[Call]) -> None:
        """Keep calls of a run that we hold; without any it is a sign of life that renews the lease."""
        self._as_owner(claim, lambda run: self._insert_calls(run, claim.run_id, calls))

    def calls(self, run_id: str, experiment: str | None = None, market_id: str | None = None) -> list[Call]:
        """Calls of a run in the order of market, experiment, sample and attempt."""
        wanted = {"experiment": experiment, "market_id": market_id}
        named = {name: value for name, value in wanted.items() if value is not None}
        condition = "".join(f" and {name} = ?" for name in named)
        sql = f"select {', '.join(CALL_COLUMNS)} from model_calls where run_id = ?{condition} {_CALL_ORDER}"
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
            run(_UPSERT_FAILURES.format(values=", ".join([line] * len(rows))), [v for row in rows for v in row])


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


def _differs(stands: Sequence[Any], row: OutcomeRow) -> bool:
    """Whether an answer is another than what stands; rows of older ledgers do not name the token that won."""
    status, label, token = stands
    if status != row.status:
        return True
    return row.is_final and (
        label != row.label or (None not in (token, row.winning_token_id) and token != row.winning_token_id)
    )


def _record(run: Run, rows: Sequence[OutcomeRow]) -> None:
    """Newest answers over the earlier ones, and a row more where what stands has changed."""
    marks = ", ".join("?" * len(rows))
    seen = run(_STANDING.format(marks=marks), [row.market_id for row in rows])
    standing = {market: (said, known_at) for market, *said, known_at in seen}
    new = []
    for row in rows:
        said, known_at = standing.get(row.market_id, (["undetermined", None, None], None))
        if known_at is not None and row.checked_at < known_at:
            continue  # an answer from before what stands
        if _differs(said, row):
            new.append((row.market_id, row.checked_at, *row.said, row.resolved_at))
    if new:
        line = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(new))
        run(_INSERT_ANSWERS.format(values=line), [value for row in new for value in row])
    values = [(r.market_id, r.status, r.label, r.resolved_at, r.checked_at) for r in rows]
    line = ", ".join(["(?, ?, ?, ?, null, ?)"] * len(values))
    run(_UPSERT_OUTCOMES.format(values=line), [value for row in values for value in row])
    run(_SINCE.format(marks=marks), [row.market_id for row in rows])


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


def statements(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


_CLAIM = """
    insert into processing_runs (
        run_id, run_date, window_days, target_date, status, attempt, owner, lease_until, code_version, config_sha256,
        claimed_at, started_at
    ) values (?, ?, ?, ?, 'running', 1, ?, ?, ?, ?, ?, ?)
    on conflict do nothing
"""
_SEE_RUN = "select status, attempt, owner, lease_until from processing_runs where run_id = ?"
_TAKE_OVER = """
    update processing_runs
    set status = 'running', owner = ?, lease_until = ?, attempt = ?, started_at = ?, finished_at = null, error = null,
        code_version = ?, config_sha256 = ?
    where run_id = ? and owner = ? and attempt = ?
    returning run_id
"""
_RENEW = "update processing_runs set lease_until = ? where run_id = ? and owner = ? and attempt = ? returning run_id"
_FINISH = "update processing_runs set status = ?, error = ?, finished_at = ?, lease_until = ? where run_id = ?"
_UPSERT_MARKETS = """
    insert into processed_markets (
        run_id, market_id, event_id, attempt, snapshot_at, midpoint, payload, payload_sha256, written_at, end_at,
        first_token_id, second_token_id, inputs_sha256
    ) values {values}
    on conflict (run_id, market_id) do update set
        event_id = excluded.event_id, attempt = excluded.attempt, snapshot_at = excluded.snapshot_at,
        midpoint = excluded.midpoint, payload = excluded.payload, payload_sha256 = excluded.payload_sha256,
        written_at = excluded.written_at, end_at = excluded.end_at, first_token_id = excluded.first_token_id,
        second_token_id = excluded.second_token_id, inputs_sha256 = excluded.inputs_sha256
"""
_UPSERT_FAILURES = """
    insert into processing_failures (
        run_id, attempt, market_id, stage, experiment, problem, error_class, message, is_retriable, is_stale_success,
        failed_at
    ) values {values}
    on conflict (run_id, attempt, market_id, stage, experiment, problem) do update set
        error_class = excluded.error_class, message = excluded.message, failed_at = excluded.failed_at
"""
_UPSERT_OUTCOMES = """
    insert into market_outcomes (market_id, status, label, resolved_at, known_at, checked_at) values {values}
    on conflict (market_id) do update set
        status = excluded.status, label = excluded.label, resolved_at = excluded.resolved_at,
        known_at = excluded.known_at, checked_at = excluded.checked_at
    where market_outcomes.checked_at <= excluded.checked_at
"""
_STANDING = """
    select market_id, status, label, winning_token_id, known_at from (
        select *, row_number() over (partition by market_id order by known_at desc) as newest
        from market_answers where market_id in ({marks})
    ) as answers
    where newest = 1
"""
_INSERT_ANSWERS = """
    insert into market_answers (market_id, known_at, status, label, winning_token_id, resolved_at) values {values}
    on conflict do nothing
"""
_SINCE = """
    update market_outcomes set known_at = (
        select max(answers.known_at) from market_answers as answers
        where answers.market_id = market_outcomes.market_id and answers.status = market_outcomes.status
    )
    where market_id in ({marks}) and status in ('resolved', 'void')
"""
_NEWEST = """
    select max(moment) from (
        select max(snapshot_at) as moment from processed_markets
        union all
        select max(checked_at) as moment from market_outcomes
    ) as moments
"""
_INSERT_CALLS = "insert into model_calls ({columns}) values {values} on conflict do nothing"
_CALL_ORDER = "order by market_id, experiment, experiment_version, sample, attempt"

_FAILING = """
    select distinct failures.market_id
    from processing_failures as failures
    left join processed_markets as markets
        on markets.run_id = failures.run_id and markets.market_id = failures.market_id
    where failures.run_id = ? and failures.stage <> 'backfill' and failures.attempt >= coalesce(markets.attempt, 0)
"""
_RUNS = """
    select run_id, run_date, window_days, status, snapshot_at from processing_runs
    where run_date between ? and ? order by run_date, window_days
"""
_HISTORY = """
    select market_id, cluster, midpoint, happened, known_at, superseded_at from (
        select
            markets.market_id, coalesce(markets.event_id, markets.market_id) as cluster, markets.midpoint,
            case
                when answers.winning_token_id is null then answers.label
                when answers.winning_token_id = markets.first_token_id then 1
                when answers.winning_token_id = markets.second_token_id then 0
            end as happened,
            answers.known_at, answers.superseded_at,
            row_number() over (
                partition by markets.market_id, answers.known_at order by markets.snapshot_at desc
            ) as newest
        from (
            select *, lead(known_at) over (partition by market_id order by known_at) as superseded_at
            from market_answers
        ) as answers
        inner join processed_markets as markets
            on markets.market_id = answers.market_id and markets.snapshot_at < answers.known_at
        where answers.status = 'resolved'
    ) as seen
    where newest = 1 and happened is not null order by known_at, market_id
"""
_PAYLOADS = "select market_id, event_id, payload, payload_sha256 from processed_markets where run_id = ? order by 1"
_UNRESOLVED = """
    select
        markets.market_id,
        (markets.payload -> 'snapshot' ->> 'condition_id') as condition_id,
        (markets.payload -> 'snapshot' ->> 'outcomes') as outcomes,
        (markets.payload -> 'snapshot' ->> 'token_ids') as token_ids
    from (
        select *, row_number() over (partition by market_id order by snapshot_at desc) as newest
        from processed_markets
    ) as markets
    left join market_outcomes as outcomes on outcomes.market_id = markets.market_id
    where
        markets.newest = 1
        and coalesce(markets.end_at, markets.snapshot_at) >= ?
        and (outcomes.known_at is null or outcomes.known_at > ?)
    order by length(markets.market_id), markets.market_id
"""
