"""View calls at a block: Multicall3 where it exists, several blocks to one JSON-RPC batch, plain batches
elsewhere.

Empty return data is `missing`, whatever success flag came with it: a contract that was not there yet answers
`0x` without an error, and reading that as zero invents votes and balances that never were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from extract.evm.config import ChainSpec
from extract.evm.errors import DecodeError, Kind, ProviderError, Refusal
from extract.evm.pool import Pool
from extract.evm.transport import Answer, Outcome, RpcCall

OK, MISSING, REVERTED, NO_ARCHIVE_STATE = "ok", "missing", "reverted", "no_archive_state"
_AGGREGATE3 = "0x82ad56cb"  # aggregate3((address,bool,bytes)[]), mds1/multicall3
_SHRINKING = frozenset({Kind.GAS, Kind.SIZE, Kind.TIME, Kind.RESULTS})
_WORD = 32


@dataclass(frozen=True, slots=True)
class Call:
    """A view call: `target` lower-case address, `data` calldata as 0x hex."""

    target: str
    data: str


@dataclass(frozen=True, slots=True)
class Reply:
    """status: ok, missing (no data: nothing there), reverted, no_archive_state. `data` raw return bytes."""

    status: str
    data: bytes
    provider: str


@dataclass
class _Chunk:
    """Calls that travel in one aggregate3: where they belong, and how they ended."""

    request: int
    block: int
    positions: list[int]
    plain: bool = False


@dataclass
class StateReader:
    """Reads view calls through a pool. `size` is the number of calls per aggregate3 that providers still
    accept.
    """

    pool: Pool
    spec: ChainSpec
    size: int = field(init=False)
    bare_up_to: int = field(init=False, default=-1)  # highest block known to be without Multicall3

    def __post_init__(self) -> None:
        self.size = min((p.multicall_size for p in self.spec.providers), default=1)

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        """One reply per call, in order, for each (block, calls). Errors: ProviderError; never for a single
        bad call.
        """
        replies: list[list[Reply | None]] = [[None] * len(calls) for _, calls in requests]
        chunks = [c for i, (block, calls) in enumerate(requests) for c in self._chunks(i, block, range(len(calls)))]
        while chunks:
            chunks = await self._round(chunks, requests, replies)
        return [[reply for reply in of_block if reply is not None] for of_block in replies]

    def _chunks(self, request: int, block: int, positions: Sequence[int]) -> Iterator[_Chunk]:
        plain = block <= self.bare_up_to
        size = 1 if plain else self.size
        for start in range(0, len(positions), size):
            yield _Chunk(request, block, list(positions[start : start + size]), plain)

    async def _round(
        self,
        chunks: Sequence[_Chunk],
        requests: Sequence[tuple[int, Sequence[Call]]],
        replies: list[list[Reply | None]],
    ) -> list[_Chunk]:
        """Ask every chunk once; returns what is still open, cut to what the answers taught."""
        rpc = [self._rpc(chunk, requests[chunk.request][1]) for chunk in chunks]
        outcomes = await self.pool.request(rpc, max(chunk.block for chunk in chunks))
        still_open: list[_Chunk] = []
        for chunk, outcome in zip(chunks, outcomes, strict=True):
            still_open += self._settle(chunk, outcome, replies[chunk.request])
        return still_open

    def _rpc(self, chunk: _Chunk, calls: Sequence[Call]) -> RpcCall:
        wanted = [calls[i] for i in chunk.positions]
        if chunk.plain:
            transaction = {"to": wanted[0].target, "data": wanted[0].data}
            return RpcCall("eth_call", [transaction, hex(chunk.block)], str, _bytes)
        transaction = {"to": self.spec.multicall_address, "data": encode_aggregate3(wanted)}
        read = partial(decode_aggregate3, expected=len(wanted))
        return RpcCall("eth_call", [transaction, hex(chunk.block)], str, read)

    def _settle(self, chunk: _Chunk, outcome: Outcome, replies: list[Reply | None]) -> list[_Chunk]:
        if isinstance(outcome, Refusal) and outcome.kind is Kind.NO_ARCHIVE:
            for i in chunk.positions:
                replies[i] = Reply(NO_ARCHIVE_STATE, b"", outcome.provider)
            return []
        if chunk.plain:
            replies[chunk.positions[0]] = _plain_reply(outcome)
            return []
        if isinstance(outcome, Refusal):
            return self._cut(chunk, outcome)
        if outcome.value is None:
            self.bare_up_to = max(self.bare_up_to, chunk.block)
            return list(self._chunks(chunk.request, chunk.block, chunk.positions))
        return self._fill(chunk, outcome, replies)

    def _cut(self, chunk: _Chunk, refusal: Refusal) -> list[_Chunk]:
        """Halves of a chunk that was too much; one call that is too much alone goes without Multicall3."""
        if refusal.kind not in _SHRINKING and refusal.kind is not Kind.REVERTED:
            raise ProviderError(f"state of block {chunk.block}", refusal)
        if len(chunk.positions) == 1:
            return [_Chunk(chunk.request, chunk.block, chunk.positions, plain=True)]
        self.size = max(1, min(self.size, len(chunk.positions) // 2))
        return list(self._chunks(chunk.request, chunk.block, chunk.positions))

    def _fill(self, chunk: _Chunk, answer: Answer, replies: list[Reply | None]) -> list[_Chunk]:
        """Replies of an aggregate3. Calls that failed without data are asked once more by themselves, while
        that helps: a call that ran out of the gas its neighbours used up looks exactly like one that reverts.
        """
        starved: list[int] = []
        for i, (success, data) in zip(chunk.positions, answer.value, strict=True):
            if not success and not data:
                starved.append(i)
            replies[i] = Reply(REVERTED if not success else OK if data else MISSING, data, answer.provider)
        if starved and len(starved) < len(chunk.positions):
            return [_Chunk(chunk.request, chunk.block, starved)]
        return []


def _plain_reply(outcome: Outcome) -> Reply:
    if isinstance(outcome, Answer):
        return Reply(OK if outcome.value else MISSING, outcome.value, outcome.provider)
    if outcome.kind in (Kind.REVERTED, Kind.GAS):
        return Reply(REVERTED, _bytes(outcome.data) if outcome.data.startswith("0x") else b"", outcome.provider)
    raise ProviderError("eth_call", outcome)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise DecodeError(f"a provider answered eth_call with {text[:20]!r}, which is not hex") from None


@lru_cache(maxsize=65_536)
def _tuple_hex(target: str, data: str) -> str:
    """(address, allowFailure = true, bytes) as ABI words in hex."""
    length = (len(data) - 2) // 2
    padded = data[2:].ljust(-(-length // _WORD) * 2 * _WORD, "0")
    return f"{target[2:]:0>64}{1:064x}{96:064x}{length:064x}{padded}"


def encode_aggregate3(calls: Sequence[Call]) -> str:
    """Calldata of Multicall3 aggregate3 for `calls`, each allowed to fail, as 0x hex."""
    tuples = [_tuple_hex(call.target, call.data) for call in calls]
    offset, offsets = _WORD * len(tuples), []
    for words in tuples:
        offsets.append(f"{offset:064x}")
        offset += len(words) // 2
    return "".join((_AGGREGATE3, f"{_WORD:064x}", f"{len(tuples):064x}", *offsets, *tuples))


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
