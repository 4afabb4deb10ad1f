"""What providers say today: who answers, with which chain, how far back, how wide, how late; and whether the contracts
and parameters that the seeds name are what stands on the chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from eth_utils.crypto import keccak

from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.config import ChainSpec, ProviderSpec, load_chains
from extract.evm.pace import Clock
from extract.evm.transport import Answer, Endpoint, RpcCall
from extract.evm.waits import Waits
from extract.lending.plan import has_provider
from extract.lending.registry import load_registry
from extract.seeds import read_seed
from extract.voting.families import load_protocols
from operate.doctor.line import FAIL, OK, WARN, Line

ZERO = "0x" + "0" * 40
RANGES = (10_000, 2_000, 500, 10)  # blocks per eth_getLogs that providers are known to stop at
DEPTHS = (1, 1_000_000, 100_000, 10_000, 128)  # blocks behind head; the first is the chain's first block
LATE_SECONDS = 120.0
SKEW_SECONDS = 15.0  # beyond it, day ends and boundaries are decided at the wrong moment


class Header(msgspec.Struct):
    """What of a block is looked at."""

    number: str
    timestamp: str


def look(config: Config) -> list[Line]:
    """Every chain that has a provider, side by side. Never raises for what a provider does."""
    chains = load_chains(config.section("chains"), config.environ)
    used = [name for name in chains if has_provider(config, name)]
    return [line for lines in asyncio.run(_all(config, [chains[name] for name in used])) for line in lines]


async def _all(config: Config, specs: Sequence[ChainSpec]) -> list[list[Line]]:
    async with aiohttp.ClientSession() as session:
        return list(await asyncio.gather(*(_chain(config, spec, session) for spec in specs)))


async def _chain(config: Config, spec: ChainSpec, session: aiohttp.ClientSession) -> list[Line]:
    waits = Waits(f"chain {spec.name}", Clock())
    endpoints = [Endpoint(provider, session, waits) for provider in spec.providers]
    looks = await asyncio.gather(*(_provider(spec, endpoint) for endpoint in endpoints))
    sound = [endpoint for endpoint, (lines, is_sound) in zip(endpoints, looks, strict=True) if is_sound]
    told = [line for lines, _ in looks for line in lines]
    return told + (await _contracts(config, spec, sound[0]) if sound else [])


async def _ask(endpoint: Endpoint, method: str, params: list[Any], result: Any = str) -> Any:
    """The result, or the refusal."""
    [outcome] = await endpoint.ask([RpcCall(method, params, result)])
    return outcome.value if isinstance(outcome, Answer) else outcome


async def _provider(spec: ChainSpec, endpoint: Endpoint) -> tuple[list[Line], bool]:
    about, of = f"{spec.name}/{endpoint.name}", endpoint.spec
    chain = await _ask(endpoint, "eth_chainId", [])
    if not isinstance(chain, str):
        return [Line(about, FAIL, f"does not answer: {chain.message}", _cure(of))], False
    if int(chain, 16) != spec.chain_id:
        cure = f"point its variable at chain {spec.chain_id}, or mend chain_id in [chains.{spec.name}]"
        return [Line(about, FAIL, f"serves chain {int(chain, 16)}, not {spec.chain_id}", cure)], False
    head = await _ask(endpoint, "eth_getBlockByNumber", ["latest", False], Header)
    if not isinstance(head, Header):
        return [Line(about, FAIL, f"shows no head: {head.message}", _cure(of))], False
    number, lines = int(head.number, 16), [_clock(about, int(head.timestamp, 16))]
    depth = await _depth(endpoint, number)
    width = await _width(endpoint, number)
    lines.append(
        Line(f"{about} archive", OK if depth >= number - 1 else WARN, f"state of {depth:,} blocks back is served",
             "" if depth >= number - 1 else "older epochs and days need an archive provider")
    )  # fmt: skip
    cap = f", max_block_range = {of.max_block_range}" if of.max_block_range else ""
    cure = "" if width > 10 else "scans will take one request per ten blocks: see `extract lending --plan`"
    lines.append(Line(f"{about} logs", OK if width > 10 else WARN, f"{width:,} blocks a request{cap}", cure))
    return lines, True


def _cure(of: ProviderSpec) -> str:
    return f"see whether {of.name}'s key and address are right and its plan is not used up"


def _clock(about: str, stamp: int) -> Line:
    ahead = stamp - time.time()
    if ahead > SKEW_SECONDS:
        return Line(
            about, FAIL, f"its newest block is {ahead:.0f} s ahead of this clock", "set this machine's clock (ntp)"
        )
    if -ahead > LATE_SECONDS:
        return Line(
            about, WARN, f"its newest block is {-ahead:.0f} s old", "another provider, or this clock is fast (ntp)"
        )
    return Line(about, OK, f"answers; newest block {max(-ahead, 0):.0f} s old")


async def _depth(endpoint: Endpoint, head: int) -> int:
    """Blocks behind head whose state is served, by the depths that are tried; 0 where none is."""
    for back in DEPTHS:
        number = 1 if back == 1 else head - back
        if number < 1:
            continue
        if isinstance(await _ask(endpoint, "eth_getBalance", [ZERO, hex(number)]), str):
            return head - number
    return 0


async def _width(endpoint: Endpoint, head: int) -> int:
    """Blocks per eth_getLogs that are taken (of a filter that matches nothing)."""
    for width in RANGES:
        asked = {"address": ZERO, "fromBlock": hex(max(head - width + 1, 0)), "toBlock": hex(head)}
        if isinstance(await _ask(endpoint, "eth_getLogs", [asked], list), list):
            return width
    return 0


async def _contracts(config: Config, spec: ChainSpec, endpoint: Endpoint) -> list[Line]:
    """Contracts of the seeds and the configuration that have no code today, and voting rules that differ."""
    try:
        protocols = [p for p in load_protocols(config.section("voting")).values() if p.chain == spec.name]
        csus = [csu for csu in load_registry(config).values() if csu.chain == spec.name]
        rules = {str(row["protocol"]): row for row in read_seed(config.seeds, "voting/voting_rules")}
    except ForeshoreError:
        return []  # told where the configuration is read
    wanted = {
        f"{p.name} {part}": address for p in protocols for part, address in (("voter", p.voter), ("minter", p.minter))
    }
    wanted |= {f"{csu.csu_id} registry": csu.registry_address for csu in csus}
    wanted |= {f"price feed of {token}": str(feed) for token, feed in
               config.section("chains")[spec.name].get("feeds", {}).items()}  # fmt: skip
    lines = []
    for name, address in wanted.items():
        code = await _ask(endpoint, "eth_getCode", [address, "latest"])
        if code in ("0x", "0x0", ""):
            cure = "mend the address, or end it in the seed: it was moved or never stood there"
            lines.append(Line(f"{spec.name} {name}", FAIL, f"no contract at {address}", cure))
    for protocol in protocols:
        lines += await _rules(endpoint, protocol.name, protocol.voter, rules.get(protocol.name, {}))
    told = Line(f"{spec.name} contracts", OK, f"{len(wanted)} of the seeds and the configuration have code")
    return lines or ([told] if wanted else [])


async def _rules(endpoint: Endpoint, name: str, voter: str, rule: Any) -> list[Line]:
    """The seed's limits of a voter against `maxVotingNum()` and `VOTE_DELAY()`, where the contract has them."""
    found = []
    if rule.get("max_gauges"):
        now = await _number(endpoint, voter, "maxVotingNum()")
        if now is not None and now != int(rule["max_gauges"]):
            cure = "mend max_gauges in seeds/voting/voting_rules.csv"
            found.append(
                Line(f"{name} rules", FAIL, f"takes {now} gauges today, the seed says {rule['max_gauges']}", cure)
            )
    if rule and not rule.get("votes_per_epoch") and (delay := await _number(endpoint, voter, "VOTE_DELAY()")):
        cure = "mend votes_per_epoch in seeds/voting/voting_rules.csv: re-votes are not free any more"
        found.append(Line(f"{name} rules", FAIL, f"asks {delay} s between votes today, the seed says none", cure))
    return found


async def _number(endpoint: Endpoint, address: str, signature: str) -> int | None:
    data = "0x" + keccak(text=signature)[:4].hex()
    told = await _ask(endpoint, "eth_call", [{"to": address, "data": data}, "latest"])
    return int(told, 16) if isinstance(told, str) and len(told) == 66 else None
