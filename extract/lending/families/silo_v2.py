"""Silo V2: a factory makes pairs of silos; each lends one asset against the other's.

Sources: silo-finance/silo-contracts-v2 silo-core/contracts/SiloFactory.sol, interfaces/ISilo.sol and ISiloConfig.sol,
hooks/liquidation/PartialLiquidation.sol, interfaces/ISiloOracle.sol. `getCollateralAssets` and `getDebtAssets` include
interest up to the block (`getTotalAssetsStorage` does not); protected deposits (type 0) can never be lent and are a
reserve of their own. Liquidations are logged by a pair's hook. The event names the silo of the debt only: what was
seized is taken to be the other silo's asset, which is wrong for a loan of the asset that secures it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from extract.evm.calls import Reply
from extract.evm.views import address, call, word
from extract.lending.families.aave import address_at
from extract.lending.families.base import (
    COLLATERAL,
    MARKET,
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

LIQUIDATION = (
    "LiquidationCall(address indexed liquidator, address indexed silo, address indexed borrower, "
    "uint256 repayDebtAssets, uint256 withdrawCollateral, bool receiveSToken)"
)
PROTECTED = 0  # ISilo.AssetType
_ORACLE, _HOOK = 7, 15  # words of ISiloConfig.ConfigData
_AMOUNTS = ("getCollateralAssets()", "getDebtAssets()", "getLiquidity()")


@dataclass(frozen=True)
class SiloV2(Plain):
    """One silo factory."""

    version: int = 2
    events: tuple[EventRule, ...] = (EventRule(LIQUIDATION, "liquidation"),)
    has_memory: bool = False

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        factory = csu.registry_address
        following = (await at.ask({"next": call(factory, "getNextSiloId()")}))["next"]
        count = word(following)
        if count is None:
            return absent(csu, "getNextSiloId()", following)
        named = await at.ask({i: call(factory, "idToSiloConfig(uint256)", i) for i in range(1, count)})
        configs = [c for c in (address(reply) for reply in named.values()) if c]  # a factory may start at a later id
        unread = [i for i, reply in named.items() if word(reply) is None]
        if unread:
            why = reply_status(named[unread[0]])
            return State(
                UNREADABLE, f"factory {factory} does not answer idToSiloConfig({unread[0]}) ({why}): try again"
            )
        pairs = await at.ask({c: call(c, "getSilos()") for c in configs})
        state = State(OK)
        unhooked = await _read_pairs(at, pairs, state)
        if unhooked:  # a hook that is not known is not scanned: no liquidation there would look like none at all
            return State(UNREADABLE, f"config {unhooked[0]} does not answer getConfig(address): try again")
        return state

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        """A solvency oracle quotes a silo's asset in a token: often the other silo's, which then needs no oracle."""
        rules: dict[str, PriceRule] = {}
        lent = (r for r in state.reserves if r.role != COLLATERAL)
        for reserve in sorted(lent, key=lambda r: (-(r.supplied or 0), r.reserve_id)):
            asset, (oracle, quote) = reserve.asset, state.oracle.get(reserve.reserve_id, (None, None))
            if asset is None or asset in rules or asset not in decimals or oracle is None or quote in (None, asset):
                continue
            if quote in decimals:
                asked = call(oracle, "quote(uint256,address)", 10 ** decimals[asset], asset)
                rules[asset] = PriceRule(asked, decimals[quote], quote, MARKET)
        return rules

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        debt = emitter.get("silos", {}).get(values["silo"], {})
        return Legs(
            liquidator=values["liquidator"],
            borrower=values["borrower"],
            market_id=values["silo"],
            debt_asset=debt.get("asset"),
            debt=int(values["repayDebtAssets"]),
            collateral_token=debt.get("other"),
            collateral_token_amount=int(values["withdrawCollateral"]),
            collateral_asset=debt.get("other"),
            status=OK if debt else "silo_unknown",
        )


async def _read_pairs(at: At, pairs: Mapping[str, Reply], state: State) -> list[str]:
    """Fill in the reserves, hooks and oracles of every pair; returns configs whose hook is not known."""
    both = {c: (address_at(reply, 0), address_at(reply, 1)) for c, reply in pairs.items()}
    whole = {c: (a, b) for c, (a, b) in both.items() if a and b}
    silos = [(c, s) for c, pair in whole.items() for s in pair]
    configs = await at.ask({s: call(c, "getConfig(address)", s) for c, s in silos})
    assets = await at.ask({s: call(s, "asset()") for _, s in silos})
    amounts = await at.ask({(s, view): call(s, view) for _, s in silos for view in _AMOUNTS})
    protected = await at.ask({s: call(s, "getTotalAssetsStorage(uint8)", PROTECTED) for _, s in silos})
    oracles = {s: address_at(configs[s], _ORACLE) for _, s in silos}
    quotes = await at.addresses({s: call(o, "quoteToken()") for s, o in oracles.items() if o})
    state.oracle = {s: (o, quotes.get(s)) for s, o in oracles.items()}
    for c, s in silos:
        lent = Reserve(s, address(assets[s]), market_id=c)
        for reply in (assets[s], *(amounts[s, view] for view in _AMOUNTS)):
            if word(reply) is None:
                lent.fail(reply_status(reply))
        lent.supplied, lent.borrowed, lent.available = (word(amounts[s, view]) for view in _AMOUNTS)
        kept = Reserve(f"{s}:protected", lent.asset, COLLATERAL, c, supplied=word(protected[s]))
        kept.available = kept.supplied
        if kept.supplied is None:
            kept.fail(reply_status(protected[s]))
        state.reserves += [lent, kept]
    for pair in whole.values():
        _add_hooks(state, pair, configs, {s: address(assets[s]) for s in pair})
    return [c for c, s in silos if word(configs[s], _HOOK) is None] + sorted(pairs.keys() - whole.keys())


def _add_hooks(
    state: State, pair: tuple[str, str], configs: Mapping[str, Reply], assets: Mapping[str, str | None]
) -> None:
    """The hook of a pair logs its liquidations; one hook may serve many pairs."""
    for silo, other in (pair, pair[::-1]):
        hook = address_at(configs[silo], _HOOK)
        if hook:
            known = dict(state.emitters.get(hook, {}).get("silos", {}))
            state.emitters[hook] = {"silos": known | {silo: {"asset": assets[silo], "other": assets[other]}}}


FAMILY = SiloV2()
