"""Two databases behind one verb: run some statements in one transaction, all or nothing.

The embedded one is a DuckDB file, opened for a transaction only, so that dbt can read it in between. The production
one is PostgreSQL, also behind a transaction pooler (as Supabase has): no prepared statements, no session state.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb

from extract.errors import ForeshoreError
from operate.shelf import READABLE_FROM

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Run = Callable[..., Rows]  # (sql with ? placeholders, parameters) -> rows


_FORMAT = {"storage_compatibility_version": READABLE_FROM}  # of a new file: the lake's DuckDB is older (docs/scale.md)
_one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class LedgerError(ForeshoreError):
    """The run ledger cannot be used; what was committed before stays."""


class LedgerGone(LedgerError):
    """The database did not answer for as long as we were told to wait."""


class Engine(Protocol):
    """`json` is the type of documents there, `name` what to call it."""

    name: str
    json: str

    def transaction(self, work: Callable[[Run], T]) -> T:
        """What `work` returns, committed. It may be run again after a lost connection, so it must bear repetition."""
        ...

    def lock_migrations(self, run: Run) -> None:
        """Nobody else migrates until this transaction ends."""
        ...

    def close(self) -> None: ...


class DuckDbEngine:
    """One file; whoever else has it open is waited for, `patience` seconds at most."""

    json = "json"

    def __init__(self, path: Path, patience: float, read_only: bool = False) -> None:
        self.path, self.patience, self.read_only = path, patience, read_only
        self.name = str(path)
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)

    def transaction(self, work: Callable[[Run], T]) -> T:
        # threads of one process share a database instance, which fails where a file lock would wait
        with _one_at_a_time[str(self.path)], self._open() as connection:

            def run(sql: str, parameters: Sequence[Any] = ()) -> Rows:
                return list(connection.execute(sql, list(parameters)).fetchall())

            connection.execute("begin")
            try:
                result = work(run)
                connection.execute("commit")
            except duckdb.IOException as error:
                raise LedgerGone(f"the ledger {self.path} could not be written: {error}") from error
            return result  # an exception leaves the transaction open; closing the file rolls it back

    def lock_migrations(self, run: Run) -> None:
        """The file's own lock does."""

    def close(self) -> None: ...

    def _open(self) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                connection = duckdb.connect(str(self.path), self.read_only, _FORMAT)
                connection.execute("set TimeZone = 'UTC'")
                connection.execute("set memory_limit = '256MB'")
                return connection
            except duckdb.Error as error:
                # another process holds the file, or this one does in another way
                if not any(word in str(error) for word in ("lock", "already attached", "different configuration")):
                    raise LedgerGone(f"the ledger {self.path} cannot be opened: {error}") from None
                busy = error
            if time.monotonic() > deadline:
                raise LedgerGone(
                    f"the ledger {self.path} is in use by another process (a build, a query?) for more than "
                    f"{self.patience:.0f} s: wait for it and run the same command again. {busy}"
                ) from None
            time.sleep(0.05)


class PostgresEngine:
    """One connection, made again when it is lost; a lost database is waited for, `patience` seconds at most."""

    json = "jsonb"
    name = "PostgreSQL"

    def __init__(self, url: str, patience: float, read_only: bool = False) -> None:
        try:
            import psycopg
        except ImportError:
            raise LedgerError(
                "a PostgreSQL ledger needs the postgres extra: pip install 'foreshore[postgres]'"
            ) from None
        self._psycopg, self._url = psycopg, url
        self.patience, self.read_only = patience, read_only
        self._connection: Any = None

    def transaction(self, work: Callable[[Run], T]) -> T:
        deadline, pause = time.monotonic() + self.patience, 0.05
        while True:
            try:
                return self._once(work)
            except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
                self.close()
                if time.monotonic() + pause > deadline:
                    raise LedgerGone(
                        f"the ledger's database has not answered for {self.patience:.0f} s "
                        f"({type(error).__name__}): check it and run the same command again"
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def lock_migrations(self, run: Run) -> None:
        run("select pg_advisory_xact_lock(4027260907)")  # of the transaction, which poolers keep; never of the session

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _once(self, work: Callable[[Run], T]) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(
                self._url, autocommit=True, prepare_threshold=None, connect_timeout=10, application_name="foreshore"
            )
        connection = self._connection

        def run(sql: str, parameters: Sequence[Any] = ()) -> Rows:
            done = connection.execute(sql.replace("?", "%s") if parameters else sql, parameters or None)
            return done.fetchall() if done.description else []

        with connection.transaction():
            if self.read_only:
                run("set transaction read only")
            run("set local timezone = 'UTC'")
            return work(run)
