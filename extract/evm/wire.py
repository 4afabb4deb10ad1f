"""From the JSON of eth_getLogs to one Arrow table: pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extract.evm.errors import DecodeError
from extract.evm.grid import read_grid

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
    block_timestamp: str | None = None
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
        "block_timestamp": quantities([log.block_timestamp for log in logs]),
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


def quantities(texts: Sequence[str | None]) -> pa.Array:
    """Hex quantities ("0x1b4") as int64. Blocks repeat: every distinct text is read once."""
    values: dict[str | None, int | None] = {None: None}
    try:
        values |= {text: int(text, 16) for text in set(texts) if text is not None}
    except ValueError as error:
        raise DecodeError(f"eth_getLogs: {error}") from None
    return pa.array([values[text] for text in texts], pa.int64())


def in_order(logs: pa.Table) -> pa.Table:
    """Sorted by (block_number, log_index); nodes send them so, but only some promise it."""
    key = _keys(logs)
    return logs if bool(np.all(key[:-1] <= key[1:])) else logs.sort_by(_ORDER)


def check_logs(logs: pa.Table, addresses: Sequence[str], first: int, last: int) -> None:
    """DecodeError when sorted `logs` hold a duplicate, or a block or address that was not asked for."""
    if not logs.num_rows:
        return
    low, high = logs["block_number"][0].as_py(), logs["block_number"][-1].as_py()
    if low < first or high > last:
        raise DecodeError(f"logs of blocks {low}..{high} for the range {first}..{last}")
    key = _keys(logs)
    if bool(np.any(key[:-1] == key[1:])):
        raise DecodeError("the same log twice in one answer")
    if addresses and not pc.all(pc.is_in(logs["address"], pa.array(addresses, pa.string()))).as_py():
        raise DecodeError("logs of addresses that were not asked for")


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
