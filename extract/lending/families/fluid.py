"""Fluid: every token stands in one Liquidity contract; vaults lend through it and log their own liquidations.

Sources: Instadapp/fluid-contracts-public contracts/liquidity/common/variables.sol (slots), libraries/
liquiditySlotsLink.sol and liquidityCalcs.sol (bits, interest, totals), protocols/vault/factory/main.sol,
protocols/vault/interfaces/iVaultT1.sol and iVault.sol (constants), vaultT1/coreModule/events.sol.

Liquidity's storage is read, not a resolver. Resolvers are redeployed and their struct changes at blocks (19992056 and
19992222 on Ethereum), so each needs its own address and decoding per block; slots 5, 7 and 10 and their bits are the
same in every published version of Liquidity, and `readFromStorage` is in its proxy since the first block. Interest
since a token's last write is added here as `LiquidityCalcs.calcExchangePrices` would add it.

There is no borrower in a liquidation: a vault liquidates ticks of debt, not positions. Vaults of type 2 to 4 lend or
take shares of a DEX pool; what such a share was worth is in no event, so that leg is left without an asset and the
row's status names why. Fluid has no oracle in dollars: prices come from feeds and configured sources.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from extract.evm.calls import Call, Reply
from extract.evm.views import call, word
from extract.lending.families.aave import address_at
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
)
from extract.lending.registry import Csu

LIQUIDATE = "LogLiquidate(address liquidator_, uint256 colAmt_, uint256 debtAmt_, address to_)"  # nothing is indexed
READ = "readFromStorage(bytes32)"
PRICES_SLOT, TOTALS_SLOT, TOKENS_SLOT = 5, 7, 10
PRICE_UNIT = 10**12
YEAR = 365 * 86_400
PERCENT = 10_000  # 100 %, of rates, fees and ratios
_RAY = 10**27
_PAUSED_BIT = 255
T1 = 10_000
TYPES = {T1: OK, 20_000: "smart_collateral", 30_000: "smart_debt", 40_000: "smart_collateral_and_debt"}
_T1_WORDS, _WORDS = 13, 18  # of constantsView: iVaultT1.sol, iVault.sol


@dataclass(frozen=True)
class Fluid(Plain):
    """Liquidity (the registry address) and the factory of its vaults (the second address)."""

    version: int = 2
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATE, "liquidation"),)
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        liquidity, factory = csu.registry_address, csu.second_address
        if factory is None:
            return State(UNREADABLE, f"{csu.csu_id} has no vault factory: add its second_address to the registry row")
        found = await at.ask({"tokens": _slot(liquidity, TOKENS_SLOT), "vaults": call(factory, "totalVaults()")})
        count = word(found["tokens"])
        if count is None:
            return absent(csu, READ, found["tokens"])
        vaults = word(found["vaults"])
        if vaults is None:  # vaults that are not known are not scanned: no liquidation would look like none at all
            why = "no code there" if found["vaults"].status == "missing" else reply_status(found["vaults"])
            return State(
                UNREADABLE,
                f"vault factory {factory} does not answer totalVaults() at block {at.block} ({why}): "
                "check second_address of the registry row",
            )
        start = int.from_bytes(keccak(TOKENS_SLOT.to_bytes(32, "big")), "big")
        listed = await at.ask({i: _slot(liquidity, start + i) for i in range(count)})
        reserves = await _reserves(at, liquidity, {i: address_at(reply, 0) for i, reply in listed.items()}, listed)
        emitters = await _vaults(at, factory, vaults)
        if len(emitters) < vaults:
            return State(UNREADABLE, f"vault factory {factory} does not name all its {vaults} vaults: try again")
        return State(OK, reserves=reserves, emitters=emitters)

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        return {}

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        return Legs(
            liquidator=values["liquidator_"],
            market_id=emitter.get("vault"),
            debt_asset=emitter.get("debt"),
            debt=int(values["debtAmt_"]),
            collateral_token=emitter.get("collateral") or emitter.get("shares"),
            collateral_token_amount=int(values["colAmt_"]),
            collateral_asset=emitter.get("collateral"),
            status=emitter.get("status", OK),
        )


def _slot(target: str, slot: int) -> Call:
    return call(target, READ, slot.to_bytes(32, "big"))


def mapping_slot(slot: int, key: str) -> int:
    """Where `mapping(address => ...)` at `slot` keeps `key`: keccak256(abi.encode(key, slot))."""
    return int.from_bytes(keccak(int(key, 16).to_bytes(32, "big") + slot.to_bytes(32, "big")), "big")


async def _reserves(
    at: At, liquidity: str, tokens: Mapping[int, str | None], listed: Mapping[int, Reply]
) -> list[Reserve]:
    known = [t for t in tokens.values() if t]
    prices = await at.ask({t: _slot(liquidity, mapping_slot(PRICES_SLOT, t)) for t in known})
    totals = await at.ask({t: _slot(liquidity, mapping_slot(TOTALS_SLOT, t)) for t in known})
    reserves = []
    for i, token in tokens.items():
        reserve = Reserve(token or f"token:{i}", token)
        if token is None:
            reserve.lose("malformed" if listed[i].status == OK else listed[i].status)
            reserves.append(reserve)
            continue
        config, amounts = word(prices[token]), word(totals[token])
        for reply in (prices[token], totals[token]):
            if word(reply) is None:
                reserve.fail(reply_status(reply))
        grown = exchange_prices(config, at.timestamp) if config else None
        if config is not None and amounts is not None and (grown or not amounts):
            supply_price, borrow_price = grown or (PRICE_UNIT, PRICE_UNIT)
            reserve.supplied = _total(amounts, 0, supply_price)
            reserve.borrowed = _total(amounts, 128, borrow_price)
            reserve.available = max(reserve.supplied - reserve.borrowed, 0)
            reserve.is_paused = bool(config >> _PAUSED_BIT & 1)
        else:
            reserve.lose("no_exchange_price")  # the contract itself reverts then
        reserves.append(reserve)
    return reserves


def _total(amounts: int, bit: int, price: int) -> int:
    """Interest-free plus grown amount of one side: two BigMath numbers of 56 | 8 bits, raw first."""
    raw, free = (_big(amounts >> bit + shift & 2**64 - 1) for shift in (0, 64))
    return free + raw * price // PRICE_UNIT


def _big(number: int) -> int:
    """BigMath: a coefficient over an exponent of 8 bits."""
    return number >> 8 << (number & 0xFF)


def exchange_prices(config: int, timestamp: int) -> tuple[int, int] | None:
    """(supply, borrow) exchange prices at a time (1e12), from a token's packed `exchangePricesAndConfig`.

    LiquidityCalcs.calcExchangePrices, with its integer divisions; None where it would revert (a price of zero).
    """
    rate, fee = config & 0xFFFF, config >> 16 & 0x3FFF
    utilization, updated = config >> 30 & 0x3FFF, config >> 58 & 2**33 - 1
    supply, borrow = config >> 91 & 2**64 - 1, config >> 155 & 2**64 - 1
    supply_ratio, borrow_ratio = config >> 219 & 0x7FFF, config >> 234 & 0x7FFF
    if not supply or not borrow:
        return None
    elapsed = max(timestamp - updated, 0)
    if not elapsed or not rate or borrow_ratio == 1:  # 1: nobody borrows with interest
        return supply, borrow
    borrow += borrow * rate * elapsed // (YEAR * PERCENT)
    if supply_ratio == 1:  # nobody supplies with interest
        return supply, borrow
    if supply_ratio & 1:
        inverted = _RAY * PERCENT // (supply_ratio >> 1)
        share = utilization * (_RAY + inverted) // PERCENT
    else:
        share = _RAY * utilization * (PERCENT + (supply_ratio >> 1)) // PERCENT**2
    paying = (borrow_ratio >> 1) * _RAY // (PERCENT + (borrow_ratio >> 1))
    if not borrow_ratio & 1:
        paying = _RAY - paying
    yielded = rate * (PERCENT * share * paying // 10**54) * (PERCENT - fee)
    return supply + supply * yielded * elapsed // (YEAR * PERCENT**3), borrow


async def _vaults(at: At, factory: str, count: int) -> dict[str, Mapping[str, Any]]:
    """Every vault with its tokens. The two layouts of constantsView tell type 1 from types 2 to 4."""
    found = await at.addresses({i: call(factory, "getVaultAddress(uint256)", i) for i in range(1, count + 1)})
    constants = await at.ask({v: call(v, "constantsView()") for v in found.values() if v})
    return {vault: {"vault": vault} | _constants(reply) for vault, reply in constants.items()}


def _constants(reply: Reply) -> dict[str, Any]:
    words = len(reply.data) // 32 if reply.status == OK else 0
    if words == _T1_WORDS:
        return {"status": OK, "collateral": address_at(reply, 4), "debt": address_at(reply, 5)}
    if words != _WORDS:
        return {"status": f"vault_{reply_status(reply) if words == 0 else 'unknown'}"}
    status = TYPES.get(word(reply, 13) or 0, "vault_unknown")
    if status == "vault_unknown":
        return {"status": status}
    sides: dict[str, Any] = {"status": status}
    if "collateral" in status:
        sides["shares"] = address_at(reply, 6)  # the DEX pool whose shares stand as collateral
    else:
        sides["collateral"] = address_at(reply, 8)
    if "debt" not in status:
        sides["debt"] = address_at(reply, 10)
    return sides


FAMILY = Fluid()
