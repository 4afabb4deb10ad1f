"""Arrow tables as numpy columns, and their rows in groups: the one place where tables and arrays meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from decide.quantiles import Codes, Floats

EPOCH_MICROSECONDS = pa.timestamp("us", "UTC")
NEVER = np.iinfo(np.int64).max  # a moment that has not come, e.g. `known_at` of a label that is not known


def floats(table: pa.Table, column: str) -> Floats:
    """A numeric column as float64; null becomes NaN."""
    return np.asarray(pc.cast(table[column], pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def integers(table: pa.Table, column: str) -> Codes:
    """A whole-number column without nulls as int64."""
    return np.asarray(pc.cast(table[column], pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)


def booleans(table: pa.Table, column: str) -> npt.NDArray[np.bool_]:
    """A boolean column; null is false."""
    return np.asarray(pc.fill_null(table[column], False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def microseconds(table: pa.Table, column: str) -> Codes:
    """A UTC timestamp column as microseconds since 1970; null becomes NEVER."""
    moments = pc.cast(pc.cast(table[column], EPOCH_MICROSECONDS), pa.int64())
    return np.asarray(pc.fill_null(moments, NEVER).to_numpy(zero_copy_only=False), dtype=np.int64)


def timestamps(moments: Codes) -> pa.Array:
    """Microseconds since 1970 as UTC timestamps; negative ones and NEVER become null."""
    absent = (moments < 0) | (moments == NEVER)
    return pa.array(np.where(absent, 0, moments), mask=absent).cast(EPOCH_MICROSECONDS)


def codes(table: pa.Table, column: str) -> tuple[Codes, list[Any]]:
    """A column as codes in order of its sorted values, and those values; null comes last."""
    encoded = table[column].combine_chunks().dictionary_encode(null_encoding="encode")
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    places = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return rank[places], encoded.dictionary.take(pa.array(order)).to_pylist()


def runs(ordered: pa.Table, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], slice]]:
    """Each combination of `keys` in a table sorted by them, with where its rows lie."""
    if not ordered.num_rows:
        return
    columns = [codes(ordered, key) for key in keys]
    changes = np.zeros(ordered.num_rows, dtype=np.bool_)
    for found, _ in columns:
        changes[1:] |= found[1:] != found[:-1]
    starts = [0, *np.flatnonzero(changes).tolist()]
    for start, stop in zip(starts, [*starts[1:], ordered.num_rows], strict=True):
        yield tuple(values[found[start]] for found, values in columns), slice(start, stop)


def in_order(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The rows sorted by `keys`, ascending; rows that are in order already are not moved."""
    columns = [codes(table, key)[0] for key in keys]
    order = np.lexsort(columns[::-1]) if columns else np.arange(table.num_rows)
    if np.array_equal(order, np.arange(len(order))):
        return table
    return table.take(pa.array(order))


def groups(table: pa.Table, keys: Sequence[str], order: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    """The rows of each combination of `keys`, sorted by `order`; the order of the input does not matter."""
    ordered = in_order(table, [*keys, *order])
    for key, where in runs(ordered, keys):
        yield key, ordered.slice(where.start, where.stop - where.start)
