"""View calls at a block: Multicall3 where it exists, several blocks to one JSON-RPC batch, plain batches
elsewhere. What proves the block travels in the same aggregate, or around the plain calls.

Empty return data is `missing`, whatever success flag came with it: a contract that was not there yet answers
`0x` without an error, and reading that as zero invents votes and balances that never were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import msgspec
import numpy as np

from extract.evm.blocks import Block
from extract.evm.config import ChainSpec
from extract.evm.errors import NARROWING, DecodeError, Kind, ProviderError, Refusal
from extract.evm.pool import Pool, gather
from extract.evm.proof import PROVEN, UNCONFIRMED, Prover
from extract.evm.quantity import excerpt
from extract.evm.transport import Answer, Outcome, RpcCall

OK, MISSING, REVERTED, NO_ARCHIVE_STATE = "ok", "missing", "reverted", "no_archive_state"
OVER_GAS_CAP = "over_gas_cap"
_AGGREGATE3 = "0x82ad56cb"  # aggregate3((address,bool,bytes)[]), mds1/multicall3
_HALVED = NARROWING | {Kind.GAS, Kind.SERVER, Kind.MALFORMED, Kind.OTHER, Kind.REVERTED}
_WORD = 32

# The canary: it goes last in an aggregate under a gas limit of its own, and needs more than the 1/64 that a call leaves
# behind which burns all it is given (EIP-150). Where it sings, no call before it ran out of gas: their no is their own.
# MODEXP of a 640-byte modulus of zeros and a 32-byte exponent of ones: 0.5 million gas (EIP-2565) to 3.3 (EIP-7883).
_CANARY = ("0x" + f"{5:040x}", f"0x{0:064x}{32:064x}{640:064x}{'ff' * 32}")
_CANARY_BYTES = 640
_CANARY_GAS = 16_000_000  # a 64th of it is 0.25 million


class Call(msgspec.Struct, frozen=True):
    """A view call: `target` lower-case address, `data` calldata as 0x hex."""

    target: str
    data: str


class Reply(msgspec.Struct, frozen=True):
    """status: ok, missing (no data: nothing there), reverted, over_gas_cap (no provider lets it use the gas it needs),
    no_archive_state. `data` raw return bytes. `confirmation`: proven to be of its block, or unconfirmed.
    """

    status: str
    data: bytes
    provider: str
    confirmation: str = UNCONFIRMED


def joint(confirmations: Iterable[str]) -> str:
    """What holds of several answers together: proven where each of them is."""
    return PROVEN if {PROVEN}.issuperset(confirmations) else UNCONFIRMED


@dataclass
class _Chunk:
    """Calls that travel together: where they belong. `has_canary`: each failed without a word before, and is asked
    again with a canary behind; `fill`: calls that make its length its own, so that no two answers can be mistaken.
    """

    request: int
    block: Block
    positions: list[int]
    has_canary: bool = False
    fill: int = 0


@dataclass
class StateReader:
    """Reads view calls through a pool. `size` is the number of calls per aggregate3 that providers still
    accept.
    """

    pool: Pool
    spec: ChainSpec
    headers: Callable[[Sequence[int]], Awaitable[list[Block]]]
    size: int = field(init=False)
    bare_up_to: int = field(init=False, default=-1)  # highest block known to be without Multicall3

    def __post_init__(self) -> None:
        self.size = min((p.multicall_size for p in self.spec.providers), default=1)
        self._prover = Prover.of(self.spec)
        self._has_code: dict[int, bool] = {}  # by block, where an aggregate was answered with nothing

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        """One reply per call, in order, for each (block, calls). Errors: ProviderError; never for a single
        bad call.
        """
        replies: list[list[Any]] = [[None] * len(calls) for _, calls in requests]
        asked = [i for i, (_, calls) in enumerate(requests) if calls]
        numbers = sorted({requests[i][0] for i in asked})
        blocks = dict(zip(numbers, await self.headers(numbers) if numbers else [], strict=True))
        reading = _Reading(self, [calls for _, calls in requests], replies)
        whole = [_Chunk(i, blocks[requests[i][0]], list(range(len(requests[i][1])))) for i in asked]
        plain = [chunk for chunk in whole if chunk.block.number <= self.bare_up_to]
        chunks = [part for chunk in whole if chunk.block.number > self.bare_up_to for part in self.cut(chunk)]
        await reading.run(chunks, plain)
        return replies

    def cut(self, chunk: _Chunk) -> Iterator[_Chunk]:
        """The chunk in parts of at most `size` calls."""
        for start in range(0, len(chunk.positions), self.size):
            part = chunk.positions[start : start + self.size]
            yield _Chunk(chunk.request, chunk.block, part, chunk.has_canary, start // self.size)

    def rpc(self, chunk: _Chunk, calls: Sequence[Call]) -> RpcCall:
        """An aggregate3: what proves the block, the calls, then what fills it up or the canary."""
        proof = self._prover.targets(chunk.block.number)
        tail = [_CANARY] if chunk.has_canary else proof[:1] * chunk.fill
        wanted = [(calls[i].target, calls[i].data) for i in chunk.positions]
        encoded = encode_aggregate3([*proof, *wanted, *tail])
        transaction = {"to": self.spec.multicall_address, "data": encoded}
        if chunk.has_canary:
            transaction["gas"] = hex(_CANARY_GAS)
        read = partial(self._read, block=chunk.block, proofs=len(proof), expected=len(proof) + len(wanted) + len(tail))
        number, by_hash = hex(chunk.block.number), {"blockHash": chunk.block.hash}
        divisible = len(chunk.positions) > 1
        return RpcCall("eth_call", [transaction, number], str, read, None, [transaction, by_hash], divisible)

    def _read(self, text: str, block: Block, proofs: int, expected: int) -> Any:
        results = decode_aggregate3(text, expected)
        if results is None:
            return None
        return self._prover.refuse(block, results[:proofs]) or results[proofs:]

    async def is_bare(self, block: Block) -> bool:
        """Whether there is no Multicall3 at a block, asked of its code: an aggregate was answered with nothing."""
        if block.number not in self._has_code:
            params: list[Any] = [self.spec.multicall_address]
            call = RpcCall(
                "eth_getCode", [*params, hex(block.number)], str, _bytes, by_hash=[*params, {"blockHash": block.hash}]
            )
            [outcome] = await self.pool.request([call], block.number)
            self._has_code[block.number] = isinstance(outcome, Answer) and bool(outcome.value)
        return not self._has_code[block.number]

    def plain_call(self, call: Call, block: Block) -> RpcCall:
        """One view call by itself."""
        transaction = {"to": call.target, "data": call.data}
        by_hash = [transaction, {"blockHash": block.hash}]
        return RpcCall("eth_call", [transaction, hex(block.number)], str, _bytes, by_hash=by_hash)

    def bracket(self, block: Block) -> RpcCall | None:
        return self._prover.bracket(block)


_MOST_EMPTY = 4  # answers with nothing from where Multicall3 has code, before the plain way is taken


@dataclass
class _Reading:
    """One read_blocks on its way."""

    reader: StateReader
    calls: Sequence[Sequence[Call]]
    replies: list[list[Any]]
    empty: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # by block

    async def run(self, chunks: list[_Chunk], plain: list[_Chunk]) -> None:
        """Ask until every call has its reply; what is still open is cut to what the answers taught."""
        while chunks:
            rpc = [self.reader.rpc(chunk, self.calls[chunk.request]) for chunk in chunks]
            outcomes = await self.reader.pool.request(rpc, max(chunk.block.number for chunk in chunks))
            still_open: list[_Chunk] = []
            for chunk, outcome in zip(chunks, outcomes, strict=True):
                if isinstance(outcome, Answer) and outcome.value is None:
                    (plain if await self._goes_plain(chunk, outcome) else still_open).append(chunk)
                else:
                    still_open += self._settle(chunk, outcome, plain)
            chunks = still_open
        await gather([self._read_plain(chunk) for chunk in plain])

    async def _goes_plain(self, chunk: _Chunk, answer: Answer) -> bool:
        """Whether an aggregate that was answered with nothing is asked call by call: no Multicall3 there yet."""
        block = chunk.block
        if await self.reader.is_bare(block):
            self.reader.bare_up_to = max(self.reader.bare_up_to, block.number)
            return True
        self.empty[block.number] += 1
        said = f"it answers nothing at block {block.number} where Multicall3 has code"
        self.reader.pool.blame(answer.provider, Refusal(Kind.MISMATCH, said))
        return self.empty[block.number] >= _MOST_EMPTY

    def _settle(self, chunk: _Chunk, outcome: Outcome, plain: list[_Chunk]) -> list[_Chunk]:
        """What is left of a chunk after its answer; what only a plain call can tell goes to `plain`."""
        if isinstance(outcome, Answer):
            return self._fill(chunk, outcome, plain)
        if outcome.kind is Kind.NO_ARCHIVE:
            for i in chunk.positions:
                self.replies[chunk.request][i] = Reply(NO_ARCHIVE_STATE, b"", outcome.provider)
            return []
        if len(chunk.positions) == 1:
            plain.append(chunk)
            return []
        if outcome.kind not in _HALVED:
            raise ProviderError(f"state of block {chunk.block.number}", outcome)
        half = len(chunk.positions) // 2
        if not chunk.has_canary:
            self.reader.size = max(1, min(self.reader.size, half))
        return self._halves(chunk)

    def _halves(self, chunk: _Chunk) -> list[_Chunk]:
        half = len(chunk.positions) // 2
        parts = (chunk.positions[:half], chunk.positions[half:])
        return [_Chunk(chunk.request, chunk.block, part, chunk.has_canary, i) for i, part in enumerate(parts)]

    def _fill(self, chunk: _Chunk, answer: Answer, plain: list[_Chunk]) -> list[_Chunk]:
        """Replies of an aggregate3. Calls that failed without a word are asked once more by themselves, with a canary:
        a call that ran out of the gas its neighbours used up looks exactly like one that reverts.
        """
        replies, silent, provider = self.replies[chunk.request], list[int](), answer.provider
        for i, (success, data) in zip(chunk.positions, answer.value, strict=False):
            if success:
                replies[i] = Reply(OK if data else MISSING, data, provider, PROVEN)
            else:
                replies[i] = Reply(REVERTED, data, provider, PROVEN)
                if not data:
                    silent.append(i)
        if not silent:
            return []
        again = _Chunk(chunk.request, chunk.block, silent, has_canary=True)
        if not chunk.has_canary:
            return [again]
        sings, song = answer.value[-1]
        if sings and len(song) == _CANARY_BYTES:
            return []
        if len(silent) > 1:
            return self._halves(again)
        plain.append(again)  # alone: the words of its refusal tell
        return []

    async def _read_plain(self, chunk: _Chunk) -> None:
        """Call by call, between calls that prove the block. What a contract says no with has many words: one that
        every provider refuses, at a block whose state it proves to have, is the contract's.
        """
        reader, calls = self.reader, self.calls[chunk.request]
        rpc = [reader.plain_call(calls[i], chunk.block) for i in chunk.positions]
        outcomes = await reader.pool.request(rpc, chunk.block.number, reader.bracket(chunk.block))
        for i, outcome in zip(chunk.positions, outcomes, strict=True):
            self.replies[chunk.request][i] = _plain_reply(outcome)


def _plain_reply(outcome: Outcome) -> Reply:
    if isinstance(outcome, Answer):
        confirmation = PROVEN if outcome.is_bracketed else UNCONFIRMED
        return Reply(OK if outcome.value else MISSING, outcome.value, outcome.provider, confirmation)
    if outcome.kind is Kind.REVERTED:
        data = _bytes(outcome.data) if outcome.data.startswith("0x") else b""
        return Reply(REVERTED, data, outcome.provider, PROVEN if outcome.is_bracketed else UNCONFIRMED)
    if outcome.kind is Kind.GAS:
        return Reply(OVER_GAS_CAP, b"", outcome.provider)
    if outcome.kind is Kind.NO_ARCHIVE:
        return Reply(NO_ARCHIVE_STATE, b"", outcome.provider)
    if outcome.kind is Kind.OTHER and outcome.is_bracketed:
        return Reply(REVERTED, b"", outcome.provider, PROVEN)
    raise ProviderError("eth_call", outcome)


def _bytes(text: str) -> bytes:
    try:
        found = bytes.fromhex(text[2:])
    except ValueError:
        found = None
    if found is None or text[:2] != "0x" or 2 * len(found) + 2 != len(text):  # fromhex is lenient about blanks
        raise DecodeError(f"it answers {excerpt(text)}, which is not hex")
    return found


@lru_cache(maxsize=65_536)
def _tuple_hex(target: str, data: str) -> str:
    """(address, allowFailure = true, bytes) as ABI words in hex."""
    length = (len(data) - 2) // 2
    padded = data[2:].ljust(-(-length // _WORD) * 2 * _WORD, "0")
    return f"{target[2:]:0>64}{1:064x}{96:064x}{length:064x}{padded}"


@lru_cache(maxsize=65_536)
def _word_hex(value: int) -> str:
    return f"{value:064x}"


def encode_aggregate3(calls: Sequence[tuple[str, str]]) -> str:
    """Calldata of Multicall3 aggregate3 for (target, calldata) pairs, each allowed to fail, as 0x hex."""
    tuples = [_tuple_hex(target, data) for target, data in calls]
    offset, offsets = _WORD * len(tuples), []
    for words in tuples:
        offsets.append(_word_hex(offset))
        offset += len(words) // 2
    return "".join((_AGGREGATE3, _word_hex(_WORD), _word_hex(len(tuples)), *offsets, *tuples))


def decode_aggregate3(text: str, expected: int) -> list[tuple[bool, bytes]] | None:
    """(success, return data) per call from the hex of (bool, bytes)[]; None when there is no Multicall3 to
    answer.

    All offsets and lengths are below 2^32, so the last four bytes of every word hold them: one strided view,
    no integer per word is built from 32 bytes. Errors: DecodeError when the structure does not hold.
    """
    raw = _bytes(text)
    if not raw:
        return None
    words = np.frombuffer(raw, ">u4")[7::8].tolist() if len(raw) % _WORD == 0 else []
    try:
        count, base = words[1], 2
        if words[0] != _WORD or count != expected:
            raise DecodeError(f"aggregate3 answered {count} results for {expected} calls")
        results = []
        for i in range(count):
            at = base + words[base + i] // _WORD
            start, length = (at + words[at + 1] // _WORD + 1) * _WORD, words[at + words[at + 1] // _WORD]
            data = raw[start : start + length]
            if len(data) != length:
                raise DecodeError("aggregate3 result is cut off")
            results.append((words[at] == 1, data))
    except IndexError:
        raise DecodeError("aggregate3 result is cut off") from None
    return results
