"""From an epoch to blocks: the boundary, the flip, the truth block, and one block per decision window.

Truth is the state at the last block in which a vote of the epoch still counted: the block before the flip
transaction where the minter turns the epoch, the last block before the timestamp where the calendar does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extract.evm.abi import Event
from extract.evm.blocks import Block
from extract.evm.client import ChainClient
from extract.evm.errors import BeforeChain, Disagreement
from extract.evm.views import call, word
from extract.seeds import DecisionWindow
from extract.voting.families import Protocol

FLIP_SEARCH_SECONDS = (600, 86_400)  # flips come 9-13 s late; the second, wide look is for a minter nobody called
OPEN, ENDED, UNFLIPPED = "open", "ended", "unflipped"


@dataclass(frozen=True)
class WindowPoint:
    """A decision window on the chain: what it decides at, and the block whose state it holds."""

    window: DecisionWindow
    target: int
    decision: Block
    observed: Block


@dataclass(frozen=True)
class Timeline:
    """One epoch of one protocol. `flip`, `truth` and `boundary_block` are None while they are not final yet.

    `start_block` is the first block whose votes count for the epoch, `flip` the first of the next one.
    """

    protocol: Protocol
    epoch: int
    boundary: int
    status: str
    start_block: int
    boundary_block: Block | None
    flip: Block | None
    flip_transaction: str | None
    truth: Block | None
    points: tuple[WindowPoint, ...]


async def resolve(
    chain: ChainClient, protocol: Protocol, epoch: int, windows: Sequence[DecisionWindow], final: Block
) -> Timeline:
    """Find and prove every block of an epoch that is final by `final`; windows not reached yet are left out."""
    boundary = epoch + protocol.family.epoch_anchor_mod
    reached = [w for w in windows if w.anchor == "boundary" and boundary - w.seconds_before < final.timestamp]
    targets = [boundary - w.seconds_before for w in reached]
    blocks = await chain.blocks_at_or_before(targets)
    found = dict(zip((w.decision_window for w in reached), blocks, strict=True))
    boundary_block = await chain.block_at_or_before(boundary) if boundary < final.timestamp else None
    flip, transaction, truth = await _flip(chain, protocol, boundary, boundary_block, final)
    points = []
    for window in windows:
        if window.reads == "final" or window.anchor == "flip":
            if truth is None:
                continue
            decision = truth if window.anchor == "flip" else found[window.decision_window]
            target = truth.timestamp if window.anchor == "flip" else boundary - window.seconds_before
            points.append(WindowPoint(window, target, decision, truth))
        elif window.decision_window in found:
            block = found[window.decision_window]
            points.append(WindowPoint(window, boundary - window.seconds_before, block, block))
    status = OPEN if boundary_block is None else (ENDED if truth else UNFLIPPED)
    start = await _start_block(chain, protocol, epoch, final)
    return Timeline(protocol, epoch, boundary, status, start, boundary_block, flip, transaction, truth, tuple(points))


async def _start_block(chain: ChainClient, protocol: Protocol, epoch: int, final: Block) -> int:
    """The flip into the epoch; the calendar's first block where the minter was not there to flip."""
    try:
        at_start = await chain.block_at_or_before(epoch)
        flip, _, _ = await _flip(chain, protocol, epoch, at_start, final)
        return flip.number if flip else (await chain.block_at_or_before(epoch - 1)).number + 1
    except BeforeChain:
        return 0


async def _flip(
    chain: ChainClient, protocol: Protocol, boundary: int, boundary_block: Block | None, final: Block
) -> tuple[Block | None, str | None, Block | None]:
    """(flip block, its transaction, truth block); Nones while the flip is not final."""
    if boundary_block is None:
        return None, None, None
    before = await chain.block_at_or_before(boundary - 1)
    if protocol.family.epoch_source == "calendar":
        if before.number >= final.number:
            return None, None, None
        return await chain.block(before.number + 1), None, before
    minted = await _first_mint(chain, protocol, boundary, before, final)
    if minted is None:
        await _check_turns(chain, protocol, boundary, [(final.number, False)])
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
    chain: ChainClient, protocol: Protocol, boundary: int, before: Block, final: Block
) -> tuple[int, str] | None:
    """Block and transaction of the minter's first Mint log after the boundary, looking near before far."""
    topic = Event(protocol.family.flip_event).topic0
    start = before.number + 1
    for seconds in (*FLIP_SEARCH_SECONDS, protocol.family.epoch_anchor_mod):
        limit = boundary + seconds
        end = final if limit >= final.timestamp else await chain.block_at_or_before(limit)
        if end.number < start:
            continue
        async for chunk in chain.logs([protocol.minter], [[topic]], start, end.number):
            if chunk.table.num_rows:
                row = chunk.table.slice(0, 1).to_pylist()[0]
                return int(row["block_number"]), str(row["transaction_hash"])
        start = end.number + 1
    return None
