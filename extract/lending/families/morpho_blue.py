"""Morpho Blue and its forks (Lista): one singleton with many isolated markets, each known by an id from its logs.

Sources: morpho-org/morpho-blue src (Morpho.sol, libraries/EventsLib.sol, libraries/MathLib.sol, interfaces).
`market(id)` is as of the market's last transaction: interest since then is added here as the contract would add it.
Collateral is no view: it is the sum of all logs that moved it, carried from day to day as a checkpoint.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from extract.evm.abi import Event
from extract.evm.calls import Reply
from extract.evm.views import call, word
from extract.lending.families.base import (
    COLLATERAL,
    NO_ARCHIVE,
    OK,
    At,
    EventRule,
    Legs,
    Market,
    Memory,
    PriceRule,
    Reserve,
    State,
    absent,
    reply_status,
)
from extract.lending.registry import Csu

LIQUIDATE = (
    "Liquidate(bytes32 indexed id, address indexed caller, address indexed borrower, uint256 repaidAssets, "
    "uint256 repaidShares, uint256 seizedAssets, uint256 badDebtAssets, uint256 badDebtShares)"
)
CREATED = Event("CreateMarket(bytes32 indexed id, (address,address,address,address,uint256) params)")
MOVES = {
    Event("SupplyCollateral(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets)"): (
        "assets",
        1,
    ),
    Event(
        "WithdrawCollateral(bytes32 indexed id, address caller, address indexed onBehalf, "
        "address indexed receiver, uint256 assets)"
    ): ("assets", -1),
    Event(LIQUIDATE): ("seizedAssets", -1),
}
_MARKET = "(address,address,address,address,uint256)"
_TOTALS = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_RATE_VIEW = f"borrowRateView({_MARKET},{_TOTALS})"
NOBODY = "0x" + "0" * 40
WAD = 10**18
PRICE_DECIMALS = 36  # IOracle.price(): scaled by 1e36, and by the difference of the two assets' decimals


@dataclass(frozen=True)
class MorphoBlue:
    """One singleton."""

    version: int = 1
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATE, "liquidation"),)
    has_memory: bool = True

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        singleton = csu.registry_address
        owner = (await at.ask({"owner": call(singleton, "owner()")}))["owner"]
        if owner.status in ("missing", NO_ARCHIVE):
            return absent(csu, "owner()", owner)
        markets = await _markets(at, csu, memory)
        totals = await at.ask({m: call(singleton, "market(bytes32)", m) for m in markets})
        rates = await at.ask(
            {
                m: call(of.rate_model, _RATE_VIEW, _params(of), _six(totals[m]))
                for m, of in markets.items()
                if of.rate_model != NOBODY and _six(totals[m])
            }
        )
        reserves = []
        for m, of in markets.items():
            reserves += _reserves(of, totals[m], rates.get(m), at.timestamp)
        return State(OK, reserves=reserves, emitters={singleton: {}}, markets=markets)

    def pricing(self, state: State, decimals: Mapping[str, int]) -> dict[str, PriceRule]:
        """Collateral is priced in the loan asset, by the oracle of the market where most of it stands."""
        rules: dict[str, PriceRule] = {}
        for of in sorted(state.markets.values(), key=lambda m: (-m.collateral_raw, m.market_id)):
            known = of.collateral in decimals and of.loan in decimals
            if known and of.oracle != NOBODY and of.collateral not in rules:
                places = PRICE_DECIMALS + decimals[of.loan] - decimals[of.collateral]
                rules[of.collateral] = PriceRule(call(of.oracle, "price()"), places, of.loan)
        return rules

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        of = state.markets.get(values["id"])
        return Legs(
            liquidator=values["caller"],
            borrower=values["borrower"],
            market_id=values["id"],
            debt_asset=of.loan if of else None,
            debt=int(values["repaidAssets"]),
            bad_debt=int(values["badDebtAssets"]),
            collateral_token=of.collateral if of else None,
            collateral_token_amount=int(values["seizedAssets"]),
            collateral_asset=of.collateral if of else None,
        )


async def _markets(at: At, csu: Csu, memory: Memory) -> dict[str, Market]:
    """Every market with its collateral after the block: what was remembered, and all logs since."""
    markets, moved = dict(memory.markets), Counter[str]()
    first = await _first_block(at, csu) if memory.block is None else memory.block + 1
    if first <= at.block:
        topics = [CREATED.topic0, *(event.topic0 for event in MOVES)]
        async for chunk in at.logs([csu.registry_address], topics, first):
            markets |= _created(chunk.table)
            moved.update(_moved(chunk.table))
    return {m: replace(of, collateral_raw=of.collateral_raw + moved[m]) for m, of in markets.items()}


async def _first_block(at: At, csu: Csu) -> int:
    """Where the logs of a CSU may begin: its first block, or the block of its first day (a day early, any zone)."""
    if csu.start_block is not None or csu.start_date is None:
        return csu.start_block or 0
    midnight = datetime.combine(csu.start_date, time(), UTC) - timedelta(days=1)
    return min((await at.client.block_at_or_before(int(midnight.timestamp()))).number, at.block)


def _created(logs: pa.Table) -> dict[str, Market]:
    rows = CREATED.decode(_only(logs, CREATED)).to_pylist()
    found = {}
    for row in rows:
        if row["decode_status"] == OK:
            loan, collateral, oracle, model, lltv = json.loads(row["params"])
            found[row["id"]] = Market(row["id"], loan, collateral, oracle, model, int(lltv))
    return found


def _moved(logs: pa.Table) -> Counter[str]:
    """Collateral that came (+) and went (-), by market."""
    total = Counter[str]()
    for event, (name, sign) in MOVES.items():
        decoded = event.decode(_only(logs, event))
        for market, amount in zip(decoded["id"].to_pylist(), decoded[f"{name}_text"].to_pylist(), strict=True):
            total[market] += sign * int(amount)
    return total


def _only(logs: pa.Table, event: Event) -> pa.Table:
    return logs.filter(pa.compute.equal(logs["topic0"], event.topic0))


def _params(of: Market) -> tuple[str, str, str, str, int]:
    return of.loan, of.collateral, of.oracle, of.rate_model, of.lltv


def _six(reply: Reply) -> tuple[int, ...]:
    """The six totals of market(id): supply assets and shares, borrow assets and shares, last update, fee."""
    values = [word(reply, i) for i in range(6)]
    return tuple(v for v in values if v is not None) if None not in values else ()


def _reserves(of: Market, totals: Reply, rate: Reply | None, timestamp: int) -> list[Reserve]:
    lent = Reserve(f"{of.market_id}:loan", of.loan, market_id=of.market_id)
    six = _six(totals)
    if not six:
        lent.lose(totals.status if totals.status != OK else "malformed")
    elif rate is not None and word(rate) is None and six[2]:
        lent.lose(f"rate_{reply_status(rate)}")
    else:
        lent.supplied, lent.borrowed = accrue(six, (word(rate) or 0) if rate else 0, timestamp)
        lent.available = lent.supplied - lent.borrowed
    if of.collateral == NOBODY:  # an idle market: lent to nobody, against nothing
        return [lent]
    stands = of.collateral_raw
    return [
        lent,
        Reserve(
            f"{of.market_id}:collateral",
            of.collateral,
            COLLATERAL,
            of.market_id,
            supplied=stands,
            available=stands,
            status=OK if stands >= 0 else "negative",
        ),
    ]


def accrue(totals: tuple[int, ...], rate: int, timestamp: int) -> tuple[int, int]:
    """(supplied, borrowed) at a time, from market(id) and the borrow rate per second (1e18).

    Morpho._accrueInterest: interest = borrowed * (e^(rate*elapsed) - 1), by MathLib.wTaylorCompounded's three terms.
    """
    supplied, _, borrowed, _, updated, _ = totals
    first = rate * max(timestamp - updated, 0)
    second = first * first // (2 * WAD)
    third = second * first // (3 * WAD)
    interest = borrowed * (first + second + third) // WAD
    return supplied + interest, borrowed + interest


FAMILY = MorphoBlue()
