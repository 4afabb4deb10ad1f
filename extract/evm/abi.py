"""Calldata and return data of functions; events decoded by column.

Words are decoded for all rows at once with numpy on the hex text: no Python object per log. Only dynamic
types (string, bytes, arrays, tuples) go row by row through eth_abi.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from eth_hash.auto import keccak

from extract.evm.errors import DecodeError
from extract.evm.words import (
    OK,
    OVERFLOW,
    WORD_CHARS,
    Column,
    decode_words,
    hex_matrix,
    is_static_word,
    join_status,
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a signature: canonical type, name (may be empty), and whether it is a topic."""

    type: str
    name: str
    indexed: bool


@lru_cache(maxsize=4096)
def parse_signature(signature: str) -> tuple[str, tuple[Parameter, ...]]:
    """Name and parameters of `Name(type [indexed|i] [name], ...)`. ValueError when it is not one."""
    name, bracket, inner = signature.strip().partition("(")
    if not bracket or not inner.endswith(")") or not name.strip().isidentifier():
        raise ValueError(f"not a signature: {signature!r}; write it as Name(type name, ...)")
    return name.strip(), tuple(_parameter(text) for text in _split(inner[:-1]))


def _split(text: str) -> list[str]:
    """Top-level comma parts: commas inside tuples do not count."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]] if text.strip() else []


def _parameter(text: str) -> Parameter:
    text = text.strip()
    end = text.rfind(")")
    head = text[: end + 1]
    first, _, rest = text[end + 1 :].partition(" ")
    words = rest.split()
    indexed = bool(words) and words[0] == "indexed"
    name = words[-1] if len(words) > indexed else ""
    return Parameter(_canonical(head + first), name, indexed)


def _canonical(type_: str) -> str:
    if type_.startswith("("):
        end = type_.rfind(")")
        return "(" + ",".join(_parameter(t).type for t in _split(type_[1:end])) + ")" + type_[end + 1 :]
    base, bracket, size = type_.partition("[")
    return {"uint": "uint256", "int": "int256"}.get(base, base) + bracket + size


@lru_cache(maxsize=4096)
def _hash(canonical: str) -> bytes:
    return keccak(canonical.encode())


@dataclass(frozen=True)
class Function:
    """A view function. `signature` as `name(types)`, `returns` as `type` or `type,type`; hashable and cheap
    to make.
    """

    signature: str
    returns: str = ""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(p.type for p in parse_signature(self.signature)[1])

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(_parameter(part).type for part in _split(self.returns.strip()))

    @cached_property
    def selector(self) -> str:
        """First four bytes of the signature's keccak, as 0x hex."""
        name = parse_signature(self.signature)[0]
        return "0x" + _hash(f"{name}({','.join(self.inputs)})")[:4].hex()

    def encode(self, *args: Any) -> str:
        """Calldata as 0x hex. Integers, booleans, addresses (0x hex), bytesN (bytes or 0x hex) and arrays of them need
        no library, and who encodes nothing else loads none.

        Errors: ValueError for a wrong count or a value that does not fit its type.
        """
        if len(args) != len(self.inputs):
            raise ValueError(f"{self.signature} takes {len(self.inputs)} arguments, not {len(args)}")
        if all(is_static_word(t.removesuffix("[]")) for t in self.inputs):
            return self.selector + _words(self.inputs, args)
        from extract.evm.dynamic import encode_values

        return self.selector + encode_values(self.signature, self.inputs, args)

    def decode(self, data: bytes) -> Any:
        """The value, or a tuple of values where several are returned. Addresses are lower-case hex, bytesN
        bytes.

        Errors: DecodeError for data that does not fit `returns`, also when it is empty.
        """
        if not data:
            raise DecodeError(f"{self.signature}: no data: nothing answered there")
        from extract.evm.dynamic import decode_values

        values = decode_values(self.signature, self.outputs, data)
        return values[0] if len(values) == 1 else values


def _words(types: Sequence[str], values: Sequence[Any]) -> str:
    """Static values in place; arrays of them as an offset there, their length and words behind everything.

    Source: the contract ABI specification, formal specification of the encoding.
    """
    heads, tails = list[str](), ""
    for type_, value in zip(types, values, strict=True):
        if not type_.endswith("[]"):
            heads.append(_word(type_, value))
            continue
        heads.append(f"{32 * len(types) + len(tails) // 2:064x}")
        tails += f"{len(value):064x}" + "".join(_word(type_.removesuffix("[]"), one) for one in value)
    return "".join(heads) + tails


def _word(type_: str, value: Any) -> str:
    """One ABI word as 64 hex digits."""
    if type_.startswith("bytes"):
        text = value.removeprefix("0x") if isinstance(value, str) else bytes(value).hex()
        if len(text) > 2 * int(type_[5:]):
            raise ValueError(f"{value!r} is longer than {type_}")
        return bytes.fromhex(text).hex().ljust(WORD_CHARS, "0")
    if type_ == "address":
        number, low, high = int(value, 16), 0, 1 << 160
    elif type_ == "bool":
        number, low, high = int(value), 0, 2
    elif type_.startswith("uint"):
        number, low, high = int(value), 0, 1 << int(type_[4:])
    else:
        bits = int(type_[3:])
        number, low, high = int(value), -(1 << (bits - 1)), 1 << (bits - 1)
    if not low <= number < high:
        raise ValueError(f"{value!r} does not fit {type_}")
    return f"{number % (1 << 256):064x}"


@dataclass(frozen=True)
class Event:
    """An event: `Voted(address indexed voter, uint256 weight)`. Unnamed parameters are arg0, arg1, ..."""

    signature: str

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        found = parse_signature(self.signature)[1]
        return tuple(Parameter(p.type, p.name or f"arg{i}", p.indexed) for i, p in enumerate(found))

    @cached_property
    def topic0(self) -> str:
        name = parse_signature(self.signature)[0]
        return "0x" + _hash(f"{name}({','.join(p.type for p in self.parameters)})").hex()

    def decode(self, table: pa.Table) -> pa.Table:
        """A column per parameter and `decode_status`, one row per row of `table` (LOG_SCHEMA), in its order.

        address: lower-case text; bytesN, and the hash of an indexed dynamic value: 0x text; bool: bool;
        string: text; bytes, arrays and tuples: 0x text or JSON text. Integers: decimal128(38, 0), null where
        38 digits do not hold them, and `<name>_text` with the exact decimal. decode_status: ok; overflow (an
        integer is only in its text); malformed (topic count, data length or padding is not that of the event:
        all values null).
        """
        if not table.num_rows:
            return self._assemble({}, np.empty(0, np.uint8), 0)
        rows = table.num_rows
        indexed = [p for p in self.parameters if p.indexed]
        plain = [p for p in self.parameters if not p.indexed]
        is_whole = self._has_topics(table, len(indexed))
        columns: dict[str, Column] = {}
        for i, parameter in enumerate(indexed):
            matrix, fits = hex_matrix(table[f"topic{i + 1}"], WORD_CHARS, is_whole)
            type_ = parameter.type if is_static_word(parameter.type) else "bytes32"
            columns[parameter.name] = decode_words(matrix, type_)
            is_whole &= fits
        if all(is_static_word(p.type) for p in plain):
            matrix, fits = hex_matrix(table["data"], WORD_CHARS * len(plain), is_whole)
            is_whole &= fits
            for i, parameter in enumerate(plain):
                word = matrix[:, WORD_CHARS * i : WORD_CHARS * (i + 1)]
                columns[parameter.name] = decode_words(word, parameter.type)
        else:
            from extract.evm.dynamic import decode_rows

            is_whole &= decode_rows(table["data"], plain, columns)
        return self._assemble(columns, join_status(is_whole, columns.values()), rows)

    def _has_topics(self, table: pa.Table, indexed: int) -> np.ndarray:
        """Rows with this event's topic0 and exactly one topic per indexed parameter."""
        ok = pc.fill_null(pc.equal(table["topic0"], self.topic0), False)
        for i in range(1, 4):
            column = table[f"topic{i}"]
            ok = pc.and_(ok, pc.is_valid(column) if i <= indexed else pc.is_null(column))
        return np.array(ok.to_numpy(zero_copy_only=False) if isinstance(ok, pa.Array) else ok.to_numpy(), bool)

    def _assemble(self, columns: dict[str, Column], status: np.ndarray, rows: int) -> pa.Table:
        arrays: dict[str, pa.Array] = {}
        good = status <= OVERFLOW
        for parameter in self.parameters:
            column = columns.get(parameter.name) or decode_words(np.empty((0, WORD_CHARS), np.uint8), _flat(parameter))
            arrays |= column.arrays(parameter.name, good)
        names = pa.array(["ok", "overflow", "malformed"])
        arrays["decode_status"] = names.take(pa.array(status, pa.int8())) if rows else pa.array([], pa.string())
        return pa.table(arrays)


def _flat(parameter: Parameter) -> str:
    """A word type with the same column as the parameter, for tables without rows."""
    return parameter.type if is_static_word(parameter.type) else "bytes32"


def event_topics(signatures: Sequence[str]) -> list[str]:
    """topic0 of each event."""
    return [Event(signature).topic0 for signature in signatures]


__all__ = ["OK", "OVERFLOW", "Event", "Function", "Parameter", "event_topics", "parse_signature"]
