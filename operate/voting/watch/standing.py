"""Queries that stand ready: planned before their rows are there, each waits for the rows that it reads.

DuckDB plans a query anew at every run (2.0: prepared ones as well), and for models of small tables planning takes as
long as computing. A standing query is planned ahead: it reads `Wire`s, Arrow streams that wait for rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa


class Wire:
    """Rows of a known schema that come later; whatever scans it waits for them (the Arrow PyCapsule interface)."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self.rows = schema, Future[pa.Table]()

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.RecordBatchReader.from_batches(self.schema, _batches(self.rows)).__arrow_c_stream__(requested_schema)


def _batches(rows: Future[pa.Table]) -> Iterator[pa.RecordBatch]:
    yield from rows.result().to_batches()


@dataclass(frozen=True)
class Query:
    """SQL whose answer is called `name`; `reads`: the answers and given tables that it reads, by these names."""

    name: str
    sql: str
    reads: Sequence[str]


class StandingQueries:
    """Queries that read one another's answers, each after those it reads, and tables that are given.

    `schemas`: of every answer and every given table. A round begins with `begin` (everything is planned and waits),
    goes on with `give`, and its answers are had with `answer`; the next begins when all queries of this one are done.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, queries: Sequence[Query], schemas: Mapping[str, pa.Schema]
    ) -> None:
        self._wires = {name: Wire(schema) for name, schema in schemas.items()}
        self._ready = {query.name: self._prepare(connection.cursor(), query) for query in queries}
        self._workers = ThreadPoolExecutor(len(queries))  # one each: they wait for one another
        self._running: dict[str, Future[None]] = {}

    def _prepare(self, connection: duckdb.DuckDBPyConnection, query: Query) -> tuple[Any, Any]:
        """A connection that knows what the query reads, and the query parsed."""
        for name in query.reads:
            connection.register(name, self._wires[name])
        (statement,) = connection.extract_statements(query.sql)
        return connection, statement

    def begin(self) -> None:
        """Plan every query; each waits for what it reads. Before, the last round ends, whether its rows came or not."""
        self._abandon()
        wait(self._running.values())
        for wire in self._wires.values():
            wire.rows = Future()
        self._running = {name: self._workers.submit(self._run, name) for name in self._ready}

    def _run(self, name: str) -> None:
        connection, statement = self._ready[name]
        rows = self._wires[name].rows
        try:
            rows.set_result(connection.sql(statement).to_arrow_table())
        except BaseException as error:
            rows.set_exception(error)
            raise

    def give(self, tables: Mapping[str, pa.Table]) -> None:
        """The rows that this round's queries wait for; each given table once."""
        for name, table in tables.items():
            self._wires[name].rows.set_result(table)

    def answer(self, name: str) -> pa.Table:
        """A query's rows, waited for. What failed first is raised, not what failed because of it."""
        rows = self._wires[name].rows
        if rows.exception() is not None:
            for done in self._running.values():
                done.result()
        return rows.result()

    def schema(self, name: str) -> pa.Schema:
        """Columns of an answer."""
        return self._wires[name].schema

    def close(self) -> None:
        """End what still waits."""
        self._abandon()
        self._workers.shutdown()

    def _abandon(self) -> None:
        """Nobody waits any more for rows that were not given."""
        for name in self._wires.keys() - self._ready.keys():
            if not self._wires[name].rows.done():
                self._wires[name].rows.set_exception(duckdb.InterruptException("its rows were not given"))
