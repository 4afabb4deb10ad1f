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
ECHO, EMPTY, REVERTS, HEAVY, BURNS = ("0x" + digit * 40 for digit in "12346")


CHAIN = a_chain(100)
CANARY = "0x" + f"{5:040x}"
PROGRAM = "0x4360005242602052600143034060405260606000f3"  # NUMBER, TIMESTAMP, parent's hash
SELF = {"42cbb15c": 0, "0f28c97d": 1, "27e86d6e": 2}  # getBlockNumber, getCurrentBlockTimestamp, getLastBlockHash


class FakeState:
    """ECHO returns its calldata, EMPTY nothing, REVERTS fails; HEAVY needs 1,000 of `gas`, ECHO one, and BURNS takes
    63/64 of what is left. Multicall3 and code without an address say which block it is, as on a chain.
    """

    def __init__(
        self,
        multicall_from: int = 0,
        gas: int = 10**9,
        archive_from: int = 0,
        size: int = 10**9,
        shift: int = 0,
        parents: str = "true",
    ) -> None:
        self.multicall_from, self.gas, self.archive_from, self.size = multicall_from, gas, archive_from, size
        self.shift, self.parents = shift, parents
        self.calls = self.plain = 0

    def words(self, block: int) -> list[bytes]:
        parent = {"true": max(0, block - 1), "other": 7, "none": 0}[self.parents]
        return [n.to_bytes(32, "big") for n in (block, CHAIN.times[block], parent)]

    def one(self, target: str, data: bytes) -> tuple[bool, bytes]:
        if target in (ECHO, HEAVY):
            return True, data
        return (True, b"") if target == EMPTY else (False, b"\x08\xc3" if data else b"")

    def __call__(self, transaction: dict[str, Any], block: int) -> str:
        self.calls += 1
        block = max(0, block - self.shift)
        if block < self.archive_from:
            raise Refuse(-32000, "missing trie node")
        data = bytes.fromhex(transaction["data"][2:])
        if "to" not in transaction:
            assert transaction["data"] == PROGRAM
            return "0x" + b"".join(self.words(block)).hex()
        if transaction["to"] != MULTICALL3:
            return self._alone(transaction["to"], data)
        return self._aggregate(data, block, int(transaction.get("gas", hex(self.gas)), 16))

    def code(self, block: int) -> str:
        return "0x60" if block >= self.multicall_from else "0x"

    def _alone(self, target: str, data: bytes) -> str:
        self.plain += 1
        if target == BURNS or (target == HEAVY and self.gas < 1_000):
            raise Refuse(-32015, "Out of gas")
        success, result = self.one(target, data)
        if not success:
            raise Refuse(3, "execution reverted", "0x" + result.hex())
        return "0x" + result.hex()

    def _aggregate(self, data: bytes, block: int, gas: int) -> str:
        if block < self.multicall_from:
            return "0x"
        [calls] = decode(["(address,bool,bytes)[]"], data[4:])
        if len(calls) > self.size:
            raise Refuse(-32000, "out of gas")
        left, results = min(gas, self.gas), []
        for target, _, calldata in calls:
            if target == MULTICALL3:
                results.append((True, self.words(block)[SELF[calldata.hex()]]))
            elif target == BURNS:
                left //= 64
                results.append((False, b""))
            elif target == CANARY:
                results.append((True, bytes(640)) if left > 300_000 else (False, b""))
            else:
                cost = 1_000 if target == HEAVY else 1
                results.append(self.one(target, calldata) if left >= cost else (False, b""))
                left -= cost if left >= cost else 0
        return "0x" + encode(["(bool,bytes)[]"], [results]).hex()


def read(requests: list[tuple[int, list[Call]]], *states: FakeState, **spec: Any) -> list[list[Reply]]:
    providers = [FakeProvider(CHAIN, state=state) for state in states]

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
        def _aggregate(self, data: bytes, block: int, gas: int) -> str:
            return super()._aggregate(data, block, gas)[:-64]

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
    pairs = [(call.target, call.data) for call in calls]
    wanted = encode(["(address,bool,bytes)[]"], [plain]).hex()
    assert encode_aggregate3(pairs) == "0x82ad56cb" + wanted


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


def test_every_reply_is_proven_to_be_of_its_block() -> None:
    [replies] = read([(50, [echo(1), Call(EMPTY, "0x12")])], FakeState())
    assert {r.confirmation for r in replies} == {"proven"}
    [plain] = read([(10, [echo(1), Call(REVERTS, "0x12"), Call(EMPTY, "0x12")])], FakeState(multicall_from=50))
    assert [(r.status, r.confirmation) for r in plain] == [
        ("ok", "proven"),
        ("reverted", "proven"),
        ("missing", "proven"),
    ]


@pytest.mark.parametrize("multicall_from", [0, 90], ids=["aggregate", "plain"])
def test_another_blocks_state_is_refused_by_name(multicall_from: int) -> None:
    liar = {"shift": 3, "multicall_from": multicall_from}
    with pytest.raises(ProviderError, match=r"p0 says mismatch: asked for the state of block 50 of .* block 47"):
        read([(50, [echo(1)])], FakeState(**liar))
    [replies] = read([(50, [echo(1)])], FakeState(**liar), FakeState(multicall_from=multicall_from))
    assert (replies[0].status, replies[0].provider, replies[0].confirmation) == ("ok", "p1", "proven")


def test_the_parents_hash_counts_where_the_evm_gives_it() -> None:
    with pytest.raises(ProviderError, match="another parent than its header"):
        read([(50, [echo(1)])], FakeState(parents="other"))
    assert read([(50, [echo(1)])], FakeState(parents="none"))[0][0].confirmation == "proven"
    assert read([(50, [echo(1)])], FakeState(parents="other"), evm_parent_hash=False)[0][0].confirmation == "proven"


def test_nothing_where_multicall_has_code_is_a_lie_and_not_an_empty_chain() -> None:
    class Silent(FakeState):
        def __call__(self, transaction: dict[str, Any], block: int) -> str:
            return "0x"

    with pytest.raises(ProviderError, match="p0 says mismatch"):
        read([(50, [echo(1)])], Silent())
    [replies] = read([(50, [echo(1)])], Silent(), FakeState())
    assert (replies[0].status, replies[0].provider) == ("ok", "p1")


def test_a_provider_that_takes_no_hashes_is_asked_by_number() -> None:
    provider = FakeProvider(CHAIN, state=FakeState(), takes_hashes=False)

    async def inner() -> list[list[Reply]]:
        async with ChainClient.open(a_spec(), None, FakeTime().clock, a_session(provider)) as client:
            await client.read([echo(1)], 40)
            return await client.read_blocks([(50, [echo(1)]), (60, [echo(2)])])

    assert [r[0].status for r in asyncio.run(inner())] == ["ok", "ok"]
    named = [c["params"][1] for c in provider.calls if c["method"] == "eth_call"]
    assert [isinstance(of, dict) for of in named] == [True, False, False, False]


def test_a_call_that_burns_all_gas_takes_no_neighbour_with_it() -> None:
    calls = [Call(BURNS, "0x"), Call(HEAVY, ZERO), echo(1), Call(REVERTS, "0x")]
    [replies] = read([(50, calls)], FakeState(gas=50_000))
    assert [r.status for r in replies] == ["over_gas_cap", "ok", "ok", "reverted"]


def test_a_view_above_the_cap_is_asked_elsewhere_before_it_is_over_the_cap() -> None:
    [replies] = read([(50, [Call(HEAVY, ZERO), echo(1)])], FakeState(gas=900))
    assert [r.status for r in replies] == ["over_gas_cap", "ok"]
    [replies] = read([(50, [Call(HEAVY, ZERO), echo(1)])], FakeState(gas=900), FakeState())
    assert [r.status for r in replies] == ["ok", "ok"]


def test_silent_reverts_cost_one_more_aggregate() -> None:
    state = FakeState()
    [replies] = read([(50, [Call(REVERTS, "0x") for _ in range(300)] + [echo(1)])], state)
    assert {r.status for r in replies[:300]} == {"reverted"} and replies[300].status == "ok"
    assert (state.calls, state.plain) == (2, 0)


class Words(FakeState):
    """Refuses calls to one target in words of its own."""

    def __init__(
        self, words: str, code: int = -32000, times: int = 10**9, target: str = REVERTS, **values: Any
    ) -> None:
        super().__init__(**values)
        self.words_, self.code_, self.left, self.target = words, code, times, target

    def __call__(self, transaction: dict[str, Any], block: int) -> str:
        if transaction.get("to") == self.target and self.left:
            self.left -= 1
            raise Refuse(self.code_, self.words_)
        return super().__call__(transaction, block)


@pytest.mark.parametrize("words", ["invalid jump destination", "InvalidFEOpcode", "the oracle is on leave"])
def test_before_multicall_one_no_loses_one_call(words: str) -> None:
    [replies] = read([(10, [echo(1), Call(REVERTS, "0x12")])], Words(words, multicall_from=50))
    assert [r.status for r in replies] == ["ok", "reverted"]


@pytest.mark.parametrize(
    "words",
    ["state histories haven't been fully indexed yet", "missing trie node", "Internal error", "layer stale",
     "Temporary internal error", "no backends available", "request took too long", "could not find block"],
)  # fmt: skip
def test_once_is_no_proof_of_a_missing_state(words: str) -> None:
    [replies] = read([(50, [echo(1)])], Words(words, times=2, target=MULTICALL3))
    assert replies[0].status == "ok"


@pytest.mark.parametrize("answer", [(413, {}, b"<html>"), (504, {}, b"<html>"), TimeoutError()], ids=str)
def test_an_aggregate_that_is_too_much_for_a_gateway_is_halved(answer: Any) -> None:
    def before(provider: FakeProvider, items: list[dict[str, Any]]) -> Any:
        return answer if any(len(str(i["params"])) > 60_000 for i in items) else None

    provider = FakeProvider(CHAIN, state=FakeState(), before=before)

    async def inner() -> list[Reply]:
        async with ChainClient.open(a_spec(), None, FakeTime().clock, a_session(provider)) as client:
            return await client.read([echo(i) for i in range(400)], 50)

    assert [int.from_bytes(r.data) for r in asyncio.run(inner())] == list(range(400))
