"""Several endpoints of one chain as one: choice by health, failover, circuit breaker, lag.

Every call ends in exactly one of three ways: a result, a refusal that asks for another request (the caller
adapts), or ProviderError after every endpoint had its tries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from extract.evm.errors import ADAPTABLE, Kind, ProviderError, Refusal
from extract.evm.pace import Clock
from extract.evm.transport import Answer, Endpoint, Outcome, RpcCall

log = logging.getLogger(__name__)

_WEIGHT = 0.2  # of the newest sample in the moving averages
_ERROR_COST = 10.0  # an endpoint that always fails counts as this many times slower
_FAILURES_TO_OPEN = 5
_FIRST_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 120.0
_TRIES = 8  # per call, when endpoints fail in ways that another try may cure
_HEAD = RpcCall("eth_blockNumber", [], str, lambda text: int(text, 16))
_FAULTS = frozenset({Kind.SERVER, Kind.MALFORMED})


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

    def __init__(self, chain: str, endpoints: Sequence[Endpoint], clock: Clock) -> None:
        self.chain, self.clock = chain, clock
        self.endpoints = list(endpoints)
        self.health = {e.name: Health() for e in endpoints}
        self.heads = {e.name: -1 for e in endpoints}

    def usable(self) -> list[Endpoint]:
        return [e for e in self.endpoints if self.health[e.name].stopped is None]

    def stop(self, endpoint: Endpoint, reason: str) -> None:
        """Use an endpoint no more in this session."""
        if self.health[endpoint.name].stopped is None:
            log.warning("chain %s: provider %s is passed over: %s", self.chain, endpoint.name, reason)
            self.health[endpoint.name].stopped = reason

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
                best = min(closed, key=lambda e: (e.name in avoid, self.heads[e.name] < block, self._wait(e)))
                health = self.health[best.name]
                health.probing = health.rests > 0
                return best
            rest = min((max(0.0, self.health[e.name].rests_until - now) for e in usable), default=0.0)
            await self.clock.sleep(max(rest, 0.05))

    def _wait(self, endpoint: Endpoint) -> float:
        queue = 1 + endpoint.in_flight / endpoint.spec.max_in_flight
        return self.health[endpoint.name].cost() * queue + endpoint.pace.delay()

    def _all_stopped(self) -> Refusal:
        reasons = "; ".join(f"{e.name}: {self.health[e.name].stopped}" for e in self.endpoints)
        return Refusal(Kind.QUOTA, reasons, provider="every provider")

    async def ask(self, endpoint: Endpoint, calls: Sequence[RpcCall]) -> list[Outcome]:
        """One request to one endpoint; its health, pace and batch size learn from the outcome."""
        health, started = self.health[endpoint.name], self.clock.now()
        try:
            outcomes = await endpoint.ask(calls)
        except asyncio.CancelledError:
            health.probing = False
            raise
        refusals = [o for o in outcomes if isinstance(o, Refusal)]
        fault = next((r for r in refusals if r.kind in _FAULTS), None)
        if fault is not None:
            health.failed(self.clock.now())
        else:
            health.succeeded(self.clock.now() - started)
        self._learn(endpoint, refusals, len(calls))
        return outcomes

    def _learn(self, endpoint: Endpoint, refusals: Sequence[Refusal], calls: int) -> None:
        for refusal in {r.kind: r for r in refusals}.values():
            if refusal.kind is Kind.RATE:
                endpoint.pace.refused(refusal.retry_after)
            elif refusal.kind is Kind.QUOTA:
                self.stop(endpoint, refusal.message)
            elif refusal.kind is Kind.BATCH and calls > 1:
                smaller = refusal.cap if refusal.cap and refusal.cap < calls else calls // 2
                endpoint.max_batch = max(1, min(endpoint.max_batch, smaller))

    async def reaches(self, endpoint: Endpoint, block: int) -> bool:
        """Whether an endpoint has `block`; asks it for its head when the known one is older. A node that is
        behind answers eth_getLogs with what it has and without an error, so this must be known first.
        """
        if self.heads[endpoint.name] < block:
            [outcome] = await self.ask(endpoint, [_HEAD])
            if isinstance(outcome, Answer):
                self.heads[endpoint.name] = max(self.heads[endpoint.name], outcome.value)
        return self.heads[endpoint.name] >= block

    async def request(self, calls: Sequence[RpcCall], block: int = 0) -> list[Outcome]:
        """Answers to any number of calls, in order, spread over batches and endpoints.

        `block` is the highest block concerned: endpoints known to be behind it come last. Returned refusals
        are those the caller must adapt to, and NO_ARCHIVE or OTHER when every endpoint said so. Errors:
        ProviderError.
        """
        results: list[Any] = [None] * len(calls)
        size = max((e.max_batch for e in self.usable()), default=1)
        parts = [range(i, min(i + size, len(calls))) for i in range(0, len(calls), size)]

        async def settle(part: range) -> None:
            for i, outcome in zip(part, await self._settle([calls[i] for i in part], block), strict=True):
                results[i] = outcome

        if len(parts) == 1:
            await settle(parts[0])
        elif parts:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(settle(part))
        return results

    async def _settle(self, calls: Sequence[RpcCall], block: int) -> list[Outcome]:
        """Ask until every call has a final outcome; only what failed is asked again."""
        results: list[Any] = [None] * len(calls)
        pending = list(range(len(calls)))
        refused_by: set[str] = set()
        tries = 0
        while pending:
            endpoint = await self.choose(refused_by, block)
            asked = pending[: endpoint.max_batch]
            outcomes = await self.ask(endpoint, [calls[i] for i in asked])
            open_calls: list[int] = []
            last: Refusal | None = None
            for i, outcome in zip(asked, outcomes, strict=True):
                results[i] = outcome
                if isinstance(outcome, Refusal) and not self._is_final(outcome, refused_by):
                    open_calls.append(i)
                    last = outcome
            pending = open_calls + pending[len(asked) :]
            if last is not None:
                tries += last.kind is not Kind.BATCH or len(asked) == 1
                await self._before_next_try(endpoint, last, refused_by, tries)
                endpoint.stats.retries += len(open_calls)
        return results

    def _is_final(self, refusal: Refusal, refused_by: set[str]) -> bool:
        """Adaptable refusals are; NO_ARCHIVE and OTHER once every endpoint has given one."""
        if refusal.kind in ADAPTABLE:
            return True
        if refusal.kind in (Kind.NO_ARCHIVE, Kind.OTHER):
            return {e.name for e in self.usable()} <= refused_by | {refusal.provider}
        return False

    async def _before_next_try(self, endpoint: Endpoint, refusal: Refusal, refused_by: set[str], tries: int) -> None:
        """Wait as the reason asks, and remember who to avoid; ProviderError when tries are used up."""
        if tries >= _TRIES + len(self.endpoints):
            raise ProviderError(f"chain {self.chain}: {tries} tries failed", refusal)
        others = {e.name for e in self.usable()} - {endpoint.name}
        if refusal.kind is Kind.BATCH:
            return
        if others and not others <= refused_by:
            refused_by.add(endpoint.name)
            if refusal.kind is not Kind.RATE or tries < len(self.endpoints):
                return
        elif refusal.kind not in (Kind.NO_ARCHIVE, Kind.OTHER):
            refused_by.clear()
        await self.clock.sleep(self.clock.jitter(tries))
