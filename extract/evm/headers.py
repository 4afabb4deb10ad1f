"""Headers through a pool: each is the one asked for, and all of them fit each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from extract.evm.blocks import Block, bloom_call, header_call
from extract.evm.errors import Disagreement, Kind, ProviderError, Refusal
from extract.evm.pool import Pool
from extract.evm.transport import Answer, RpcCall
from extract.evm.witness import Witness, majority

log = logging.getLogger(__name__)


class Headers:
    """Headers of one run. Final ones are remembered; a header that contradicts another is put to every provider."""

    def __init__(self, pool: Pool, finality_depth: int, keeps_head: bool = False) -> None:
        """`keeps_head`: the newest block is not asked for again as long as it is the newest."""
        self.pool, self._depth, self._keeps_head = pool, finality_depth, keeps_head
        self.witness = Witness()
        self._newest: Block | None = None

    async def head(self) -> Block:
        """The newest block any provider has named so far."""
        [answer] = await self._ask([header_call("latest")], max(self.pool.heads.values()))
        return self.take_head(answer.value, answer.provider)

    def take_head(self, block: Block, provider: str) -> Block:
        """A head that a provider told of, asked or not; the newest that any has named so far."""
        self._reached(provider, block)
        if self._newest is None or block.number >= self._newest.number:
            self._newest = block
        elif self._newest.number - block.number > self._depth:
            said = (self.pool.chain, provider, block.number, self._newest.number)
            log.warning("chain %s: %s says the newest block is %d; %d was seen before", *said)
        return self._newest

    async def blocks(self, numbers: Sequence[int], fresh: bool = False) -> list[Block]:
        """Headers in the order asked. `fresh` asks again for what is remembered. Disagreement, ProviderError."""
        known = {} if fresh else {n: b for n in numbers if (b := self.witness.get(n)) is not None}
        if self._keeps_head and self._newest is not None and not fresh:
            known.setdefault(self._newest.number, self._newest)
        missing = sorted({n for n in numbers if n not in known})
        if missing:
            answers = await self._ask([header_call(n) for n in missing], missing[-1])
            for answer in answers:
                known[answer.value.number] = await self._fitting(answer.value, answer.provider)
        return [known[n] for n in numbers]

    async def blooms(self, numbers: Sequence[int]) -> list[Any]:
        """Headers with their blooms (BloomedBlock), in the order asked, checked like others."""
        answers = await self._ask([bloom_call(n) for n in numbers], max(numbers, default=0))
        for answer in answers:
            await self._fitting(answer.value.block, answer.provider)
        return [answer.value for answer in answers]

    async def compare(self, numbers: Sequence[int]) -> None:
        """Put headers to every provider that is used, one by one. Errors: Disagreement names who contradicts whom."""
        for endpoint in self.pool.usable():
            for outcome in await self.pool.ask(endpoint, [header_call(n) for n in numbers]):
                if isinstance(outcome, Answer):
                    await self._fitting(outcome.value, endpoint.name)

    async def fits(self, block: Block, provider: str) -> bool:
        """Whether a header that came along with another answer is the one everybody else knows."""
        return await self._fitting(block, provider) == block

    async def _ask(self, calls: Sequence[RpcCall], highest: int) -> list[Answer]:
        outcomes = await self.pool.request(calls, highest)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                raise ProviderError(f"chain {self.pool.chain}: header", outcome)
        return [outcome for outcome in outcomes if isinstance(outcome, Answer)]

    def _reached(self, provider: str, block: Block) -> None:
        self.pool.heads[provider] = max(self.pool.heads[provider], block.number)

    async def _fitting(self, block: Block, provider: str) -> Block:
        """The header, once it fits what was seen, or the one that a majority of providers gives in its place."""
        self._reached(provider, block)
        if block.number > max(self.pool.heads.values()) - self._depth:
            return block  # it may still change
        trouble = self.witness.contradiction(block, provider)
        if trouble is not None:
            block = await self._decide(block.number, trouble)
        self.witness.note(block, provider)
        return block

    async def _decide(self, number: int, trouble: str) -> Block:
        """Ask everybody. Who is outvoted is used no more; without a majority nobody is believed."""
        usable = self.pool.usable()
        for of in (number, number - 1, number + 1):
            asked = await asyncio.gather(*(self.pool.ask(e, [header_call(of)]) for e in usable))
            said = {o.provider: o.value for [o] in asked if isinstance(o, Answer)}
            winner = majority(said)
            if winner is None and of == number:
                break
            if winner is None:
                continue
            for name in (n for n, block in said.items() if block != winner):
                outvoted = next(e for e in usable if e.name == name)
                self.pool.stop(outvoted, Kind.MISMATCH, f"it contradicts the other providers about block {of}")
            self.witness.forget(of)
            if of == number:
                decided = winner
            if self.witness.contradiction(decided, "the majority") is None:
                return decided
        names = Refusal(Kind.MISMATCH, trouble)
        raise Disagreement(
            f"chain {self.pool.chain}: headers contradict each other: {names.message}; "
            "remove the provider that is wrong, or add one that decides"
        )
