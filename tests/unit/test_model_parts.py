"""Models read their inputs part by part: every row once, and no part before it is its turn."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

from python_models.parts import EPOCHS, epochs, parts, streamed


@pytest.fixture
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "create table votes as select protocol, voter_id, epoch, epoch as votes "
            "from range(0, 190, 10) as e(epoch), "
            "(values ('a', 'x'), ('a', 'y'), ('b''s', 'x')) as v(protocol, voter_id)"
        )
        yield connection


def test_every_row_is_read_once(session: duckdb.DuckDBPyConnection) -> None:
    votes = session.table("votes")
    found = [read(votes) for read in parts(votes, "protocol", "voter_id")]
    assert [sorted(set(part["protocol"].to_pylist())) for part in found] == [["a"], ["a"], ["b's"]]
    assert sum(part.num_rows for part in found) == 57
    spans = [read(votes) for read in epochs(votes)]
    assert [part.num_rows for part in spans] == [2 * EPOCHS, 2 * EPOCHS, 6, EPOCHS, EPOCHS, 3]
    assert pa.concat_tables(spans).num_rows == 57 and max(spans[0]["epoch"].to_pylist()) == 10 * (EPOCHS - 1)


def test_what_is_not_there_or_has_other_columns_has_no_rows(session: duckdb.DuckDBPyConnection) -> None:
    """The model's own table of an earlier build: none yet, or one of an earlier release."""
    older = session.sql("select voter_id, votes from votes")
    for read in (*parts(session.table("votes"), "protocol"), *epochs(session.table("votes"))):
        assert read(None) is None and read(older) is None


def test_a_part_is_made_when_the_one_before_it_is_taken(session: duckdb.DuckDBPyConnection) -> None:
    """Also while another connection writes the answers, as dbt does."""
    votes, made = session.table("votes"), list[int]()

    def answers() -> Iterator[pa.Table]:
        for read in parts(votes, "protocol", "voter_id"):
            made.append(len(made))
            yield read(votes)

    reader = streamed(votes.limit(0).to_arrow_table().schema, answers())
    assert made == []
    reader.read_next_batch()
    assert made == [0]
    writer = session.cursor()
    writer.register("rest", reader)
    writer.execute("create table answers as from rest")
    assert made == [0, 1, 2] and session.execute("select count(*) from answers").fetchall() == [(38,)]
