"""Answers kept with a seal: found only when what they rest on is the same and their rows are whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.once import SEAL, Answers, Kept, RowBytes, digest, sealed_schema

INNER = pa.struct([("name", pa.string()), ("amount", pa.float64())])
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("flag", pa.bool_()),
        ("at", pa.timestamp("us", "UTC")),
        ("numbers", pa.list_(pa.float64())),
        ("inner", pa.list_(INNER)),
    ]
)
Row = dict[str, Any]
texts = st.none() | st.text(max_size=4)
numbers = st.none() | st.floats(allow_nan=False)
rows = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "c"]),
        "n": st.none() | st.integers(-5, 5),
        "x": numbers,
        "flag": st.none() | st.booleans(),
        "at": st.none() | st.integers(0, 2**31).map(lambda second: datetime.fromtimestamp(second, UTC)),
        "numbers": st.none() | st.lists(numbers, max_size=3),
        "inner": st.none() | st.lists(st.fixed_dictionaries({"name": texts, "amount": numbers}), max_size=2),
    }
)


def table(found: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=SCHEMA)


def ordered(row: Row) -> Row:
    """A row and its structs by name: an order of keys is no difference."""
    inner = row["inner"] and [dict(sorted(item.items())) for item in row["inner"]]
    return dict(sorted((row | {"inner": inner}).items()))


def kept(units: dict[str, list[Row]], inputs: str = "i") -> pa.Table:
    answers = Answers(Kept(None, SCHEMA, ["key"]), SCHEMA)
    for key, found in units.items():
        answers.add(table([row | {"key": key} for row in found]), inputs)
    return answers.table()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows, max_size=8), st.integers(0, 8))
def test_rows_have_the_same_bytes_however_they_are_chunked(found: list[Row], cut: int) -> None:
    whole = table(found)
    cut = min(cut, len(found))
    chunked = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    inside = pa.concat_tables([table(found[::-1]), whole]).combine_chunks().slice(len(found))
    for n in range(len(found)):
        wanted = RowBytes(whole.slice(n, 1)).digest("p", slice(0, 1))
        for other in (whole, chunked, inside):
            assert RowBytes(other).digest("p", slice(n, n + 1)) == wanted


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows, min_size=1, max_size=4), st.lists(rows, min_size=1, max_size=4))
def test_other_rows_have_another_digest(one: list[Row], other: list[Row]) -> None:
    digests = [RowBytes(table(found)).digest("p", slice(0, len(found))) for found in (one, other)]
    # by name, as columns are: `repr` tells -0.0 from 0.0, which `==` does not
    same = repr([ordered(row) for row in one]) == repr([ordered(row) for row in other])
    assert (digests[0] == digests[1]) == same
    assert RowBytes(table(one)).digest("q", slice(0, len(one))) != digests[0]


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


def test_a_digest_tells_kinds_shapes_and_borders_apart() -> None:
    values = [
        1, 1.0, "1", True, None, 0.0, -0.0, (1,), (1, 2), ((1,), 2), "ab", ("a", "b"), ("ab", ""), Pair(1, 2),
        Pair(2, 1), {"a": 1}, {"a": 2}, {"b": 1}, np.arange(4), np.arange(4.0), np.arange(4).reshape(2, 2), np.zeros(0),
    ]  # fmt: skip
    found = [digest(value) for value in values] + [digest("a", "b"), digest()]
    assert len(set(found)) == len(found)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(frozenset("abc")) == digest(set("cba")) != digest(frozenset("ab"))
    assert digest(np.array(["x", "yy"])) == digest(np.array(["x", "yyyy", "yy"])[[0, 2]]), (
        "widths of texts do not count"
    )
    assert digest(np.arange(10)[::2]) == digest(np.arange(0, 10, 2)), "nor does how an array lies in memory"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(rows, min_size=1, max_size=3), min_size=1))
def test_what_is_kept_is_found_and_written_as_it_was(units: dict[str, list[Row]]) -> None:
    first = kept(units)
    again = Answers(Kept(first, SCHEMA, ["key"]), SCHEMA)
    for key in units:
        where = again.kept.find((key,), "i")
        assert where is not None
        again.keep(where)
    assert again.table().equals(first) and (again.reused, again.decided) == (len(units), 0)
    assert again.kept.find((next(iter(units)),), "j") is None, "other inputs"


ROW: Row = {"n": 1, "x": 2.0, "flag": True, "at": None, "numbers": [1.0, 2.0], "inner": [{"name": "g", "amount": 3.0}]}
UNITS = {"a": [ROW, ROW | {"n": 2}], "b": [ROW]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda rows: rows[1:],  # the first half is lost
        lambda rows: [rows[1], rows[0], *rows[2:]],
        lambda rows: [rows[0] | {"x": np.nextafter(2.0, 3.0)}, *rows[1:]],
        lambda rows: [rows[0], rows[1] | {"numbers": [1.0, 2.5]}, *rows[2:]],
        lambda rows: [rows[0], rows[1] | {"numbers": [1.0, None]}, *rows[2:]],
        lambda rows: [rows[0] | {"inner": [{"name": "h", "amount": 3.0}]}, *rows[1:]],
        lambda rows: [rows[0] | {SEAL: None}, *rows[1:]],
        lambda rows: [rows[0] | {SEAL: "0" * 32}, *rows[1:]],
        lambda rows: [rows[0], rows[2], rows[1]],  # a unit in two pieces
        lambda rows: [*rows, rows[0]],
    ],
)
def test_a_damaged_unit_is_not_found_and_the_others_are(damage: Any) -> None:
    whole = kept(UNITS)
    damaged = Kept(pa.Table.from_pylist(damage(whole.to_pylist()), schema=whole.schema), SCHEMA, ["key"])
    assert damaged.find(("a",), "i") is None and damaged.find(("b",), "i") is not None


def test_a_table_of_another_shape_holds_nothing() -> None:
    whole = kept(UNITS)
    for other in (None, whole.drop_columns(["x"]), whole.drop_columns([SEAL]), whole.slice(0, 0)):
        assert Kept(other, SCHEMA, ["key"]).find(("b",), "i") is None
    place = whole.schema.get_field_index("n")
    retyped = whole.set_column(place, "n", pa.array(["one", "two", "three"]))
    assert Kept(retyped, SCHEMA, ["key"]).find(("b",), "i") is None
    assert kept({}).schema == sealed_schema(SCHEMA)
