"""Queries that stand ready: planned before their rows are there, equal to the same SQL on tables, whatever fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operate.voting.watch.standing import Query, StandingQueries

ROWS = pa.schema([("key", pa.int64()), ("value", pa.int64())])
SUMS = Query("sums", "select key, sum(value)::bigint as value from rows group by key order by key", ["rows"])
# each reads what is before it, and twice
PAIRS = Query(
    "pairs",
    "select a.key, b.value from sums as a join sums as b on a.key = b.key + 1 order by all",
    ["sums"],
)
BOTH = Query("all_rows", "select * from rows union all select * from pairs order by all", ["rows", "pairs"])


@contextmanager
def standing(*queries: Query) -> Iterator[StandingQueries]:
    with duckdb.connect() as connection, closing(made := StandingQueries(connection, queries, _schemas(queries))):
        made.begin()
        yield made


def _schemas(queries: tuple[Query, ...]) -> dict[str, pa.Schema]:
    return dict.fromkeys(("rows", *(query.name for query in queries)), ROWS)


def rows(values: list[tuple[int, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"key": key, "value": value} for key, value in values], schema=ROWS)


VALUES = st.lists(st.tuples(st.integers(0, 5), st.integers(-9, 9)), max_size=20)


@settings(max_examples=20, deadline=None)
@given(rounds=st.lists(VALUES, min_size=1, max_size=4))
def test_answers_are_those_of_the_same_sql_on_tables_round_after_round(rounds: list[list[tuple[int, int]]]) -> None:
    with standing(SUMS, PAIRS, BOTH) as queries, duckdb.connect() as plain:
        for values in rounds:
            given_rows = rows(values)
            plain.register("rows", given_rows)
            for query in (SUMS, PAIRS, BOTH):
                plain.execute(f"create or replace table {query.name} as {query.sql}")
            queries.give({"rows": given_rows})
            for name in ("all_rows", "sums", "pairs"):
                assert queries.answer(name).to_pylist() == plain.sql(f"from {name}").to_arrow_table().to_pylist()
            queries.begin()


def test_an_answer_waits_for_rows_that_are_given_later() -> None:
    with standing(SUMS) as queries:
        threading.Timer(0.2, lambda: queries.give({"rows": rows([(1, 2), (1, 3)])})).start()
        assert queries.answer("sums").to_pylist() == [{"key": 1, "value": 5}]


def test_what_failed_first_is_named_and_the_next_round_is_sound() -> None:
    with standing(Query("sums", "select key, ('no' || value)::bigint as value from rows", ["rows"]), PAIRS) as q:
        q.give({"rows": rows([(1, 1)])})
        with pytest.raises(duckdb.Error, match="Could not convert string 'no1'"):
            q.answer("pairs")
        q.begin()
        q.give({"rows": rows([])})
        assert q.answer("pairs").num_rows == 0


def test_a_round_whose_rows_never_come_does_not_hold_up_the_next() -> None:
    with standing(SUMS) as queries:
        queries.begin()
        queries.give({"rows": rows([(1, 2)])})
        assert queries.answer("sums").num_rows == 1


def test_closing_ends_queries_that_wait() -> None:
    threads = threading.active_count()
    with standing(SUMS, PAIRS, BOTH):
        time.sleep(0.1)
        assert threading.active_count() > threads
    assert threading.active_count() == threads
