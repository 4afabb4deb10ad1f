"""Logs against the blooms of their headers, where nobody else can be asked; and who a provider says it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from extract.evm.bloom import Bloom
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.config import ARBSYS_NUMBER, MULTICALL3
from extract.evm.errors import EvmError
from extract.evm.proof import ARBSYS
from tests.evm_fake import EMITTER, TOPIC, FakeChain, FakeProvider, FakeTime, Refuse, a_chain, a_session, a_spec

ITEMS = st.one_of(st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)).map(
    lambda b: f"0x{b.hex()}"
)
CHAIN = a_chain(60, share=0.6)


def bloom_of(items: list[str]) -> bytes:
    """The bloom of addresses and topics, bit by bit in the yellow paper's order: bit 0 is the last byte's lowest."""
    raw = bytearray(256)
    for item in items:
        digest = keccak(hexstr=item)
        for at in (0, 2, 4):
            bit = (digest[at] * 256 + digest[at + 1]) % 2048
            raw[255 - bit // 8] |= 1 << bit % 8
    return bytes(raw)


@given(st.lists(ITEMS, max_size=40), ITEMS)
def test_a_bloom_knows_what_it_holds_and_never_more_than_its_bits(held: list[str], other: str) -> None:
    bloom = Bloom(bloom_of(held))
    assert all(bloom.may_hold(item) for item in held)
    assert bloom.is_empty == (not held)
    bits = int.from_bytes(bloom_of([other]), "big")
    assert bloom.may_hold(other) == (bits & int.from_bytes(bloom_of(held), "big") == bits)
    assert bloom.may_match(held[:1], [held[1:2]] if held[1:2] else [])
    assert 0 <= bloom.chance([other], [[other]]) <= bloom.chance([other], []) <= 1


@dataclass
class BloomedChain(FakeChain):
    """A chain whose headers carry the blooms of `truth`, whatever its providers answer when asked for logs."""

    truth: list[tuple[int, int, str]] = field(default_factory=list)
    is_kept: bool = True

    def header(self, number: int) -> dict[str, str] | None:
        header = super().header(number)
        if header is None:
            return None
        items = [i for b, n, a in self.truth if b == number for i in (a, *self.log(b, n, a, False)["topics"])]
        return {**header, "logsBloom": "0x" + (bloom_of(items) if self.is_kept else bytes(256)).hex()}


def bloomed(keep: Callable[[int], bool] = lambda _: True, **values: Any) -> FakeProvider:
    """A provider of CHAIN that answers only the logs of the blocks to keep."""
    return FakeProvider(BloomedChain(CHAIN.times, [x for x in CHAIN.logs if keep(x[0])], truth=CHAIN.logs, **values))


def run(use: Callable[[ChainClient], Awaitable[Any]], *providers: FakeProvider, **spec: Any) -> Any:
    async def inner() -> Any:
        clock, session = FakeTime().clock, a_session(*providers)
        async with ChainClient.open(a_spec(len(providers), **spec), None, clock, session) as chain:
            return await use(chain)

    return asyncio.run(inner())


async def confirmations(chain: ChainClient) -> set[str]:
    return {chunk.confirmation async for chunk in chain.logs([EMITTER], [[TOPIC]], 0, CHAIN.head)}


SMALL = {"confirm_share": 1.0, "max_block_range": 4, "patience_seconds": 20.0}  # every block of a range is looked at


def test_blooms_confirm_what_one_provider_says() -> None:
    assert "bloom" in run(confirmations, bloomed(), **SMALL)


def test_logs_that_a_bloom_knows_and_an_answer_lacks_are_refused_by_name() -> None:
    odd = CHAIN.logs[-1][0]  # the scan's last holding block is left out; blocks before it show that blooms are kept
    with pytest.raises(EvmError, match=rf"logs of block {odd} were left out"):
        run(confirmations, bloomed(lambda block: block != odd), **{**SMALL, "max_block_range": CHAIN.head - odd + 1})


def test_a_chain_without_blooms_proves_and_refuses_nothing() -> None:
    assert run(confirmations, bloomed(is_kept=False), **SMALL) == {"unconfirmed"}
    assert run(confirmations, bloomed(lambda block: block % 2 == 0, is_kept=False), **SMALL) == {"unconfirmed"}


def test_a_log_that_its_blocks_bloom_does_not_know_is_refused() -> None:
    forger = bloomed()
    invented = next(b for b in range(5, CHAIN.head) if b not in {x[0] for x in CHAIN.logs})
    forger.chain.logs = sorted([*CHAIN.logs, (invented, 0, EMITTER)])
    with pytest.raises(EvmError, match="does not know a log that came of it"):
        run(confirmations, forger, **{**SMALL, "max_block_range": 1})


def changing(chain_id: int, silent: int) -> FakeProvider:
    """A provider that is down for `silent` requests after its introduction, and serves another chain from then on."""

    def before(provider: FakeProvider, _: Any) -> Any:
        if 2 < provider.requests <= 2 + silent:
            provider.chain.chain_id = chain_id
            return 503, {}, b"down for maintenance"
        return None

    return FakeProvider(FakeChain(CHAIN.times, CHAIN.logs), before=before)


async def many_headers(chain: ChainClient) -> int:
    for _ in range(30):
        await chain.blocks([1, 2, 3], fresh=True)
    return len(await chain.blocks([1, 2, 3], fresh=True))


def test_who_comes_back_as_another_chain_is_asked_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    other = changing(1, silent=5)
    with pytest.raises(EvmError, match="it serves chain id 1 now, not 8453"):
        run(many_headers, other)
    headers = [call for call in other.calls[2:] if call["method"] == "eth_getBlockByNumber"]
    assert other.calls[-1]["method"] == "eth_chainId" and len(headers) <= 15  # nothing is asked of the other chain


def test_who_comes_back_as_itself_is_used_again() -> None:
    same = changing(8453, silent=5)
    assert run(many_headers, same) == 3
    asked = [call["method"] for call in same.calls]
    assert asked.count("eth_chainId") == 2 and asked[-1] == "eth_getBlockByNumber"


class Arbitrum:
    """Multicall3 on Arbitrum: NUMBER is the first layer's; ArbSys says the chain's own. `shift` answers an older
    block's state.
    """

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift
        self.asked: list[str] = []

    def code(self, block: int) -> str:
        return "0x60"

    def __call__(self, transaction: dict[str, Any], block: int) -> str:
        if transaction.get("to") != MULTICALL3:
            raise Refuse(3, "execution reverted", "0x")
        [calls] = decode(["(address,bool,bytes)[]"], bytes.fromhex(transaction["data"][10:]))
        results = [(True, self._one(target, data, block - self.shift)) for target, _, data in calls]
        return "0x" + encode(["(bool,bytes)[]"], [results]).hex()

    def _one(self, target: str, data: bytes, block: int) -> bytes:
        self.asked.append(f"{target[-2:]}:{data[:4].hex()}")
        if target == ARBSYS and data[:4] == keccak(text="arbBlockNumber()")[:4]:
            return block.to_bytes(32, "big")
        if target == ARBSYS and data[:4] == keccak(text="arbBlockHash(uint256)")[:4]:
            return data[4:]  # a fake block's hash is its number
        if target == MULTICALL3 and data[:4] == keccak(text="getCurrentBlockTimestamp()")[:4]:
            return CHAIN.times[block].to_bytes(32, "big")
        if target == MULTICALL3:
            return (19_000_000).to_bytes(32, "big")  # the first layer's number, which is no proof
        return data


def read_arbitrum(state: Arbitrum, **spec: Any) -> list[Reply]:
    provider = FakeProvider(CHAIN, state=state)
    calls = [Call("0x" + "1" * 40, "0xaabbccdd")]
    replies: list[Reply] = run(lambda chain: chain.read(calls, 40), provider, patience_seconds=5.0, **spec)
    return replies


def test_arbitrum_proves_its_state_by_arbsys() -> None:
    state = Arbitrum()
    [reply] = read_arbitrum(state, block_number_from=ARBSYS_NUMBER)
    assert (reply.status, reply.confirmation) == ("ok", "proven")
    assert "64:a3b1b31d" in state.asked and "11:42cbb15c" not in state.asked


def test_arbitrums_state_of_another_block_is_refused() -> None:
    with pytest.raises(EvmError, match=r"asked for the state of block 40 .* it answers that of block 37"):
        read_arbitrum(Arbitrum(shift=3), block_number_from=ARBSYS_NUMBER)


def test_the_first_layers_number_proves_nothing() -> None:
    with pytest.raises(EvmError, match="it answers that of block 19000000"):
        read_arbitrum(Arbitrum())
