"""Aave V2 and V3 and their forks (Spark, Tydro): pool, data provider and oracle stand behind an address provider.

Sources: aave-dao/aave-v3-origin src/contracts/interfaces (IPoolAddressesProvider, IPool, IAaveOracle, ...);
aave/protocol-v2 contracts/interfaces/ILendingPoolAddressesProvider.sol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Call, Reply
from extract.evm.views import address, call, word
from extract.lending.families.base import (
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
    token_list,
)
from extract.lending.registry import Csu

LIQUIDATION = (
    "LiquidationCall(address indexed collateralAsset, address indexed debtAsset, address indexed user, "
    "uint256 debtToCover, uint256 liquidatedCollateralAmount, address liquidator, bool receiveAToken)"
)
DEFICIT = "DeficitCreated(address indexed user, address indexed debtAsset, uint256 amountCreated)"  # from V3.3
V2_DATA_PROVIDER = "0x01" + "00" * 31  # its key in a V2 address provider, which has no view of its own for it
ETH = "eth"  # V2 on Ethereum prices in ether with 18 decimals and says so nowhere
_IS_ACTIVE, _IS_FROZEN = 8, 9  # words of getReserveConfigurationData


@dataclass(frozen=True)
class Aave:
    """A version of Aave: what its address provider calls the pool, and its events."""

    pool_view: str
    events: tuple[EventRule, ...]
    may_omit_unit: bool = False  # the first oracles of V2 have no view of their unit: it is ether
    version: int = 1
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        registry = csu.registry_address
        asked: dict[str, Call] = {
            "pool": call(registry, self.pool_view),
            "oracle": call(registry, "getPriceOracle()"),
            "by_view": call(registry, "getPoolDataProvider()"),
            "by_key": call(registry, "getAddress(bytes32)", V2_DATA_PROVIDER),
        }
        found = await at.ask(asked)
        pool, oracle = address(found["pool"]), address(found["oracle"])
        if pool is None:
            return absent(csu, self.pool_view, found["pool"])
        provider = address(found["by_view"]) or address(found["by_key"])
        if provider is None:
            return State(UNREADABLE, f"{registry} names no data provider: check the registry row")
        listed, base = await self._lists(at, pool, oracle)
        assets = token_list(listed)
        if assets is None:
            return State(UNREADABLE, f"pool {pool} does not answer getReservesList() ({listed.status})")
        reserves = await _reserves(at, pool, provider, assets)
        return State(OK, reserves=reserves, emitters={pool: {}}, oracle={"address": oracle, **base})

    async def _lists(self, at: At, pool: str, oracle: str | None) -> tuple[Reply, dict[str, Any]]:
        questions = {"listed": call(pool, "getReservesList()")}
        if oracle:
            questions |= {"unit": call(oracle, "BASE_CURRENCY_UNIT()"), "currency": call(oracle, "BASE_CURRENCY()")}
        found = await at.ask(questions)
        if not oracle:
            return found["listed"], {}
        unit = word(found["unit"])
        if unit is None and self.may_omit_unit and found["unit"].status in ("reverted", "missing"):
            return found["listed"], {"unit": 10**18, "currency": ETH}
        return found["listed"], {"unit": unit, "currency": address(found["currency"]) or USD}

    def pricing(self, state: State, decimals: Mapping[str, int]) -> dict[str, PriceRule]:
        oracle, unit = state.oracle.get("address"), state.oracle.get("unit")
        if oracle is None:
            return {}
        places = len(str(unit)) - 1
        if unit != 10**places:
            return {}  # no unit, or one that is no power of ten, is none that we know how to read
        return {
            asset: PriceRule(call(oracle, "getAssetPrice(address)", asset), places, state.oracle["currency"])
            for asset in state.assets()
        }

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        if kind == "deficit":
            amount = int(values["amountCreated"])
            return Legs(borrower=values["user"], debt_asset=values["debtAsset"], bad_debt=amount)
        return Legs(
            liquidator=values["liquidator"],
            borrower=values["user"],
            debt_asset=values["debtAsset"],
            debt=int(values["debtToCover"]),
            collateral_token=values["collateralAsset"],
            collateral_token_amount=int(values["liquidatedCollateralAmount"]),
            collateral_asset=values["collateralAsset"],
        )


async def _reserves(at: At, pool: str, provider: str, assets: Sequence[str]) -> list[Reserve]:
    tokens = await at.ask({a: call(provider, "getReserveTokensAddresses(address)", a) for a in assets})
    settings = await at.ask({a: call(provider, "getReserveConfigurationData(address)", a) for a in assets})
    paused = await at.ask({a: call(provider, "getPaused(address)", a) for a in assets} | {pool: call(pool, "paused()")})
    found = {a: [address_at(tokens[a], i) for i in range(3)] for a in assets}  # aToken, stable debt, variable debt
    totals = await at.ask(
        {(a, i): call(t, "totalSupply()") for a, of in found.items() for i, t in enumerate(of) if t}
        | {(a, 3): call(a, "balanceOf(address)", of[0]) for a, of in found.items() if of[0]}
    )
    reserves = []
    for a in assets:
        reserve = Reserve(a, a)
        supplied, stable, variable, available = (totals.get((a, i)) for i in range(4))
        if supplied is None or word(tokens[a], 2) is None:
            reserve.lose(tokens[a].status if tokens[a].status != OK else "malformed")
            reserves.append(reserve)
            continue
        for reply in (supplied, stable, variable, available):
            if reply is not None and word(reply) is None:
                reserve.fail(reply_status(reply))
        reserve.supplied = word(supplied)
        reserve.borrowed = word(variable) if variable else 0
        reserve.borrowed_stable = word(stable) if stable else 0  # gone from V3.2 on
        reserve.available = word(available) if available else None
        frozen, active = word(settings[a], _IS_FROZEN), word(settings[a], _IS_ACTIVE)
        reserve.is_frozen = None if frozen is None else bool(frozen) or active == 0
        stopped = word(paused[a]) if word(paused[a]) is not None else word(paused[pool])
        reserve.is_paused = None if stopped is None else bool(stopped)
        reserves.append(reserve)
    return reserves


def address_at(reply: Reply, index: int) -> str | None:
    """The address in a word of a longer answer; None when missing or zero."""
    value = word(reply, index)
    return f"0x{value:040x}" if value else None


V3 = Aave("getPool()", (EventRule(LIQUIDATION, "liquidation"), EventRule(DEFICIT, "deficit")))
V2 = Aave("getLendingPool()", (EventRule(LIQUIDATION, "liquidation"),), may_omit_unit=True)
