"""What is known of a CSU's markets before a day, where logs alone tell it: one scan of its history per run.

A nightly run stands on the checkpoint of the day before and scans nothing. A run of many days scans once from the
newest checkpoint (or the CSU's first block) to the last day's beginning; each day is then answered from those logs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.errors import BeforeChain
from extract.evm.redact import redact
from extract.evm.wire import LOG_SCHEMA
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.families.base import NOT_DEPLOYED, OK, At, Memory
from extract.lending.families.morpho_blue import first_block
from extract.lending.registry import Csu
from extract.lending.visits import Unreadable

Say = Callable[[str], None]


@dataclass
class _History:
    """Logs of a CSU after its base, read up to a block."""

    base: Memory | None = None
    to: int = -1
    logs: list[pa.Table] = field(default_factory=lambda: [LOG_SCHEMA.empty_table()])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Histories:
    """`checkpoints`: what earlier runs landed, by CSU; `floors`: the second before the first day due, by CSU."""

    checkpoints: Mapping[str, Sequence[Memory]]
    floors: Mapping[str, int]
    say: Say = lambda _: None
    requests: int = 0
    _of: dict[str, _History] = field(default_factory=dict)

    async def before(
        self, client: ChainClient, csus: Sequence[Csu], day: Day
    ) -> tuple[dict[str, Memory], dict[str, str]]:
        """What was known of each CSU that remembers before a day, and why it cannot be known of some."""
        memories, broken = dict[str, Memory](), dict[str, str]()
        for csu in csus:
            if csu.family in FAMILIES and FAMILIES[csu.family].has_memory:
                try:
                    memories[csu.csu_id] = await self._before(client, csu, day)
                except ForeshoreError as error:
                    broken[csu.csu_id] = redact(str(error))
        return memories, broken

    async def _before(self, client: ChainClient, csu: Csu, day: Day) -> Memory:
        block = await _block_before(client, day.start - 1)
        if block < 0 or await _status(client, csu, block) == NOT_DEPLOYED:
            return Memory(block)
        history = self._of.setdefault(csu.csu_id, _History())
        async with history.lock:
            if history.base is None:
                history.base = await self._base(client, csu)
                history.to = -1 if history.base.block is None else history.base.block
            if block > history.to:
                async for table in self._scan(client, csu, history.to + 1, block):
                    history.logs.append(table)
                history.to = block
        logs = pa.concat_tables(history.logs)
        family: Any = FAMILIES[csu.family]
        known: Memory = family.remember(history.base, logs.filter(pc.less_equal(logs["block_number"], block)), block)
        return known

    async def _base(self, client: ChainClient, csu: Csu) -> Memory:
        """What was known before the first day that is due, compact: no log of it is kept."""
        await _check_start(client, csu)
        floor = await _block_before(client, self.floors[csu.csu_id])
        if floor < 0:
            return Memory(floor)
        fits = [m for m in self.checkpoints.get(csu.csu_id, ()) if m.block is not None and m.block <= floor]
        memory = max(fits, key=lambda m: m.block or 0, default=None)
        if memory is None:
            memory = Memory(await first_block(At(client, floor, 0), csu) - 1)
        family: Any = FAMILIES[csu.family]
        async for table in self._scan(client, csu, (memory.block or 0) + 1 if memory.block is not None else 0, floor):
            memory = family.remember(memory, table, floor)
        return Memory(floor, memory.markets)

    async def _scan(self, client: ChainClient, csu: Csu, first: int, last: int) -> Any:
        if first > last:
            return
        self.say(f"{csu.csu_id}: reading its history, blocks {first:,} to {last:,}")
        family: Any = FAMILIES[csu.family]
        async for chunk in client.logs([csu.registry_address], [list(family.history)], first, last):
            self.requests += 1
            yield chunk.table


async def _check_start(client: ChainClient, csu: Csu) -> None:
    """A start that lies after the deployment would hide the markets made before it."""
    first = csu.start_block
    if first is None and csu.start_date is not None:
        first = await first_block(At(client, (await client.finalized()).number, 0), csu)
    if first and first <= (await client.finalized()).number and await _status(client, csu, first - 1) == OK:
        raise Unreadable(
            f"{csu.csu_id} answers at block {first - 1} already, before the start of its registry row: markets made "
            "before would be missed; correct start_block or start_date"
        )


async def _block_before(client: ChainClient, moment: int) -> int:
    """The newest block at or before a time; -1 before the chain's first."""
    try:
        return (await client.block_at_or_before(moment)).number
    except BeforeChain:
        return -1


async def _status(client: ChainClient, csu: Csu, block: int) -> str:
    family: Any = FAMILIES[csu.family]
    status: str = (await family.identify(At(client, block, 0), csu)).status
    return status
