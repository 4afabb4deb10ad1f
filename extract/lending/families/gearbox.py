"""Gearbox V3: pools lend to credit accounts through credit managers; facades log their liquidations.

Sources: Gearbox-protocol/core-v3 contracts/interfaces (IAddressProviderV3, IPoolV3, ICreditManagerV3, ICreditFacadeV3,
IPriceOracleV3), core-v2 IContractsRegister. `totalBorrowed` is principal: interest owed stands in `expectedLiquidity`.
A liquidation names the account and what was left to its owner, never what was repaid or seized: both stay unknown and
the row's status says so. Losses that the treasury did not cover are deficits of the pool. Markets of Gearbox 3.1 stand
in market configurators, not in this register, and are not read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Reply
from extract.evm.views import address, call, word
from extract.lending.families.base import (
    OK,
    UNREADABLE,
    At,
    EventRule,
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
    "LiquidateCreditAccount(address indexed creditAccount, address indexed liquidator, address to, "
    "uint256 remainingFunds)"
)
LOSS = "IncurUncoveredLoss(address indexed creditManager, uint256 loss)"
REGISTER = b"CONTRACTS_REGISTER"
NO_VERSION = 0  # AddressProviderV3.NO_VERSION_CONTROL
PRICE_DECIMALS = 8
V3 = 300  # PoolV3.version() is 300 and more
_LOOK_UP = "getAddressOrRevert(bytes32,uint256)"
_AMOUNTS = ("expectedLiquidity()", "totalBorrowed()", "availableLiquidity()")


@dataclass(frozen=True)
class Gearbox(Plain):
    """One address provider."""

    version: int = 2
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATE, "liquidation"), EventRule(LOSS, "deficit"))
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        asked = call(csu.registry_address, _LOOK_UP, REGISTER, NO_VERSION)
        found = (await at.ask({"register": asked}))["register"]
        register = address(found)
        if register is None:
            return absent(csu, _LOOK_UP, found)
        listed = (await at.ask({"pools": call(register, "getPools()")}))["pools"]
        pools = token_list(listed)
        if pools is None:
            return State(UNREADABLE, f"register {register} does not answer getPools() ({reply_status(listed)})")
        views = ("underlyingToken()", "version()", "creditManagers()", "paused()", *_AMOUNTS)
        answers = await at.ask({(p, view): call(p, view) for p in pools for view in views})
        state = State(OK, reserves=[_reserve(p, answers) for p in pools])
        for reserve in state.reserves:
            state.emitters[reserve.reserve_id] = {"asset": reserve.asset}
        managers = {p: _managers(answers[p, "version()"], answers[p, "creditManagers()"]) for p in pools}
        if None in managers.values() or not await _add_facades(at, {p: m or [] for p, m in managers.items()}, state):
            return State(UNREADABLE, f"register {register}: not every credit manager names its facade: try again")
        return state

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        manager = state.oracle.get("manager")
        return dict(state.oracle) | await at.addresses({"address": call(manager, "priceOracle()")}) if manager else {}

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        oracle = state.oracle.get("address")
        if oracle is None:
            return {}
        return {asset: PriceRule(call(oracle, "getPrice(address)", asset), PRICE_DECIMALS) for asset in state.assets()}

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        if kind == "deficit":
            return Legs(debt_asset=emitter.get("asset"), bad_debt=int(values["loss"]))
        return Legs(
            liquidator=values["liquidator"],
            borrower=values["creditAccount"],
            market_id=emitter.get("manager"),
            debt_asset=emitter.get("asset"),
            status="amounts_not_logged",
        )


def _reserve(pool: str, answers: Mapping[tuple[str, str], Reply]) -> Reserve:
    reserve = Reserve(pool, address(answers[pool, "underlyingToken()"]), market_id=pool)
    for reply in (answers[pool, "underlyingToken()"], *(answers[pool, view] for view in _AMOUNTS)):
        if word(reply) is None:
            reserve.fail(reply_status(reply))
    reserve.supplied, reserve.borrowed, reserve.available = (word(answers[pool, view]) for view in _AMOUNTS)
    stopped = word(answers[pool, "paused()"])
    reserve.is_paused = None if stopped is None else bool(stopped)
    return reserve


def _managers(version: Reply, listed: Reply) -> list[str] | None:
    """Credit managers of a pool; pools from before V3 have no such list and their managers log other events."""
    number = word(version)
    return [] if number is not None and number < V3 else token_list(listed) if number is not None else None


async def _add_facades(at: At, managers: Mapping[str, list[str]], state: State) -> bool:
    """The facades that log, and the price oracle of the largest pool's managers (one for all in V3.0).

    False where a manager does not name its facade: liquidations there would look like none at all.
    """
    assets = {r.reserve_id: r.asset for r in state.reserves}
    pool_of = {m: p for p, of_pool in managers.items() for m in of_pool}
    facades = await at.addresses({m: call(m, "creditFacade()") for m in pool_of})
    oracles = await at.addresses({m: call(m, "priceOracle()") for m in pool_of})
    for manager, facade in facades.items():
        if facade:
            state.emitters[facade] = {"asset": assets[pool_of[manager]], "manager": manager}
    size = {r.reserve_id: r.supplied or 0 for r in state.reserves}
    priced = [(-size[pool_of[m]], m, oracle) for m, oracle in oracles.items() if oracle]
    state.oracle = dict(zip(("manager", "address"), min(priced)[1:], strict=True)) if priced else {}
    return all(facades.values())


FAMILY = Gearbox()
