"""Headers, and the newest block at or before a time, found by search and proven by its neighbour.

Block times lie: slots are missed, chains stall, several blocks share a second. So a guess is never an answer:
each search ends with two adjacent headers, `block.timestamp <= t < next.timestamp`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from extract.evm.errors import AfterHead, BeforeChain, ChainError, DecodeError, Kind, Refusal
from extract.evm.quantity import hash32, quantity
from extract.evm.transport import RpcCall

__all__ = ["AfterHead", "BeforeChain", "Block", "Search", "find", "header_call"]
_BISECT_EVERY = 3  # pure interpolation can crawl on irregular chains: every third round halves the bracket
_MOST_ROUNDS = 200  # a third of them halve the bracket: 2^66 blocks; more means that headers contradict each other
_LATEST_TIMESTAMP = 1 << 35  # the year 3058: beyond it a time is in another unit
_BLOOM_CHARS = 2 + 512
_PAIRED_ROUNDS = 2  # measured on 500,000 blocks: 12 s slots with 1 % missed take 4.9 headers in 2.7 round trips


@dataclass(frozen=True, slots=True)
class Block:
    """A header: number, unix seconds, hashes as 0x text."""

    number: int
    timestamp: int
    hash: str
    parent_hash: str


@dataclass(frozen=True, slots=True)
class BloomedBlock:
    """A header with its logsBloom (256 bytes), empty where the chain does not send one."""

    block: Block
    bloom: bytes


class _Header(msgspec.Struct, rename="camel"):
    number: str
    timestamp: str
    hash: str
    parent_hash: str
    logs_bloom: str = ""


Fetch = Callable[[Sequence[int]], Awaitable[list[Block]]]


def header_call(block: int | str) -> RpcCall:
    """eth_getBlockByNumber without transactions, for a number or a tag; answers a Block, of the number asked for."""
    return _header_call(block, _block)


def bloom_call(number: int) -> RpcCall:
    """A header with its bloom."""
    return _header_call(number, _bloomed)


def _header_call(block: int | str, made: Callable[[_Header], Block | BloomedBlock]) -> RpcCall:
    tag = block if isinstance(block, str) else hex(block)

    def read(header: _Header | None) -> Block | BloomedBlock | Refusal:
        if header is None:  # the node does not have it: behind, or past its pruned history
            return Refusal(Kind.LAGGING, f"block {block} is unknown")
        number = quantity(header.number, "the number of a header")
        if isinstance(block, int) and number != block:
            return Refusal(Kind.MISMATCH, f"asked for the header of block {block}, it answers that of block {number}")
        return made(header)

    return RpcCall("eth_getBlockByNumber", [tag, False], _Header | None, read)


def _block(header: _Header) -> Block:
    timestamp = quantity(header.timestamp, "the time of a header")
    if timestamp > _LATEST_TIMESTAMP:
        raise DecodeError(f"the time of a header is {timestamp}, which is no time in seconds")
    own, parent = hash32(header.hash, "the hash of a header"), hash32(header.parent_hash, "the parent hash of a header")
    return Block(quantity(header.number, "the number of a header"), timestamp, own, parent)


def _bloomed(header: _Header) -> BloomedBlock:
    text = header.logs_bloom
    return BloomedBlock(_block(header), bytes.fromhex(text[2:]) if len(text) == _BLOOM_CHARS else b"")


def told_head(header: object) -> Block:
    """The header in a notification of newHeads. Errors: DecodeError, msgspec.ValidationError."""
    return _block(msgspec.convert(header, _Header))


@dataclass
class Search:
    """One target between two headers: `low.timestamp <= target < high.timestamp`, always."""

    target: int
    low: Block
    high: Block
    rounds: int = 0
    guess: int | None = None

    @property
    def is_proven(self) -> bool:
        return self.high.number == self.low.number + 1

    def probes(self) -> list[int]:
        """Blocks to look at next: a guess, at first with its successor, which on a regular chain is the
        proof.
        """
        if self.is_proven:
            return []
        self.rounds += 1
        first, last = self.low.number + 1, self.high.number - 1
        if self.rounds % _BISECT_EVERY == 0:
            return [(first + last) // 2]
        at = min(max(self._guess(), first), last)
        return [at, at + 1] if at < last and self.rounds <= _PAIRED_ROUNDS else [at]

    def _guess(self) -> int:
        if self.guess is not None:
            guess, self.guess = self.guess, None
            return guess
        elapsed, span = self.target - self.low.timestamp, self.high.timestamp - self.low.timestamp
        return self.low.number + elapsed * (self.high.number - self.low.number) // span

    def narrow(self, block: Block) -> None:
        """Take a header into account, whoever asked for it."""
        if self.low.number < block.number < self.high.number:
            if block.timestamp <= self.target:
                self.low = block
            else:
                self.high = block


async def find(
    targets: Sequence[int], first: Block, head: Block, fetch: Fetch, guesses: Callable[[int], int | None]
) -> list[Block]:
    """The newest block at or before each target (unix seconds), in order; all searches share every header
    read.

    `guesses` names a block that may be it. Errors: BeforeChain, AfterHead (also for the head's own second,
    which further blocks may still share), ChainError for headers that contradict each other.
    """
    for target in targets:
        _check(target, first, head)
    searches = {target: Search(target, first, head, guess=guesses(target)) for target in targets}
    rounds = 0
    while wanted := sorted({number for search in searches.values() for number in search.probes()}):
        rounds += 1
        if rounds > _MOST_ROUNDS:
            raise ChainError(f"a block search did not end after {_MOST_ROUNDS} rounds: headers contradict each other")
        _narrow(searches.values(), await fetch(wanted))
    return [searches[target].low for target in targets]


def _narrow(searches: Iterable[Search], blocks: Sequence[Block]) -> None:
    for search in searches:
        for block in blocks:
            search.narrow(block)


def _check(target: int, first: Block, head: Block) -> None:
    if target < first.timestamp:
        raise BeforeChain(f"{_utc(target)} is before the chain's first block ({_utc(first.timestamp)})")
    if target >= head.timestamp:
        raise AfterHead(
            f"{_utc(target)} is not before the chain's newest block ({_utc(head.timestamp)}): try later",
            head.timestamp,
        )


def _utc(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
