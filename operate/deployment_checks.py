"""What the registry of lending deployments says, held against the chain at a final block: place, start, price oracle.

A view that a contract does not have says nothing: only an answer that differs is a finding, with its cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from extract.config import Config
from extract.evm.blocks import Block
from extract.evm.calls import Call
from extract.evm.client import ChainClient
from extract.evm.errors import EvmError
from extract.evm.views import address, call, word
from extract.lending.registry import Csu, load_registry
from operate.checks import FAIL, OK, WARN, Check
from operate.seed_checks import ask, few

WHERE = "seeds/lending/csu_registry.csv or [[lending.csus]]"
DAY = 86_400


@dataclass(frozen=True)
class Oracle:
    """How a family's oracle is found and asked: the registry's view of it, who lists what it prices ("": the registry),
    by which view, and the view of one price. Without a list the oracle is a feed and tells of itself."""

    named_by: str
    listed_by: str
    listed: str
    price: str


ORACLES = {
    "aave_v2": Oracle("getPriceOracle()", "getLendingPool()", "getReservesList()", "getAssetPrice(address)"),
    "aave_v3": Oracle("getPriceOracle()", "getPool()", "getReservesList()", "getAssetPrice(address)"),
    "compound_v2": Oracle("oracle()", "", "getAllMarkets()", "getUnderlyingPrice(address)"),
    "compound_v3": Oracle("baseTokenPriceFeed()", "", "", "latestRoundData()"),
}


async def deployments(client: ChainClient, config: Config, at: Block) -> list[Check]:
    """The CSUs of one chain. Errors: EvmError."""
    mine = [csu for csu in load_registry(config).values() if csu.chain_id == client.chain_id]
    if not mine:
        return []
    name = f"chain {client.spec.name} CSUs"
    gone = [csu for csu in mine if not await client.has_code(csu.registry_address, at.number)]
    there = [csu for csu in mine if csu not in gone]
    found = [
        Check(
            f"{name} {csu.csu_id}",
            FAIL,
            f"no contract at {csu.registry_address} at block {at.number}",
            f"correct registry_address in {WHERE}",
        )
        for csu in gone
    ]
    found += await _moved(client, name, there, at)
    found += await _starts(client, name, there, at)
    found += await _oracles(client, name, there, at)
    return found or [Check(name, OK, f"{len(mine)} deployments are where, and since when, the registry says")]


async def _moved(client: ChainClient, name: str, csus: Sequence[Csu], at: Block) -> list[Check]:
    """Aave's pools, which their address providers name."""
    mine = [csu for csu in csus if csu.family == "aave_v3" and csu.second_address is not None]
    said = await ask(client, {csu.csu_id: call(csu.registry_address, "getPool()") for csu in mine}, at.number)
    pools = {csu: address(said[csu.csu_id]) for csu in mine}
    return [
        Check(
            f"{name} {csu.csu_id}",
            FAIL,
            f"its registry names the pool {pool}, the seed {csu.second_address}",
            "correct second_address there",
        )
        for csu, pool in pools.items()
        if pool not in (None, csu.second_address)
    ]


async def _starts(client: ChainClient, name: str, csus: Iterable[Csu], at: Block) -> list[Check]:
    """Code at `start_block`, and none a day before it: a start that is too late would miss days without a word."""
    found = []
    day_before = int(DAY / client.spec.block_seconds)
    for csu in csus:
        start = csu.start_block
        if start is None:
            continue
        cure = f"correct start_block in {WHERE}"
        if start > at.number:
            said = f"start_block {start:,} is after the newest final block {at.number:,}"
            found.append(Check(f"{name} {csu.csu_id} start", FAIL, said, cure))
            continue
        try:
            is_there = await client.has_code(csu.registry_address, start)
            was_there = start > day_before and await client.has_code(csu.registry_address, start - day_before)
        except EvmError:
            said = f"no provider keeps the state of block {start:,}: its start was not looked at"
            found.append(Check(f"{name} {csu.csu_id} start", WARN, said, "history needs an archive provider"))
            continue
        if not is_there:
            said = f"there is no contract yet at its start_block {start:,}"
            found.append(Check(f"{name} {csu.csu_id} start", FAIL, said, cure))
        elif was_there:
            said = f"it stood a day before its start_block {start:,} already: what was before is not extracted"
            found.append(Check(f"{name} {csu.csu_id} start", WARN, said, cure))
    return found


async def _oracles(client: ChainClient, name: str, csus: Iterable[Csu], at: Block) -> list[Check]:
    """One price of each deployment's oracle, where the family has one for all."""
    of = {csu: ORACLES[csu.family] for csu in csus if csu.family in ORACLES}
    named = await ask(client, {csu: call(csu.registry_address, how.named_by) for csu, how in of.items()}, at.number)
    oracles = {csu: address(reply) for csu, reply in named.items()}
    first = await _first_listed(client, of, at)
    prices: dict[Csu, Call] = {}
    for csu, how in of.items():
        if (oracle := oracles[csu]) is not None and not how.listed:
            prices[csu] = call(oracle, how.price)
        elif oracle is not None and csu in first:
            prices[csu] = call(oracle, how.price, first[csu])
    told = await ask(client, prices, at.number)
    found = []
    if without := [csu.csu_id for csu, oracle in oracles.items() if oracle is None]:
        words = f"the registries of {few(without)} name no oracle"
        found.append(Check(f"{name} oracles", WARN, words, "their days would lack the protocol's prices"))
    if dumb := [csu.csu_id for csu, reply in told.items() if not word(reply, 0 if of[csu].listed else 1)]:
        words = f"the oracles of {few(dumb)} give no price of what is listed first"
        found.append(Check(f"{name} oracles", WARN, words, "their days would lack prices: look what governance did"))
    return found


async def _first_listed(client: ChainClient, of: Mapping[Csu, Oracle], at: Block) -> dict[Csu, str]:
    """The first thing that each deployment lists, where it lists any."""
    asked = {csu: call(csu.registry_address, how.listed_by) for csu, how in of.items() if how.listed_by}
    named = {csu: address(reply) for csu, reply in (await ask(client, asked, at.number)).items()}
    listers = {csu: named.get(csu) or csu.registry_address for csu, how in of.items() if how.listed}
    lists = await ask(client, {csu: call(who, of[csu].listed) for csu, who in listers.items()}, at.number)
    return {csu: f"0x{place:040x}" for csu, reply in lists.items() if (place := word(reply, 2))}
