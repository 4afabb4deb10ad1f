"""32-byte words of many rows at once: hex text in, Arrow columns out. No Python object per row."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

Array = np.ndarray
WORD_CHARS = 64
OK, OVERFLOW, MALFORMED = 0, 1, 2
_STATIC = re.compile(
    r"(?:u?int(?:8|16|24|32|40|48|56|64|72|80|88|96|1[0-9]{2}|2[0-9]{2})|address|bool|bytes(?:[1-9]|[12]\d|3[0-2]))"
)
_NIBBLES = np.full(256, 255, np.uint8)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _NIBBLES[np.frombuffer(_digits, np.uint8)] = np.arange(16, dtype=np.uint8)
_LIMIT = 10**38  # first integer that decimal128(38, 0) does not hold
_LIMIT_HIGH, _LIMIT_LOW = np.uint64(_LIMIT >> 64), np.uint64(_LIMIT & (1 << 64) - 1)
_DECIMAL = pa.decimal128(38, 0)


def is_static_word(type_: str) -> bool:
    """Whether a value of this ABI type is exactly one word: integers, address, bool, bytes1..bytes32."""
    return _STATIC.fullmatch(type_) is not None


@dataclass
class Column:
    """A decoded parameter. `values` by rows; `text` beside integers; `valid` the word is a value of its type;
    `overflow` the integer does not fit `values`.
    """

    values: pa.Array
    valid: Array
    text: pa.Array | None = None
    overflow: Array | None = None

    def arrays(self, name: str, good: Array) -> dict[str, pa.Array]:
        """Arrow columns by name, null where the row is not `good`."""
        found = {name: _masked(self.values, good)}
        if self.text is not None:
            found[f"{name}_text"] = _masked(self.text, good)
        return found


def _masked(values: pa.Array, good: Array) -> pa.Array:
    if bool(good.all()):
        return values
    return pa.compute.if_else(pa.array(good), values, pa.scalar(None, values.type))


def join_status(is_whole: Array, columns: Iterable[Column]) -> Array:
    """OK, OVERFLOW or MALFORMED by row."""
    status = np.where(is_whole, OK, MALFORMED).astype(np.int8)
    for column in columns:
        if column.overflow is not None:
            status = np.maximum(status, np.where(column.overflow, OVERFLOW, OK).astype(np.int8))
        status = np.where(column.valid, status, np.int8(MALFORMED))
    return status


def hex_matrix(texts: pa.ChunkedArray | pa.Array, digits: int, wanted: Array) -> tuple[Array, Array]:
    """The digits of "0x..." texts as characters, shape (rows, digits), and which rows have exactly that many.

    Rows that are not `wanted` or of another length read as zeros.
    """
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    rows, size = len(column), digits + 2
    offsets = np.frombuffer(column.buffers()[1], np.int32, rows + 1, column.offset * 4)
    text = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    fits = (np.diff(offsets) == size) & wanted
    if bool(fits.all()):
        return text[offsets[0] : offsets[-1]].reshape(rows, size)[:, 2:], fits
    matrix = np.full((rows, digits), ord("0"), np.uint8)
    at = np.flatnonzero(fits)
    if len(at) and digits:
        matrix[at] = np.lib.stride_tricks.sliding_window_view(text, digits)[offsets[:-1][at] + 2]
    return matrix, fits


def decode_words(chars: Array, type_: str) -> Column:
    """Words given as characters, shape (rows, 64), as a column of `type_`."""
    if type_ == "address":
        return Column(_text(chars[:, 24:]), _is_hex(chars) & _is_zero(chars[:, :24]))
    if type_.startswith("bytes"):
        digits = 2 * int(type_[5:])
        return Column(_text(chars[:, :digits]), _is_hex(chars) & _is_zero(chars[:, digits:]))
    if type_ == "bool":
        one = chars[:, 63] == ord("1")
        return Column(pa.array(one), _is_zero(chars[:, :63]) & (one | (chars[:, 63] == ord("0"))))
    return _integers(chars, int(type_.lstrip("uint")), type_.startswith("int"))


def _is_zero(chars: Array) -> Array:
    return np.asarray((chars == ord("0")).all(axis=1))


def _is_hex(chars: Array) -> Array:
    return np.asarray((_NIBBLES[chars] < 16).all(axis=1))


def _text(chars: Array) -> pa.Array:
    """Rows of characters as lower-case "0x..." text: one buffer, regular offsets."""
    rows, digits = chars.shape
    text = np.empty((rows, digits + 2), np.uint8)
    text[:, 0], text[:, 1] = ord("0"), ord("x")
    text[:, 2:] = chars
    text[(text >= ord("A")) & (text <= ord("F"))] += 32
    offsets = (np.arange(rows + 1, dtype=np.int64) * (digits + 2)).astype(np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text))


def _integers(chars: Array, bits: int, signed: bool) -> Column:
    """Two's complement big-endian words as decimal128 and exact text."""
    nibbles = _NIBBLES[chars]
    valid = np.asarray((nibbles < 16).all(axis=1))
    words = np.ascontiguousarray((nibbles[:, ::2] << 4) | (nibbles[:, 1::2] & 15)).view(">u8").astype(np.uint64)
    words = words.reshape(-1, 4)
    negative = (words[:, 0] >> np.uint64(63)).astype(bool) if signed else np.zeros(len(words), bool)
    valid &= _in_width(words, bits, negative, signed)
    filler = np.where(negative, np.uint64(2**64 - 1), np.uint64(0))
    high, low = words[:, 2], words[:, 3]
    fits = (words[:, 0] == filler) & (words[:, 1] == filler) & _below_limit(high, low, negative)
    parts = np.empty((len(words), 2), np.uint64)
    parts[:, 0], parts[:, 1] = np.where(fits, low, 0), np.where(fits, high, 0)
    validity = pa.py_buffer(np.packbits(fits, bitorder="little"))
    values = pa.Array.from_buffers(_DECIMAL, len(words), [validity, pa.py_buffer(parts)])
    return Column(values, valid, _integer_text(values, words, fits, signed), ~fits & valid)


def _in_width(words: Array, bits: int, negative: Array, signed: bool) -> Array:
    """Whether the bits above the type's width are its sign (zeros when unsigned)."""
    ok = np.ones(len(words), bool)
    used = bits - signed
    for i in range(4):
        low_bit = 64 * (3 - i)
        keep = min(64, max(0, used - low_bit))
        if keep < 64:
            above = words[:, i] >> np.uint64(keep)
            ok &= above == np.where(negative, np.uint64((1 << (64 - keep)) - 1), np.uint64(0))
    return ok


def _below_limit(high: Array, low: Array, negative: Array) -> Array:
    """Whether |value| < 10^38 for 128-bit values given as two halves, with the sign they must have."""
    flipped_low = ~low + np.uint64(1)
    flipped_high = ~high + (flipped_low == 0).astype(np.uint64)
    high, low = np.where(negative, flipped_high, high), np.where(negative, flipped_low, low)
    below = (high < _LIMIT_HIGH) | ((high == _LIMIT_HIGH) & (low < _LIMIT_LOW))
    return np.asarray(below)


def _integer_text(values: pa.Array, words: Array, fits: Array, signed: bool) -> pa.Array:
    """Exact decimal text; only what decimal128 does not hold goes through Python integers."""
    text = values.cast(pa.string())
    rows = np.flatnonzero(~fits)
    if not len(rows):
        return text
    exact = [int.from_bytes(words[i].astype(">u8").tobytes(), "big", signed=signed) for i in rows]
    return pa.compute.replace_with_mask(text, pa.array(~fits), pa.array([str(n) for n in exact], pa.string()))
