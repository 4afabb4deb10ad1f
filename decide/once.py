"""Decide once: an answer is kept with a seal over all it rests on and over itself, and used again only if both hold.

A unit (one decision, one forecast, one run) has a key, a hash of its inputs, and rows. Its seal is a hash of that input
hash and of the rows' bytes, so one comparison says that nothing it rests on has changed and that nothing happened to
the rows since. What does not compare is decided anew; nothing is ever repaired or trusted in part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
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
    kind: Any = type(value)
    if kind is np.ndarray and value.dtype.kind in "biufM":
        found.update(f"array {value.dtype.str} {value.shape};".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    elif names := _field_names(kind):
        found.update(f"{kind.__name__} {len(names)};".encode())
        for name in names:
            found.update(f"field {name};".encode())
            _feed(found, getattr(value, name))
    elif isinstance(value, Mapping):
        found.update(f"mapping {len(value)};".encode())
        keys = sorted(value)
        _feed(found, keys)
        _feed(found, [value[key] for key in keys])
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


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    """Fields of a dataclass; nothing for any other type."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


class RowBytes:
    """A table's rows as bytes, range by range: the same values give the same bytes however a table is chunked.

    What has a fixed width lies row by row in one block, so that a range of it is one piece.
    """

    def __init__(self, table: pa.Table) -> None:
        self._rows = _Rows(table.columns, table.num_rows)

    def digest(self, prefix: str, where: slice) -> str:
        """Hash of the rows of a range, in their order, after a prefix."""
        found = hashlib.blake2b(f"{prefix} {where.stop - where.start};".encode(), digest_size=_SIZE)
        self._rows.feed(found, where.start, where.stop)
        return found.hexdigest()


class _Rows:
    """Columns of one length: a block (rows, bytes) of validity, plain values and lengths, and what varies in width."""

    def __init__(self, columns: Sequence[pa.ChunkedArray | pa.Array], count: int) -> None:
        self._parts: list[np.ndarray[Any, Any]] = []
        self._texts: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []  # offsets, bytes
        self._lists: list[tuple[np.ndarray[Any, Any], _Rows]] = []  # offsets, what is in them
        for column in columns:
            self._add(column)
        wide = [np.ascontiguousarray(part).view(np.uint8).reshape(count, -1) for part in self._parts if count]
        self._block = np.concatenate(wide, axis=1) if wide else np.zeros((0, 0), np.uint8)

    def _add(self, column: pa.ChunkedArray | pa.Array) -> None:
        array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) and column.chunks else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.array([], array.type)
        self._parts.append(np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=np.bool_))
        if pa.types.is_struct(array.type):
            for child in array.flatten():
                self._add(child)
        elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            offsets = _offsets(pc.list_value_length(array))
            inside = array.flatten()
            self._parts.append(np.diff(offsets))
            self._lists.append((offsets, _Rows([inside], len(inside))))
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            text = pc.fill_null(array, "").cast(pa.large_binary())
            offsets = _offsets(pc.binary_length(text))
            self._parts.append(np.diff(offsets))
            self._texts.append((offsets, np.frombuffer(b"".join(text.to_pylist()), np.uint8)))
        else:
            plain = array.cast(pa.int64()) if pa.types.is_temporal(array.type) else array
            plain = pc.fill_null(plain, False if pa.types.is_boolean(plain.type) else 0)
            self._parts.append(np.asarray(plain.to_numpy(zero_copy_only=False)))

    def feed(self, found: hashlib.blake2b, start: int, stop: int) -> None:
        found.update(self._block[start:stop].tobytes())
        for offsets, text in self._texts:
            found.update(text[offsets[start] : offsets[stop]].tobytes())
        for offsets, inside in self._lists:
            inside.feed(found, int(offsets[start]), int(offsets[stop]))


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
