"""Scan logs: several ranges in flight, widths that adapt to each provider, output in order and bounded in
memory. Every answer is checked against what was asked, a sample of them against a second way to the same logs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pyarrow as pa

from extract.evm.answers import Filter, Found, LogReader, Topics
from extract.evm.cache import Cache
from extract.evm.config import ChainSpec
from extract.evm.confirm import Confirmer, Question, is_sampled
from extract.evm.errors import NARROWING, DecodeError, Kind, ProviderError, RangeTooDense, Refusal
from extract.evm.headers import Headers
from extract.evm.pool import Pool
from extract.evm.proof import UNCONFIRMED
from extract.evm.ranges import Plan, Width, estimate_requests
from extract.evm.transport import Endpoint

OUTSTANDING = 8  # chunks being fetched or waiting for the reader: the bound on memory
IN_FLIGHT = 6  # more than a provider's max_in_flight: while some are asked, others are being read
_TRIES = 12  # failures of one range at one width in a row
_SAYINGS = 3  # unknown words about a single block are believed when every provider has said them so often
_HALVINGS = 40  # of one range: what no provider answers as it is, down to a single block of any range there is
_PERHAPS_TOO_WIDE = {
    Kind.TIME: 1,
    Kind.OTHER: 1,
    Kind.SERVER: 3,
    Kind.MALFORMED: 3,
}  # failures in a row before half is asked for


@dataclass(frozen=True)
class LogChunk:
    """All logs of a block range, both ends inclusive, sorted by (block_number, log_index). `confirmation`:
    second_provider, bloom, or unconfirmed.
    """

    from_block: int
    to_block: int
    table: pa.Table
    provider: str
    confirmation: str = UNCONFIRMED


class LogScanner:
    """Scans of one chain. Widths by provider are shared by all its scans."""

    def __init__(self, pool: Pool, cache: Cache, headers: Headers, spec: ChainSpec) -> None:
        self.pool, self.cache, self.headers = pool, cache, headers
        self.reader = LogReader(pool, headers, spec)
        self.confirmer = Confirmer(pool, headers, self.reader.fetch_for_confirmation)
        self.widths = {e.name: Width(self._first_cap(e)) for e in pool.endpoints}

    def _first_cap(self, endpoint: Endpoint) -> int | None:
        known = [cap for cap in (endpoint.spec.max_block_range, self.cache.cap(endpoint.name)) if cap]
        return min(known, default=None)

    def estimate(self, first: int, last: int) -> int:
        """Requests that a quiet range would cost at the provider that takes the widest."""
        usable = self.pool.usable() or self.pool.endpoints
        return min(estimate_requests(last - first + 1, self.widths[e.name]) for e in usable)

    async def scan(self, wanted: Filter, first: int, last: int, share: float) -> AsyncIterator[LogChunk]:
        """Chunks that tile first..last in order; `share` of them confirmed.

        Errors: ProviderError, RangeTooDense, Disagreement.
        """
        ends = await self.headers.blocks([first, last])
        scan = _Scan(self, wanted, Plan(first, last), share, (ends[0].timestamp, ends[1].timestamp))
        workers = [asyncio.create_task(scan.work()) for _ in range(IN_FLIGHT)]
        try:
            while not scan.plan.is_delivered:
                found = scan.plan.deliver()
                if found is None:
                    await scan.wait()
                    _raise_first(workers)
                    continue
                scan.notify()
                yield LogChunk(found[0], found[1], found[2].value, found[2].provider, found[2].confirmation)
        finally:
            for worker in workers:
                worker.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*workers, return_exceptions=True)


def _raise_first(workers: Sequence[asyncio.Task[None]]) -> None:
    for worker in workers:
        if worker.done() and not worker.cancelled() and (error := worker.exception()):
            raise error


@dataclass
class _Scan:
    """One running scan: its plan, and the signal that the plan moved."""

    scanner: LogScanner
    wanted: Filter
    plan: Plan[Found]
    share: float
    ends: tuple[int, int]  # unix seconds of the scan's first and last block
    failures: dict[int, int] = field(default_factory=dict)  # by first block: tries in a row
    failing_since: dict[int, float] = field(default_factory=dict)  # by first block
    avoid: dict[int, set[str]] = field(default_factory=dict)  # by first block: who failed on it
    dense: dict[int, int] = field(default_factory=dict)  # blocks too full for one answer: addresses per call
    narrow: dict[int, tuple[int, Kind]] = field(default_factory=dict)  # by first block: blocks at most, and why
    halvings: Counter[int] = field(default_factory=Counter)  # by first block
    unserved: set[str] = field(default_factory=set)  # who does not serve logs at all
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """Wake everybody who waits for the plan to move."""
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()

    async def wait(self) -> None:
        await self.moved.wait()

    async def work(self) -> None:
        """Take, fetch, finish or give back, until the plan is delivered."""
        try:
            while not self.plan.is_delivered and (self.plan.open or self.plan.taken):
                if not self.plan.may_take(OUTSTANDING):
                    await self.wait()
                    continue
                start = self.plan.open[0][0]
                endpoint = await self.scanner.pool.choose(self.avoid.get(start, set()) | self.unserved, start)
                width = self.scanner.widths[endpoint.name]
                if not width.tried and self.plan.taken:
                    await self.wait()  # the first request to a provider tells what it takes: do not repeat its errors
                elif self.plan.may_take(OUTSTANDING):
                    await self._one(endpoint, width)
        finally:
            self.notify()

    async def _one(self, endpoint: Endpoint, width: Width) -> None:
        first = self.plan.open[0][0]
        blocks = 1 if first in self.dense else min(width.blocks, self.narrow.get(first, (width.blocks, None))[0])
        start, last = self.plan.take(blocks)
        try:
            outcome = await self._fetch(endpoint, start, last)
        except BaseException:
            self.plan.give_back(start)
            raise
        if isinstance(outcome, Refusal):
            self.plan.give_back(start)
            await self._adapt(endpoint, width, outcome, start, last)
        else:
            width.succeeded(last - start + 1, outcome.value.num_rows)
            self._learn_narrowness(endpoint, width, start, last)
            for of in (self.failures, self.failing_since, self.avoid):
                of.pop(start, None)
            self.plan.finish(start, outcome)
        self.notify()

    async def _fetch(self, endpoint: Endpoint, start: int, last: int) -> Found | Refusal:
        question = Question(self.wanted.addresses, self.wanted.topics, start, last)
        sampled = is_sampled(question, self.share)
        found = await self.scanner.reader.fetch(endpoint, self.wanted, start, last, self.dense.get(start), sampled)
        if isinstance(found, Refusal):
            return found
        timed = await self.scanner.reader.timed(found, endpoint, self.ends)
        if isinstance(timed, Refusal) or not (sampled or timed.is_doubtful):
            return timed
        how = await self.scanner.confirmer.confirm(question, timed.value, timed.provider)
        if isinstance(how, Refusal):
            self.scanner.pool.blame(endpoint.name, how)
            return how
        return replace(timed, confirmation=how)

    async def _adapt(self, endpoint: Endpoint, width: Width, refusal: Refusal, start: int, last: int) -> None:
        """Learn from a refusal. Ranges shrink for range words, and for words or silence that may mean a range; for
        everything else time passes or another provider takes over.
        """
        if refusal.kind in NARROWING and start < last:
            if refusal.kind is Kind.RESULTS and refusal.cap:
                self.scanner.reader.result_caps[endpoint.name] = refusal.cap
            if width.refused(refusal, start, last) and width.hard is not None:
                self.scanner.cache.learn_cap(endpoint.name, width.hard)
            if refusal.kind is not Kind.TIME:
                return
            self._halved(refusal, start, last)  # and time must pass as well
        elif refusal.kind is Kind.ADDRESSES or self._thinned(refusal, start):
            return
        elif refusal.kind is Kind.UNSUPPORTED:
            self.unserved.add(endpoint.name)
        elif self._halved(refusal, start, last):
            self.avoid.setdefault(start, set()).add(endpoint.name)
            endpoint.stats.retries += 1
            return
        await self._failed(endpoint, refusal, start, last)

    def _halved(self, refusal: Refusal, start: int, last: int) -> bool:
        """Words nobody knows, and failures that go on, may be about the width: ask for half, within a budget."""
        needed = _PERHAPS_TOO_WIDE.get(refusal.kind)
        if needed is None or start == last or self.halvings[start] >= _HALVINGS:
            return False
        if self.failures.get(start, 0) + 1 < needed:
            return False
        self.halvings[start] += 1
        self.narrow[start] = ((last - start + 1) // 2, refusal.kind)
        self.failures.pop(start, None)
        return True

    def _learn_narrowness(self, endpoint: Endpoint, width: Width, start: int, last: int) -> None:
        """Half was answered where the whole was not: a cap where words said no, else until more is tried again."""
        blocks, kind = self.narrow.pop(start, (None, None))
        if blocks is None or last - start + 1 != blocks:
            return
        if kind is Kind.OTHER:
            width.hard = blocks
            self.scanner.cache.learn_cap(endpoint.name, blocks)
        else:
            width.suspect(blocks)

    def _thinned(self, refusal: Refusal, block: int) -> bool:
        """A single block has too many logs for one answer: ask for fewer addresses at a time, down to one."""
        size = self.dense.get(block, len(self.wanted.addresses)) // 2
        if refusal.kind not in (Kind.RESULTS, Kind.SIZE) or size < 1:
            return False
        self.dense[block] = size
        return True

    async def _failed(self, endpoint: Endpoint, refusal: Refusal, start: int, last: int) -> None:
        pool, clock = self.scanner.pool, self.scanner.pool.clock
        tries = self.failures[start] = self.failures.get(start, 0) + 1
        since = self.failing_since.setdefault(start, clock.now())
        self.avoid.setdefault(start, set()).add(endpoint.name)
        usable = {e.name for e in pool.usable()}
        others = usable - self.avoid[start] - self.unserved
        if self._is_over(refusal, start, last, tries, others) or clock.now() - since > pool.patience:
            if refusal.kind in NARROWING and start == last:
                raise RangeTooDense(f"block {start}: {endpoint.name} refuses even a single block: {refusal.message}")
            raise ProviderError(f"logs of blocks {start}..{last}", refusal)
        endpoint.stats.retries += 1
        if not others:
            self.avoid[start].clear()
            why = f"{endpoint.name} says {refusal.kind.value}: {refusal.message}"
            await pool.waits.sleep(clock.jitter(tries), why)

    def _is_over(self, refusal: Refusal, start: int, last: int, tries: int, others: set[str]) -> bool:
        """Whether more tries cannot help."""
        if tries >= _TRIES or not {e.name for e in self.scanner.pool.usable()} - self.unserved:
            return True
        if refusal.kind in NARROWING and start == last:
            return not others
        return refusal.kind in (Kind.OTHER, Kind.NO_ARCHIVE) and tries >= _SAYINGS * len(self.scanner.pool.usable())


__all__ = ["DecodeError", "Filter", "LogChunk", "LogScanner", "Topics"]
