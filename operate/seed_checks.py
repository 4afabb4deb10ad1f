"""What the configuration and the seeds say of contracts, held against the contracts themselves at a final block.

A view that a contract does not have says nothing: only an answer that differs is a finding, with its cure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from extract.config import Config
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.views import address, call, word
from extract.lending.registry import Csu, load_registry
from extract.seeds import WEEK, read_seed, threshold
from extract.voting.families import Protocol
from operate.checks import FAIL, OK, WARN, Check

RULES = "seeds/voting/voting_rules.csv"
SHOWN = 5
K = TypeVar("K")


async def exchange(client: ChainClient, config: Config, protocol: Protocol, at: Block) -> list[Check]:
    """Minter, epoch, delay between votes, closed time and most pools of one exchange."""
    family, name = protocol.family, f"exchange {protocol.name}"
    asked = {
        "minter": call(protocol.voter, "minter()"),
        "period": call(protocol.minter, family.epoch_view),
        "closes": call(protocol.voter, "epochVoteEnd(uint256)", at.timestamp),
        "pools": call(protocol.voter, "maxVotingNum()"),
    }
    if family.vote_delay_view:
        asked["delay"] = call(protocol.voter, family.vote_delay_view)
    said = await _ask(client, asked, at.number)
    rules = {row["protocol"]: row for row in read_seed(config.seeds, "voting/voting_rules")}.get(protocol.name)
    found = [
        _minter(name, protocol, address(said["minter"])),
        _period(name, protocol, word(said["period"]), at.timestamp),
    ]
    if rules is None:
        found.append(Check(f"{name} rules", FAIL, f"{RULES} has no row of it", f"add one for {protocol.name}"))
    else:
        found += [
            _delay(name, rules, word(said["delay"]) if "delay" in said else None),
            _closes(name, rules, word(said["closes"]), at.timestamp),
            _most(name, rules, word(said["pools"])),
        ]
    return [check for check in found if check is not None]


def _minter(name: str, protocol: Protocol, told: str | None) -> Check | None:
    if told is None:
        return None
    if told != protocol.minter:
        said = f"its voter names {told}, the configuration {protocol.minter}"
        return Check(f"{name} minter", FAIL, said, f'set minter = "{told}" in [voting.{protocol.name}]')
    return Check(f"{name} minter", OK, "the one that its voter names")


def _period(name: str, protocol: Protocol, told: int | None, now: int) -> Check | None:
    if told is None:
        said = f"its minter does not answer {protocol.family.epoch_view}"
        return Check(f"{name} epoch", FAIL, said, f"correct minter or family in [voting.{protocol.name}]")
    if told % protocol.family.epoch_anchor_mod:
        said = f"its epoch began at {told}, which is no multiple of {protocol.family.epoch_anchor_mod} s"
        cure = f"its epochs are not weeks that begin on Thursday: set epoch_anchor_mod in [voting.{protocol.name}]"
        return Check(f"{name} epoch", FAIL, said, cure)
    if not now - 2 * WEEK < told <= now:
        said = f"its newest epoch began at {told}, {(now - told) / WEEK:.1f} weeks before this block"
        return Check(f"{name} epoch", WARN, said, "nobody has turned its epoch: is it still in use?")
    return Check(f"{name} epoch", OK, f"weeks; the present one began at {told}")


def _delay(name: str, rules: Mapping[str, str], told: int | None) -> Check | None:
    if told is None:
        return None
    if told and not rules["votes_per_epoch"]:
        said = f"a voter must wait {told} s between two votes, and {RULES} says that they are free"
        cure = f"say so in its description there, and leave more than {told} s between the votes of a night"
        return Check(f"{name} delay", FAIL, said, cure)
    return Check(f"{name} delay", OK, f"{told} s between two votes")


def _closes(name: str, rules: Mapping[str, str], told: int | None, now: int) -> Check | None:
    if told is None:
        return None
    closed, wanted = (now // WEEK + 1) * WEEK - told, int(rules["closed_seconds_before"])
    if closed != wanted:
        said = f"it takes no vote in the last {closed} s of an epoch, {RULES} says {wanted} s"
        return Check(f"{name} last vote", FAIL, said, f"set closed_seconds_before to {closed} there")
    return Check(f"{name} last vote", OK, f"{closed} s before the boundary")


def _most(name: str, rules: Mapping[str, str], told: int | None) -> Check | None:
    if told is None:
        return None
    wanted = int(rules["max_gauges"]) if rules["max_gauges"] else None
    if told != wanted:
        said = f"one vote may name {told} pools, {RULES} says {wanted or 'any number'}"
        return Check(f"{name} pools", FAIL, said, f"set max_gauges to {told} there")
    return Check(f"{name} pools", OK, f"{told} in one vote")


async def chain(client: ChainClient, config: Config, at: Block) -> list[Check]:
    """Multicall3, the price feeds and the pools of one chain."""
    name, section = client.spec.name, config.section("chains")[client.spec.name]
    multicall = client.spec.multicall_address
    checks = []
    if not await client.has_code(multicall, at.number):
        cure = f"set multicall_address in [chains.{name}] to where Multicall3 stands there"
        return [Check(f"chain {name} multicall", FAIL, f"no contract at {multicall}", cure)]
    feeds = sorted({str(feed).lower() for feed in section.get("feeds", {}).values()})
    if feeds:
        checks.append(await _feeds(client, config, name, feeds, at))
    pools = [str(pool.get("pool", "")).lower() for pool in section.get("pools", [])]
    if missing := [pool for pool in pools if not await client.has_code(pool, at.number)]:
        said = f"no contract at {_few(missing)}"
        checks.append(Check(f"chain {name} pools", FAIL, said, f"correct [[chains.{name}.pools]]"))
    return checks


async def _feeds(client: ChainClient, config: Config, name: str, feeds: Sequence[str], at: Block) -> Check:
    asked = {(feed, what): call(feed, f"{what}()") for feed in feeds for what in ("decimals", "latestRoundData")}
    said = await _ask(client, asked, at.number)
    dumb = [feed for feed in feeds if word(said[feed, "decimals"]) is None]
    if dumb:
        found = f"no price feed at {_few(dumb)}"
        return Check(f"chain {name} feeds", FAIL, found, f"correct [chains.{name}.feeds]")
    stale = threshold(config.seeds, "price_stale_seconds")
    old = [f for f in feeds if (made := word(said[f, "latestRoundData"], 3)) and at.timestamp - made > stale]
    if old:
        found = f"{_few(old)}: no new price for more than {stale:,.0f} s"
        return Check(f"chain {name} feeds", WARN, found, "its asset counts as unpriced: look for the feed's successor")
    return Check(f"chain {name} feeds", OK, f"{len(feeds)} answer")


async def deployments(client: ChainClient, config: Config, at: Block) -> list[Check]:
    """The CSUs of one chain: whether their contracts are there, and Aave's pools those that their registries name."""
    mine = [csu for csu in load_registry(config).values() if csu.chain_id == client.chain_id]
    if not mine:
        return []
    gone = [csu for csu in mine if not await client.has_code(csu.registry_address, at.number)]
    said = await _ask(client, {csu.csu_id: call(csu.registry_address, "getPool()") for csu in mine}, at.number)
    moved = [csu for csu in mine if _has_moved(csu, address(said[csu.csu_id]))]
    name = f"chain {client.spec.name} CSUs"
    where = "correct registry_address in seeds/lending/csu_registry.csv or [[lending.csus]]"
    checks = [
        Check(f"{name} {csu.csu_id}", FAIL, f"no contract at {csu.registry_address} at block {at.number}", where)
        for csu in gone
    ]
    for csu in moved:
        found = f"its registry names the pool {address(said[csu.csu_id])}, the seed {csu.second_address}"
        checks.append(Check(f"{name} {csu.csu_id}", FAIL, found, "correct second_address there"))
    return checks or [Check(name, OK, f"{len(mine)} deployments are where the registry says")]


def _has_moved(csu: Csu, pool: str | None) -> bool:
    return csu.family == "aave_v3" and pool is not None and csu.second_address not in (None, pool)


async def _ask(client: ChainClient, asked: Mapping[K, Call], block: int) -> dict[K, Reply]:
    replies = await client.read(list(asked.values()), block)
    return dict(zip(asked, replies, strict=True))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
