"""One range of logs from one provider: asked for, checked against the question and the headers, with true times."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any

import msgspec
import pyarrow as pa

from extract.evm.blocks import Block, header_call
from extract.evm.config import ChainSpec
from extract.evm.confirm import Question
from extract.evm.errors import DecodeError, Kind, Refusal
from extract.evm.headers import Headers
from extract.evm.pool import Pool
from extract.evm.proof import UNCONFIRMED
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

_ROUND_CAPS = frozenset({1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000})  # where silent cuts are seen
_NOTHING = LOG_SCHEMA.empty_table()  # what `null` in place of a list is read as; known by its identity

Topics = Sequence[Sequence[str] | None]


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


@dataclass
class LogReader:
    """Ranges of one chain's logs. Address limits and result caps by provider are learned."""

    pool: Pool
    headers: Headers
    spec: ChainSpec
    address_limits: dict[str, int] = field(default_factory=dict)
    result_caps: dict[str, int] = field(default_factory=dict)
    most_logs: dict[str, int] = field(default_factory=dict)  # ever seen in one answer

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

    async def fetch_for_confirmation(self, endpoint: Endpoint, asked: Question) -> pa.Table | Refusal:
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
