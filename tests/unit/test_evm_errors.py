"""Every refusal on record is read as what it means."""

from __future__ import annotations

import pytest

from extract.evm.errors import Kind
from extract.evm.sayings import classify

# (code, HTTP status, text, kind, cap, suggested); who said it is in extract/evm/errors.py
SAYINGS = [
    (-32005, 200, "query returned more than 10000 results", Kind.RESULTS, 10_000, None),
    (
        -32005,
        200,
        "query returned more than 10000 results. Try with this block range [0x10, 0x1f].",
        Kind.RESULTS,
        10_000,
        (16, 31),
    ),
    (-32602, 200, "range 1000000 exceeds limit of 10000", Kind.RANGE, 10_000, None),
    (
        -32602,
        200,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no "
        "limit on the response size, or you can request any block range with a cap of 10K logs in the response. "
        "Based on your parameters and the response size limit, this block range should work: [0x0, 0x133]",
        Kind.SIZE,
        None,
        (0, 307),
    ),
    (
        -32600,
        400,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on "
        "your parameters, this block range should work: [0x64, 0x6d]. Upgrade to PAYG",
        Kind.RANGE,
        10,
        (100, 109),
    ),
    (
        -32602,
        200,
        "query exceeds max results 20000, retry with the range 100-250",
        Kind.RESULTS,
        20_000,
        (100, 250),
    ),
    (-32602, 200, "query exceeds max block range 100000", Kind.RANGE, 100_000, None),
    (
        -32602,
        200,
        "Query returned more than 10000 results. Try with this block range [0x1, 0xa].",
        Kind.RESULTS,
        10_000,
        (1, 10),
    ),
    (35, 200, "ranges over 10000 blocks are not supported on freetier", Kind.RANGE, 10_000, None),
    (-32602, 200, "eth_getLogs is limited to 1024 block range", Kind.RANGE, 1_024, None),
    (None, 200, "eth_getLogs is limited to a 1000 blocks range", Kind.RANGE, 1_000, None),
    (-32614, 413, "eth_getLogs is limited to a 10,000 range", Kind.RANGE, 10_000, None),
    (-32603, 200, "eth_getLogs range is too large, max is 1k blocks", Kind.RANGE, 1_000, None),
    (-32000, 200, "eth_getLogs range is too large, max is 10k blocks", Kind.RANGE, 10_000, None),
    (-32602, 200, "range 5000 is bigger than range limit 2000", Kind.RANGE, 2_000, None),
    (-32000, 200, "block range exceeds configured limit", Kind.RANGE, None, None),
    (-32600, 200, "block range is too wide", Kind.RANGE, 3_000, None),
    (-32600, 200, "Block range is too wide (maximum 1024)", Kind.RANGE, 1_024, None),
    (-32000, 200, "Block range limit exceeded. See more details at ...", Kind.RANGE, 10_000, None),
    (-32000, 200, "block range too large", Kind.RANGE, 2_000, None),
    (-32602, 200, "exceed maximum block range: 50000", Kind.RANGE, 50_000, None),
    (-32600, 200, "exceeds the range allowed for your plan (5000 > 1024)", Kind.RANGE, 1_024, None),
    (-32600, 200, "Max range: 800", Kind.RANGE, 800, None),
    (-32600, 200, "Maximum allowed number of requested blocks is 3500", Kind.RANGE, 3_500, None),
    (-32600, 200, "please limit the query to at most 1000 blocks", Kind.RANGE, 1_000, None),
    (-32000, 200, "limited to a 500", Kind.RANGE, 500, None),
    (None, 200, "Response is too big", Kind.SIZE, None, None),
    (-32008, 200, "Response is too big, Exceeded max limit of 167772160", Kind.SIZE, None, None),
    (-32005, 200, "query timeout exceeded", Kind.TIME, None, None),
    (-32000, 200, "query timeout of 10 seconds exceeded", Kind.TIME, None, None),
    (-32000, 200, "context deadline exceeded", Kind.TIME, None, None),
    (-32000, 200, "no backend is currently healthy to serve traffic", Kind.TIME, None, None),
    (-32602, 200, "please specify less number of addresses", Kind.ADDRESSES, None, None),
    (-32602, 200, "exceed max addresses or topics per search position", Kind.ADDRESSES, None, None),
    (-32602, 200, "2000 filters were given, current limit is 1000", Kind.ADDRESSES, 1_000, None),
    (429, 429, "Your app has exceeded its compute units per second capacity.", Kind.RATE, None, None),
    (-32012, 200, "credits limited to 6000/sec", Kind.RATE, None, None),
    (-32005, 200, "limit exceeded", Kind.RATE, None, None),
    (-32005, 200, "daily request count exceeded, request rate limited", Kind.RATE, None, None),
    (-32029, 200, "slow down", Kind.RATE, None, None),
    (15, 200, "Too many requests", Kind.RATE, None, None),
    (None, 429, "", Kind.RATE, None, None),
    (
        None,
        200,
        "Monthly capacity limit exceeded. Visit https://x.example/settings/billing",
        Kind.QUOTA,
        None,
        None,
    ),
    (None, 402, "", Kind.QUOTA, None, None),
    (-32000, 200, "missing trie node 1234abcd (path ) <nil>", Kind.NO_ARCHIVE, None, None),
    (-32000, 200, "header not found", Kind.NO_ARCHIVE, None, None),
    (-32001, 200, "state not available", Kind.NO_ARCHIVE, None, None),
    (-32000, 200, "required historical state unavailable (reexec=128)", Kind.NO_ARCHIVE, None, None),
    (
        -32000,
        200,
        "no historical RPC is available for this historical (pre-bedrock) execution request",
        Kind.NO_ARCHIVE,
        None,
        None,
    ),
    (-32000, 200, "No state available for block", Kind.NO_ARCHIVE, None, None),
    (4444, 200, "pruned history unavailable", Kind.NO_ARCHIVE, None, None),
    (
        -32602,
        200,
        "BlockOutOfRangeError: block height is 9000 but requested was 12",
        Kind.NO_ARCHIVE,
        None,
        None,
    ),
    (-32602, 200, "BlockOutOfRangeError: block height is 10 but requested was 12", Kind.LAGGING, None, None),
    (-32000, 200, "block range extends beyond current head block", Kind.LAGGING, None, None),
    (-32600, 200, "batch too large", Kind.BATCH, None, None),
    (-32600, 200, "batch limit 100 exceeded", Kind.BATCH, None, None),
    (31, 500, "Batch of more than 3 requests are not allowed on free tier", Kind.BATCH, 3, None),
    (3, 200, "execution reverted", Kind.REVERTED, None, None),
    (3, 200, "execution reverted: rate limit", Kind.REVERTED, None, None),
    (-32000, 200, "out of gas", Kind.GAS, None, None),
    (-32603, 200, "EVM error OutOfGas", Kind.GAS, None, None),
    (None, 503, "upstream down", Kind.SERVER, None, None),
    (-32601, 200, "the method eth_getLogs does not exist", Kind.UNSUPPORTED, None, None),
    (-32000, 200, "requested too many blocks from 1 to 5000, maximum is set to 2048", Kind.RANGE, 2_048, None),
    (-32062, 200, "Block range is too large", Kind.RANGE, None, None),
    (-32000, 200, "block range greater than 10000 max", Kind.RANGE, 10_000, None),
    (-32000, 200, "logs matched by query exceeds limit of 10000", Kind.RESULTS, 10_000, None),
    (-32000, 200, "state histories haven't been fully indexed yet", Kind.NO_ARCHIVE, None, None),
    (-32000, 200, "layer stale", Kind.NO_ARCHIVE, None, None),
    (-32000, 200, "cannot query after last accepted block", Kind.LAGGING, None, None),
    (-32000, 200, "could not find block 0x12", Kind.LAGGING, None, None),
    (-32603, 200, "Temporary internal error. Please retry", Kind.SERVER, None, None),
    (-32000, 200, "no backends available for method", Kind.TIME, None, None),
    (-32000, 200, "request took too long", Kind.TIME, None, None),
    (-32000, 200, "invalid jump destination", Kind.REVERTED, None, None),
    (-32603, 200, "EVM error InvalidFEOpcode", Kind.REVERTED, None, None),
    (-32000, 200, "return data out of bounds", Kind.REVERTED, None, None),
    (-32016, 200, "The execution failed due to an exception.", Kind.REVERTED, None, None),
    (-32015, 200, "VM execution error.", Kind.REVERTED, None, None),
    (-32015, 200, "Out of gas", Kind.GAS, None, None),
    (-32015, 200, "VM execution error: out of gas", Kind.GAS, None, None),
    (3, 200, "execution reverted: out of gas", Kind.REVERTED, None, None),
    (-32603, 200, "Internal error", Kind.OTHER, None, None),
    (-32000, 200, "9" * 5_000, Kind.OTHER, None, None),
    (-32000, 200, "limited to " + "9" * 5_000 + " blocks", Kind.OTHER, None, None),
    (-32000, 200, "block range [" + "٣" * 30 + "-5]", Kind.OTHER, None, None),
]


@pytest.mark.parametrize(("code", "status", "text", "kind", "cap", "suggested"), SAYINGS)
def test_words_are_read_as_they_are_meant(code, status, text, kind, cap, suggested) -> None:
    refusal = classify(text, code, status)
    assert (refusal.kind, refusal.cap, refusal.suggested) == (kind, cap, suggested)


def test_words_inside_the_error_data_count_too() -> None:
    nested = '{"payload": "range 9000 is bigger than range limit 2000"}'
    assert classify("invalid params", -32602, data=nested).cap == 2_000
    infura = '{"from":"0x10","limit":10000,"to":"0x1f"}'
    assert classify("query returned more than 10000 results", -32005, data=infura).suggested == (16, 31)


def test_gas_is_read_in_the_data_too() -> None:
    assert classify("VM execution error.", -32015, data="Out of gas").kind is Kind.GAS
    assert classify("VM execution error.", -32015, data="Reverted 0x").kind is Kind.REVERTED


def test_a_guessed_cap_is_below_what_was_asked() -> None:
    assert classify("Block range limit exceeded.", asked_blocks=50_000).cap == 10_000
    assert classify("Block range limit exceeded.", asked_blocks=10_000).cap == 100
    assert classify("Block range limit exceeded.", asked_blocks=100).cap is None
