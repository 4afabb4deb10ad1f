"""Euler V2: a factory lists isolated EVaults; each lends one asset and accepts shares of others as collateral.

Sources: euler-xyz/euler-vault-kit src/GenericFactory/GenericFactory.sol, src/EVault/IEVault.sol, EVault/shared/
Events.sol; euler-xyz/euler-price-oracle (IPriceOracle.getQuote; USD is ISO 4217's 840 as an address, 18 decimals).
Views of a vault include interest up to the block. Anybody may make a vault with an oracle of their own, so an asset is
priced by the vault in which most of it stands; what only its maker's vault prices is priced by its maker.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from extract.evm.views import address, call, word
from extract.lending.families.base import (
    MARKET,
    OK,
    UNREADABLE,
    USD,
    At,
    EventRule,
    Keeps,
    Legs,
    Memory,
    Plain,
    PriceRule,
    Reserve,
    State,
    absent,
    reply_status,
    token_list,
)
from extract.lending.registry import Csu

LIQUIDATE = (
    "Liquidate(address indexed liquidator, address indexed violator, address collateral, uint256 repayAssets, "
    "uint256 yieldBalance)"
)
SOCIALIZED = "DebtSocialized(address indexed account, uint256 assets)"
USD_UNIT = f"0x{840:040x}"
USD_DECIMALS = 18
PAGE = 500  # vaults per getProxyListSlice
_AMOUNTS = ("totalAssets()", "totalBorrows()", "cash()")


@dataclass(frozen=True)
class EulerV2(Plain):
    """One EVault factory."""

    version: int = 3
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATE, "liquidation"), EventRule(SOCIALIZED, "deficit"))
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        factory = csu.registry_address
        length = (await at.ask({"length": call(factory, "getProxyListLength()")}))["length"]
        count = word(length)
        if count is None:
            return absent(csu, "getProxyListLength()", length)
        bounds = [(i, min(i + PAGE, count)) for i in range(0, count, PAGE)]
        pages = await at.ask({b: call(factory, "getProxyListSlice(uint256,uint256)", *b) for b in bounds})
        vaults: list[str] = []
        for (first, last), reply in pages.items():
            found = token_list(reply)
            if found is None or len(found) != last - first:
                return State(
                    UNREADABLE, f"factory {factory} does not list vaults {first} to {last} ({reply_status(reply)})"
                )
            vaults += found
        return await _state(at, vaults)

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        rules: dict[str, PriceRule] = {}
        by_size = sorted(state.reserves, key=lambda r: (r.market_id not in markets, -(r.supplied or 0), r.reserve_id))
        for reserve in by_size:
            asset, (oracle, unit) = reserve.asset, state.oracle.get(reserve.reserve_id, (None, None))
            if asset is None or asset in rules or asset not in decimals or oracle is None or unit is None:
                continue
            places = USD_DECIMALS if unit == USD_UNIT else decimals.get(unit)
            if places is not None:
                asked = call(oracle, "getQuote(uint256,address,address)", 10 ** decimals[asset], asset, unit)
                rules[asset] = PriceRule(asked, places, USD if unit == USD_UNIT else unit, MARKET)
        return rules

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        asset = emitter.get("asset")
        if kind == "deficit":
            return Legs(borrower=values["account"], debt_asset=asset, bad_debt=int(values["assets"]))
        token, shares = values["collateral"], int(values["yieldBalance"])
        behind = state.emitters.get(token, {}).get("asset")
        return Legs(
            liquidator=values["liquidator"],
            borrower=values["violator"],
            debt_asset=asset,
            debt=int(values["repayAssets"]),
            collateral_token=token,
            collateral_token_amount=shares,
            collateral_asset=behind,
            keeps=Keeps.NOTHING,
            shares_of=call(token, "convertToAssets(uint256)", shares) if behind else None,
            status=OK if behind else "collateral_unknown",  # not a vault of this factory
        )


async def _state(at: At, vaults: list[str]) -> State:
    own = await at.ask(
        {(v, view): call(v, view) for v in vaults for view in ("asset()", "oracle()", "unitOfAccount()")}
    )
    amounts = await at.ask({(v, view): call(v, view) for v in vaults for view in _AMOUNTS})
    state = State(OK)
    oracles: dict[str, tuple[str | None, str | None]] = {}
    for vault in vaults:
        asset = address(own[vault, "asset()"])
        reserve = Reserve(vault, asset, market_id=vault)
        for reply in (own[vault, "asset()"], *(amounts[vault, view] for view in _AMOUNTS)):
            if word(reply) is None:
                reserve.fail(reply_status(reply))
        reserve.supplied, reserve.borrowed, reserve.available = (word(amounts[vault, view]) for view in _AMOUNTS)
        state.reserves.append(reserve)
        state.emitters[vault] = {"asset": asset}
        oracles[vault] = address(own[vault, "oracle()"]), address(own[vault, "unitOfAccount()"])
    state.oracle = oracles
    return state


FAMILY = EulerV2()
