"""Logs that were left out: a second way to the same answer, for a sample of the ranges.

Another provider's set of the same logs, where there is one; else the blooms of sampled blocks, where the chain keeps
them. Who is outvoted by two others is used no more; two that contradict each other without a third fail the range.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from extract.evm.blocks import BloomedBlock
from extract.evm.bloom import Bloom
from extract.evm.errors import NARROWING, Disagreement, EvmError, Kind, Refusal
from extract.evm.headers import Headers
from extract.evm.pool import Pool
from extract.evm.proof import UNCONFIRMED
from extract.evm.transport import Endpoint
from extract.evm.wire import difference

log = logging.getLogger(__name__)

SECOND_PROVIDER, BLOOM = "second_provider", "bloom"
BLOCKS_PER_RANGE = 4  # whose blooms are looked at
_NO_CHANCE = 1e-4  # a bloom match this unlikely to mean nothing is a log
_MOST_PARTS = 64  # requests a second provider is asked for one range


@dataclass(frozen=True)
class Question:
    """A range of logs: what was asked for, both ends inclusive."""

    addresses: tuple[str, ...]
    topics: tuple[tuple[str, ...] | None, ...]
    first: int
    last: int


Fetch = Callable[[Endpoint, Question], Awaitable[pa.Table | Refusal]]


def is_sampled(question: Question, share: float) -> bool:
    """Whether a range is in the sample: by its blocks, so that a run that is repeated looks at the same ones."""
    drawn = zlib.crc32(f"{question.first}-{question.last}".encode()) / 2**32
    return drawn < share


def sampled_blocks(question: Question, count: int) -> list[int]:
    """Up to `count` distinct blocks of a range, its last one among them."""
    width = question.last - question.first + 1
    drawn = (zlib.crc32(f"{question.first}-{question.last}-{i}".encode()) % width for i in range(count - 1))
    return sorted({question.last, *(question.first + at for at in drawn)})


@dataclass
class Confirmer:
    """Confirms ranges of one chain. `fetch` asks one endpoint for one range; `keeps_bloom` is learned from a block
    that is known to hold logs.
    """

    pool: Pool
    headers: Headers
    fetch: Fetch
    keeps_bloom: bool | None = None

    async def confirm(self, question: Question, logs: pa.Table, provider: str) -> str | Refusal:
        """How the logs of a range are confirmed, or the refusal of who left some out. Errors: Disagreement."""
        others = [e for e in self.pool.usable() if e.name != provider]
        for other in others:
            theirs = await self._second(other, question)
            if isinstance(theirs, Refusal):
                continue
            trouble = difference(logs, theirs)
            if trouble is None:
                return SECOND_PROVIDER
            thirds = [e for e in others if e is not other]
            return await self._decide(question, logs, provider, other, theirs, thirds, trouble)
        return await self._by_bloom(question, logs, provider)

    async def _second(self, other: Endpoint, question: Question) -> pa.Table | Refusal:
        """The logs of a range from one provider, in as many parts as it wants them."""
        tables, start, width = [], question.first, question.last - question.first + 1
        for _ in range(_MOST_PARTS):
            last = min(question.last, start + width - 1)
            found = await self.fetch(other, Question(question.addresses, question.topics, start, last))
            if isinstance(found, pa.Table):
                tables.append(found)
                start = last + 1
                if start > question.last:
                    return pa.concat_tables(tables)
            elif found.kind in NARROWING | {Kind.OTHER, Kind.SERVER, Kind.MALFORMED} and width > 1:
                width //= 2
            else:
                break
        said = f"blocks {question.first}..{question.last} could not be compared with {other.name}"
        log.info("chain %s: %s", self.pool.chain, said)
        return Refusal(Kind.OTHER, said, other.name)

    async def _decide(
        self,
        question: Question,
        ours: pa.Table,
        provider: str,
        other: Endpoint,
        theirs: pa.Table,
        thirds: Sequence[Endpoint],
        trouble: str,
    ) -> str | Refusal:
        """Two sets of logs: a third provider's decides."""
        for third in thirds:
            said = await self._second(third, question)
            if isinstance(said, Refusal):
                continue
            if difference(ours, said) is None:
                self.pool.stop(other, Kind.MISMATCH, f"it leaves out or adds logs that two others agree on: {trouble}")
                return SECOND_PROVIDER
            if difference(theirs, said) is None:
                wrong = next(e for e in self.pool.endpoints if e.name == provider)
                self.pool.stop(wrong, Kind.MISMATCH, f"it leaves out or adds logs that two others agree on: {trouble}")
                return Refusal(Kind.MISMATCH, trouble, provider)
        raise Disagreement(
            f"chain {self.pool.chain}: {provider} and {other.name} disagree about the logs of blocks "
            f"{question.first}..{question.last} ({trouble}); remove the one that is wrong, or add one that decides"
        )

    async def _by_bloom(self, question: Question, logs: pa.Table, provider: str) -> str | Refusal:
        if self.keeps_bloom is False:
            return UNCONFIRMED
        holding = set(logs["block_number"].to_pylist())
        numbers = sampled_blocks(question, BLOCKS_PER_RANGE)
        if self.keeps_bloom is None:
            numbers = sorted({*numbers, *list(holding)[:1]})
        try:
            blocks = await self.headers.blooms(numbers)
        except Disagreement:
            raise
        except EvmError as error:
            log.info("chain %s: no blooms to compare with: %s", self.pool.chain, error)
            return UNCONFIRMED
        if not await self._learn_keeping([b for b in blocks if b.block.number in holding]):
            return UNCONFIRMED
        return await self._judge(question, blocks, logs, provider)

    async def _learn_keeping(self, holding: Sequence[BloomedBlock]) -> bool:
        """Whether blooms mean anything here: shown by a block that holds logs."""
        if self.keeps_bloom is None and holding:
            self.keeps_bloom = any(not Bloom(b.bloom).is_empty for b in holding)
        return bool(self.keeps_bloom)

    async def _judge(
        self, question: Question, blocks: Sequence[BloomedBlock], logs: pa.Table, provider: str
    ) -> str | Refusal:
        conclusive = 0
        for header in blocks:
            number, bloom = header.block.number, Bloom(header.bloom)
            mine = logs.filter(pa.compute.equal(logs["block_number"], number))
            if mine.num_rows:
                trouble = _forged(header, bloom, mine)
                if trouble:
                    return Refusal(Kind.MISMATCH, trouble, provider)
                # a bloom that knows these logs says nothing of others beside them: that they are all is not shown
            elif not bloom.may_match(question.addresses, question.topics):
                conclusive += 1
            elif await self._is_left_out(question, number, bloom):
                said = f"logs of block {number} were left out of the answer for {question.first}..{question.last}"
                return Refusal(Kind.MISMATCH, said, provider)
        return BLOOM if conclusive else UNCONFIRMED

    async def _is_left_out(self, question: Question, number: int, bloom: Bloom) -> bool:
        """Whether a block that may hold logs, of which none came, holds one: asked for alone, or by sheer chance."""
        alone = Question(question.addresses, question.topics, number, number)
        for endpoint in self.pool.usable():
            found = await self.fetch(endpoint, alone)
            if isinstance(found, pa.Table) and found.num_rows:
                return True
        return bloom.chance(question.addresses, question.topics) < _NO_CHANCE


def _forged(header: BloomedBlock, bloom: Bloom, logs: pa.Table) -> str | None:
    """What a header says against logs that name its block."""
    if logs["block_hash"][0].as_py() != header.block.hash:
        return f"its logs name another hash of block {header.block.number} than the header"
    for row in logs.select(["address", "topic0", "topic1", "topic2", "topic3"]).slice(0, 50).to_pylist():
        if not all(bloom.may_hold(item) for item in row.values() if item is not None):
            return f"the bloom of block {header.block.number} does not know a log that came of it"
    return None
