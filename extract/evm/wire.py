"""From the JSON of eth_getLogs to one Arrow table: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extract.evm.errors import DecodeError
from extract.evm.grid import read_grid
from extract.evm.quantity import quantity

LOG_SCHEMA = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64()),  # unix seconds; null on the wire of older nodes, filled from headers
        pa.field("block_hash", pa.string(), nullable=False),
        pa.field("transaction_hash", pa.string(), nullable=False),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("log_index", pa.int32(), nullable=False),
        pa.field("address", pa.string(), nullable=False),
        *(pa.field(f"topic{i}", pa.string()) for i in range(4)),
        pa.field("data", pa.string(), nullable=False),
    ]
)
"""One row per log; hashes, addresses, topics and data are lower-case 0x hex text. Key: (block_number,
log_index).
"""

_ORDER = [("block_number", "ascending"), ("log_index", "ascending")]


class _Log(msgspec.Struct, rename="camel", gc=False):
    address: str
    topics: list[str]
    data: str
    block_hash: str
    block_number: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    block_timestamp: Any = None  # no standard has it: a time that is no hex quantity is as good as none
    removed: bool = False


_LOGS = msgspec.json.Decoder(list[_Log])


def parse_logs(raw: msgspec.Raw | bytes) -> pa.Table:
    """The JSON array of eth_getLogs as LOG_SCHEMA. Errors: DecodeError for anything that is not one."""
    body = bytes(raw)
    kinds = read_grid(body)
    if kinds is None:
        return parse_any(body)
    return pa.concat_tables([_table(columns, len(columns["data"])) for columns in kinds])


def parse_any(body: bytes) -> pa.Table:
    """parse_logs by a JSON parser: for answers of any layout, and for saying what is wrong with one."""
    try:
        logs = _LOGS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"eth_getLogs: {error}") from None
    if any(log.removed for log in logs):
        raise DecodeError("eth_getLogs: a log of a block that was reorganized away")
    topics = [log.topics for log in logs]
    columns = {
        "block_number": quantities([log.block_number for log in logs]),
        "block_timestamp": _times([log.block_timestamp for log in logs]),
        "block_hash": _lower([log.block_hash for log in logs]),
        "transaction_hash": _lower([log.transaction_hash for log in logs]),
        "transaction_index": quantities([log.transaction_index for log in logs]),
        "log_index": quantities([log.log_index for log in logs]),
        "address": _lower([log.address for log in logs]),
        **{f"topic{i}": _lower([t[i] if len(t) > i else None for t in topics]) for i in range(4)},
        "data": _lower([log.data for log in logs]),
    }
    return _table(columns, len(logs))


def _table(columns: dict[str, pa.Array], rows: int) -> pa.Table:
    """Columns in the types and order of LOG_SCHEMA; what is absent is null."""
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in LOG_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=LOG_SCHEMA)


def _lower(texts: Sequence[str | None]) -> pa.Array:
    return pc.ascii_lower(pa.array(texts, pa.string()))


def quantities(texts: Sequence[str]) -> pa.Array:
    """Hex quantities ("0x1b4") as int64. Blocks repeat: every distinct text is read once."""
    values = {text: quantity(text, "a number in a log") for text in set(texts)}
    return pa.array([values[text] for text in texts], pa.int64())


def _times(words: Sequence[Any]) -> pa.Array:
    """Block times where they are hex quantities, null for every other word: headers say it then."""
    values: dict[str, int | None] = {}
    for text in {word for word in words if isinstance(word, str)}:
        try:
            values[text] = quantity(text, "a block's time")
        except DecodeError:
            values[text] = None
    return pa.array([values.get(word) if isinstance(word, str) else None for word in words], pa.int64())


def in_order(logs: pa.Table) -> pa.Table:
    """Sorted by (block_number, log_index); nodes send them so, but only some promise it."""
    key = _keys(logs)
    return logs if bool(np.all(key[:-1] <= key[1:])) else logs.sort_by(_ORDER)


Alternatives = Sequence[Sequence[str] | None]


def check_logs(logs: pa.Table, addresses: Sequence[str], topics: Alternatives, first: int, last: int) -> None:
    """DecodeError when sorted `logs` hold what was not asked for (a block, an address, a topic), one log twice, two
    logs of one number, two hashes of one block, or a word of another length than it must have.
    """
    if not logs.num_rows:
        return
    low, high = logs["block_number"][0].as_py(), logs["block_number"][-1].as_py()
    if low < first or high > last:
        raise DecodeError(f"logs of blocks {low}..{high} for the range {first}..{last}")
    _check_keys(logs)
    if addresses and not _all_in(logs["address"], addresses):
        raise DecodeError("logs of addresses that were not asked for")
    for position, wanted in enumerate(topics):
        if wanted is not None and not _all_in(logs[f"topic{position}"], wanted):
            raise DecodeError(f"logs with a topic {position} that was not asked for")
    _check_words(logs)


def _all_in(column: pa.ChunkedArray, wanted: Sequence[str]) -> bool:
    return bool(pc.all(pc.is_in(column, pa.array(wanted, pa.string()))).as_py())


def _check_keys(logs: pa.Table) -> None:
    key, hashes = _keys(logs), logs["block_hash"].combine_chunks()
    twice = np.flatnonzero(key[:-1] == key[1:])
    if len(twice):
        at = int(twice[0])
        block, index = logs["block_number"][at].as_py(), logs["log_index"][at].as_py()
        if logs["transaction_hash"][at] != logs["transaction_hash"][at + 1]:
            raise DecodeError(f"block {block} has two logs number {index}, of different transactions")
        raise DecodeError(f"log {index} of block {block} comes twice")
    numbers = logs["block_number"].to_numpy()
    same_block = pa.array(numbers[:-1] == numbers[1:])
    if pc.any(pc.and_(same_block, pc.not_equal(hashes[:-1], hashes[1:]))).as_py():
        raise DecodeError("logs of one block name two hashes for it")


_LENGTHS = {"block_hash": 66, "transaction_hash": 66, "address": 42, **{f"topic{i}": 66 for i in range(4)}}
_HEX = np.zeros(256, bool)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = True


def _check_words(logs: pa.Table) -> None:
    for name, length in _LENGTHS.items():
        if pc.any(pc.not_equal(pc.binary_length(logs[name]), length)).as_py():  # null where there is no topic
            raise DecodeError(f"a {name} of a log is not {length // 2 - 1} bytes long")
    data = logs["data"].combine_chunks()
    lengths = pc.binary_length(data).to_numpy(zero_copy_only=False)
    offsets = np.frombuffer(data.buffers()[1], np.int32, len(data) + 1, data.offset * 4)
    text = np.frombuffer(data.buffers()[2] or b"", np.uint8)
    is_hex = _HEX[text[offsets[0] : offsets[-1]]]
    starts = offsets[:-1] - offsets[0]
    # every "0x" costs its row the x; what else is not hex is one too many
    if bool(np.any(lengths % 2)) or int(lengths.min()) < 2 or len(is_hex) - int(is_hex.sum()) != len(data):
        raise DecodeError("the data of a log is not hex")
    if bool(np.any(text[offsets[0] + starts + 1] != ord("x"))):
        raise DecodeError("the data of a log is not hex")


def times_fit(logs: pa.Table, earliest: int, latest: int) -> bool:
    """Whether the block times of sorted `logs` follow their numbers and lie between two unix seconds; null ones do."""
    known = logs.filter(pc.is_valid(logs["block_timestamp"]))
    if not known.num_rows:
        return True
    times, numbers = known["block_timestamp"].to_numpy(), known["block_number"].to_numpy()
    same, step = numbers[:-1] == numbers[1:], np.diff(times)
    if bool(np.any(step < 0)) or bool(np.any(step[same] != 0)):
        return False
    return bool(earliest <= times[0] and times[-1] <= latest)


def without_times(logs: pa.Table) -> pa.Table:
    """`logs` with no block times, to be filled from headers."""
    at = logs.schema.get_field_index("block_timestamp")
    return logs.set_column(at, LOG_SCHEMA.field(at), pa.nulls(logs.num_rows, pa.int64()))


CONTENT = ("block_number", "log_index", "transaction_hash", "address", "topic0", "topic1", "topic2", "topic3", "data")


def difference(ours: pa.Table, theirs: pa.Table) -> str | None:
    """Where two sorted sets of logs differ first, in words; None where they are one set."""
    if ours.select(CONTENT).equals(theirs.select(CONTENT)):
        return None
    one, other = _keys(ours), _keys(theirs)
    for key in np.setxor1d(one, other)[:1]:
        block, index = int(key) >> 24, int(key) & 0xFFFFFF
        return f"{len(one)} logs against {len(other)}, the first difference is log {index} of block {block}"
    return "the same logs with other contents"


def _keys(logs: pa.Table) -> np.ndarray:
    """block_number and log_index as one sortable integer."""
    return np.asarray(logs["block_number"].to_numpy() * (1 << 24) + logs["log_index"].to_numpy())


def fill_timestamps(logs: pa.Table, timestamps: dict[int, int]) -> pa.Table:
    """`logs` with block_timestamp taken from headers where the node did not send it."""
    found = pa.array([timestamps.get(number) for number in logs["block_number"].to_pylist()], pa.int64())
    at = logs.schema.get_field_index("block_timestamp")
    return logs.set_column(at, LOG_SCHEMA.field(at), pc.coalesce(logs["block_timestamp"], found))


def blocks_without_timestamp(logs: pa.Table) -> list[int]:
    """Distinct block numbers whose logs came without a time, ascending."""
    missing = logs.filter(pc.is_null(logs["block_timestamp"]))
    return sorted(pc.unique(missing["block_number"]).to_pylist())
