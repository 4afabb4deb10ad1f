"""Every parser at the edge, given any value anywhere and any bytes: what it promises, or its own error."""

from __future__ import annotations

import copy
import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.errors import DecisionError
from decide.voting.instance import parse as parse_instance
from extract.bars import sheets
from extract.bars.alpaca import decode_alpaca
from extract.bars.eodhd import decode_eodhd
from extract.bars.provider import BarProviderError
from extract.bars.sheets import read_sheet
from extract.errors import ForeshoreError
from extract.evm.abi import Function
from extract.evm.errors import DecodeError
from extract.evm.wire import parse_logs
from extract.lake import Lake
from extract.ledger import partition_of
from extract.markets.fields import Malformed
from extract.markets.normalize import normalize_market, normalize_records
from extract.voting.submissions import parse_submission
from operate.bars.manifest import ManifestInvalid, read_promotion, seal

NEW_YORK = ZoneInfo("America/New_York")
HUGE = (2**63, -(2**63) - 1, 2**256, 10**400, 1e308, -1e308, float("inf"), float("nan"))
WORDS = ("", " ", "\x00", "\u202e", "1e999", "0x", "-0", "9" * 400, "2026-02-30", "0001-01-01T00:00:00+23:59", "a/../b")
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(HUGE)
    | st.floats()
    | st.text()
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MANY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SUBMISSION = {
    "protocol": "hydrex",
    "voter_id": "0x" + "1" * 40,
    "epoch": 1_774_483_200,
    "submitted_at": "2026-03-27T12:00:00Z",
    "allocation": {"0x" + "2" * 40: 50_000},
    "transaction_hash": "0x" + "3" * 64,
    "outcome": "landed",
}
INSTANCE = {
    "gauges": [
        {"id": "a", "votes": [10.0, 11.0], "rewards": [1.0, 2.0]},
        {"id": "b", "votes": [3.0, 3.0], "rewards": [0.5, 2.0]},
    ],
    "scenario_weights": [0.5, 0.5],
    "voting_power": 5.0,
    "min_votes": 1.0,
    "k_max": 2,
}
EODHD = [{"timestamp": 1_764_340_200, "gmtoffset": 0, "open": 1, "high": 3, "low": 0.5, "close": 2, "volume": 9}]
ALPACA = {
    "bars": {"HOOD": [{"t": "2025-11-28T14:30:00Z", "o": 1, "h": 3, "l": 0.5, "c": 2, "v": 9, "n": 1, "vw": 1.5}]}
}
MARKET = {
    "id": "1",
    "conditionId": "0x" + "a" * 64,
    "question": "Will it?",
    "outcomes": '["Yes", "No"]',
    "outcomePrices": '["0.4", "0.6"]',
    "clobTokenIds": '["1", "2"]',
    "active": True,
    "closed": False,
    "endDate": "2026-01-05T00:00:00Z",
    "events": [{"id": "7", "title": "It"}],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document, the whole of it included."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


def with_at(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


PARSERS: dict[str, tuple[Any, Callable[[Any], Any], tuple[type[Exception], ...]]] = {
    "a submission": (SUBMISSION, lambda d: parse_submission(d, 18), (ForeshoreError,)),
    "an instance": (INSTANCE, parse_instance, (DecisionError,)),
    "an EODHD answer": (EODHD, lambda d: decode_eodhd(d, "HOOD", "eodhd"), (BarProviderError,)),
    "an Alpaca answer": (ALPACA, lambda d: decode_alpaca(d, ["HOOD"], "alpaca"), (BarProviderError,)),
    "a market": (MARKET, normalize_market, (Malformed,)),
    "a page of markets": ([MARKET, MARKET], lambda d: normalize_records(d if isinstance(d, list) else [d]), ()),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@MANY
def test_any_value_anywhere_is_taken_or_refused_by_name(name: str, data: st.DataObject) -> None:
    document, parse, errors = PARSERS[name]
    at = data.draw(st.sampled_from(list(places(document))))
    spoiled = with_at(document, at, data.draw(ANYTHING))
    try:
        parse(spoiled)
    except errors as error:
        assert str(error).strip() and "Traceback" not in str(error)


@pytest.mark.parametrize("name", PARSERS)
def test_the_document_itself_is_taken(name: str) -> None:
    document, parse, errors = PARSERS[name]
    try:
        parse(document)
    except errors as error:
        pytest.fail(f"{name}: what is right is refused: {error}")


@given(st.binary(max_size=400))
@MANY
def test_any_bytes_as_logs(body: bytes) -> None:
    try:
        parse_logs(body)
    except DecodeError as error:
        assert str(error)


SHAPES = (
    "uint256",
    "address[]",
    "string",
    "(uint256,string)[]",
    "bytes,uint8",
    "(address,(uint256,bool)[])[]",
    "int128[3]",
)


@given(
    st.sampled_from(SHAPES),
    st.binary(max_size=600) | st.lists(st.sampled_from((0, 1, 32, 64, 2**31, 2**255)), max_size=12),
)
@MANY
def test_any_bytes_as_return_data(shape: str, words: bytes | list[int]) -> None:
    body = words if isinstance(words, bytes) else b"".join(word.to_bytes(32, "big") for word in words)
    try:
        Function("f()", shape).decode(body)
    except DecodeError as error:
        assert str(error)


CSV = b"datetime,open,high,low,close,volume\n2025-11-28 09:30:00,1,3,0.5,2,9\n2025-11-28 09:35:00,1,3,0.5,2,9\n"


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    row = {
        "datetime": ["2025-11-28 09:30:00"],
        "open": [1.0],
        "high": [3.0],
        "low": [0.5],
        "close": [2.0],
        "volume": [9],
    }
    pq.write_table(pa.table(row), sink)
    return sink.getvalue().to_pybytes()


SHEETS = {".csv": CSV, ".csv.gz": gzip.compress(CSV), ".parquet": parquet_bytes()}


@pytest.mark.parametrize("suffix", SHEETS)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_damage_to_a_sheet_of_bars(suffix: str, data: st.DataObject) -> None:
    body = bytearray(SHEETS[suffix])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"HOOD{suffix}"
        path.write_bytes(bytes(body))
        try:
            read_sheet(path, NEW_YORK)
        except ForeshoreError as error:
            assert str(path) in str(error)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_BYTES", 2**20)
    zipped = tmp_path / "HOOD.csv.gz"
    zipped.write_bytes(gzip.compress(CSV + b"2025-11-28 09:40:00,1,3,0.5,2,9\n" * 2**16))
    assert zipped.stat().st_size < 2**16
    with pytest.raises(BarProviderError, match="unpacks to more than"):
        read_sheet(zipped, NEW_YORK)
    columnar = tmp_path / "TIDE.parquet"
    pq.write_table(pa.table({"open": pa.array([1.5] * 2**21)}), columnar, compression="zstd", use_dictionary=False)
    assert columnar.stat().st_size < 2**16
    with pytest.raises(BarProviderError, match="unpacks to more than"):
        read_sheet(columnar, NEW_YORK)


MANIFEST: dict[str, Any] = {
    "identity": {"run_id": "r", "contract_version": 2, "promotion_sha256": ""},
    "strategy": {"key": "inside_bar", "impl_version": "1", "profile_version": "1"},
    "params": {"rules": {}, "execution": {}, "gates": {}},
    "data": {
        "symbol": "HOOD",
        "feed": "sip",
        "requested_range": {"first": "2025-11-01", "last": "2025-11-28"},
        "inputs": {},
    },
    "gates": {
        "coverage": {"share": 1.0, "status": "PASS"},
        "sla": {"passed": True},
        "promotion": {"status": "PROMOTABLE"},
    },
    "result": {"run_status": "SUCCESS", "artifacts_index": {}},
}


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_manifest_with_any_value_anywhere_is_refused(data: st.DataObject) -> None:
    """Also one that was sealed anew after it was forged."""
    at = data.draw(st.sampled_from(list(places(MANIFEST))))
    forged = with_at(MANIFEST, at, data.draw(ANYTHING))
    if data.draw(st.booleans()) and isinstance(forged, dict) and isinstance(forged.get("identity"), dict):
        try:
            forged["identity"]["promotion_sha256"] = seal(forged)
        except (TypeError, ValueError, RecursionError, KeyError, AttributeError):
            return  # cannot be sealed, so nobody could have
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run_manifest.json"
        path.write_text(json.dumps(forged, default=str))
        with pytest.raises(ManifestInvalid):
            read_promotion(path)


@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
@settings(max_examples=50, deadline=None)
def test_a_manifest_of_any_bytes_is_refused(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run_manifest.json"
        path.write_bytes(body)
        with pytest.raises(ForeshoreError):
            read_promotion(path)


@given(st.binary(max_size=120) | ANYTHING.map(lambda value: json.dumps(value, default=str).encode()))
@settings(max_examples=50, deadline=None)
def test_any_bytes_as_commit_record_or_mark(body: bytes) -> None:
    """A damaged record commits nothing, a damaged mark is named."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        lake.declare({})
        (Path(folder) / "_dlt_loads" / "voting__1.5.jsonl").write_bytes(body)
        assert lake.committed_loads() == [] and lake.replaced_loads() == set()
        (Path(folder) / "_store.json").write_bytes(body)
        try:
            lake.check()
        except ForeshoreError as error:
            assert "_store.json" in str(error) or "store version" in str(error)


@given(st.text(max_size=80))
@settings(max_examples=50, deadline=None)
def test_any_text_as_partition(text: str) -> None:
    try:
        assert partition_of(text).partition_id == text
    except ForeshoreError as error:
        assert "no partition" in str(error)
