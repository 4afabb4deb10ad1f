"""Compound V2 and its forks (Venus, Moonwell, BENQI, Kinetic, Tectonic, Sumer): a comptroller lists cTokens.

Sources: compound-finance/compound-protocol contracts (Comptroller, CTokenInterfaces, PriceOracle). Amounts are as
stored: interest since a market's last transaction is not in them, on either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from extract.evm.views import address, call, word
from extract.lending.families.base import (
    NATIVE,
    OK,
    At,
    EventRule,
    Legs,
    Memory,
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
_VIEWS = ("getCash()", "totalBorrows()", "totalReserves()")


@dataclass(frozen=True)
class CompoundV2:
    """A comptroller with cTokens."""

    version: int = 1
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATE, "liquidation"),)
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        comptroller = csu.registry_address
        found = await at.ask({"markets": call(comptroller, "getAllMarkets()"), "oracle": call(comptroller, "oracle()")})
        markets = token_list(found["markets"])
        if markets is None:
            return absent(csu, "getAllMarkets()", found["markets"])
        underlying = await at.ask({m: call(m, "underlying()") for m in markets})
        amounts = await at.ask({(m, v): call(m, v) for m in markets for v in _VIEWS})
        paused = await at.ask({m: call(comptroller, "borrowGuardianPaused(address)", m) for m in markets})
        reserves: list[Reserve] = []
        emitters: dict[str, Mapping[str, Any]] = {}
        for m in markets:
            # the market of the chain's own coin has no underlying(): it reverts there, or falls through to nothing
            native = underlying[m].status in ("reverted", "missing")
            asset = NATIVE if native else address(underlying[m])
            cash, borrows, kept = (amounts[m, v] for v in _VIEWS)
            reserve = Reserve(m, asset, market_id=m)
            if asset is None:
                reserve.fail(reply_status(underlying[m]))
                reserve.fail("malformed")
            for reply in (cash, borrows, kept):
                if word(reply) is None:
                    reserve.lose(reply_status(reply))
            if reserve.borrowed is not None:
                reserve.supplied = (word(cash) or 0) + (word(borrows) or 0) - (word(kept) or 0)
                reserve.borrowed, reserve.available = word(borrows), word(cash)
            stopped = word(paused[m])
            reserve.is_paused = None if stopped is None else bool(stopped)
            reserves.append(reserve)
            emitters[m] = {"asset": asset}
        return State(OK, reserves=reserves, emitters=emitters, oracle={"address": address(found["oracle"])})

    def pricing(self, state: State, decimals: Mapping[str, int]) -> dict[str, PriceRule]:
        oracle = state.oracle.get("address")
        rules: dict[str, PriceRule] = {}
        for reserve in state.reserves:
            asset = reserve.asset
            if oracle and asset is not None and asset in decimals and asset not in rules:
                asked = call(oracle, "getUnderlyingPrice(address)", reserve.reserve_id)
                rules[asset] = PriceRule(asked, 36 - decimals[asset])
        return rules

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
        )


FAMILY = CompoundV2()
