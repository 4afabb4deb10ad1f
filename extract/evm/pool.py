"""Several endpoints of one chain as one: choice by health, failover, circuit breaker, lag.

Every call ends in exactly one of three ways: a result, a refusal that asks for another request (the caller
adapts), or ProviderError after every endpoint had its tries.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from extract.evm.config import ChainSpec
from extract.evm.errors import FAULTS, NARROWING, Kind, ProviderError, Refusal
from extract.evm.quantity import quantity
from extract.evm.transport import Answer, Endpoint, Outcome, RpcCall
from extract.evm.waits import Waits

log = logging.getLogger(__name__)
T = TypeVar("T")

CHAIN_ID = RpcCall("eth_chainId", [], str, lambda text: quantity(text, "the chain id"))
_WEIGHT = 0.2  # of the newest sample in the moving averages
_ERROR_COST = 10.0  # an endpoint that always fails counts as this many times slower
_FAILURES_TO_OPEN = 5
_FIRST_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 120.0
_TRIES, _TRIES_EACH = 5, 4  # per call, and per endpoint on top: failures that another try may cure
_SAYINGS = 3  # a refusal that may be one backend's is believed once every endpoint has given it this often
_SAYINGS_WHOLE = 2  # so often what may be too much is asked for as it is, before the caller halves it
_HEAD = RpcCall("eth_blockNumber", [], str, lambda text: quantity(text, "the block number"))
_TOO_MUCH = NARROWING | {Kind.GAS}  # said in words that are known
_PERHAPS_TOO_MUCH = frozenset({Kind.SERVER, Kind.MALFORMED, Kind.OTHER})  # what a gateway says instead
_AT_ONCE = frozenset({Kind.GAS, Kind.UNSUPPORTED})  # the same provider will not say otherwise
_BY_NUMBER = frozenset({Kind.OTHER, Kind.LAGGING, Kind.NO_ARCHIVE, Kind.UNSUPPORTED})  # by hash: perhaps only not taken
_CANNOT_PROVE = frozenset({Kind.REVERTED, Kind.OTHER, Kind.UNSUPPORTED, Kind.GAS})


@dataclass
class Health:
    """Moving averages of one endpoint and its circuit: closed, open until `rests_until`, then one call to try
    it.
    """

    latency: float = 0.1
    errors: float = 0.0
    failures: int = 0
    rests: int = 0
    rests_until: float = 0.0
    probing: bool = False
    stopped: str | None = None
    stopped_for: Kind | None = None

    def succeeded(self, seconds: float) -> None:
        self.latency += _WEIGHT * (seconds - self.latency)
        self.errors *= 1 - _WEIGHT
        self.failures = self.rests = 0
        self.probing, self.rests_until = False, 0.0

    def failed(self, now: float) -> None:
        self.errors += _WEIGHT * (1 - self.errors)
        self.failures += 1
        if self.failures >= _FAILURES_TO_OPEN or self.probing:
            rest = min(_LONGEST_REST_SECONDS, _FIRST_REST_SECONDS * 2.0**self.rests)
            self.rests, self.rests_until, self.probing = self.rests + 1, now + rest, False

    def is_closed(self, now: float) -> bool:
        """Whether a call may go: closed, or rested enough for the one call that tests it."""
        return self.stopped is None and now >= self.rests_until and not self.probing

    def cost(self) -> float:
        return self.latency * (1 + _ERROR_COST * self.errors)


class Pool:
    """Endpoints with their health. `head` is the newest block number each is known to have."""

    def __init__(self, spec: ChainSpec, endpoints: Sequence[Endpoint], waits: Waits) -> None:
        self.chain, self.chain_id, self.patience = spec.name, spec.chain_id, spec.patience_seconds
        self.waits, self.clock = waits, waits.clock
        self.endpoints = list(endpoints)
        self.health = {e.name: Health() for e in endpoints}
        self.heads = {e.name: -1 for e in endpoints}
        self._named: set[tuple[str, Kind]] = set()

    def usable(self) -> list[Endpoint]:
        return [e for e in self.endpoints if self.health[e.name].stopped is None]

    def stop(self, endpoint: Endpoint, kind: Kind, reason: str) -> None:
        """Use an endpoint no more in this session."""
        health = self.health[endpoint.name]
        if health.stopped is None:
            log.warning("chain %s: provider %s is passed over: %s", self.chain, endpoint.name, reason)
            health.stopped, health.stopped_for = reason, kind

    async def choose(self, avoid: Collection[str] = (), block: int = 0) -> Endpoint:
        """The endpoint expected to answer soonest; one of `avoid`, or one whose head is below `block`, as a
        last resort.

        Waits while all circuits are open; ProviderError when every endpoint is stopped.
        """
        while True:
            now = self.clock.now()
            usable = self.usable()
            if not usable:
                raise ProviderError(f"chain {self.chain}", self._all_stopped())
            closed = [e for e in usable if self.health[e.name].is_closed(now)]
            if closed:
                return min(closed, key=lambda e: (e.name in avoid, self.heads[e.name] < block, self._wait(e)))
            rest = min((max(0.0, self.health[e.name].rests_until - now) for e in usable), default=0.0)
            names = ", ".join(e.name for e in usable)
            await self.waits.sleep(max(rest, 0.05), f"{names} failed {_FAILURES_TO_OPEN} times in a row")

    def _wait(self, endpoint: Endpoint) -> float:
        queue = 1 + endpoint.in_flight / endpoint.spec.max_in_flight
        return self.health[endpoint.name].cost() * queue + endpoint.pace.delay()

    def _all_stopped(self) -> Refusal:
        reasons = "; ".join(f"{e.name}: {self.health[e.name].stopped}" for e in self.endpoints)
        kinds = {health.stopped_for for health in self.health.values() if health.stopped_for}
        kind = kinds.pop() if len(kinds) == 1 else Kind.OTHER
        return Refusal(kind, reasons, provider="every provider")

    def blame(self, endpoint_name: str, refusal: Refusal) -> None:
        """Count an answer that turned out wrong against who gave it, and say so once per kind."""
        if endpoint_name in self.health:
            self.health[endpoint_name].failed(self.clock.now())
        self._name(replace(refusal, provider=endpoint_name))

    def _name(self, refusal: Refusal) -> None:
        key = (refusal.provider, refusal.kind)
        if key not in self._named:
            self._named.add(key)
            what = f"{refusal.kind.value}: {refusal.message}"
            log.warning("chain %s: provider %s: %s", self.chain, refusal.provider, what)

    async def ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[Outcome]:
        """One request to one endpoint; its health, pace and batch size learn from the outcome."""
        health = self.health[endpoint.name]
        if health.rests and not health.probing and not await self._is_still_itself(endpoint):
            return [Refusal(Kind.SERVER, "it did not say who it is when it came back", endpoint.name)] * len(calls)
        by_hash = [i for i, call in enumerate(calls) if call.by_hash] if endpoint.takes_hashes is not False else []
        outcomes = await self._ask_once(endpoint, calls)
        if any(isinstance(outcomes[i], Answer) for i in by_hash):
            endpoint.takes_hashes = True
        unclear = [i for i in by_hash if isinstance(o := outcomes[i], Refusal) and o.kind in _BY_NUMBER]
        if unclear and endpoint.takes_hashes is not True:
            endpoint.takes_hashes = False
            again = await self._ask_once(endpoint, [calls[i] for i in unclear])
            for i, outcome in zip(unclear, again, strict=True):
                outcomes[i] = outcome
        return outcomes

    async def _is_still_itself(self, endpoint: Endpoint) -> bool:
        """Ask a provider that comes back which chain it serves; another chain stops it."""
        self.health[endpoint.name].probing = True  # nobody else is sent to it meanwhile
        [outcome] = await self._ask_once(endpoint, [CHAIN_ID])
        if isinstance(outcome, Answer) and outcome.value != self.chain_id:
            self.stop(endpoint, Kind.MISMATCH, f"it serves chain id {outcome.value} now, not {self.chain_id}")
        return isinstance(outcome, Answer) and outcome.value == self.chain_id

    async def _ask_once(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[Outcome]:
        health, started = self.health[endpoint.name], self.clock.now()
        try:
            outcomes = await endpoint.ask(calls)
        except asyncio.CancelledError:
            health.probing = False
            raise
        refusals = [o for o in outcomes if isinstance(o, Refusal)]
        faults = [r for r in refusals if r.kind in FAULTS]
        if faults:
            health.failed(self.clock.now())
        else:
            health.succeeded(self.clock.now() - started)
        if len(refusals) < len(outcomes):
            self.waits.answered()
        for fault in faults[:1]:
            self._name(fault)
        self._learn(endpoint, refusals, len(calls))
        return outcomes

    def _learn(self, endpoint: Endpoint, refusals: Sequence[Refusal], calls: int) -> None:
        for refusal in {r.kind: r for r in refusals}.values():
            if refusal.kind is Kind.RATE:
                endpoint.pace.refused(refusal.retry_after)
                self._tell_wait(endpoint, refusal)
            elif refusal.kind is Kind.QUOTA:
                self.stop(endpoint, Kind.QUOTA, refusal.message)
            elif refusal.kind is Kind.BATCH and calls > 1:
                smaller = refusal.cap if refusal.cap and refusal.cap < calls else calls // 2
                endpoint.max_batch = max(1, min(endpoint.max_batch, smaller))

    def _tell_wait(self, endpoint: Endpoint, refusal: Refusal) -> None:
        asked, longest = refusal.retry_after, endpoint.spec.max_wait_seconds
        if asked is not None and asked > longest:
            self._name(replace(refusal, message=f"it asks for {asked:g} s of silence; it gets {longest:g} s"))

    async def reaches(self, endpoint: Endpoint, block: int) -> bool:
        """Whether an endpoint has `block`; asks it for its head when the known one is older. A node that is
        behind answers eth_getLogs with what it has and without an error, so this must be known first.
        """
        if self.heads[endpoint.name] < block:
            [outcome] = await self.ask(endpoint, [_HEAD])
            if isinstance(outcome, Answer):
                self.heads[endpoint.name] = max(self.heads[endpoint.name], outcome.value)
        return self.heads[endpoint.name] >= block

    async def request(self, calls: Sequence[RpcCall], block: int = 0, bracket: RpcCall | None = None) -> list[Outcome]:
        """Answers to any number of calls, in order, spread over batches and endpoints.

        `block` is the highest block concerned: endpoints known to be behind it come last. `bracket` is asked before
        and after the calls of each request, of the same endpoint; its MISMATCH is theirs, and answers between two
        good ones are marked. Returned refusals are the contract's own, those that ask for less of a divisible
        call, and what every endpoint said again and again. Errors: ProviderError.
        """
        results: list[Any] = [None] * len(calls)
        size = max((e.max_batch for e in self.usable()), default=1)
        parts = [range(i, min(i + size, len(calls))) for i in range(0, len(calls), size)]

        async def settle(part: range) -> None:
            settling = _Settling(self, [calls[i] for i in part], block, bracket)
            for i, outcome in zip(part, await settling.run(), strict=True):
                results[i] = outcome

        if len(parts) == 1:
            await settle(parts[0])
        elif parts:
            await gather([settle(part) for part in parts])
        return results

    async def ask_bracketed(self, endpoint: Endpoint, calls: Sequence[RpcCall], bracket: RpcCall) -> list[Outcome]:
        """The calls between two askings of `bracket`: in one request, or one after the other where no batch of three is
        taken.
        """
        around = [bracket, *calls, bracket]
        if endpoint.max_batch >= len(around):
            first, *found, last = await self.ask(endpoint, around)
        else:
            first, *found, last = [o for call in around for o in await self.ask(endpoint, [call])]
        doubts = [o for o in (first, last) if isinstance(o, Refusal)]
        if not doubts:
            return [replace(o, is_bracketed=True) for o in found]
        if all(doubt.kind in _CANNOT_PROVE for doubt in doubts):
            return found
        worst = next(doubt for doubt in doubts if doubt.kind not in _CANNOT_PROVE)
        return [worst if isinstance(o, Answer) else o for o in found]


async def gather(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run side by side; results in order. The first error cancels the others and is raised as itself: nobody is left
    asking through a session that its owner closes.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


class _Settling:
    """One part of a request on its way: what is still open, who refused what, how often."""

    def __init__(self, pool: Pool, calls: Sequence[RpcCall], block: int, bracket: RpcCall | None) -> None:
        self.pool, self.calls, self.block, self.bracket = pool, calls, block, bracket
        self.results: list[Any] = [None] * len(calls)
        self.pending = list(range(len(calls)))
        self.refused_by: set[str] = set()
        self.said: Counter[tuple[int, str]] = Counter()  # refusals that may be final, by call and provider
        self.asked_whole: Counter[int] = Counter()  # refusals that may mean too much, by divisible call
        self.tries = self.lost_whole = 0
        self.failing_since: float | None = None
        self.most = len(calls)  # calls per request, less after requests that were lost whole

    async def run(self) -> list[Outcome]:
        """Ask until every call has a final outcome; only what failed is asked again."""
        while self.pending:
            endpoint = await self.pool.choose(self.refused_by, self.block)
            asked = self.pending[: self._size(endpoint)]
            outcomes = await self._ask(endpoint, [self.calls[i] for i in asked])
            last = self._take(endpoint, asked, outcomes)
            if last is None or any(isinstance(o, Answer) for o in outcomes):
                self.failing_since = None
            if last is not None:
                self.tries += last.kind is not Kind.BATCH or len(asked) == 1
                await self._before_next_try(endpoint, last)
        return self.results

    def _size(self, endpoint: Endpoint) -> int:
        room = endpoint.max_batch - (2 if self.bracket else 0)
        return max(1, min(room, self.most))

    async def _ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[Outcome]:
        if self.bracket is None:
            return await self.pool.ask(endpoint, calls)
        return await self.pool.ask_bracketed(endpoint, calls, self.bracket)

    def _take(self, endpoint: Endpoint, asked: Sequence[int], outcomes: Sequence[Outcome]) -> Refusal | None:
        """Note outcomes; the last refusal that is not final, None where all are."""
        open_calls: list[int] = []
        last: Refusal | None = None
        is_lost = len(asked) > 1 and all(isinstance(o, Refusal) and o.kind in _PERHAPS_TOO_MUCH for o in outcomes)
        for i, outcome in zip(asked, outcomes, strict=True):
            self.results[i] = outcome
            if isinstance(outcome, Refusal) and (is_lost or not self._is_final(i, outcome)):
                open_calls.append(i)
                last = outcome
        self.pending = open_calls + self.pending[len(asked) :]
        self.lost_whole = self.lost_whole + 1 if is_lost else 0
        if self.lost_whole >= _SAYINGS_WHOLE * len(self.pool.usable()):
            self.most, self.lost_whole = len(asked) // 2, 0  # nobody answers the batch: it may be too much for all
            self.tries = 0  # another question, with tries of its own
        endpoint.stats.retries += len(open_calls)
        return last

    def _is_final(self, i: int, refusal: Refusal) -> bool:
        """The contract's own no is. A divisible call comes back to be halved: at once where it is said to be too much,
        after two tries where it may be. All else is final once every endpoint has said it, and not just once.
        """
        call, kind = self.calls[i], refusal.kind
        if kind is Kind.REVERTED or (call.divisible and kind in _TOO_MUCH):
            return True
        if call.divisible and kind in _PERHAPS_TOO_MUCH:
            self.asked_whole[i] += 1
            return self.asked_whole[i] >= _SAYINGS_WHOLE * len(self.pool.usable())
        if kind in FAULTS or kind in (Kind.RATE, Kind.LAGGING, Kind.BATCH, Kind.QUOTA):
            return False
        self.said[i, refusal.provider] += 1
        needed = 1 if kind in _AT_ONCE else _SAYINGS
        return all(self.said[i, e.name] >= needed for e in self.pool.usable())

    async def _before_next_try(self, endpoint: Endpoint, refusal: Refusal) -> None:
        """Wait as the reason asks, and remember who to avoid; ProviderError when tries or patience are used up."""
        pool, usable = self.pool, self.pool.usable()
        if self.tries >= _TRIES + _TRIES_EACH * len(pool.endpoints):
            raise ProviderError(f"chain {pool.chain}: {self.tries} tries failed", refusal)
        now = pool.clock.now()
        self.failing_since = self.failing_since or now
        if now - self.failing_since > pool.patience:
            raise ProviderError(f"chain {pool.chain}: no useful answer for {now - self.failing_since:.0f} s", refusal)
        if refusal.kind is Kind.BATCH:
            return
        others = {e.name for e in usable} - {endpoint.name}
        if others and not others <= self.refused_by:
            self.refused_by.add(endpoint.name)
            if refusal.kind is not Kind.RATE or self.tries < len(pool.endpoints):
                return
        else:
            self.refused_by.clear()
        why = f"{refusal.provider} says {refusal.kind.value}: {refusal.message}"
        await pool.waits.sleep(pool.clock.jitter(self.tries), why)
