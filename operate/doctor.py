"""What a set-up needs before it works: configuration, keys, providers, clocks, disk, versions; each with its cure."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, load_chains
from extract.evm.errors import EvmError
from extract.evm.redact import redact
from extract.lake import Lake
from extract.ledger import Ledger
from extract.store import refusal
from extract.voting.families import load_protocols
from operate import deployment_checks, seed_checks
from operate.checks import FAIL, OK, WARN, Check
from operate.warehouse import Warehouse

LIBRARIES = ("duckdb", "dbt-core", "dbt-duckdb", "dlt", "web3", "pyarrow")
LEAST_FREE_BYTES = 5 * 2**30
MOST_SKEW_SECONDS = 30.0
OLD_BLOCKS = 1_000_000  # how far back an archive is asked for
RANGE = 2_000  # blocks of one log request


def examine(config: Config) -> list[Check]:
    """Every check that can be made from here; nothing is fetched for keeps."""
    versions = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in LIBRARIES)]
    checks = [
        Check("configuration", OK, str(config.path)),
        Check("versions", OK, ", ".join(versions)),
        _store(config),
        *_simulated(config),
        _disk(config.root),
    ]
    chains = load_chains(config.section("chains"), config.environ)
    for name in chains:
        named = [p.get("url_env") for p in config.section("chains")[name].get("providers", []) if p.get("url_env")]
        there = [variable for variable in named if config.environ.get(variable)]
        literal = any("url" in p for p in config.section("chains")[name].get("providers", []))
        if not there and not literal:
            found = "no provider: this chain is not used"
            checks.append(Check(f"chain {name}", WARN, found, f"set {' or '.join(named)} to the URL of an endpoint"))
            continue
        try:
            checks += asyncio.run(_chain(config, chains[name]))
        except ForeshoreError as error:
            checks.append(Check(f"chain {name}", FAIL, redact(str(error)), "check the URL, the key and the network"))
    return checks


def _store(config: Config) -> Check:
    lake = Lake.of(config)
    try:
        told = lake.holds_simulated()
    except Exception as error:  # an object store's libraries each raise their own
        if (refused := refusal(error)) is None and not isinstance(error, OSError | ValueError):
            raise
        said = f"{config.raw_url} cannot be read: {refused or type(error).__name__}"
        return Check("store", FAIL, said, "check [storage] raw_url")
    if told is None:
        return Check("store", OK, f"{config.raw_url}: empty yet")
    if told != config.is_simulated:
        words = {True: "the embedded world's", False: "real"}
        said = f"{config.raw_url} holds {words[told]} data, and this configuration is {words[config.is_simulated]}"
        return Check("store", FAIL, said, "give one of them another [storage] root")
    return Check("store", OK, f"{config.raw_url}: {'simulated' if told else 'real'} data")


def _simulated(config: Config) -> list[Check]:
    """Where a real set-up has something of the embedded world: what was published, what landed, whom it asks."""
    if config.is_simulated:
        return []
    checks, chains = [], config.section("chains")
    units = Warehouse.of(config).shelf.units()
    if wrong := sorted(unit for unit, made in units.items() if made.is_simulated):
        found = f"what is published of {', '.join(wrong)} is the embedded world's"
        checks.append(Check("published data", FAIL, found, "build anew from a real store, or give it another root"))
    known = {int(table["chain_id"]) for table in chains.values() if "chain_id" in table}
    try:
        states = Ledger.read(Lake.of(config)).states.values()
        landed = {s.newest["chain_id"] for s in states if s.newest["chain_id"]}
    except Exception as error:  # said by the check of the store already
        if refusal(error) is None and not isinstance(error, OSError | ValueError | ForeshoreError):
            raise
        landed = set()
    if strange := sorted(landed - known):
        found = f"it holds rows of chain ids {', '.join(map(str, strange))}, which no [chains.NAME] has"
        cure = "the embedded world's, or of a chain that was taken out: extract anew into another root, or name it"
        checks.append(Check("store's chains", FAIL, found, cure))
    near = sorted(name for name, table in chains.items() if any("url" in p for p in table.get("providers", [])))
    if near:
        found = f"{', '.join(near)}: a provider on this machine (`url`)"
        cure = "fine for a node of your own; the embedded world's chain belongs to a root with is_simulated = true"
        checks.append(Check("providers here", WARN, found, cure))
    return checks


def _disk(root: Path) -> Check:
    there = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    if not os.access(there, os.W_OK):
        return Check("disk", FAIL, f"{there} cannot be written", "choose another [storage] root")
    free = shutil.disk_usage(there).free
    verdict = OK if free >= LEAST_FREE_BYTES else FAIL
    return Check("disk", verdict, f"{free / 2**30:.1f} GiB free", "free at least 5 GiB")


async def _chain(config: Config, spec: ChainSpec) -> list[Check]:
    """Providers of one chain that answer with its id; head, clock, old state, ranges, and the contracts configured."""
    checks: list[Check] = []
    name = f"chain {spec.name}"
    async with ChainClient.open(spec) as client:
        left_out = client.left_out
        for provider in spec.providers:
            why = left_out.get(provider.name)
            verdict, found = (FAIL, redact(why)) if why else (OK, f"answers, chain id {spec.chain_id}")
            checks.append(Check(f"{name} {provider.name}", verdict, found, "check its URL and key, or remove it"))
        head = await client.head()
        skew = time.time() - head.timestamp
        is_odd = not config.is_simulated and (skew < -MOST_SKEW_SECONDS or skew > spec.allowed_lag_seconds)
        checks.append(
            Check(
                f"{name} clock",
                WARN if is_odd else OK,
                f"newest block {head.number} is {skew:,.0f} s old by this clock",
                "set this machine's clock (ntp), or look at the providers",
            )
        )
        final = await client.finalized()
        checks.append(await _archive(client, name, max(0, final.number - OLD_BLOCKS)))
        checks.append(await _ranges(client, name, final.number))
        checks += await seed_checks.chain(client, config, final)
        for protocol in load_protocols(config.section("voting")).values():
            if protocol.chain == spec.name:
                there = await _contracts(client, protocol.name, [protocol.voter, protocol.minter], final.number)
                checks.append(there)
                if there.verdict == OK:
                    checks += await seed_checks.exchange(client, config, protocol, final)
        checks += await deployment_checks.deployments(client, config, final)
    return checks


async def _archive(client: ChainClient, name: str, block: int) -> Check:
    try:
        await client.proven_blocks([block])
    except EvmError as error:
        found = f"no state of block {block}: {redact(str(error))}"
        return Check(f"{name} archive", FAIL, found, "history needs an archive provider: add one")
    return Check(f"{name} archive", OK, f"keeps the state of block {block}")


async def _ranges(client: ChainClient, name: str, last: int) -> Check:
    first = max(0, last - RANGE + 1)
    chunks = 0
    try:
        async for _ in client.logs([client.spec.multicall_address], [], first, last, confirm_share=0.0):
            chunks += 1
    except EvmError as error:
        return Check(f"{name} logs", FAIL, redact(str(error)), "add a provider that serves eth_getLogs")
    verdict = OK if chunks <= RANGE // 10 else WARN
    found = f"{RANGE} blocks of logs take {chunks} requests"
    return Check(f"{name} logs", verdict, found, "a plan with wider ranges is faster")


async def _contracts(client: ChainClient, protocol: str, addresses: list[str], block: int) -> Check:
    missing = [address for address in addresses if address and not await client.has_code(address, block)]
    if missing:
        said = f"no contract at {', '.join(missing)} on {client.spec.name}"
        return Check(f"exchange {protocol}", FAIL, said, "check [voting] in foreshore.toml")
    return Check(f"exchange {protocol}", OK, "its contracts are there")
