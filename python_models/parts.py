"""A model's inputs a part at a time, and its answers as they come: years of all parts at once are gigabytes.

No model: `.dbtignore` keeps dbt away from it. dbt writes the answers through a connection of its own, so a part is read
while the parts before it are being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa

EPOCHS = 8  # of an exchange that are decided together: what is held does not grow with how many there are
Read = Callable[[Any], Any]  # a relation's rows of one part as a table; nothing of nothing


def parts(relation: Any, *keys: str) -> Iterator[Read]:
    """What reads each combination of `keys` that a relation holds, in order, of any relation with these columns."""
    for values in relation.select(*keys).distinct().order("all").fetchall():
        yield partial(_read, dict(zip(keys, values, strict=True)), None)


def epochs(relation: Any) -> Iterator[Read]:
    """What reads some epochs of an exchange, one exchange after the other, each in order of time."""
    for (protocol,) in relation.select("protocol").distinct().order("all").fetchall():
        mine = relation.filter(_is("protocol", protocol)).select("epoch").distinct().order("all").fetchall()
        for start in range(0, len(mine), EPOCHS):
            (first,), (last,) = mine[start], mine[start : start + EPOCHS][-1]
            yield partial(_read, {"protocol": protocol}, (first, last))


def streamed(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.RecordBatchReader:
    """Answers part by part: a part is made when the one before it is written."""
    return pa.RecordBatchReader.from_batches(schema, (batch for table in tables for batch in table.to_batches()))


def _read(values: dict[str, Any], span: Sequence[int] | None, relation: Any) -> pa.Table | None:
    needed = {*values, *(["epoch"] if span else [])}
    if relation is None or not needed <= set(relation.columns):  # a table of an earlier release may lack a column
        return None
    for name, value in values.items():
        relation = relation.filter(_is(name, value))
    if span:
        relation = relation.filter(f"epoch between {span[0]} and {span[1]}")
    return relation.to_arrow_table()


def _is(name: str, value: Any) -> duckdb.Expression:
    return duckdb.ColumnExpression(name) == duckdb.ConstantExpression(value)
