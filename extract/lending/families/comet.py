"""Compound V3: each Comet lends one base asset against collateral that cannot be borrowed.

Sources: compound-finance/comet contracts (CometMainInterface, CometExtInterface, CometCore). A Comet's prices may count
in its base asset instead of dollars (WETH: a constant feed of 1e8): the registry's `price_unit` says which.

Collateral is counted by the Comet's own book (`totalsCollateral`), the base asset by its balance. Collateral of
absorbed accounts leaves that book and is the protocol's until somebody buys it (`getCollateralReserves`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Reply
from extract.evm.views import address, call, word
from extract.lending.families.aave import address_at
from extract.lending.families.base import (
    COLLATERAL,
    MOVE,
    OK,
    UNREADABLE,
    USD,
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
)
from extract.lending.registry import Csu

DEBT = "AbsorbDebt(address indexed absorber, address indexed borrower, uint256 basePaidOut, uint256 usdValue)"
SEIZED = (
    "AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, "
    "uint256 collateralAbsorbed, uint256 usdValue)"
)
MOVES = (
    "Supply(address indexed from, address indexed dst, uint256 amount)",
    "Withdraw(address indexed src, address indexed to, uint256 amount)",
    "SupplyCollateral(address indexed from, address indexed dst, address indexed asset, uint256 amount)",
    "WithdrawCollateral(address indexed src, address indexed to, address indexed asset, uint256 amount)",
    "BuyCollateral(address indexed buyer, address indexed asset, uint256 baseAmount, uint256 collateralAmount)",
    "WithdrawReserves(address indexed to, uint256 amount)",
)
FEED_DECIMALS = 8  # CometCore.PRICE_FEED_DECIMALS: a Comet refuses feeds with others
_ASSET, _FEED = 1, 2  # words of AssetInfo


@dataclass(frozen=True)
class Comet(Plain):
    """One Comet proxy."""

    version: int = 3
    events: tuple[EventRule, ...] = (
        EventRule(DEBT, "absorb_debt"),
        EventRule(SEIZED, "absorb_collateral"),
        *(EventRule(signature, MOVE) for signature in MOVES),
    )
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
        infos = await _infos(at, comet, count)
        assets = {i: address_at(reply, _ASSET) for i, reply in infos.items()}
        named = [a for a in assets.values() if a]
        held = await at.ask(
            {a: call(comet, "totalsCollateral(address)", a) for a in named}
            | {base: call(base, "balanceOf(address)", comet)}
        )
        kept = await at.numbers({a: call(comet, "getCollateralReserves(address)", a) for a in named})
        paused = [word(found[v]) for v in halts]
        lent = Reserve(base, base, is_paused=None if None in paused else any(paused), is_book=False)
        lent.supplied, lent.borrowed, lent.available = (
            _number(lent, found["totalSupply()"]),
            _number(lent, found["totalBorrow()"]),
            _number(lent, held[base]),
        )
        lent.counted = lent.held = lent.available
        reserves = [lent]
        for i, asset in assets.items():
            reserve = Reserve(f"{asset or i}:collateral", asset, COLLATERAL, is_paused=lent.is_paused)
            if asset:
                reserve.supplied = reserve.available = reserve.counted = _number(reserve, held[asset])
                reserve.absorbed = kept[asset] or 0  # the first Comets have no such view
            else:
                reserve.lose(infos[i].status if infos[i].status != OK else "malformed")
            reserves.append(reserve)
        feeds = _feeds(base, found["baseTokenPriceFeed()"], infos)
        oracle = {"comet": comet, "base": base, "feeds": feeds, "unit": csu.price_unit}
        return State(OK, reserves=reserves, emitters={comet: {"base": base}}, oracle=oracle)

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        comet = csu.registry_address
        views = ("baseToken()", "baseTokenPriceFeed()", "numAssets()")
        found = await at.ask({v: call(comet, v) for v in views})
        base, count = address(found["baseToken()"]), word(found["numAssets()"])
        if base is None or count is None:
            return {}
        feeds = _feeds(base, found["baseTokenPriceFeed()"], await _infos(at, comet, count))
        return {"comet": comet, "base": base, "feeds": feeds, "unit": csu.price_unit}

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        if not state.oracle:
            return {}
        comet, base, unit = state.oracle["comet"], state.oracle["base"], state.oracle["unit"]
        return {
            asset: PriceRule(call(comet, "getPrice(address)", feed), FEED_DECIMALS, base if unit == "base" else USD)
            for asset, feed in state.oracle["feeds"].items()
            if feed and not (unit == "base" and asset == base)  # its own price is the constant one
        }

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        base = state.emitters[emitter]["base"]
        if name in ("Supply", "Withdraw", "WithdrawReserves"):
            return (Movement(base, int(values["amount"]) * (1 if name == "Supply" else -1)),)
        if name in ("SupplyCollateral", "WithdrawCollateral"):
            sign = 1 if name == "SupplyCollateral" else -1
            return (Movement(f"{values['asset']}:collateral", sign * int(values["amount"])),)
        if name == "AbsorbCollateral":
            return (Movement(f"{values['asset']}:collateral", -int(values["collateralAbsorbed"])),)
        return (Movement(base, int(values["baseAmount"])),) if name == "BuyCollateral" else ()

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        who = {"liquidator": values["absorber"], "borrower": values["borrower"], "stated_usd": int(values["usdValue"])}
        if kind == "absorb_debt":
            return Legs(debt_asset=emitter["base"], debt=int(values["basePaidOut"]), **who)
        return Legs(
            collateral_token=values["asset"],
            collateral_token_amount=int(values["collateralAbsorbed"]),
            collateral_asset=values["asset"],
            keeps=Keeps.ALL,
            **who,
        )


async def _infos(at: At, comet: str, count: int) -> dict[int, Reply]:
    return await at.ask({i: call(comet, "getAssetInfo(uint8)", i) for i in range(count)})


def _feeds(base: str, of_base: Reply, infos: Mapping[int, Reply]) -> dict[str, str | None]:
    """The price feed of each asset."""
    found = {address_at(reply, _ASSET): address_at(reply, _FEED) for reply in infos.values()}
    return {base: address(of_base)} | {asset: feed for asset, feed in found.items() if asset}


def _number(reserve: Reserve, reply: Reply) -> int | None:
    """The first word of a reply; a reserve without it fails with the reply's status."""
    value = word(reply)
    if value is None:
        reserve.fail(reply_status(reply))
    return value


FAMILY = Comet()
