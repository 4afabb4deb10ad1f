"""Compound V2 and its forks (Venus, Moonwell, BENQI, Kinetic, Tectonic, Sumer): a comptroller lists cTokens.

Sources: compound-finance/compound-protocol contracts (Comptroller, CTokenInterfaces, CToken, PriceOracle);
VenusProtocol/venus-protocol (VTokenInterfaces, VAIController) and isolated-pools (VTokenInterfaces, TimeManager);
moonwell-fi and Benqi-fi (borrowRatePerTimestamp). Interest since a market's last transaction is added as the contract
would add it; where a fork does not say at what rate since when, amounts stay as stored and the reserve says so.

A market counts its cash. Events of every fork that move cash are listed; two layouts of one event (plain and indexed)
share a topic, and the log itself tells which it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Reply
from extract.evm.config import MULTICALL3
from extract.evm.views import address, call, word
from extract.lending.families.base import (
    AS_STORED,
    AT_BLOCK,
    MINTED,
    MOVE,
    NATIVE,
    OK,
    At,
    EventRule,
    Keeps,
    Legs,
    Memory,
    Movement,
    Plain,
    PriceRule,
    Reserve,
    State,
    absent,
    reply_status,
    token_list,
)
from extract.lending.registry import Csu

LIQUIDATE = (  # nothing is indexed: one topic, five words of data
    "LiquidateBorrow(address liquidator, address borrower, uint256 repayAmount, address cTokenCollateral, "
    "uint256 seizeTokens)"
)
LIQUIDATE_INDEXED = (  # Venus's isolated pools
    "LiquidateBorrow(address indexed liquidator, address indexed borrower, uint256 repayAmount, "
    "address indexed cTokenCollateral, uint256 seizeTokens)"
)
LIQUIDATE_VAI = (
    "LiquidateVAI(address liquidator, address borrower, uint256 repayAmount, address cTokenCollateral, "
    "uint256 seizeTokens)"
)
CASH_IN, CASH_OUT = ("Mint", "MintBehalf", "RepayBorrow", "ReservesAdded"), ("Redeem", "RedeemFee", "Borrow")
_REDUCED = ("ReservesReduced", "SpreadReservesReduced")
_WHO = ("address minter", "address indexed minter")
_MORE = ("", ", uint256 total")
MOVES = (
    *(f"Mint({who}, uint256 amount, uint256 tokens{more})" for who in _WHO for more in _MORE),
    *(f"Redeem({who}, uint256 amount, uint256 tokens{more})" for who in _WHO for more in _MORE),
    *(f"Borrow({who}, uint256 amount, uint256 owed, uint256 total)" for who in _WHO),
    "RepayBorrow(address payer, address minter, uint256 amount, uint256 owed, uint256 total)",
    "RepayBorrow(address indexed payer, address indexed minter, uint256 amount, uint256 owed, uint256 total)",
    "MintBehalf(address payer, address receiver, uint256 amount, uint256 tokens)",
    "MintBehalf(address payer, address receiver, uint256 amount, uint256 tokens, uint256 total)",
    "RedeemFee(address minter, uint256 amount, uint256 tokens)",
    *(f"ReservesAdded({who}, uint256 amount, uint256 total)" for who in _WHO),
    *(f"ReservesReduced({who}, uint256 amount, uint256 total)" for who in _WHO),
    "SpreadReservesReduced(address indexed minter, uint256 amount, uint256 total)",
)
_VIEWS = ("getCash()", "totalBorrows()", "totalReserves()")
_RATES = (
    "borrowRatePerTimestamp()",
    "accrualBlockTimestamp()",
    "borrowRatePerBlock()",
    "accrualBlockNumber()",
    "reserveFactorMantissa()",
    "isTimeBased()",
)
_WAD = 10**18


@dataclass(frozen=True)
class CompoundV2(Plain):
    """A comptroller with cTokens, and Venus's VAI beside them."""

    version: int = 3
    events: tuple[EventRule, ...] = (
        EventRule(LIQUIDATE, "liquidation"),
        EventRule(LIQUIDATE_INDEXED, "liquidation"),
        EventRule(LIQUIDATE_VAI, "liquidation"),
        *(EventRule(signature, MOVE) for signature in MOVES),
    )
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        comptroller = csu.registry_address
        found = await at.ask(
            {
                "markets": call(comptroller, "getAllMarkets()"),
                "oracle": call(comptroller, "oracle()"),
                "vai": call(comptroller, "vaiController()"),
                "block": call(MULTICALL3, "getBlockNumber()"),  # what contracts of this chain call the block's number
            }
        )
        markets = token_list(found["markets"])
        if markets is None:
            return absent(csu, "getAllMarkets()", found["markets"])
        underlying = await at.ask({m: call(m, "underlying()") for m in markets})
        amounts = await at.ask({(m, v): call(m, v) for m in markets for v in (*_VIEWS, *_RATES)})
        paused = await at.ask({m: call(comptroller, "borrowGuardianPaused(address)", m) for m in markets})
        block = word(found["block"]) or at.block
        reserves: list[Reserve] = []
        emitters: dict[str, Mapping[str, Any]] = {}
        for m in markets:
            reserve = _reserve(m, underlying[m], {v: amounts[m, v] for v in (*_VIEWS, *_RATES)}, block, at.timestamp)
            stopped = word(paused[m])
            reserve.is_paused = None if stopped is None else bool(stopped)
            reserves.append(reserve)
            emitters[m] = {"asset": reserve.asset}
        controller = address(found["vai"])
        if controller:
            reserves += await _vai(at, controller, emitters)
        return State(OK, reserves=reserves, emitters=emitters, oracle={"address": address(found["oracle"])})

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        return await at.addresses({"address": call(csu.registry_address, "oracle()")})

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        oracle = state.oracle.get("address")
        rules: dict[str, PriceRule] = {}
        for reserve in state.reserves:
            asset = reserve.asset
            if oracle and asset is not None and asset in decimals and asset not in rules:
                asked = call(oracle, "getUnderlyingPrice(address)", reserve.reserve_id)
                rules[asset] = PriceRule(asked, 36 - decimals[asset])
        return rules

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        amount = int(values.get("amount") or 0)
        if name in CASH_IN and not (name == "ReservesAdded" and values["minter"] == emitter):  # its share of a seizure
            return (Movement(emitter, amount),)
        return (Movement(emitter, -amount),) if name in (*CASH_OUT, *_REDUCED) else ()

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        seized = values["cTokenCollateral"]
        return Legs(
            liquidator=values["liquidator"],
            borrower=values["borrower"],
            market_id=seized,
            debt_asset=emitter["asset"],
            debt=int(values["repayAmount"]),
            collateral_token=seized,
            collateral_token_amount=int(values["seizeTokens"]),
            collateral_asset=state.emitters.get(seized, {}).get("asset"),
            shares_of=call(seized, "exchangeRateStored()"),
            rate_decimals=18,
            keeps=Keeps.SHARE,
            fee_token=seized,
        )


def _reserve(market: str, underlying: Reply, views: Mapping[str, Reply], block: int, timestamp: int) -> Reserve:
    """One market with its interest up to the block."""
    # the market of the chain's own coin has no underlying(): it reverts there, or falls through to nothing
    native = underlying.status in ("reverted", "missing")
    reserve = Reserve(market, NATIVE if native else address(underlying), market_id=market, is_book=False)
    if reserve.asset is None:
        reserve.fail(reply_status(underlying))
        reserve.fail("malformed")
    cash, borrows, kept = (views[v] for v in _VIEWS)
    for reply in (cash, borrows, kept):
        if word(reply) is None:
            reserve.lose(reply_status(reply))
    if reserve.borrowed is None:
        return reserve
    owed, reserves = word(borrows) or 0, word(kept) or 0
    growth = _growth(views, block, timestamp)
    if growth is None and any(word(views[view]) is not None for view in _RATES):
        unread = next((view for view in _RATES[2:] if word(views[view]) is None), "accrualBlockNumber()")
        reserve.lose(f"{unread} {reply_status(views[unread])}")  # it grows, but nobody knows by how much
        return reserve
    reserve.accrual = AS_STORED if growth is None and owed else AT_BLOCK
    owed, reserves = accrue(owed, reserves, *growth) if growth else (owed, reserves)
    reserve.supplied = (word(cash) or 0) + owed - reserves
    reserve.borrowed = owed
    reserve.available = reserve.held = reserve.counted = word(cash)
    return reserve


def _growth(views: Mapping[str, Reply], block: int, timestamp: int) -> tuple[int, int, int] | None:
    """(rate per unit of time, units since the last accrual, reserve factor); None where the fork does not say."""
    found = {view: word(reply) for view, reply in views.items()}
    rate, last, now = found["borrowRatePerTimestamp()"], found["accrualBlockTimestamp()"], timestamp
    if rate is None or last is None:
        rate, last = found["borrowRatePerBlock()"], found["accrualBlockNumber()"]
        now = timestamp if found["isTimeBased()"] else block
    factor = found["reserveFactorMantissa()"]
    if rate is None or last is None or factor is None or last > now:
        return None
    return rate, now - last, factor


def accrue(borrows: int, reserves: int, rate: int, elapsed: int, factor: int) -> tuple[int, int]:
    """(borrows, reserves) after `elapsed`, by CToken.accrueInterest with its truncations.

    interest = rate * elapsed * borrows / 1e18; of it `factor` / 1e18 goes to the market's reserves.
    """
    interest = rate * elapsed * borrows // _WAD
    return borrows + interest, reserves + factor * interest // _WAD


async def _vai(at: At, controller: str, emitters: dict[str, Mapping[str, Any]]) -> list[Reserve]:
    """Venus's VAI: minted against supplied collateral, lent by nobody. Its debt is the token's supply.

    What the peg stability module issued against stablecoins is in that supply too: no view of the controller tells it
    apart.
    """
    token = (await at.addresses({"vai": call(controller, "getVAIAddress()")}))["vai"]
    if token is None:
        return []
    supply = (await at.ask({"supply": call(token, "totalSupply()")}))["supply"]
    reserve = Reserve(token, token, MINTED, supplied=0, available=0, borrowed=word(supply))
    if reserve.borrowed is None:
        reserve.lose(reply_status(supply))
    else:
        reserve.minted = reserve.borrowed
    emitters[controller] = {"asset": token}
    return [reserve]


FAMILY = CompoundV2()
