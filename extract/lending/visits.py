"""Every CSU of a chain at both ends of a day, what its contracts logged in between, and its oracle at each liquidation.

Configuration that can change within a day is read at the block it is used for: the contracts that may log are those of
either end, and an oracle is asked for again at every block of a liquidation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.families.base import (
    NO_ARCHIVE,
    NOT_DEPLOYED,
    OK,
    UNREADABLE,
    At,
    Chain,
    Family,
    Memory,
    PriceRule,
    State,
)
from extract.lending.flows import Heard, hear, union
from extract.lending.liquidations import Liquidation, Scan, decode, scan, unwrap
from extract.lending.lockstep import in_step
from extract.lending.registry import Csu
from extract.lending.seizure import split
from extract.lending.snapshot import Snapshot, Token, checked, read_state, read_tokens


class Unreadable(ForeshoreError):
    """A CSU that ought to answer does not, or no provider keeps the block's state."""


@dataclass(frozen=True)
class DayBlocks:
    """The blocks of a day on a chain: first..last belong to it, `next_at` is the time of the block after the last."""

    first: int
    last: int
    last_at: int
    last_hash: str
    next_at: int
    provider: str | None = None


@dataclass
class Visit:
    """A CSU over a day. `error` is why it could not be read; the events are None where they could not be scanned."""

    csu: Csu
    snapshot: Snapshot
    opening: State
    error: ForeshoreError | None = None
    found: list[Liquidation] | None = None
    heard: Heard = field(default_factory=Heard)
    rules: dict[int, Mapping[str, PriceRule]] = field(default_factory=dict)
    calls: int = 0

    @property
    def family(self) -> Family:
        return FAMILIES[self.csu.family]

    def state(self) -> State:
        """What the day's events are read with: the end of the day, and who logged at either end."""
        return replace(self.snapshot.state, emitters=union(self.opening, self.snapshot.state))


@dataclass
class Visited:
    """All CSUs of a chain and day, and the scan they share (None, with `scan_error`, where it failed)."""

    visits: list[Visit]
    scan: Scan | None = None
    scan_error: ForeshoreError | None = None


async def visit(
    client: ChainClient, day: Day, csus: Sequence[Csu], blocks: DayBlocks, memories: Mapping[str, Memory]
) -> Visited:
    """Read, scan, decode. What one CSU does wrong is in its visit; what the scan does wrong concerns all."""
    plain = [csu for csu in csus if not _remembers(csu)]
    visits = await _read(client, day, plain, blocks, {})
    visits += await _identify(client, day, [csu for csu in csus if _remembers(csu)], blocks)
    done = Visited(visits)
    try:
        done.scan = await scan(client, {v.csu: list(union(v.opening, v.snapshot.state)) for v in visits if not v.error},
                               blocks.first, blocks.last)  # fmt: skip
    except ForeshoreError as error:
        done.scan_error = error
    await _read_remembered(client, day, done, blocks, memories)
    await _take_tokens(client, [v for v in done.visits if not v.error], blocks)
    if done.scan is not None:
        for one in done.visits:
            if not one.error and one.snapshot.state.status == OK:
                await _take_events(client, one, done.scan, blocks)
    return done


def _remembers(csu: Csu) -> bool:
    return csu.family in FAMILIES and FAMILIES[csu.family].has_memory


async def _read(
    client: ChainClient, day: Day, csus: Sequence[Csu], blocks: DayBlocks, memories: Mapping[str, tuple[Memory, Memory]]
) -> list[Visit]:
    """Both ends of each CSU, all rounds in step."""
    empty = Memory(), Memory()
    readers = []
    for csu in csus:
        before, after = memories.get(csu.csu_id, empty)
        readers.append(partial(_end, csu=csu, block=blocks.first - 1, at=day.start - 1, memory=before))
        readers.append(partial(_end, csu=csu, block=blocks.last, at=blocks.last_at, memory=after))
    states = await in_step(client, readers)
    return [
        _visit(csu, day, blocks, opening, closing)
        for csu, opening, closing in zip(csus, states[::2], states[1::2], strict=True)
    ]


async def _end(chain: Chain, csu: Csu, block: int, at: int, memory: Memory) -> State:
    if block < 0:
        return State(NOT_DEPLOYED, "the chain began on this day")
    return await read_state(chain, csu, block, at, memory)


def _visit(
    csu: Csu, day: Day, blocks: DayBlocks, opening: State | ForeshoreError, closing: State | ForeshoreError
) -> Visit:
    error = closing if isinstance(closing, ForeshoreError) else None
    state = State(UNREADABLE, str(closing)) if isinstance(closing, ForeshoreError) else closing
    if error is None and state.status in (NO_ARCHIVE, UNREADABLE):
        error = Unreadable(f"{csu.csu_id} at block {blocks.last}: {state.reason}")
    before = State(UNREADABLE, str(opening)) if isinstance(opening, ForeshoreError) else opening
    snapshot = Snapshot(csu, day, blocks.last, blocks.last_at, state)
    return Visit(csu, snapshot, before, error, calls=state.calls + before.calls)


async def _identify(client: ChainClient, day: Day, csus: Sequence[Csu], blocks: DayBlocks) -> list[Visit]:
    """Those whose markets are known from logs: first only whether they are there, and who logs."""

    async def one(chain: Chain, csu: Csu) -> State:
        at = At(chain, blocks.last, blocks.last_at)
        family: Any = FAMILIES[csu.family]
        return checked(await family.identify(at, csu), csu, at)

    states = await in_step(client, [partial(one, csu=csu) for csu in csus])
    return [_visit(csu, day, blocks, State(), state) for csu, state in zip(csus, states, strict=True)]


async def _read_remembered(
    client: ChainClient, day: Day, done: Visited, blocks: DayBlocks, memories: Mapping[str, Memory]
) -> None:
    """Read those CSUs whose markets the scan had to tell first."""
    open_ = [v for v in done.visits if _remembers(v.csu) and not v.error and v.snapshot.state.status == OK]
    if done.scan is None:
        for one in open_:
            one.error = done.scan_error
        return
    both = {}
    for one in open_:
        family: Any = FAMILIES[one.csu.family]
        before = memories[one.csu.csu_id]  # never empty by default: markets that are not known would look like none
        logs = done.scan.logs[one.csu.csu_id]
        own = logs.filter(pc.is_in(logs["topic0"], pa.array(family.history)))
        both[one.csu.csu_id] = before, family.remember(before, own, blocks.last)
    read = {v.csu.csu_id: v for v in await _read(client, day, [v.csu for v in open_], blocks, both)}
    done.visits = [read.get(v.csu.csu_id, v) for v in done.visits]


async def _take_tokens(client: ChainClient, visits: Sequence[Visit], blocks: DayBlocks) -> None:
    async def one(chain: Chain, visit: Visit) -> dict[str, Token]:
        at = At(chain, blocks.last, blocks.last_at)
        tokens = await read_tokens(at, visit.snapshot.wanted())
        visit.calls += at.calls
        return tokens

    for visited, tokens in zip(visits, await in_step(client, [partial(one, visit=v) for v in visits]), strict=True):
        if isinstance(tokens, ForeshoreError):
            visited.error = tokens
        else:
            visited.snapshot.take(tokens)


async def _take_events(client: ChainClient, visited: Visit, scanned: Scan, blocks: DayBlocks) -> None:
    """Liquidations with their tokens, movements, and the price rules of every block that needs a price."""
    state, logs = visited.state(), scanned.logs[visited.csu.csu_id]
    try:
        found = await split(client, await unwrap(client, decode(logs, visited.csu, state)))
        visited.found = [replace(one, confirmation=scanned.confirmation(one.block)) for one in found]
        delisted = {a for one in visited.found for a in one.assets()} - visited.snapshot.tokens.keys()
        if delisted:
            at = At(client, blocks.last, blocks.last_at)
            visited.snapshot.tokens.update(await read_tokens(at, delisted))
        visited.heard = hear(logs, visited.csu, state)
        visited.rules = await _rules(client, visited, state, blocks)
    except ForeshoreError as error:
        visited.error = error


async def _rules(
    client: ChainClient, visited: Visit, state: State, blocks: DayBlocks
) -> dict[int, Mapping[str, PriceRule]]:
    """How the oracle of each block prices: at the day's end, and at every liquidation."""
    family, decimals = visited.family, visited.snapshot.decimals()
    rules: dict[int, Mapping[str, PriceRule]] = {blocks.last: family.pricing(state, decimals)}
    by_block: dict[int, set[str]] = {}
    for found in visited.found or ():
        by_block.setdefault(found.block, set()).add(found.legs.market_id or "")
    listed = {r.asset for r in state.reserves}
    seen = replace(state, reserves=state.reserves + [r for r in visited.opening.reserves if r.asset not in listed])

    async def ask(chain: Chain, block: int) -> Mapping[str, Any]:
        return await family.oracle(At(chain, block, 0), visited.csu, seen)

    oracles = await in_step(client, [partial(ask, block=block) for block in by_block])
    for block, oracle in zip(by_block, oracles, strict=True):
        if isinstance(oracle, ForeshoreError):
            raise oracle
        if block != blocks.last:
            rules[block] = family.pricing(replace(seen, oracle=oracle), decimals, by_block[block])
    return rules
