"""Scan logs: several ranges in flight, widths that adapt to each provider, output in order and bounded in
memory. Every answer is checked against what was asked, a sample of them against a second way to the same logs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any

import msgspec
import pyarrow as pa

from extract.evm.blocks import Block, header_call
from extract.evm.cache import Cache
from extract.evm.config import ChainSpec
from extract.evm.confirm import Confirmer, Question, is_sampled
from extract.evm.errors import NARROWING, DecodeError, Kind, ProviderError, RangeTooDense, Refusal
from extract.evm.headers import Headers
from extract.evm.pool import Pool
from extract.evm.proof import UNCONFIRMED
from extract.evm.ranges import Plan, Width, estimate_requests
from extract.evm.transport import Endpoint, Outcome, RpcCall
from extract.evm.wire import (
    LOG_SCHEMA,
    blocks_without_timestamp,
    check_logs,
    fill_timestamps,
    in_order,
    parse_logs,
    times_fit,
    without_times,
)

log = logging.getLogger(__name__)

OUTSTANDING = 8  # chunks being fetched or waiting for the reader: the bound on memory
IN_FLIGHT = 6  # more than a provider's max_in_flight: while some are asked, others are being read
_TRIES = 12  # failures of one range at one width in a row
_SAYINGS = 3  # unknown words about a single block are believed when every provider has said them so often
_HALVINGS = 40  # of one range: what no provider answers as it is, down to a single block of any range there is
_ROUND_CAPS = frozenset({1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000})  # where silent cuts are seen
_PERHAPS_TOO_WIDE = {Kind.OTHER: 1, Kind.SERVER: 3, Kind.MALFORMED: 3}  # failures in a row before half is asked for
_NOTHING = LOG_SCHEMA.empty_table()  # what `null` in place of a list is read as; known by its identity

Topics = Sequence[Sequence[str] | None]


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
        read = partial(_read, wanted=self, first=first, last=last)
        return RpcCall("eth_getLogs", [query], msgspec.Raw, read, last - first + 1)


def _read(raw: msgspec.Raw, wanted: Filter, first: int, last: int) -> pa.Table:
    if bytes(raw[:4]) == b"null":
        return _NOTHING
    logs = in_order(parse_logs(raw))
    check_logs(logs, wanted.addresses, wanted.topics, first, last)
    return logs


@dataclass
class LogScanner:
    """Scans of one chain. Widths and address limits by provider are shared by all its scans."""

    pool: Pool
    cache: Cache
    headers: Headers
    spec: ChainSpec
    widths: dict[str, Width] = field(init=False)
    address_limits: dict[str, int] = field(init=False, default_factory=dict)
    result_caps: dict[str, int] = field(init=False, default_factory=dict)
    most_logs: dict[str, int] = field(init=False, default_factory=dict)  # ever seen in one answer
    confirmer: Confirmer = field(init=False)

    def __post_init__(self) -> None:
        self.widths = {e.name: Width(self._first_cap(e)) for e in self.pool.endpoints}
        self.confirmer = Confirmer(self.pool, self.headers, self._fetch_for_confirmation)

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

    def is_near_head(self, last: int) -> bool:
        """Whether a backend that is behind, as far as is put up with, may not have a block yet."""
        lag = ceil(self.spec.allowed_lag_seconds / self.spec.block_seconds)
        return last > max(self.pool.heads.values()) - lag

    async def fetch(
        self,
        endpoint: Endpoint,
        wanted: Filter,
        first: int,
        last: int,
        part_size: int | None = None,
        bind: bool = False,
    ) -> Found | Refusal:
        """All logs of one range from one endpoint: one call, or one per part of the address list, which is
        cut to what the provider takes or to `part_size`. `bind`: the header of the last block must come with them.
        """
        if not await self.pool.reaches(endpoint, last):
            return Refusal(Kind.LAGGING, f"its head is below block {last}", endpoint.name)
        tables: list[pa.Table] = []
        for part in wanted.parts(part_size or self.address_limits.get(endpoint.name)):
            outcome = await self._ask(endpoint, part, first, last, bind or self.is_near_head(last))
            if isinstance(outcome, Refusal):
                return self._address_limit(endpoint, part, outcome)
            if self._looks_cut(endpoint, outcome.value.num_rows, first, last):
                return Refusal(Kind.RESULTS, "as many logs as its limit: the answer may be cut", endpoint.name)
            tables.append(outcome.value)
        if len(tables) == 1:
            return Found(tables[0], endpoint.name, is_doubtful=tables[0] is _NOTHING)
        logs = in_order(pa.concat_tables(tables))
        try:
            check_logs(logs, (), (), first, last)  # each part was sound; together they may hold one number twice
        except DecodeError as error:
            return self._blamed(endpoint, str(error))
        return Found(logs, endpoint.name, is_doubtful=any(table is _NOTHING for table in tables))

    async def _ask(self, endpoint: Endpoint, part: Filter, first: int, last: int, bind: bool) -> Outcome:
        """The logs of a range; with `bind`, from a backend that shows the range's last block in the same request."""
        if not bind:
            [outcome] = await self.pool.ask(endpoint, [part.call(first, last)])
            return outcome
        calls = [part.call(first, last), header_call(last)]
        if endpoint.max_batch >= len(calls):
            outcome, header = await self.pool.ask(endpoint, calls)
        else:
            [outcome], [header] = [await self.pool.ask(endpoint, [call]) for call in calls]
        if isinstance(header, Refusal) or isinstance(outcome, Refusal):
            return outcome if isinstance(outcome, Refusal) else header
        if not await self.headers.fits(header.value, endpoint.name):
            return self._blamed(endpoint, f"its header of block {last} is not the one the other providers give")
        return outcome

    def _blamed(self, endpoint: Endpoint, what: str) -> Refusal:
        refusal = Refusal(Kind.MISMATCH, what, endpoint.name)
        self.pool.blame(endpoint.name, refusal)
        return refusal

    async def _fetch_for_confirmation(self, endpoint: Endpoint, asked: Question) -> pa.Table | Refusal:
        found = await self.fetch(endpoint, Filter(asked.addresses, asked.topics), asked.first, asked.last, bind=True)
        return found if isinstance(found, Refusal) else found.value

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

    async def timed(self, found: Found, endpoint: Endpoint, ends: tuple[int, int]) -> Found | Refusal:
        """Logs with the block times that headers confirm: a provider whose times do not fit the ends of the scan, or
        the one header they are first compared with, is not believed about times again: headers are asked.
        """
        logs = found.value
        if endpoint.has_true_times is not False and not times_fit(logs, *ends):
            self._distrust(endpoint, "lie outside of the range's or do not follow block numbers")
        if endpoint.has_true_times is False:
            logs = without_times(logs)
        asked = blocks_without_timestamp(logs)
        if endpoint.has_true_times is None and logs.num_rows and not asked:
            asked = [logs["block_number"][0].as_py()]
        headers = {b.number: b for b in await self.headers.blocks(asked)}
        if not _hashes_fit(logs, headers):
            return self._blamed(endpoint, "its logs name other hashes of their blocks than the headers")
        times = {n: b.timestamp for n, b in headers.items()}
        filled = fill_timestamps(logs, times)
        if (
            endpoint.has_true_times is None
            and filled.num_rows
            and filled is not None
            and not _times_equal(filled, times)
        ):
            self._distrust(endpoint, "are not those of the headers")
            return await self.timed(found, endpoint, ends)
        if endpoint.has_true_times is None and logs.num_rows and not blocks_without_timestamp(logs):
            endpoint.has_true_times = True
        return replace(found, value=filled)

    def _distrust(self, endpoint: Endpoint, why: str) -> None:
        endpoint.has_true_times = False
        said = "chain %s: provider %s: mismatch: the block times in its logs %s; headers are asked for them instead"
        log.warning(said, self.pool.chain, endpoint.name, why)


@dataclass(frozen=True)
class Found:
    """The logs of a range. `is_doubtful`: the answer was `null` in place of a list."""

    value: pa.Table
    provider: str
    confirmation: str = UNCONFIRMED
    is_doubtful: bool = False


def _hashes_fit(logs: pa.Table, headers: dict[int, Block]) -> bool:
    """Whether the logs of the blocks whose headers are known name their hashes."""
    if not headers:
        return True
    mine = logs.filter(pa.compute.is_in(logs["block_number"], pa.array(list(headers), pa.int64())))
    pairs = set(zip(mine["block_number"].to_pylist(), mine["block_hash"].to_pylist(), strict=True))
    return all(headers[number].hash == named for number, named in pairs)


def _times_equal(logs: pa.Table, times: dict[int, int]) -> bool:
    pairs = zip(logs["block_number"].to_pylist(), logs["block_timestamp"].to_pylist(), strict=True)
    return all(times.get(number, time) == time for number, time in pairs)


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
        found = await self.scanner.fetch(endpoint, self.wanted, start, last, self.dense.get(start), sampled)
        if isinstance(found, Refusal):
            return found
        timed = await self.scanner.timed(found, endpoint, self.ends)
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
                self.scanner.result_caps[endpoint.name] = refusal.cap
            if width.refused(refusal, start, last) and width.hard is not None:
                self.scanner.cache.learn_cap(endpoint.name, width.hard)
            if refusal.kind is not Kind.TIME:
                return
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
        """Half was answered where the whole was not: keep to it, as a cap where words said no, else for now."""
        blocks, kind = self.narrow.pop(start, (None, None))
        if blocks is None or last - start + 1 != blocks:
            return
        if kind is Kind.OTHER:
            width.hard = blocks
            self.scanner.cache.learn_cap(endpoint.name, blocks)
        else:
            width.soft = min(width.soft, blocks)

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


__all__ = ["DecodeError", "Filter", "LogChunk", "LogScanner"]
