"""Scan logs: several ranges in flight, widths that adapt to each provider, output in order and bounded in
memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from extract.evm.blocks import Block
from extract.evm.cache import Cache
from extract.evm.errors import DecodeError, Kind, ProviderError, RangeTooDense, Refusal
from extract.evm.pool import Pool
from extract.evm.ranges import Plan, Width, estimate_requests
from extract.evm.transport import Endpoint, RpcCall
from extract.evm.wire import blocks_without_timestamp, check_logs, fill_timestamps, in_order, parse_logs

log = logging.getLogger(__name__)

OUTSTANDING = 8  # chunks being fetched or waiting for the reader: the bound on memory
IN_FLIGHT = 6  # more than a provider's max_in_flight: while some are asked, others are being read
_TRIES = 12  # failures of one range in a row
_ROUND_CAPS = frozenset({1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000})  # where silent cuts are seen
_SPLITTING = frozenset({Kind.RANGE, Kind.RESULTS, Kind.SIZE, Kind.TIME})

Topics = Sequence[Sequence[str] | None]


@dataclass(frozen=True)
class LogChunk:
    """All logs of a block range, both ends inclusive, sorted by (block_number, log_index)."""

    from_block: int
    to_block: int
    table: pa.Table
    provider: str


@dataclass(frozen=True)
class Filter:
    """What to look for: any of `addresses` (empty: all), per topic position any of the given (None: all)."""

    addresses: tuple[str, ...]
    topics: tuple[tuple[str, ...] | None, ...]

    @classmethod
    def of(cls, addresses: Sequence[str], topics: Topics) -> Filter:
        lowered = tuple(None if t is None else tuple(x.lower() for x in t) for t in topics)
        return cls(tuple(dict.fromkeys(a.lower() for a in addresses)), lowered)

    def parts(self, size: int | None) -> list[Filter]:
        """Filters of at most `size` addresses each."""
        if size is None or len(self.addresses) <= size:
            return [self]
        return [Filter(self.addresses[i : i + size], self.topics) for i in range(0, len(self.addresses), size)]

    def call(self, first: int, last: int) -> RpcCall:
        """eth_getLogs over first..last; the answer is a sorted, checked table."""
        query: dict[str, Any] = {"fromBlock": hex(first), "toBlock": hex(last)}
        if self.addresses:
            query["address"] = list(self.addresses) if len(self.addresses) > 1 else self.addresses[0]
        if self.topics:
            query["topics"] = [None if t is None else list(t) for t in self.topics]
        read = partial(_read, addresses=self.addresses, first=first, last=last)
        return RpcCall("eth_getLogs", [query], msgspec.Raw, read, last - first + 1)


def _read(raw: msgspec.Raw, addresses: Sequence[str], first: int, last: int) -> pa.Table:
    logs = in_order(parse_logs(raw))
    check_logs(logs, addresses, first, last)
    return logs


@dataclass
class LogScanner:
    """Scans of one chain. Widths and address limits by provider are shared by all its scans."""

    pool: Pool
    cache: Cache
    headers: Callable[[Sequence[int]], Awaitable[list[Block]]]
    verify: bool = False
    widths: dict[str, Width] = field(init=False)
    address_limits: dict[str, int] = field(init=False, default_factory=dict)
    result_caps: dict[str, int] = field(init=False, default_factory=dict)
    most_logs: dict[str, int] = field(init=False, default_factory=dict)  # ever seen in one answer

    def __post_init__(self) -> None:
        self.widths = {e.name: Width(self._first_cap(e)) for e in self.pool.endpoints}

    def _first_cap(self, endpoint: Endpoint) -> int | None:
        known = [cap for cap in (endpoint.spec.max_block_range, self.cache.cap(endpoint.name)) if cap]
        return min(known, default=None)

    def estimate(self, first: int, last: int) -> int:
        """Requests that a quiet range would cost at the provider that takes the widest."""
        usable = self.pool.usable() or self.pool.endpoints
        return min(estimate_requests(last - first + 1, self.widths[e.name]) for e in usable)

    async def scan(self, wanted: Filter, first: int, last: int) -> AsyncIterator[LogChunk]:
        """Chunks that tile first..last in order. Errors: ProviderError, RangeTooDense."""
        scan = _Scan(self, wanted, Plan(first, last))
        workers = [asyncio.create_task(scan.work()) for _ in range(IN_FLIGHT)]
        try:
            while not scan.plan.is_delivered:
                found = scan.plan.deliver()
                if found is None:
                    await scan.wait()
                    _raise_first(workers)
                    continue
                scan.notify()
                yield LogChunk(found[0], found[1], found[2].value, found[2].provider)
        finally:
            for worker in workers:
                worker.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*workers, return_exceptions=True)

    async def fetch(
        self, endpoint: Endpoint, wanted: Filter, first: int, last: int, part_size: int | None = None
    ) -> _Found | Refusal:
        """All logs of one range from one endpoint: one call, or one per part of the address list, which is
        cut to what the provider takes or to `part_size`.
        """
        if not await self.pool.reaches(endpoint, last):
            return Refusal(Kind.LAGGING, f"its head is below block {last}", endpoint.name)
        tables: list[pa.Table] = []
        for part in wanted.parts(part_size or self.address_limits.get(endpoint.name)):
            [outcome] = await self.pool.ask(endpoint, [part.call(first, last)])
            if isinstance(outcome, Refusal):
                return self._address_limit(endpoint, part, outcome)
            if self._looks_cut(endpoint, outcome.value.num_rows, first, last):
                return Refusal(Kind.RESULTS, "as many logs as its limit: the answer may be cut", endpoint.name)
            tables.append(outcome.value)
        logs = tables[0] if len(tables) == 1 else in_order(pa.concat_tables(tables))
        return _Found(await self._timed(logs), endpoint.name)

    def _address_limit(self, endpoint: Endpoint, part: Filter, refusal: Refusal) -> Refusal:
        """Learn how many addresses a provider takes; of a single one it is not about lists."""
        if refusal.kind is not Kind.ADDRESSES:
            return refusal
        asked = len(part.addresses)
        if asked <= 1:
            return replace(refusal, kind=Kind.OTHER)
        cap = refusal.cap if refusal.cap and refusal.cap < asked else asked // 2
        self.address_limits[endpoint.name] = max(1, cap)
        return refusal

    def _looks_cut(self, endpoint: Endpoint, logs: int, first: int, last: int) -> bool:
        """Exactly a round limit, and never more, is the mark of a silent cut. A single block cannot be split."""
        most = self.most_logs[endpoint.name] = max(logs, self.most_logs.get(endpoint.name, 0))
        if logs < most or (logs not in _ROUND_CAPS and logs != self.result_caps.get(endpoint.name)):
            return False
        if first == last:
            log.warning("block %d has exactly %d matching logs at %s, a usual limit", first, logs, endpoint.name)
        return first < last

    async def _timed(self, logs: pa.Table) -> pa.Table:
        """Older nodes send no blockTimestamp: ask the headers."""
        missing = blocks_without_timestamp(logs)
        if not missing:
            return logs
        return fill_timestamps(logs, {b.number: b.timestamp for b in await self.headers(missing)})

    async def agrees(self, wanted: Filter, last: int, found: _Found) -> bool:
        """Whether another provider has as many logs in the last block of a range; True when there is none to
        ask.
        """
        others = [e for e in self.pool.usable() if e.name != found.provider]
        if not self.verify or not others:
            return True
        second = await self.fetch(others[0], wanted, last, last)
        if isinstance(second, Refusal):
            log.warning("block %d could not be verified: %s says %s", last, second.provider, second.message)
            return True
        ours = sum(number == last for number in found.value["block_number"].to_pylist())
        return bool(ours == second.value.num_rows)


@dataclass(frozen=True)
class _Found:
    value: pa.Table
    provider: str


def _raise_first(workers: Sequence[asyncio.Task[None]]) -> None:
    for worker in workers:
        if worker.done() and not worker.cancelled() and (error := worker.exception()):
            raise error


@dataclass
class _Scan:
    """One running scan: its plan, and the signal that the plan moved."""

    scanner: LogScanner
    wanted: Filter
    plan: Plan[_Found]
    failures: dict[int, int] = field(default_factory=dict)  # by first block: tries in a row
    avoid: dict[int, set[str]] = field(default_factory=dict)  # by first block: who failed on it
    dense: dict[int, int] = field(default_factory=dict)  # blocks too full for one answer: addresses per call
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
                endpoint = await self.scanner.pool.choose(self.avoid.get(start, ()), start)
                width = self.scanner.widths[endpoint.name]
                if not width.tried and self.plan.taken:
                    await self.wait()  # the first request to a provider tells what it takes: do not repeat its errors
                elif self.plan.may_take(OUTSTANDING):
                    await self._one(endpoint, width)
        finally:
            self.notify()

    async def _one(self, endpoint: Endpoint, width: Width) -> None:
        is_dense = self.plan.open[0][0] in self.dense
        start, last = self.plan.take(1 if is_dense else width.blocks)
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
            self.failures.pop(start, None)
            self.avoid.pop(start, None)
            self.plan.finish(start, outcome)
        self.notify()

    async def _fetch(self, endpoint: Endpoint, start: int, last: int) -> _Found | Refusal:
        found = await self.scanner.fetch(endpoint, self.wanted, start, last, self.dense.get(start))
        if isinstance(found, _Found) and not await self.scanner.agrees(self.wanted, last, found):
            return Refusal(Kind.LAGGING, f"block {last}: two providers differ in the number of logs", endpoint.name)
        return found

    async def _adapt(self, endpoint: Endpoint, width: Width, refusal: Refusal, start: int, last: int) -> None:
        """Learn from a refusal. Ranges shrink for range words only; for everything else time passes or
        another provider takes over.
        """
        if refusal.kind in _SPLITTING and start < last:
            if refusal.kind is Kind.RESULTS and refusal.cap:
                self.scanner.result_caps[endpoint.name] = refusal.cap
            if width.refused(refusal, start, last) and width.hard is not None:
                self.scanner.cache.learn_cap(endpoint.name, width.hard)
            if refusal.kind is not Kind.TIME:
                return
        elif refusal.kind is Kind.ADDRESSES or self._thinned(refusal, start):
            return
        await self._failed(endpoint, refusal, start, last)

    def _thinned(self, refusal: Refusal, block: int) -> bool:
        """A single block has too many logs for one answer: ask for fewer addresses at a time, down to one."""
        size = self.dense.get(block, len(self.wanted.addresses)) // 2
        if refusal.kind not in (Kind.RESULTS, Kind.SIZE) or size < 1:
            return False
        self.dense[block] = size
        return True

    async def _failed(self, endpoint: Endpoint, refusal: Refusal, start: int, last: int) -> None:
        tries = self.failures[start] = self.failures.get(start, 0) + 1
        self.avoid.setdefault(start, set()).add(endpoint.name)
        others = {e.name for e in self.scanner.pool.usable()} - self.avoid[start]
        hopeless = refusal.kind in (Kind.OTHER, Kind.NO_ARCHIVE) or (refusal.kind in _SPLITTING and start == last)
        if tries >= _TRIES or (hopeless and not others):
            if refusal.kind in _SPLITTING and start == last:
                raise RangeTooDense(f"block {start}: {endpoint.name} refuses even a single block: {refusal.message}")
            raise ProviderError(f"logs of blocks {start}..{last}", refusal)
        endpoint.stats.retries += 1
        if not others:
            self.avoid[start].clear()
            await self.scanner.pool.clock.sleep(self.scanner.pool.clock.jitter(tries))


__all__ = ["DecodeError", "Filter", "LogChunk", "LogScanner"]
