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
        "escrow": call(protocol.voter, "ve()"),
    }
    if family.vote_delay_view:
        asked["delay"] = call(protocol.voter, family.vote_delay_view)
    said = await ask(client, asked, at.number)
    rules = {row["protocol"]: row for row in read_seed(config.seeds, "voting/voting_rules")}.get(protocol.name)
    found = [
        _minter(name, protocol, address(said["minter"])),
        _period(name, protocol, word(said["period"]), at.timestamp),
        await decimals(client, config, name, address(said["escrow"]), at),
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


async def decimals(client: ChainClient, config: Config, name: str, escrow: str | None, at: Block) -> Check | None:
    """The scale of votes: that of the token which the escrow locks."""
    if escrow is None:
        return None
    token = address((await ask(client, {"token": call(escrow, "token()")}, at.number))["token"])
    told = word((await ask(client, {"decimals": call(token, "decimals()")}, at.number))["decimals"]) if token else None
    if told is None:
        return None
    wanted = int(threshold(config.seeds, "votes_decimals"))
    if told != wanted:
        said = f"the token that its escrow locks has {told} decimals, seeds/thresholds.csv says {wanted}"
        return Check(f"{name} decimals", FAIL, said, "every vote would be scaled wrongly: leave this exchange out")
    return Check(f"{name} decimals", OK, f"votes have {told}")


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
    if named := section.get("pools", []):
        checks.append(await pools(client, name, named, at))
    return checks


async def pools(client: ChainClient, name: str, named: Sequence[Mapping[str, str]], at: Block) -> Check:
    """Pools that prices are taken from: there, and of the two tokens that the configuration names."""
    there = {str(pool["pool"]).lower(): {str(pool[side]).lower() for side in ("token", "quote")} for pool in named}
    missing = [pool for pool in there if not await client.has_code(pool, at.number)]
    cure = f"correct [[chains.{name}.pools]]"
    if missing:
        return Check(f"chain {name} pools", FAIL, f"no contract at {few(missing)}", cure)
    said = await ask(
        client, {(p, side): call(p, f"{side}()") for p in there for side in ("token0", "token1")}, at.number
    )
    held = {pool: {address(said[pool, side]) for side in ("token0", "token1")} for pool in there}
    if others := [pool for pool in there if None not in held[pool] and held[pool] != there[pool]]:
        tokens = few(sorted(str(token) for token in held[others[0]]))
        return Check(f"chain {name} pools", FAIL, f"{few(others)} holds other tokens: {tokens}", cure)
    return Check(f"chain {name} pools", OK, f"{len(there)} of the tokens named")


async def _feeds(client: ChainClient, config: Config, name: str, feeds: Sequence[str], at: Block) -> Check:
    asked = {(feed, what): call(feed, f"{what}()") for feed in feeds for what in ("decimals", "latestRoundData")}
    said = await ask(client, asked, at.number)
    dumb = [feed for feed in feeds if word(said[feed, "decimals"]) is None]
    if dumb:
        found = f"no price feed at {few(dumb)}"
        return Check(f"chain {name} feeds", FAIL, found, f"correct [chains.{name}.feeds]")
    stale = threshold(config.seeds, "price_stale_seconds")
    old = [f for f in feeds if (made := word(said[f, "latestRoundData"], 3)) and at.timestamp - made > stale]
    if old:
        found = f"{few(old)}: no new price for more than {stale:,.0f} s"
        return Check(f"chain {name} feeds", WARN, found, "its asset counts as unpriced: look for the feed's successor")
    return Check(f"chain {name} feeds", OK, f"{len(feeds)} answer")


async def ask(client: ChainClient, asked: Mapping[K, Call], block: int) -> dict[K, Reply]:
    replies = await client.read(list(asked.values()), block)
    return dict(zip(asked, replies, strict=True))


def few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
