"""Compound V3: each Comet lends one base asset against collateral that cannot be borrowed.

Sources: compound-finance/comet contracts (CometMainInterface, CometExtInterface, CometCore). A Comet's prices may count
in its base asset instead of dollars (WETH: a constant feed of 1e8): the registry's `price_unit` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Reply
from extract.evm.views import address, call, word
from extract.lending.families.aave import address_at
from extract.lending.families.base import (
    COLLATERAL,
    OK,
    UNREADABLE,
    USD,
    At,
    EventRule,
    Legs,
    Memory,
    PriceRule,
    Reserve,
    State,
    absent,
    reply_status,
)
from extract.lending.registry import Csu

DEBT = "AbsorbDebt(address indexed absorber, address indexed borrower, uint256 basePaidOut, uint256 usdValue)"
SEIZED = (
    "AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, "
    "uint256 collateralAbsorbed, uint256 usdValue)"
)
FEED_DECIMALS = 8  # CometCore.PRICE_FEED_DECIMALS: a Comet refuses feeds with others
_ASSET, _FEED = 1, 2  # words of AssetInfo


@dataclass(frozen=True)
class Comet:
    """One Comet proxy."""

    version: int = 1
    events: tuple[EventRule, ...] = (EventRule(DEBT, "absorb_debt"), EventRule(SEIZED, "absorb_collateral"))
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        comet = csu.registry_address
        views = ("baseToken()", "baseTokenPriceFeed()", "numAssets()", "totalSupply()", "totalBorrow()")
        halts = ("isSupplyPaused()", "isWithdrawPaused()")
        found = await at.ask({v: call(comet, v) for v in (*views, *halts)})
        base = address(found["baseToken()"])
        if base is None:
            return absent(csu, "baseToken()", found["baseToken()"])
        count = word(found["numAssets()"])
        if count is None:
            why = reply_status(found["numAssets()"])
            return State(UNREADABLE, f"{comet} does not answer numAssets() at block {at.block} ({why})")
        infos = await at.ask({i: call(comet, "getAssetInfo(uint8)", i) for i in range(count)})
        assets = {i: address_at(reply, _ASSET) for i, reply in infos.items()}
        held = await at.ask(
            {a: call(comet, "totalsCollateral(address)", a) for a in assets.values() if a}
            | {base: call(base, "balanceOf(address)", comet)}
        )
        paused = [word(found[v]) for v in halts]
        lent = Reserve(base, base, is_paused=None if None in paused else any(paused))
        lent.supplied, lent.borrowed, lent.available = (
            _number(lent, found["totalSupply()"]),
            _number(lent, found["totalBorrow()"]),
            _number(lent, held[base]),
        )
        reserves = [lent]
        for i, asset in assets.items():
            reserve = Reserve(f"{asset or i}:collateral", asset, COLLATERAL, is_paused=lent.is_paused)
            if asset:
                reserve.supplied = reserve.available = _number(reserve, held[asset])
            else:
                reserve.lose(infos[i].status if infos[i].status != OK else "malformed")
            reserves.append(reserve)
        feeds = {base: address(found["baseTokenPriceFeed()"])}
        feeds |= {a: address_at(infos[i], _FEED) for i, a in assets.items() if a}
        oracle = {"comet": comet, "base": base, "feeds": feeds, "unit": csu.price_unit}
        return State(OK, reserves=reserves, emitters={comet: {"base": base}}, oracle=oracle)

    def pricing(self, state: State, decimals: Mapping[str, int]) -> dict[str, PriceRule]:
        if not state.oracle:
            return {}
        comet, base, unit = state.oracle["comet"], state.oracle["base"], state.oracle["unit"]
        return {
            asset: PriceRule(call(comet, "getPrice(address)", feed), FEED_DECIMALS, base if unit == "base" else USD)
            for asset, feed in state.oracle["feeds"].items()
            if feed and not (unit == "base" and asset == base)  # its own price is the constant one
        }

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        who = {"liquidator": values["absorber"], "borrower": values["borrower"], "stated_usd": int(values["usdValue"])}
        if kind == "absorb_debt":
            return Legs(debt_asset=emitter["base"], debt=int(values["basePaidOut"]), **who)
        return Legs(
            collateral_token=values["asset"],
            collateral_token_amount=int(values["collateralAbsorbed"]),
            collateral_asset=values["asset"],
            **who,
        )


def _number(reserve: Reserve, reply: Reply) -> int | None:
    """The first word of a reply; a reserve without it fails with the reply's status."""
    value = word(reply)
    if value is None:
        reserve.fail(reply_status(reply))
    return value


FAMILY = Comet()
