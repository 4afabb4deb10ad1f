"""Encoding and column decoding agree with eth_abi, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evm.abi import Event, Function, parse_signature
from extract.evm.errors import DecodeError
from extract.evm.wire import LOG_SCHEMA

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())
TYPES = ["uint256", "uint128", "uint8", "int256", "int24", "address", "bool", "bytes32", "bytes4"]
EDGES = [0, 1, 10**38 - 1, 10**38, 2**127, 2**128 - 1, 2**255 - 1, 2**256 - 1]


def values_of(type_: str) -> st.SearchStrategy[Any]:
    if type_.startswith("uint"):
        top = 2 ** int(type_[4:]) - 1
        return st.sampled_from([e for e in EDGES if e <= top]) | st.integers(0, top)
    if type_.startswith("int"):
        top = 2 ** (int(type_[3:]) - 1)
        edges = [s * e for e in EDGES for s in (1, -1) if -top <= s * e < top]
        return st.sampled_from([*edges, -top]) | st.integers(-top, top - 1)
    if type_ == "address":
        return ADDRESSES
    if type_ == "bool":
        return st.booleans()
    return st.binary(min_size=int(type_[5:]), max_size=int(type_[5:]))


def logs(event: Event, rows: list[tuple[Any, ...]]) -> pa.Table:
    """Rows of values as the logs that would carry them."""
    indexed = [i for i, p in enumerate(event.parameters) if p.indexed]
    plain = [i for i, p in enumerate(event.parameters) if not p.indexed]
    types = [p.type for p in event.parameters]
    records = []
    for row in rows:
        topics = [event.topic0, *("0x" + encode([types[i]], [row[i]]).hex() for i in indexed)]
        data = "0x" + encode([types[i] for i in plain], [row[i] for i in plain]).hex()
        records.append({f"topic{i}": topic for i, topic in enumerate(topics)} | {"data": data})
    return log_table(records)


def log_table(records: list[dict[str, Any]]) -> pa.Table:
    blank = {
        "block_number": 1,
        "transaction_index": 0,
        "log_index": 0,
        "block_hash": "",
        "transaction_hash": "",
        "address": "",
    }
    return pa.Table.from_pylist([blank | record for record in records], LOG_SCHEMA)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_events_by_column(data: Any) -> None:
    types = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=6))
    flags = [data.draw(st.booleans()) and sum(data.draw(st.just(1)) for _ in range(1)) for _ in types]
    flags = [bool(flag) and sum(flags[:i]) < 3 for i, flag in enumerate(flags)]
    names = [f"{t}{' indexed' if f else ''} v{i}" for i, (t, f) in enumerate(zip(types, flags, strict=True))]
    event = Event(f"Happened({', '.join(names)})")
    rows = data.draw(st.lists(st.tuples(*(values_of(t) for t in types)), max_size=8))
    decoded = event.decode(logs(event, rows)).to_pylist()
    assert len(decoded) == len(rows)
    for found, row in zip(decoded, rows, strict=True):
        fits = True
        for i, (type_, value) in enumerate(zip(types, row, strict=True)):
            if "int" in type_:
                inside = abs(value) < 10**38
                fits &= inside
                assert found[f"v{i}_text"] == str(value)
                assert found[f"v{i}"] == (value if inside else None)
            else:
                assert found[f"v{i}"] == ("0x" + value.hex() if isinstance(value, bytes) else value)
        assert found["decode_status"] == ("ok" if fits else "overflow")


VOTED = Event(
    "Voted(address indexed voter, address indexed pool, uint256 indexed tokenId, uint256 weight, "
    "uint256 totalWeight, uint256 timestamp)"
)


def test_topics_and_selectors_on_record() -> None:
    assert VOTED.topic0 == "0x452d440efc30dfa14a0ef803ccb55936af860ec6a6960ed27f129bef913f296a"
    assert Event("Mint(address, uint256, uint256, uint256)").topic0.startswith("0xb4c03061fb5b7fed")
    assert Event("CreateBribe(address, string type, address, address)").topic0.startswith("0xef5da4d20445c0eb")
    assert Function("weightsAt(address,uint256)").selector == "0x636056f2"
    assert Function("aggregate3((address,bool,bytes)[])").selector == "0x82ad56cb"
    assert Function("_epochTimestamp()").selector == "0xf8803bb6"
    assert Function("totalWeightAt(uint)").selector == "0x53be568d"


@pytest.mark.parametrize(
    "spoil",
    [
        {"topic3": None},
        {"topic0": "0x" + "00" * 32},
        {"topic0": None},
        {"data": "0x"},
        {"data": "0x" + "00" * 95},
        {"data": "0x" + "00" * 128},
        {"data": "0x" + "zz" * 96},
        {"topic1": "0x" + "ff" * 32},
        {"topic1": "0x12"},
    ],
)
def test_malformed_rows_stay_with_nulls(spoil: dict[str, Any]) -> None:
    row = ("0x" + "aa" * 20, "0x" + "bb" * 20, 5, 6, 7, 8)
    good = logs(VOTED, [row]).to_pylist()[0]
    decoded = VOTED.decode(log_table([good, good | spoil, good])).to_pylist()
    assert [r["decode_status"] for r in decoded] == ["ok", "malformed", "ok"]
    assert decoded[0] == decoded[2] and decoded[0]["weight"] == 6
    assert all(value is None for key, value in decoded[1].items() if key != "decode_status")


def test_slices_chunks_and_no_rows() -> None:
    table = logs(VOTED, [("0x" + f"{i:040x}", "0x" + "bb" * 20, i, 6, 7, 8) for i in range(10)])
    whole = VOTED.decode(table)
    assert VOTED.decode(table.slice(3, 4)).to_pylist() == whole.slice(3, 4).to_pylist()
    assert VOTED.decode(pa.concat_tables([table.slice(0, 3), table.slice(3)])).to_pylist() == whole.to_pylist()
    assert VOTED.decode(table.slice(0, 0)).schema == whole.schema


def test_dynamic_types_and_indexed_text() -> None:
    event = Event("Made(string indexed kind, string label, address who, uint256[] parts, bytes raw, (bool,int8) pair)")
    row = ("ignored", "café", "0x" + "cd" * 20, [1, 2**200], b"\x01", (True, -3))
    types = ["string", "address", "uint256[]", "bytes", "(bool,int8)"]
    data = "0x" + encode(types, list(row[1:])).hex()
    good = {"topic0": event.topic0, "topic1": "0x" + "12" * 32, "data": data}
    first, second = event.decode(log_table([good, good | {"data": data[:80]}])).to_pylist()
    assert first == {
        "kind": "0x" + "12" * 32,
        "label": "café",
        "who": "0x" + "cd" * 20,
        "parts": f'["1", "{2**200}"]',
        "raw": "0x01",
        "pair": '[true, "-3"]',
        "decode_status": "ok",
    }
    assert second["decode_status"] == "malformed" and second["label"] is None


@given(st.data())
def test_calldata_equals_eth_abi(data: Any) -> None:
    types = data.draw(st.lists(st.sampled_from([*TYPES, *(f"{t}[]" for t in TYPES)]), max_size=5))
    row = [
        data.draw(st.lists(values_of(t[:-2]), max_size=3).map(tuple) if t.endswith("[]") else values_of(t))
        for t in types
    ]
    function = Function(f"f({','.join(types)})", ",".join(types))
    assert function.encode(*row)[10:] == encode(types, row).hex()
    if types:
        decoded = function.decode(encode(types, row))
        assert decoded == (row[0] if len(row) == 1 else tuple(row))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("uint8", 256),
        ("uint256", -1),
        ("int8", 128),
        ("address", "0x" + "1" * 41),
        ("bytes4", b"12345"),
        ("bool", 2),
    ],
)
def test_values_that_do_not_fit(type_: str, value: Any) -> None:
    with pytest.raises(ValueError):
        Function(f"f({type_})").encode(value)
    with pytest.raises(ValueError, match="takes 1 arguments"):
        Function(f"f({type_})").encode(value, value)


def test_empty_return_data_is_an_error_and_text_is_decoded() -> None:
    symbol = Function("symbol()", returns="string")
    with pytest.raises(DecodeError, match="no data"):
        symbol.decode(b"")
    with pytest.raises(DecodeError):
        symbol.decode(b"\x01" * 31)
    assert symbol.decode(encode(["string"], ["AERO"])) == "AERO"
    assert Function("f()", "uint256,address").decode(encode(["uint256", "address"], [3, "0x" + "AB" * 20])) == (
        3,
        "0x" + "ab" * 20,
    )


def test_signatures() -> None:
    name, (first, second) = parse_signature("F((address a, uint b)[] indexed pairs, int)")
    assert (name, first.type, first.name, first.indexed) == ("F", "(address,uint256)[]", "pairs", True)
    assert (second.type, second.name) == ("int256", "")
    with pytest.raises(ValueError, match="not a signature"):
        parse_signature("Voted")


def test_ten_thousand_rows_are_columns_work() -> None:
    values = [("0x" + f"{i:040x}", "0x" + "bb" * 20, i, i * 10**18, 7, 8) for i in range(10_000)]
    decoded = VOTED.decode(logs(VOTED, values))
    assert np.array_equal(decoded["tokenId"].to_pylist(), range(10_000))
