"""Event data with dynamic types (string, bytes, arrays, tuples), row by row through eth_abi."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError

from extract.evm.errors import DecodeError
from extract.evm.words import WORD_CHARS, Column, decode_words, is_static_word


class Typed(Protocol):
    """What is needed of a parameter."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...


def encode_values(what: str, types: Sequence[str], values: Sequence[Any]) -> str:
    """Values of any types as hex. Errors: ValueError, naming `what`."""
    try:
        return abi_encode(types, values).hex()
    except EncodingError as error:
        raise ValueError(f"{what}: {error}") from None


def decode_values(what: str, types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Values of any types. Errors: DecodeError, naming `what`."""
    try:
        return tuple(abi_decode(types, data, strict=False))
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise DecodeError(f"{what}: {error}") from None


def decode_rows(texts: pa.ChunkedArray, parameters: Sequence[Typed], columns: dict[str, Column]) -> np.ndarray:
    """Add a column per parameter to `columns`; returns which rows could be decoded."""
    types = [p.type for p in parameters]
    rows = [_decode(types, text) for text in texts.to_pylist()]
    whole = np.array([row is not None for row in rows], bool)
    for i, parameter in enumerate(parameters):
        values = [None if row is None else row[i] for row in rows]
        columns[parameter.name] = _column(parameter.type, values)
    return whole


def _decode(types: Sequence[str], text: str) -> tuple[Any, ...] | None:
    try:
        return tuple(abi_decode(types, bytes.fromhex(text[2:]), strict=False))
    except (DecodingError, ValueError, OverflowError):
        return None


def _column(type_: str, values: Sequence[Any]) -> Column:
    if is_static_word(type_):
        words = b"".join(abi_encode([type_], [_zero(type_) if v is None else v]) for v in values)
        chars = np.frombuffer(words.hex().encode(), np.uint8).reshape(len(values), WORD_CHARS)
        return decode_words(chars, type_)
    return Column(pa.array([_text(v) for v in values], pa.string()), np.ones(len(values), bool))


def _zero(type_: str) -> Any:
    if type_ == "address":
        return "0x" + "0" * 40
    return bytes(int(type_[5:])) if type_.startswith("bytes") else type_ == "never"


def _text(value: Any) -> str | None:
    """string as it is, bytes as 0x hex, arrays and tuples as JSON with integers as decimal text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
