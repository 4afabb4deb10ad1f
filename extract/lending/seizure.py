"""What was seized from a borrower, and what of it the liquidator received: the rest is the protocol's fee.

Events differ. Aave V3's amount leaves the fee out, and the seized aToken logs it as a Transfer from the borrower to the
treasury, before the liquidation's own log (LiquidationLogic, `transferOnLiquidation`). A Compound market's amount
includes it: `protocolSeizeShareMantissa` of it, rounded down, stays in the market (CToken, `seizeInternal`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from extract.evm.abi import Event
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.pool import gather
from extract.evm.views import address, call, word
from extract.lending.families.base import Keeps
from extract.lending.liquidations import Liquidation

READ, NONE, UNKNOWN, WHOLE = "read", "none", "unknown", "whole"
TRANSFER = Event("Transfer(address indexed sender, address indexed receiver, uint256 amount)").topic0
_SHARE = 10**18


@dataclass(frozen=True)
class Transfer:
    """A token's log of an amount, and where it stands."""

    token: str
    sender: str
    receiver: str
    amount: int
    transaction: str
    index: int


async def split(client: ChainClient, found: Sequence[Liquidation]) -> list[Liquidation]:
    """Every liquidation with what was seized and what was received, in units of the seized token."""
    asked: dict[tuple[int, Call], None] = {}
    for one in found:
        if (view := _view(one)) is not None:
            asked[one.block, view] = None
    replies = await _ask(client, list(asked))
    paid = await _transfers(client, found, replies)
    before: dict[str, int] = {}  # per transaction, the log of the liquidation before
    done = []
    for one in found:
        transaction = str(one.log["transaction_hash"])
        mine = [t for t in paid if t.transaction == transaction and t.index > before.get(transaction, -1)]
        done.append(_split(one, replies, [t for t in mine if t.index < one.log["log_index"]]))
        if one.legs.keeps is Keeps.TRANSFER:
            before[transaction] = int(one.log["log_index"])
    return done


def _view(one: Liquidation) -> Call | None:
    """What to ask the seized token at the liquidation's block."""
    token = one.legs.fee_token
    if token is None:
        return None
    if one.legs.keeps is Keeps.SHARE:
        return call(token, "protocolSeizeShareMantissa()")
    return call(token, "RESERVE_TREASURY_ADDRESS()") if one.legs.keeps is Keeps.TRANSFER else None


async def _ask(client: ChainClient, asked: Sequence[tuple[int, Call]]) -> dict[tuple[int, Call], Reply]:
    by_block: dict[int, list[Call]] = defaultdict(list)
    for block, view in asked:
        by_block[block].append(view)
    answers = await client.read_blocks(list(by_block.items())) if by_block else []
    return {
        (block, view): reply
        for (block, views), replies in zip(by_block.items(), answers, strict=True)
        for view, reply in zip(views, replies, strict=True)
    }


async def _transfers(
    client: ChainClient, found: Sequence[Liquidation], replies: Mapping[tuple[int, Call], Reply]
) -> list[Transfer]:
    """What borrowers' tokens logged on their way to the treasury, in the blocks of liquidations."""
    places: dict[int, dict[str, set[str]]] = defaultdict(lambda: {"token": set(), "sender": set(), "receiver": set()})
    for one in found:
        view = _view(one)
        treasury = address(replies[one.block, view]) if view and one.legs.keeps is Keeps.TRANSFER else None
        if treasury and one.legs.borrower and one.legs.fee_token:
            of = places[one.block]
            of["token"].add(one.legs.fee_token)
            of["sender"].add(_padded(one.legs.borrower))
            of["receiver"].add(_padded(treasury))

    async def of_block(block: int) -> list[Transfer]:
        of = {name: sorted(values) for name, values in places[block].items()}
        heard: list[Transfer] = []
        async for chunk in client.logs(of["token"], [[TRANSFER], of["sender"], of["receiver"]], block, block):
            heard += [_transfer(log) for log in chunk.table.to_pylist()]
        return heard

    return [transfer for heard in await gather(of_block(block) for block in places) for transfer in heard]


def _transfer(log: Mapping[str, str]) -> Transfer:
    sender, receiver = (f"0x{log[name][-40:]}" for name in ("topic1", "topic2"))
    return Transfer(
        log["address"], sender, receiver, int(log["data"], 16), log["transaction_hash"], int(log["log_index"])
    )


def _padded(account: str) -> str:
    return f"0x{account[2:].rjust(64, '0')}"


def _split(one: Liquidation, replies: Mapping[tuple[int, Call], Reply], paid: Sequence[Transfer]) -> Liquidation:
    legs, amount = one.legs, one.legs.collateral_token_amount
    if amount is None:
        return one
    if legs.keeps is Keeps.NOTHING:
        return replace(one, seized=amount, received=amount, fee_status=NONE)
    if legs.keeps is Keeps.ALL:
        return replace(one, seized=amount, received=0, fee_status=WHOLE)
    view = _view(one)
    if view is None:
        return one
    reply = replies[one.block, view]
    if legs.keeps is Keeps.SHARE:
        if reply.status in ("reverted", "missing"):  # markets older than the share keep nothing
            return replace(one, seized=amount, received=amount, fee_status=NONE)
        share = word(reply)
        if share is None or share > _SHARE:
            return one
        return replace(one, seized=amount, received=amount - amount * share // _SHARE, fee_status=READ)
    treasury = address(reply)
    if treasury is None:
        return one
    fee = sum(t.amount for t in paid if (t.token, t.sender, t.receiver) == (legs.fee_token, legs.borrower, treasury))
    return replace(one, seized=amount + fee, received=amount, fee_status=READ)
