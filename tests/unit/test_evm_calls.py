"""State reads: Multicall3, plain batches where it is missing, and the difference between nothing and zero."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from extract.evm.calls import Call, Reply, decode_aggregate3, encode_aggregate3
from extract.evm.client import ChainClient
from extract.evm.config import MULTICALL3
from extract.evm.errors import DecodeError, ProviderError
from tests.evm_fake import FakeProvider, FakeTime, Refuse, a_chain, a_session, a_spec

ZERO = "0x" + "00" * 32
ECHO, EMPTY, REVERTS, HEAVY = ("0x" + digit * 40 for digit in "1234")


class FakeState:
    """ECHO returns its calldata, EMPTY nothing, REVERTS fails; HEAVY needs `cost` of `gas` and ECHO one."""

    def __init__(self, multicall_from: int = 0, gas: int = 10**9, archive_from: int = 0, size: int = 10**9) -> None:
        self.multicall_from, self.gas, self.archive_from, self.size = multicall_from, gas, archive_from, size
        self.calls = 0

    def one(self, target: str, data: bytes) -> tuple[bool, bytes]:
        if target in (ECHO, HEAVY):
            return True, data
        return (True, b"") if target == EMPTY else (False, b"\x08\xc3" if data else b"")

    def __call__(self, transaction: dict[str, Any], block: int) -> str:
        self.calls += 1
        if block < self.archive_from:
            raise Refuse(-32000, "missing trie node")
        data = bytes.fromhex(transaction["data"][2:])
        if transaction["to"] != MULTICALL3:
            success, result = self.one(transaction["to"], data)
            if not success:
                raise Refuse(3, "execution reverted", "0x" + result.hex())
            return "0x" + result.hex()
        return self._aggregate(data, block)

    def _aggregate(self, data: bytes, block: int) -> str:
        if block < self.multicall_from:
            return "0x"
        [calls] = decode(["(address,bool,bytes)[]"], data[4:])
        if len(calls) > self.size:
            raise Refuse(-32000, "out of gas")
        left, results = self.gas, []
        for target, _, calldata in calls:
            left -= 1_000 if target == HEAVY else 1
            results.append(self.one(target, calldata) if left >= 0 else (False, b""))
        return "0x" + encode(["(bool,bytes)[]"], [results]).hex()


def read(requests: list[tuple[int, list[Call]]], *states: FakeState, **spec: Any) -> list[list[Reply]]:
    chain = a_chain(100)
    providers = [FakeProvider(chain, state=state) for state in states]

    async def inner() -> list[list[Reply]]:
        async with ChainClient.open(
            a_spec(len(providers), **spec), None, FakeTime().clock, a_session(*providers)
        ) as client:
            return await client.read_blocks(requests)

    return asyncio.run(inner())


def echo(number: int) -> Call:
    return Call(ECHO, f"0x{number:064x}")


def test_order_status_and_provider() -> None:
    calls = [echo(1), Call(EMPTY, "0x12"), Call(REVERTS, "0x12345678"), echo(0), Call(REVERTS, "0x")]
    [replies] = read([(50, calls)], FakeState())
    assert [r.status for r in replies] == ["ok", "missing", "reverted", "ok", "reverted"]
    assert replies[0].data == bytes.fromhex(f"{1:064x}") and replies[3].data == bytes(32)
    assert replies[1].data == b"" and replies[2].data == b"\x08\xc3" and replies[0].provider == "p0"


def test_many_blocks_travel_in_one_request() -> None:
    state = FakeState()
    replies = read([(block, [echo(block * 100 + i) for i in range(60)]) for block in range(20)], state)
    assert state.calls == 20
    assert [[int.from_bytes(r.data) for r in of_block] for of_block in replies] == [
        [block * 100 + i for i in range(60)] for block in range(20)
    ]


def test_without_multicall_plain_calls_are_made_and_say_the_same() -> None:
    calls = [echo(7), Call(EMPTY, "0x12"), Call(REVERTS, "0x12")]
    before, after = read([(10, calls), (60, calls)], FakeState(multicall_from=50))
    assert [r.status for r in before] == [r.status for r in after] == ["ok", "missing", "reverted"]
    assert [r.data for r in before] == [r.data for r in after]


def test_calls_shrink_on_gas_errors() -> None:
    [replies] = read([(50, [echo(i) for i in range(100)])], FakeState(size=7))
    assert [int.from_bytes(r.data) for r in replies] == list(range(100))


def test_calls_that_starved_beside_others_are_asked_again() -> None:
    """Out of gas inside Multicall3 looks like a revert without data."""
    calls = [echo(1), Call(HEAVY, ZERO), echo(2), Call(HEAVY, ZERO), Call(REVERTS, "0x"), echo(3)]
    [replies] = read([(50, calls)], FakeState(gas=1_003))
    assert [r.status for r in replies] == ["ok", "ok", "ok", "ok", "reverted", "ok"]


def test_no_archive_is_a_status_and_another_provider_helps() -> None:
    requests = [(10, [echo(1), echo(2)]), (60, [echo(3)])]
    old, new = read(requests, FakeState(archive_from=50))
    assert [r.status for r in old] == ["no_archive_state"] * 2 and new[0].status == "ok"
    old, new = read(requests, FakeState(archive_from=50), FakeState())
    assert [r.status for r in old + new] == ["ok"] * 3 and old[0].provider == "p1"


def test_a_cut_answer_is_the_providers_fault() -> None:
    class Cut(FakeState):
        def _aggregate(self, data: bytes, block: int) -> str:
            return super()._aggregate(data, block)[:-64]

    with pytest.raises(ProviderError, match="malformed"):
        read([(50, [echo(1)])], Cut())
    [replies] = read([(50, [echo(1)])], Cut(), FakeState())
    assert replies[0].status == "ok"


def test_nothing_asked_nothing_sent() -> None:
    assert read([], FakeState()) == [] and read([(5, [])], FakeState()) == [[]]


calls_strategy = st.lists(
    st.builds(
        Call,
        st.integers(0, 2**160 - 1).map(lambda n: f"0x{n:040x}"),
        st.binary(max_size=90).map(lambda b: "0x" + b.hex()),
    ),
    max_size=20,
)


@given(calls_strategy)
def test_encoding_equals_eth_abi(calls: list[Call]) -> None:
    plain = [(call.target, True, bytes.fromhex(call.data[2:])) for call in calls]
    assert encode_aggregate3(calls) == "0x82ad56cb" + encode(["(address,bool,bytes)[]"], [plain]).hex()


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=90)), max_size=20), st.integers(0, 400))
def test_decoding_equals_eth_abi(results: list[tuple[bool, bytes]], cut: int) -> None:
    text = "0x" + encode(["(bool,bytes)[]"], [results]).hex()
    assert decode_aggregate3(text, len(results)) == results
    with pytest.raises(DecodeError):
        decode_aggregate3(text, len(results) + 1)
    shorter = text[: max(3, len(text) - cut)]
    try:
        assert decode_aggregate3(shorter, len(results)) == results
    except DecodeError:
        assert cut
