"""Aave V2 and V3 and their forks (Spark, Tydro): pool, data provider and oracle stand behind an address provider.

Sources: aave-dao/aave-v3-origin src/contracts/interfaces (IPoolAddressesProvider, IPool, IAaveOracle, ...);
aave/protocol-v2 contracts/interfaces/ILendingPoolAddressesProvider.sol, ILendingPool.sol.

What a reserve counts is its underlying: the pool's own book of it (`getVirtualUnderlyingBalance`, from V3.1), before
that the aToken's balance. Every event of the pool that moves underlying says how much, to the unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Call, Reply
from extract.evm.views import address, call, word
from extract.lending.families.base import (
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
    token_list,
)
from extract.lending.registry import Csu

LIQUIDATION = (
    "LiquidationCall(address indexed collateralAsset, address indexed debtAsset, address indexed user, "
    "uint256 debtToCover, uint256 liquidatedCollateralAmount, address liquidator, bool receiveAToken)"
)
DEFICIT = "DeficitCreated(address indexed user, address indexed debtAsset, uint256 amountCreated)"  # from V3.3
WITHDRAW = "Withdraw(address indexed reserve, address indexed user, address indexed to, uint256 amount)"
_ON_BEHALF = "(address indexed reserve, address user, address indexed onBehalfOf, uint256 amount, "
V3_MOVES = (
    f"Supply{_ON_BEHALF}uint16 indexed referralCode)",
    WITHDRAW,
    f"Borrow{_ON_BEHALF}uint8 interestRateMode, uint256 borrowRate, uint16 indexed referralCode)",
    "Repay(address indexed reserve, address indexed user, address indexed repayer, uint256 amount, bool useATokens)",
    "BackUnbacked(address indexed reserve, address indexed backer, uint256 amount, uint256 fee)",
    "FlashLoan(address indexed target, address initiator, address indexed asset, uint256 amount, "
    "uint8 interestRateMode, uint256 premium, uint16 indexed referralCode)",
)
V2_MOVES = (
    f"Deposit{_ON_BEHALF}uint16 indexed referral)",
    WITHDRAW,
    f"Borrow{_ON_BEHALF}uint256 borrowRateMode, uint256 borrowRate, uint16 indexed referral)",
    "Repay(address indexed reserve, address indexed user, address indexed repayer, uint256 amount)",
    "FlashLoan(address indexed target, address indexed initiator, address indexed asset, uint256 amount, "
    "uint256 premium, uint16 referralCode)",
)
V2_DATA_PROVIDER = "0x01" + "00" * 31  # its key in a V2 address provider, which has no view of its own for it
ETH = "eth"  # V2 on Ethereum prices in ether with 18 decimals and says so nowhere
V2_DOLLAR = "0x10f7fc1f91ba351f9c629c5947ad69bd03c05b96"  # what V2's dollar markets (Avalanche) name as base currency
_IS_ACTIVE, _IS_FROZEN = 8, 9  # words of getReserveConfigurationData


@dataclass(frozen=True)
class Aave(Plain):
    """A version of Aave: what its address provider calls the pool, and its events."""

    pool_view: str
    events: tuple[EventRule, ...]
    keeps: Keeps
    may_omit_unit: bool = False  # the first oracles of V2 have no view of their unit: it is ether
    version: int = 3
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
        units = _unit_calls(oracle)
        answers = await at.ask({"listed": call(pool, "getReservesList()")} | units)
        assets = token_list(answers["listed"])
        if assets is None:
            return State(UNREADABLE, f"pool {pool} does not answer getReservesList() ({answers['listed'].status})")
        reserves, receipts = await _reserves(at, pool, provider, assets)
        priced = self._oracle(oracle, answers) if oracle else {}
        return State(OK, reserves=reserves, emitters={pool: receipts}, oracle=priced)

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        oracle = (await at.addresses({"oracle": call(csu.registry_address, "getPriceOracle()")}))["oracle"]
        return self._oracle(oracle, await at.ask(_unit_calls(oracle))) if oracle else {}

    def _oracle(self, oracle: str | None, answers: Mapping[str, Reply]) -> dict[str, Any]:
        unit, currency = word(answers["unit"]), address(answers["currency"]) or USD
        if unit is None and self.may_omit_unit and answers["unit"].status in ("reverted", "missing"):
            return {"address": oracle, "unit": 10**18, "currency": ETH}
        return {"address": oracle, "unit": unit, "currency": USD if currency == V2_DOLLAR else currency}

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        oracle, unit = state.oracle.get("address"), state.oracle.get("unit")
        if oracle is None:
            return {}
        places = len(str(unit)) - 1
        if unit != 10**places:
            return {}  # no unit, or one that is no power of ten, is none that we know how to read
        return {
            asset: PriceRule(call(oracle, "getAssetPrice(address)", asset), places, state.oracle["currency"])
            for asset in state.assets()
            if asset != state.oracle["currency"]
        }

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        if name == "LiquidationCall":
            paid = Movement(values["debtAsset"], int(values["debtToCover"]))
            seized = Movement(values["collateralAsset"], -int(values["liquidatedCollateralAmount"]))
            return (paid,) if values["receiveAToken"] else (paid, seized)
        if name in ("Withdraw", "Borrow"):
            return (Movement(values["reserve"], -int(values["amount"])),)
        if name in ("Supply", "Deposit", "Repay"):
            return () if values.get("useATokens") else (Movement(values["reserve"], int(values["amount"])),)
        if name == "BackUnbacked":
            return (Movement(values["reserve"], int(values["amount"]) + int(values["fee"])),)
        if name == "FlashLoan":  # a loan that is kept as debt says so by a Borrow of its own
            return (Movement(values["asset"], int(values["premium"])),)
        return ()

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
            keeps=self.keeps,
            fee_token=emitter.get(values["collateralAsset"]),
        )


def _unit_calls(oracle: str | None) -> dict[str, Call]:
    if oracle is None:
        return {}
    return {"unit": call(oracle, "BASE_CURRENCY_UNIT()"), "currency": call(oracle, "BASE_CURRENCY()")}


_BOOK, _DEFICIT = "getVirtualUnderlyingBalance(address)", "getReserveDeficit(address)"  # from V3.1, from V3.3


async def _reserves(at: At, pool: str, provider: str, assets: Sequence[str]) -> tuple[list[Reserve], dict[str, str]]:
    """The reserves, and their aTokens by asset."""
    tokens = await at.ask({a: call(provider, "getReserveTokensAddresses(address)", a) for a in assets})
    settings = await at.ask({a: call(provider, "getReserveConfigurationData(address)", a) for a in assets})
    paused = await at.ask({a: call(provider, "getPaused(address)", a) for a in assets} | {pool: call(pool, "paused()")})
    books = await at.ask({(a, view): call(pool, view, a) for a in assets for view in (_BOOK, _DEFICIT)})
    found = {a: [address_at(tokens[a], i) for i in range(3)] for a in assets}  # aToken, stable debt, variable debt
    totals = await at.ask(
        {(a, i): call(t, "totalSupply()") for a, of in found.items() for i, t in enumerate(of) if t}
        | {(a, 3): call(a, "balanceOf(address)", of[0]) for a, of in found.items() if of[0]}
    )
    keeps = {view: any(word(books[a, view]) is not None for a in assets) for view in (_BOOK, _DEFICIT)}
    reserves = []
    for a in assets:
        reserve = Reserve(a, a)
        of_asset = [totals.get((a, i)) for i in range(4)]
        if of_asset[0] is None or word(tokens[a], 2) is None:
            reserve.lose(tokens[a].status if tokens[a].status != OK else "malformed")
        else:
            _fill(reserve, of_asset, *(books[a, view] if keeps[view] else None for view in (_BOOK, _DEFICIT)))
        frozen, active = word(settings[a], _IS_FROZEN), word(settings[a], _IS_ACTIVE)
        reserve.is_frozen = None if frozen is None else bool(frozen) or active == 0
        stopped = word(paused[a]) if word(paused[a]) is not None else word(paused[pool])
        reserve.is_paused = None if stopped is None else bool(stopped)
        reserves.append(reserve)
    return reserves, {a: of[0] for a, of in found.items() if of[0]}


def _fill(reserve: Reserve, totals: Sequence[Reply | None], book: Reply | None, deficit: Reply | None) -> None:
    """Amounts of a reserve from its tokens, the pool's book of its underlying and of what nobody owes any more."""
    supplied, stable, variable, balance = totals
    for reply in (supplied, stable, variable, balance, book, deficit):
        if reply is not None and word(reply) is None:
            reserve.fail(reply_status(reply))
    reserve.supplied = word(supplied) if supplied else None
    reserve.borrowed = word(variable) if variable else 0
    reserve.borrowed_stable = word(stable) if stable else 0  # gone from V3.2 on
    reserve.held = word(balance) if balance else None
    reserve.available = word(book) if book else reserve.held
    reserve.is_book = book is not None
    reserve.deficit = (word(deficit) or 0) if deficit else 0
    reserve.counted = reserve.available
    if reserve.supplied == 0 and reserve.borrowed:  # GHO before V3.4: minted for its borrower, no underlying moves
        reserve.minted, reserve.counted = reserve.borrowed + (reserve.borrowed_stable or 0), None


def address_at(reply: Reply, index: int) -> str | None:
    """The address in a word of a longer answer; None when missing or zero."""
    value = word(reply, index)
    return f"0x{value:040x}" if value else None


def _moves(signatures: Sequence[str]) -> tuple[EventRule, ...]:
    return tuple(EventRule(signature, MOVE) for signature in signatures)


V3 = Aave(
    "getPool()",
    (EventRule(LIQUIDATION, "liquidation"), EventRule(DEFICIT, "deficit"), *_moves(V3_MOVES)),
    Keeps.TRANSFER,
)
V2 = Aave(
    "getLendingPool()", (EventRule(LIQUIDATION, "liquidation"), *_moves(V2_MOVES)), Keeps.NOTHING, may_omit_unit=True
)
