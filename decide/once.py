"""Decide once: an answer is kept with a seal over all it rests on and over itself, and used again only if both hold.

A unit (one decision, one forecast, one run) has a key, a hash of its inputs, and rows. Its seal is a hash of that input
hash and of the rows' bytes, so one comparison says that nothing it rests on has changed and that nothing happened to
the rows since. What does not compare is decided anew; nothing is ever repaired or trusted in part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decide.columns import runs

SEAL = "seal"
_SIZE = 16  # bytes: chance, not malice, is what a seal guards against


_PLAIN = {str, int, float, bool, type(None)}  # a list of these has an exact repr


def sealed_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of a table whose answers are kept: its own columns and the seal."""
    return schema.append(pa.field(SEAL, pa.string()))


def digest(*parts: Any) -> str:
    """Hash of values, nested as they may be: dataclasses, mappings, sets, sequences, arrays, what has an exact repr.

    Arrays count by type, shape and bytes, so -0.0 is not 0.0; mappings by sorted key.
    """
    found = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        _feed(found, part)
    return found.hexdigest()


def _feed(found: hashlib.blake2b, value: Any) -> None:
    """Every value begins with its kind and size, so that no two values feed the same bytes."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufM":
        found.update(f"array {value.dtype.str} {value.shape};".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        found.update(f"{type(value).__name__} {len(fields(value))};".encode())
        for field in fields(value):
            _feed(found, field.name)
            _feed(found, getattr(value, field.name))
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)};".encode())
        for key in sorted(value):
            _feed(found, key)
            _feed(found, value[key])
    elif isinstance(value, frozenset | set):
        _feed(found, ["set", *sorted(value)])
    elif isinstance(value, str):
        found.update(f"text {len(value)};{value}".encode())
    elif isinstance(value, list | tuple | np.ndarray):
        items = list(value.tolist() if isinstance(value, np.ndarray) else value)
        found.update(f"sequence {len(items)};".encode())
        if set(map(type, items)) <= _PLAIN:
            found.update(repr(items).encode())
            return
        for item in items:
            _feed(found, item)
    else:
        found.update(f"{type(value).__name__} {value!r};".encode())


class RowBytes:
    """A table's rows as bytes, range by range: the same values give the same bytes however a table is chunked."""

    def __init__(self, table: pa.Table) -> None:
        self._columns = [_Column.of(column) for column in table.columns]

    def digest(self, prefix: str, where: slice) -> str:
        """Hash of the rows of a range, in their order, after a prefix."""
        found = hashlib.blake2b(f"{prefix} {where.stop - where.start};".encode(), digest_size=_SIZE)
        for column in self._columns:
            column.feed(found, where.start, where.stop)
        return found.hexdigest()


@dataclass(frozen=True)
class _Column:
    """One array: validity, plain values or the bytes of texts, and for nested types their children by offset."""

    valid: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any] | None
    children: tuple[_Column, ...]

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> _Column:
        array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) and column.chunks else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.array([], array.type)
        valid = np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=np.bool_)
        nothing = np.zeros(0, np.uint8)
        if pa.types.is_struct(array.type):
            return cls(valid, nothing, None, tuple(cls.of(child) for child in array.flatten()))
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            return cls(valid, nothing, _offsets(pc.list_value_length(array)), (cls.of(array.flatten()),))
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            text = pc.fill_null(array, "").cast(pa.large_binary())
            raw = b"".join(text.to_pylist())
            return cls(valid, np.frombuffer(raw, np.uint8), _offsets(pc.binary_length(text)), ())
        if pa.types.is_temporal(array.type):
            array = array.cast(pa.int64())
        plain = pc.fill_null(array, False if pa.types.is_boolean(array.type) else 0)
        return cls(valid, np.asarray(plain.to_numpy(zero_copy_only=False)), None, ())

    def feed(self, found: hashlib.blake2b, start: int, stop: int) -> None:
        found.update(self.valid[start:stop].tobytes())
        if self.offsets is None:
            found.update(self.values[start:stop].tobytes())
            inner = start, stop
        else:
            found.update((self.offsets[start + 1 : stop + 1] - self.offsets[start]).tobytes())
            inner = int(self.offsets[start]), int(self.offsets[stop])
            found.update(self.values[inner[0] : inner[1]].tobytes())
        for child in self.children:
            child.feed(found, *inner)


def _offsets(lengths: pa.Array) -> np.ndarray[Any, Any]:
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), out=found[1:])
    return found


class Kept:
    """The answers of an earlier build: a unit is found only if its inputs are the same and its rows whole."""

    def __init__(self, table: pa.Table | None, schema: pa.Schema, keys: Sequence[str]) -> None:
        """`table`: what was kept, or None; one of another schema holds nothing that can be used."""
        usable = table is not None and table.schema.names == sealed_schema(schema).names
        found = table if table is not None and usable else sealed_schema(schema).empty_table()
        try:
            found = found.cast(sealed_schema(schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            found = sealed_schema(schema).empty_table()
        self.rows = found.drop_columns([SEAL]).combine_chunks()
        self._seals = found[SEAL].to_numpy(zero_copy_only=False)
        self._bytes = RowBytes(self.rows)
        self._places: dict[tuple[Any, ...], slice] = {}
        for key, where in runs(self.rows, keys):
            # a unit in two pieces is none: its rows were written by nobody here
            self._places[key] = slice(0, 0) if key in self._places else where

    def find(self, key: tuple[Any, ...], inputs: str) -> slice | None:
        """Where the rows of a unit lie, or None: not there, decided on other inputs, or not as they were written."""
        where = self._places.get(key)
        if where is None or where.start == where.stop:
            return None
        return where if self._seals[where.start] == self._bytes.digest(inputs, where) else None

    def seal(self, where: slice) -> str:
        """The seal of a unit that was found."""
        return str(self._seals[where.start])


class Answers:
    """What a build answers, unit by unit in its order: kept rows by place, new ones as tables."""

    def __init__(self, kept: Kept, schema: pa.Schema) -> None:
        self.kept, self.schema = kept, schema
        self.reused = self.decided = 0
        self._parts: list[slice | pa.Table] = []
        self._seals: list[tuple[str, int]] = []  # seal and rows of each unit

    def keep(self, where: slice) -> None:
        """A unit as it was found."""
        self.reused += 1
        self._seals.append((self.kept.seal(where), where.stop - where.start))
        last = self._parts[-1] if self._parts else None
        if isinstance(last, slice) and last.stop == where.start:
            self._parts[-1] = slice(last.start, where.stop)
        else:
            self._parts.append(where)

    def add(self, rows: pa.Table, inputs: str) -> None:
        """A unit decided now; one without rows leaves no trace."""
        self.decided += 1
        if rows.num_rows:
            made = rows.cast(self.schema)
            self._seals.append((RowBytes(made).digest(inputs, slice(0, made.num_rows)), made.num_rows))
            self._parts.append(made)

    def table(self) -> pa.Table:
        """All rows with their seals: the same whether they were kept or decided."""
        pieces = [self._piece(part) for part in self._parts]
        rows = pa.concat_tables([self.schema.empty_table(), *pieces]).combine_chunks()
        counts = np.array([count for _, count in self._seals], dtype=np.int64)
        unit = pa.array(np.repeat(np.arange(len(counts)), counts))
        seals = pa.array([seal for seal, _ in self._seals], pa.string())
        return rows.append_column(SEAL, seals.take(unit))

    def _piece(self, part: slice | pa.Table) -> pa.Table:
        return self.kept.rows.slice(part.start, part.stop - part.start) if isinstance(part, slice) else part
