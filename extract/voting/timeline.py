"""From an epoch to blocks: the boundary, the last block that takes votes, the flip, the truth, the decision windows.

Truth is the state that rewards are paid on: the block before the flip transaction where the minter turns the epoch, the
last block before the timestamp where the calendar does. Votes end earlier where the minter turns it: nobody votes
between the calendar boundary and the flip (VoterV5 reverts EpochStale), so the last votable block is the newest at or
before the boundary, and the last decision is made on the state of its parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extract.evm.abi import Event
from extract.evm.blocks import Block
from extract.evm.client import ChainClient
from extract.evm.errors import FAULTS, BeforeChain, Disagreement, EvmError, Kind, ProviderError
from extract.evm.views import call, word
from extract.seeds import DecisionWindow
from extract.voting.families import Protocol

FLIP_SEARCH_SECONDS = (600, 86_400)  # flips come 9-13 s late; the second, wide look is for a minter nobody called
OPEN, ENDED, UNFLIPPED = "open", "ended", "unflipped"
IDLE = "idle"  # a day past the boundary and still no flip: the minter is not being called
SKIPPED = "skipped"  # the minter turned past this epoch; nobody could vote for it
BEFORE_CHAIN = "before_chain"
IDLE_AFTER_SECONDS = 86_400


@dataclass(frozen=True)
class WindowPoint:
    """A decision window on the chain: what it decides at, and the block whose state it holds."""

    window: DecisionWindow
    target: int
    decision: Block
    observed: Block


@dataclass(frozen=True)
class Timeline:
    """One epoch of one protocol. Blocks are None while they are not final yet.

    `start_block` is the first block whose votes count for the epoch, `last_votable` the last one that takes votes,
    `flip` the first block of the next epoch.
    """

    protocol: Protocol
    epoch: int
    boundary: int
    status: str
    start_block: int
    boundary_block: Block | None
    last_votable: Block | None
    flip: Block | None
    flip_transaction: str | None
    truth: Block | None
    points: tuple[WindowPoint, ...]


@dataclass(frozen=True)
class Untold:
    """An epoch of one protocol whose blocks cannot be told, because what providers say of them contradicts itself."""

    protocol: Protocol
    epoch: int
    error: EvmError


async def resolve(
    chain: ChainClient, protocol: Protocol, epoch: int, windows: Sequence[DecisionWindow], final: Block
) -> Timeline | Untold:
    """Find and prove every block of an epoch that is final by `final`; windows not reached yet are left out.

    A contradiction costs this epoch of this protocol. Errors: those of a chain that does not answer at all.
    """
    try:
        found = await _resolve(chain, protocol, epoch, _of_protocol(protocol, windows), final)
        await chain.proven_blocks(_told_by_header(found, final))
        return found
    except BeforeChain:
        boundary = epoch + protocol.family.epoch_anchor_mod
        return Timeline(protocol, epoch, boundary, BEFORE_CHAIN, 0, None, None, None, None, None, ())
    except Disagreement as error:
        return Untold(protocol, epoch, error)
    except ProviderError as error:
        if error.refusal.kind not in FAULTS - {Kind.SERVER}:
            raise
        return Untold(protocol, epoch, error)


def _told_by_header(timeline: Timeline, final: Block) -> list[int]:
    """Blocks whose place in the epoch hangs on a header's time: those that were found by it, and their successors."""
    by_time = [timeline.boundary_block, timeline.last_votable, timeline.truth, *(p.decision for p in timeline.points)]
    numbers = {block.number + after for block in by_time if block is not None for after in (0, 1)}
    numbers |= {timeline.start_block - 1, timeline.start_block}
    return sorted(number for number in numbers if 0 < number <= final.number)


def _of_protocol(protocol: Protocol, windows: Sequence[DecisionWindow]) -> list[DecisionWindow]:
    """The windows that mean something here: some are for exchanges whose voting closes before the boundary."""
    closes = protocol.family.exempt_view != ""
    return [w for w in windows if w.scope == "every" or closes]


async def _resolve(
    chain: ChainClient, protocol: Protocol, epoch: int, windows: Sequence[DecisionWindow], final: Block
) -> Timeline:
    boundary = epoch + protocol.family.epoch_anchor_mod
    start, was_entered = await _start(chain, protocol, epoch, final)
    boundary_block = await chain.block_at_or_before(boundary) if boundary < final.timestamp else None
    if not was_entered:
        return Timeline(protocol, epoch, boundary, SKIPPED, start, boundary_block, None, None, None, None, ())
    last, parent = await _last_votable(chain, protocol, boundary, final)
    flip, transaction, truth = await _flip(chain, protocol, boundary, boundary_block, final)
    found = await _decisions(chain, boundary, windows, final)
    points = []
    for window in windows:
        if window.anchor == "last_vote":
            found |= {window.decision_window: parent} if parent else {}
        decision = found.get(window.decision_window)
        observed = truth if window.reads == "final" else decision
        if decision is None or observed is None:
            continue
        target = decision.timestamp if window.anchor == "last_vote" else boundary - window.seconds_before
        points.append(WindowPoint(window, target, decision, observed))
    status = _status(boundary, boundary_block, truth, final)
    return Timeline(
        protocol, epoch, boundary, status, start, boundary_block, last, flip, transaction, truth, tuple(points)
    )


def _status(boundary: int, boundary_block: Block | None, truth: Block | None, final: Block) -> str:
    if boundary_block is None:
        return OPEN
    if truth is not None:
        return ENDED
    return IDLE if final.timestamp - boundary > IDLE_AFTER_SECONDS else UNFLIPPED


async def _decisions(
    chain: ChainClient, boundary: int, windows: Sequence[DecisionWindow], final: Block
) -> dict[str, Block]:
    """The block of each window that counts back from the calendar boundary and is reached."""
    reached = [w for w in windows if w.anchor == "boundary" and boundary - w.seconds_before < final.timestamp]
    blocks = await chain.blocks_at_or_before([boundary - w.seconds_before for w in reached])
    return dict(zip((w.decision_window for w in reached), blocks, strict=True))


async def _last_votable(
    chain: ChainClient, protocol: Protocol, boundary: int, final: Block
) -> tuple[Block | None, Block | None]:
    """The last block in which a vote can land, and its parent: whose state such a vote can be decided on."""
    if boundary >= final.timestamp:
        return None, None
    last = await chain.block_at_or_before(boundary - (protocol.family.last_vote == "before_boundary"))
    return last, await chain.block(last.number - 1)


async def _start(chain: ChainClient, protocol: Protocol, epoch: int, final: Block) -> tuple[int, bool]:
    """(the flip into the epoch, whether there was one); the calendar's first block where no minter was there yet."""
    try:
        at_start = await chain.block_at_or_before(epoch)
        flip, _, _ = await _flip(chain, protocol, epoch, at_start, final, within=protocol.family.epoch_anchor_mod)
        if flip is not None:
            return flip.number, True
        first = (await chain.block_at_or_before(epoch - 1)).number + 1
    except BeforeChain:
        return 0, True
    end = epoch + protocol.family.epoch_anchor_mod
    if end > final.timestamp:
        return first, True
    last = await chain.block_at_or_before(end - 1)
    (period,) = await chain.read([call(protocol.minter, protocol.family.epoch_view)], last.number)
    active = word(period)
    return first, active is None or active >= epoch


async def _flip(
    chain: ChainClient,
    protocol: Protocol,
    boundary: int,
    boundary_block: Block | None,
    final: Block,
    within: int | None = None,
) -> tuple[Block | None, str | None, Block | None]:
    """(flip block, its transaction, truth block); Nones while the flip is not final, or not `within` seconds."""
    if boundary_block is None:
        return None, None, None
    before = await chain.block_at_or_before(boundary - 1)
    if protocol.family.epoch_source == "calendar":
        if before.number >= final.number:
            return None, None, None
        return await chain.block(before.number + 1), None, before
    minted = await _first_mint(chain, protocol, boundary, before, final, within)
    if minted is None:
        is_cut = within is not None and boundary + within - 1 < final.timestamp
        searched = await chain.block_at_or_before(boundary + (within or 0) - 1) if is_cut else final
        await _check_turns(chain, protocol, boundary, [(searched.number, False)])
        return None, None, None
    number, transaction = minted
    await _check_turns(chain, protocol, boundary, [(number - 1, False), (number, True)])
    truth, flip = await chain.blocks([number - 1, number])
    return flip, transaction, truth


async def _check_turns(
    chain: ChainClient, protocol: Protocol, boundary: int, expected: Sequence[tuple[int, bool]]
) -> None:
    """Hold the Mint logs against the minter's state: whether its epoch had turned by each block, as they say.

    Errors: Disagreement where a log was left out or made up. State that nobody keeps says nothing.
    """
    ask = [call(protocol.minter, protocol.family.epoch_view)]
    replies = await chain.read_blocks([(block, ask) for block, _ in expected])
    for (block, turned), (reply,) in zip(expected, replies, strict=True):
        epoch = word(reply)
        if epoch is not None and (epoch >= boundary) != turned:
            raise Disagreement(
                f"{protocol.name}: the minter {protocol.minter} is in epoch {epoch} at block {block} ({reply.provider} "
                "says), and its Mint logs say otherwise: logs are missing; take another provider"
            )


async def _first_mint(
    chain: ChainClient, protocol: Protocol, boundary: int, before: Block, final: Block, within: int | None
) -> tuple[int, str] | None:
    """Block and transaction of the minter's first Mint log after the boundary, looking near before far.

    Without `within` the search goes on to the final head: a flip missed for weeks closes the epoch all the same.
    """
    topic = Event(protocol.family.flip_event).topic0
    start = before.number + 1
    wide = within if within is not None else max(final.timestamp - boundary, 0)
    for seconds in (*(s for s in FLIP_SEARCH_SECONDS if s < wide), wide):
        limit = boundary + seconds - (within is not None and seconds == wide)
        end = final if limit >= final.timestamp else await chain.block_at_or_before(limit)
        if end.number < start:
            continue
        async for chunk in chain.logs([protocol.minter], [[topic]], start, end.number):
            if chunk.table.num_rows:
                row = chunk.table.slice(0, 1).to_pylist()[0]
                return int(row["block_number"]), str(row["transaction_hash"])
        start = end.number + 1
    return None
