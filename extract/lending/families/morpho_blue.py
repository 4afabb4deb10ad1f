"""Morpho Blue and its fork Moolah (Lista): one singleton with many isolated markets, each known by an id from logs.

Sources: morpho-org/morpho-blue src (Morpho.sol, libraries/EventsLib.sol, libraries/MathLib.sol, interfaces),
morpho-blue-oracles src/morpho-chainlink (feeds of an oracle), lista-dao/moolah src/moolah/Moolah.sol.
`market(id)` is as of the market's last transaction: interest since then is added here as the contract would add it.
Collateral is no view: it is the sum of all logs that moved it, carried from day to day as a checkpoint, and held
against the tokens that the singleton really has. Anybody may make a market with an oracle of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from extract.evm.abi import Event
from extract.evm.calls import Reply
from extract.evm.proof import UNCONFIRMED
from extract.evm.views import call, word
from extract.lending.families.base import (
    COLLATERAL,
    MARKET,
    MOVE,
    OK,
    UNREADABLE,
    At,
    EventRule,
    Keeps,
    Legs,
    Market,
    Memory,
    Movement,
    Plain,
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
FLOWS = (
    "Supply(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares)",
    "Withdraw(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, "
    "uint256 shares)",
    "Borrow(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, "
    "uint256 shares)",
    "Repay(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares)",
)
_MARKET = "(address,address,address,address,uint256)"
_TOTALS = "(uint128,uint128,uint128,uint128,uint128,uint128)"
_RATE_VIEW = f"borrowRateView({_MARKET},{_TOTALS})"
NOBODY = "0x" + "0" * 40
WAD = 10**18
_ORACLE_FEEDS = ("BASE_FEED_1()", "BASE_FEED_2()", "QUOTE_FEED_1()", "QUOTE_FEED_2()")  # of MorphoChainlinkOracle
_PEEK_DECIMALS = 8  # Moolah: peek(token) is USD with 8 decimals
_IDENTITY, _IDENTITY_WORDS = "idToMarketParams(bytes32)", 5
PRICE_DECIMALS = 36  # IOracle.price(): scaled by 1e36, and by the difference of the two assets' decimals


@dataclass(frozen=True)
class MorphoBlue(Plain):
    """One singleton. `peeks`: its oracles price one token each in dollars, instead of a market's pair."""

    peeks: bool = False
    version: int = 3
    events: tuple[EventRule, ...] = (
        EventRule(LIQUIDATE, "liquidation"),
        *(EventRule(signature, MOVE) for signature in FLOWS),
    )
    has_memory: bool = True
    rounding: int = 1  # a repayment may take one unit less off the debt than was paid
    history: tuple[str, ...] = (CREATED.topic0, *(event.topic0 for event in MOVES))

    async def identify(self, at: At, csu: Csu) -> State:
        singleton = csu.registry_address
        found = (await at.ask({"params": call(singleton, _IDENTITY, b"\0" * 32)}))["params"]
        if len(found.data) == 32 * _IDENTITY_WORDS and found.status == OK:
            return State(OK, emitters={singleton: {}})
        if found.status == OK:  # something else stands at that address
            return State(UNREADABLE, f"{singleton} does not answer {_IDENTITY} as Morpho does: check the registry row")
        return absent(csu, _IDENTITY, found)

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        singleton = csu.registry_address
        state = await self.identify(at, csu)
        if state.status != OK:
            return state
        markets = (await scanned(at, self, csu, memory)).markets
        if not markets:
            at.confirmation = UNCONFIRMED  # only logs tell of markets: none, or all of them left out
        totals = await at.ask({m: call(singleton, "market(bytes32)", m) for m in markets})
        rates = await at.ask(
            {
                m: call(of.rate_model, _RATE_VIEW, _params(of), _six(totals[m]))
                for m, of in markets.items()
                if of.rate_model != NOBODY and _six(totals[m])
            }
        )
        tokens = sorted({a for of in markets.values() for a in (of.loan, of.collateral) if a != NOBODY})
        held = await at.numbers({t: call(t, "balanceOf(address)", singleton) for t in tokens})
        for m, of in markets.items():
            state.reserves += _reserves(of, totals[m], rates.get(m), at.timestamp)
        state.markets = dict(markets)
        state.balances = {t: amount for t, amount in held.items() if amount is not None}
        state.oracle = {} if self.peeks else {"feeds": await _feeds(at, {of.oracle for of in markets.values()})}
        return state

    def remember(self, memory: Memory, logs: pa.Table, block: int) -> Memory:
        markets, moved = {**memory.markets, **_created(logs)}, _moved(logs)
        return Memory(block, {m: replace(of, collateral_raw=of.collateral_raw + moved[m]) for m, of in markets.items()})

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        """Collateral is priced in the loan asset, by the oracle of the market where most of it stands."""
        rules: dict[str, PriceRule] = {}
        for of in sorted(
            state.markets.values(), key=lambda m: (m.market_id not in markets, -m.collateral_raw, m.market_id)
        ):
            if of.oracle == NOBODY:
                continue
            for asset in (of.collateral, of.loan) if self.peeks else ():
                asked = call(of.oracle, "peek(address)", asset)
                rules.setdefault(asset, PriceRule(asked, _PEEK_DECIMALS, control=MARKET))
            if not self.peeks and of.collateral in decimals and of.loan in decimals and of.collateral not in rules:
                places = PRICE_DECIMALS + decimals[of.loan] - decimals[of.collateral]
                feeds = state.oracle.get("feeds", {}).get(of.oracle, ())
                rules[of.collateral] = PriceRule(call(of.oracle, "price()"), places, of.loan, MARKET, feeds)
        return rules

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        lent = f"{values['id']}:loan"
        if name == "Liquidate":
            return (Movement(lent, int(values["repaidAssets"])),)
        sign = 1 if name in ("Supply", "Repay") else -1
        return (Movement(lent, sign * int(values["assets"])),)

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
            keeps=Keeps.NOTHING,
        )


async def scanned(at: At, family: MorphoBlue, csu: Csu, memory: Memory) -> Memory:
    """The memory after the block: what was remembered, and all logs since."""
    first = await first_block(at, csu) if memory.block is None else memory.block + 1
    if first <= at.block:
        async for chunk in at.logs([csu.registry_address], family.history, first):
            memory = family.remember(memory, chunk.table, chunk.to_block)
    return memory


async def first_block(at: At, csu: Csu) -> int:
    """Where the logs of a CSU may begin: its first block, or the block of its first day (a day early, any zone)."""
    if csu.start_block is not None or csu.start_date is None:
        return csu.start_block or 0
    midnight = datetime.combine(csu.start_date, time(), UTC) - timedelta(days=1)
    return min((await at.client.block_at_or_before(int(midnight.timestamp()))).number, at.block)


async def _feeds(at: At, oracles: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The aggregators that Morpho's own kind of oracle reads; other oracles name none."""
    asked = {(o, view): call(o, view) for o in sorted(oracles) if o != NOBODY for view in _ORACLE_FEEDS}
    found: dict[str, tuple[str, ...]] = {}
    for (oracle, _), feed in (await at.addresses(asked)).items():
        if feed:
            found[oracle] = (*found.get(oracle, ()), feed)
    return found


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
        lent.counted = six[0] - six[2]  # interest is on both sides: what is stored and what is grown differ by nothing
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
MOOLAH = MorphoBlue(peeks=True)
