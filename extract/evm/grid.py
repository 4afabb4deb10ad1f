"""The fast way to read eth_getLogs: the whole answer as a grid of quoted strings, without a JSON parser.

A node writes every log of an answer with the same keys in the same order, and no string in it has an escape.
So all quotation marks are found at once, the k-th string of every log is a column, and a column is one
gather. Every key of every log is compared; an answer that is not such a grid gives None and takes the general
way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

Array = np.ndarray
Columns = dict[str, pa.Array]
_TEXTS = {
    "address": "address",
    "blockHash": "block_hash",
    "transactionHash": "transaction_hash",
    "data": "data",
}
_QUANTITIES = {
    "blockNumber": "block_number",
    "blockTimestamp": "block_timestamp",
    "transactionIndex": "transaction_index",
    "logIndex": "log_index",
}
_FOLLOWED_BY = {"removed": "false", "topics": "["}  # a log that was reorganized away is for the general way
_MOST_DIGITS = 15  # an int64 holds them whatever they are
_IRREGULAR = tuple(bytes([c]) for c in b"\\ \n\r\tABCDEF")  # escapes, blanks, digits that lower case would replace
_QUOTE, _OPEN, _COLON = ord('"'), ord("{"), ord(":")


def read_grid(body: bytes) -> list[Columns] | None:
    """Columns (names of LOG_SCHEMA; topics and times may be absent) of the logs in a JSON array, by kind of log.

    None when `body` is not a regular grid; nothing is concluded from that.
    """
    if not (body.startswith(b"[{") and body.endswith(b"}]") and body.isascii()):
        return None
    if any(mark in body for mark in _IRREGULAR):
        return None
    text = np.frombuffer(body, np.uint8, len(body) - 2, 1)
    quotes = np.flatnonzero(text == _QUOTE)
    regular = _one_kind(text, quotes, body.find(b"},{"))
    if regular is not None and regular.shape[1] != body.count(b"{"):
        return None  # an object without a single string: it has no quotation marks to be seen by
    if regular is not None:
        kind = _read_kind(text, regular)
        return None if kind is None else [kind]
    return _read_kinds(text, quotes)


def _one_kind(text: Array, quotes: Array, first_end: int) -> Array | None:
    """`quotes` as (places, logs) when every log has as many as the first one, which ends at `first_end`."""
    count = int(np.searchsorted(quotes, first_end)) if first_end > 0 else len(quotes)
    if not count or count % 2 or len(quotes) % count:
        return None
    first = quotes[::count]
    return quotes.reshape(-1, count).T if _are_separate(text, first - 1) else None


def _read_kinds(text: Array, quotes: Array) -> list[Columns] | None:
    """Logs of several layouts (numbers of topics, say): each layout is a grid of its own."""
    opens = np.flatnonzero(text == _OPEN)
    if not len(opens) or opens[0] or not _are_separate(text, opens):
        return None
    first = np.searchsorted(quotes, opens)
    counts = np.diff(np.append(first, len(quotes)))
    if np.any(counts % 2) or not np.all(counts):
        return None
    kinds: list[Columns] = []
    for count in np.unique(counts):
        at = first[counts == count]
        kind = _read_kind(text, quotes[at[:, None] + np.arange(count)].T)
        if kind is None:
            return None
        kinds.append(kind)
    return kinds


def _are_separate(text: Array, opens: Array) -> bool:
    """Whether every one is an opening brace, and every one but the first follows `},`: nothing is nested or pretty."""
    following = opens[1:]
    return bool(
        np.all(text[opens] == _OPEN)
        and np.all(text[following - 1] == ord(","))
        and np.all(text[following - 2] == ord("}"))
    )


def _read_kind(text: Array, quotes: Array) -> Columns | None:
    """Columns of logs with the same strings in the same places; `quotes` has shape (2 * strings, logs)."""
    starts, ends = quotes[::2] + 1, quotes[1::2]
    columns: Columns = {}
    for name, place, values in _template(text, starts[:, 0], ends[:, 0]):
        if not _same(text, starts[place] - 1, f'"{name}":{_FOLLOWED_BY.get(name, "")}'.encode()):
            return None
        if any(np.any(text[ends[value] + 1] == _COLON) for value in values):
            return None  # a key where the first log has a value: as many strings, but another layout
        if name == "topics":
            found = [_texts(text, starts[v], ends[v]) for v in values]
            columns |= {f"topic{i}": topic for i, topic in enumerate(found)}
        elif name in _TEXTS and len(values) == 1:
            columns[_TEXTS[name]] = _texts(text, starts[values[0]], ends[values[0]])
        elif name in _QUANTITIES and len(values) == 1:
            number = _integers(text, starts[values[0]], ends[values[0]])
            if number is None:
                return None
            columns[_QUANTITIES[name]] = number
    needed = {*_TEXTS.values(), *_QUANTITIES.values()} - {"block_timestamp"}
    return columns if needed <= columns.keys() else None


def _template(text: Array, starts: Array, ends: Array) -> Iterator[tuple[str, int, list[int]]]:
    """(key, its place, places of its values) of one log: a string before a colon is a key."""
    is_key = [text[end + 1] == _COLON for end in ends]
    places = [place for place, key in enumerate(is_key) if key]
    for place, following in zip(places, [*places[1:], len(is_key)], strict=True):
        name = text[starts[place] : ends[place]].tobytes().decode()
        yield name, place, list(range(place + 1, following))


def _windows(text: Array, starts: Array, length: int) -> Array:
    """`length` characters from each start, one after the other. An element per window makes each a single
    copy.
    """
    windows: Array = np.ndarray((len(text) - length + 1,), f"V{length}", text.data, strides=(1,))
    return np.asarray(windows[starts].view(np.uint8))


def _same(text: Array, starts: Array, expected: bytes) -> bool:
    if int(starts[-1]) + len(expected) > len(text):
        return False
    found = _windows(text, starts, len(expected)).reshape(-1, len(expected))
    return bool(np.all(found == np.frombuffer(expected, np.uint8)))


def _texts(text: Array, starts: Array, ends: Array) -> pa.Array:
    """Strings between the quotes as an Arrow array."""
    lengths = ends - starts
    if len(lengths) and bool(np.all(lengths == lengths[0])) and lengths[0]:
        characters = _windows(text, starts, int(lengths[0]))
    else:
        before = np.cumsum(lengths) - lengths
        characters = text[np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)]
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(characters))


def _integers(text: Array, starts: Array, ends: Array) -> pa.Array | None:
    """Hex quantities as int64; None when one is not 0x and 1 to 15 lower-case digits."""
    digits = ends - starts - 2
    most = int(digits.max())
    if not _same(text, starts, b"0x") or int(digits.min()) < 1 or most > _MOST_DIGITS:
        return None
    values = np.zeros(len(starts), np.int64)
    for place in range(most):
        inside = place < digits
        nibble = _NIBBLES[text[ends - 1 - place]]
        if np.any(nibble[inside] > 15):
            return None
        values += np.where(inside, nibble.astype(np.int64) << (4 * place), 0)
    return pa.array(values)


_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
