"""An exchange at the head of its chain, block by block: the same reading as the extraction's, in one request a block.

A reading asks in rounds, because one answer names the next questions. From one block to the next the questions hardly
change, so all that was asked at the last block is asked at once, and the reading runs over the answers; what is new at
this block (a gauge, a bribe, a token) it finds and asks by itself. Nothing is assumed to be as it was but what `STILL`
names, which is asked again in turns, a share at each block, and what a planned voter has where nobody can have moved
it: where a gauge's weight moved by exactly what events say that others did, his votes there stand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.hedge import Hedge
from extract.evm.views import call, view, word
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, ledger_table, now
from extract.seeds import WEEK, DecisionWindow, threshold
from extract.voting.decode import epoch_table, merge, voter_tables, window_tables
from extract.voting.events import Emitters, Stamp, recounted, scan
from extract.voting.names import PoolNames
from extract.voting.plan import SOURCE, ChainRun, chain_at_head
from extract.voting.pricing import PriceQuote
from extract.voting.run import quote
from extract.voting.state import BlockState, StateError, read_places, read_states
from extract.voting.tables import EVENTS
from extract.voting.timeline import OPEN, Timeline, WindowPoint, resolve
from extract.voting.voters import VoterState, read_voters

T = TypeVar("T")

# Views that are asked in turns: lists that only grow at their end, names, what nobody decides on
STILL = (
    "pools(uint256)",
    "gauges(address)",
    "decimals()",
    "symbol()",
    "balanceOf(address)",
    "ve()",
)

PRICES = "price sources"  # as trouble with them is named
PRICE_SECONDS = 5.0  # the longest that a reading waits for them


class Foresight:
    """View calls at one block after another: everything that was asked at blocks before is asked at once."""

    def __init__(self, chain: Hedge, still: Sequence[str], quiet: Sequence[str] = ()) -> None:
        self._chain = chain
        self._still = {view(signature).selector for signature in (*still, *quiet)}
        self._quiet = {view(signature).selector for signature in quiet}
        self._usual: dict[Call, None] = {}  # asked so far, in order: a reading that was broken off loses none of it
        self._past: dict[int, dict[Call, Reply]] = {}  # blocks that are not the present one: they do not change
        self._kept: dict[Call, Reply] = {}  # what was asked longest ago first
        self._known: dict[Call, Reply] = {}
        self._fresh: set[Call] = set()  # of what is kept, asked at the present block
        self.block = -1

    @property
    def chain_id(self) -> int:
        return self._chain.chain_id

    @property
    def usual(self) -> Sequence[Call]:
        """What is asked again at the next block."""
        return [one for one in self._usual if one not in self._kept]

    def forget(self) -> None:
        """Keep nothing aside: what is asked next is asked whole."""
        self._kept = {}

    def stir(self, places: Iterable[str]) -> None:
        """What quiet views say of these addresses (their target, or their last argument) is asked again when wanted."""
        moved = {place[2:] for place in places}
        quiet = [one for one in self._kept if one.data[:10] in self._quiet and one not in self._fresh]
        for one in quiet if moved else ():
            if one.target[2:] in moved or one.data[-40:] in moved:
                del self._kept[one], self._known[one]

    async def come_to(self, block: int, share: float = 0.0) -> None:
        """Ask at `block` what was asked before, and this share (up to 1, all) of what is kept: what was asked longest
        ago.
        """
        if block < self.block:
            self.forget()
        for one in list(islice(self._kept, ceil(min(max(share, 0.0), 1.0) * len(self._kept)))):
            del self._kept[one]
        asked = self.usual
        self.block, self._known, self._fresh = block, dict(self._kept), set()
        if asked:
            self._note(asked, await self._chain.read(asked, block))

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        """As the chain's; what is known of the present block is not asked again."""
        return [await self._of(block, calls) for block, calls in requests]

    async def _of(self, block: int, calls: Sequence[Call]) -> list[Reply]:
        is_present = block == self.block
        known = self._known if is_present else self._past.setdefault(block, {})
        with suppress(KeyError):  # as a rule all are known, and then usual too
            return [known[one] for one in calls]
        unknown = [one for one in dict.fromkeys(calls) if one not in known]
        if unknown:
            found = await self._chain.read(unknown, block)
            if is_present:
                self._note(unknown, found)
            else:
                known.update(zip(unknown, found, strict=True))
        if is_present:
            self._usual.update(dict.fromkeys(calls))
        return [known[one] for one in calls]

    def _note(self, calls: Sequence[Call], replies: Sequence[Reply]) -> None:
        for one, reply in zip(calls, replies, strict=True):
            self._known[one] = reply
            if one.data[:10] in self._still:
                self._kept.pop(one, None)  # the newest last
                self._kept[one] = reply
                self._fresh.add(one)


@dataclass(frozen=True)
class Reading:
    """An exchange at one block, as the raw tables have it. `window` is the one the block is read for."""

    block: Block
    window: DecisionWindow
    state: BlockState
    tables: Mapping[str, pa.Table]


class OpenEpoch:
    """The open epoch of one exchange, read at the head; `providers` race for what seconds count for."""

    def __init__(self, run: ChainRun, timeline: Timeline, providers: Hedge, whole_seconds: float) -> None:
        self.run, self.timeline, self.providers, self.whole_seconds = run, timeline, providers, whole_seconds
        self.protocol = timeline.protocol
        self.boundary, self.epoch = timeline.boundary, timeline.epoch
        family = self.protocol.family
        self._views = Foresight(
            providers, (*STILL, family.reward_token_view), (family.own_votes_view, family.stake_view)
        )
        self._events = EVENTS.empty_table()
        self._scanned = timeline.start_block - 1
        self._before: BlockState | None = None  # the last block's
        self._read_at = 0  # chain time of the last block
        self._ours: Set[str] = frozenset()  # the planned voters, as events name them
        self._quotes: dict[str, list[PriceQuote]] = {}  # of sources outside the chain, by token
        self._quoted_at = 0
        self._quoting: asyncio.Task[dict[str, list[PriceQuote]]] | None = None

    @property
    def views(self) -> Sequence[Call]:
        """What was asked at the last block, what is kept aside: a benchmark asks others the same."""
        return self._views.usual

    @property
    def last_moment(self) -> int:
        """The last second (Unix, chain time) that a block may be stamped with to take a vote."""
        return self.boundary - (self.protocol.family.last_vote == "before_boundary")

    async def last_voted(self, voter: str | int, block: int) -> int | None:
        """When an account or NFT voted last, as the contract says at a block (Unix seconds); None: no answer."""
        asked = call(self.protocol.voter, self.protocol.family.last_voted_view, voter)
        (reply,) = await self.providers.read([asked], block)
        return word(reply)

    async def read(self, block: Block, window: DecisionWindow, is_frozen: bool = False) -> Reading:
        """State, voters and events at `block`. What stands still is asked anew within `whole_seconds` of chain time, a
        share at each block; so are prices that no contract tells, beside the reading, unless they are frozen.

        Errors: StateError where the block has no readable state of this epoch; those of a chain that does not answer.
        """
        bribes = {} if self._before is None else self._before.bribes
        async with _beside(self._scan(bribes, block)) as scanned:
            await self._views.come_to(block.number, (block.timestamp - self._read_at) / self.whole_seconds)
            protocol, run = self.protocol, self.run
            places = await read_places(self._views, protocol, self.epoch, [block.number], self.timeline.start_block)
            state = places[block.number]
            if state.problem is not None:
                raise StateError(state.problem)
            await read_states(self._views, protocol, run.feeds, run.pools, [state])
            fresh = await (scanned if state.bribes == bribes else self._scan(state.bribes, block))
        if self._before is not None:
            self._views.stir(_unexplained(self._before, state, fresh, self._ours))
        voters = (await read_voters(self._views, protocol, run.voters[protocol.name], [state]))[block.number]
        await self._price(state, block, is_frozen)
        self._events = pa.concat_tables([self._events, fresh])
        if block.number < self._scanned:
            self._views.forget()  # the next block is compared with this one, not with what came between
        self._scanned, self._before = max(self._scanned, block.number), state
        self._read_at = block.timestamp
        self._ours = {str(of.asked_as) for of in voters}
        point = WindowPoint(window, self.boundary - window.seconds_before, block, block)
        tables = self._tables(point, state, voters)
        return Reading(block, window, state, tables)

    async def _price(self, state: BlockState, block: Block, is_frozen: bool) -> None:
        """Pools are asked at the block; sources outside the chain while nobody waits for them, and what they said last
        stands until they say another; only where that is of long ago they are waited for, and not for long.
        """
        await quote(replace(self.run, price_sources=()), {state.block: state}, {state.block: block.timestamp})
        age = block.timestamp - self._quoted_at
        if age >= self.whole_seconds and not (is_frozen and self._quoted_at) and self._quoting is None:
            self._quoting, self._quoted_at = asyncio.create_task(self._ask_outside(state, block)), block.timestamp
            if age >= 2 * self.whole_seconds:  # no block before this one has asked: what stands is of another hour
                await asyncio.wait({self._quoting}, timeout=PRICE_SECONDS)
        if self._quoting is not None and self._quoting.done():
            self._quotes |= self._quoting.result()
            self._quoting = None
        for token, found in self._quotes.items():
            if token in state.decimals:
                state.quotes[token] = [*found, *state.quotes.get(token, [])]

    async def _ask_outside(self, state: BlockState, block: Block) -> dict[str, list[PriceQuote]]:
        """What sources outside the chain say of this block's tokens; one that does not answer is named, no more."""
        asked = replace(state, quotes={}, sales={})
        try:
            await quote(self.run, {state.block: asked}, {state.block: block.timestamp})
        except ForeshoreError as error:
            self.providers.trouble[PRICES] = f"{error}; what was said before stands"
        else:
            self.providers.trouble.pop(PRICES, None)
        return asked.quotes

    def close(self) -> None:
        """End what is still asked beside the readings."""
        if self._quoting is not None:
            self._quoting.cancel()

    async def _scan(self, bribes: Mapping[str, tuple[str, str]], block: Block) -> pa.Table:
        """Events since the last reading. A reorg is read again from the block it began at: `forget` first."""
        first = self._scanned + 1
        if block.number < first:
            return EVENTS.empty_table()
        stamp = Stamp(self.run.spec.chain_id, self.epoch, self._partition("events", "all").partition_id, now())
        emitters = [Emitters(self.protocol, bribes)]
        found, _, _ = await self.providers.first(lambda client: scan(client, emitters, stamp, first, block.number))
        return found

    def forget(self, above: int) -> None:
        """Drop what was read above a block: the chain has taken it back, and nothing kept aside is sure."""
        self._views.forget()
        keep = pc.less_equal(self._events["block_number"], above)
        self._events, self._scanned = self._events.filter(keep), min(self._scanned, above)

    def _partition(self, group: str, window: str) -> Partition:
        key = f"{self.run.spec.name if group == 'events' else self.protocol.name}/{self.epoch}"
        return Partition(SOURCE, group, key, window)

    def _tables(self, point: WindowPoint, state: BlockState, voters: Sequence[VoterState]) -> dict[str, pa.Table]:
        moment, chain_id, name = now(), self.run.spec.chain_id, point.window.decision_window
        where = (self.timeline, chain_id, point, state)
        state_id, voters_id = (self._partition(group, name) for group in ("state", "voters"))
        epoch_id, events_id = self._partition("epoch", "all"), self._partition("events", "all")
        seen = self._events.filter(pc.less_equal(self._events["block_number"], state.block))
        counted = recounted(seen, [Emitters(self.protocol, state.bribes)])  # by what was replaced by this block
        provider = state.totals["length"].provider
        tables = merge(
            [
                window_tables(*where, self.run.feeds, self.run.price_rules, PoolNames(), state_id.partition_id, moment),
                voter_tables(*where, voters, voters_id.partition_id, moment),
                {"voting_epochs": epoch_table(self.timeline, chain_id, epoch_id.partition_id, provider, moment)},
                {"voting_events": counted},
            ]
        )
        rows = [_complete(one, chain_id, moment) for one in (state_id, voters_id, epoch_id)]
        rows.append(
            replace(_complete(events_id, chain_id, moment), from_block=self.timeline.start_block, to_block=state.block)
        )
        return {**tables, LEDGER_TABLE: ledger_table(rows)}


def _complete(partition: Partition, chain_id: int, moment: object) -> LedgerRow:
    times = {"started_at": moment, "finished_at": moment}
    return LedgerRow(partition, COMPLETE, "live", "live", chain_id=chain_id, **times)  # type: ignore[arg-type]


def _unexplained(before: BlockState, state: BlockState, fresh: pa.Table, ours: Set[str]) -> set[str]:
    """Pools and bribes where votes moved since the block before otherwise than by what events say that others did."""
    gauges = {pool: gauge for gauge, pool in state.gauges.items()}
    net, named = Counter[str](), set[str]()
    for event in fresh.filter(pc.equal(fresh["event_kind"], "vote")).to_pylist():
        gauge = event["gauge_address"] or gauges.get(event["pool_address"], "")
        net[gauge] += event["sign"] * int(event["amount_raw"] or 0) if event["is_counted"] else 0
        if event["actor"] in ours:
            named.add(gauge)
    moved = named | {g for g, pool in state.gauges.items() if _grown(before.votes, state.votes, pool) != net[g]}
    for bribe, (gauge, _) in state.bribes.items():
        if gauge not in net and _grown(before.supplies, state.supplies, bribe) != 0:
            moved.add(gauge)
    pools = {state.gauges[gauge] for gauge in moved if gauge in state.gauges}
    return pools | {bribe for bribe, (gauge, _) in state.bribes.items() if gauge in moved}


def _grown(before: Mapping[str, Reply], now: Mapping[str, Reply], place: str) -> int | None:
    """By how much a number grew; None where it is not known."""
    old, new = (word(replies[place]) if place in replies else None for replies in (before, now))
    return None if old is None or new is None else new - old


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """A task that runs beside what is done here, and ends with it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ForeshoreError):
            await task


@asynccontextmanager
async def open_epoch(config: Config, protocol: str) -> AsyncIterator[OpenEpoch]:
    """The open epoch of an exchange at the head of its chain, through every provider that answers.

    Errors: ForeshoreError where the chain's clock is past the epoch's boundary and the epoch has not turned.
    """
    hedge_seconds = threshold(config.seeds, "watch_hedge_seconds")
    async with chain_at_head(config, protocol) as run, Hedge.open(run.spec, hedge_seconds) as providers:
        (of,) = run.protocols
        epoch = run.final.timestamp // WEEK * WEEK
        found = await resolve(run.client, of, epoch, (), run.final)
        if not isinstance(found, Timeline):
            raise found.error
        if found.status != OPEN:
            raise ForeshoreError(f"{protocol}: epoch {epoch} is {found.status}: there is nothing to vote on")
        whole_seconds = threshold(config.seeds, "watch_whole_seconds")
        with closing(OpenEpoch(run, replace(found, points=()), providers, whole_seconds)) as opened:
            yield opened
