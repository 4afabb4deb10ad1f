"""What `doctor` says of seeds that the chain contradicts: starts, oracles, decimals, pools."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.config import load_config
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.errors import EvmError
from extract.evm.views import call
from operate import deployment_checks, seed_checks
from operate.checks import Check
from tests.line_fixtures import ROOT

REGISTRY, POOL, ORACLE, ASSET, FEED = (f"0x{n:040x}" for n in (0xA1, 0xA2, 0xA3, 0xA4, 0xA5))
BORN, HEAD, PER_DAY = 100_000, 900_000, 43_200


def told(*words: int | str) -> Reply:
    numbers = [int(word, 16) if isinstance(word, str) else word for word in words]
    return Reply("ok", b"".join(number.to_bytes(32, "big") for number in numbers), "seven")


@dataclass
class Chain:
    """Contracts that stand from a block on, and what they answer; what is not in `answers` reverts."""

    answers: dict[Call, Reply]
    born: dict[str, int] = field(default_factory=lambda: {REGISTRY: BORN, POOL: BORN})
    oldest: int = 0
    chain_id: int = 7
    spec: Any = field(default_factory=lambda: SimpleNamespace(name="seven", block_seconds=2.0))

    async def has_code(self, address: str, block: int) -> bool:
        if block < self.oldest:
            raise EvmError("no state of that block")
        return self.born.get(address, HEAD + 1) <= block

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        return [self.answers.get(each, Reply("reverted", b"", "seven")) for each in calls]


HEALTHY = {
    call(REGISTRY, "getPriceOracle()"): told(ORACLE),
    call(REGISTRY, "getPool()"): told(POOL),
    call(POOL, "getReservesList()"): told(32, 1, ASSET),
    call(ORACLE, "getAssetPrice(address)", ASSET): told(10**8),
}


def examined(tmp_path: Path, chain: Chain, csu: str = "") -> dict[str, Check]:
    path = tmp_path / "foreshore.toml"
    path.write_text(
        f'[storage]\nroot = "{tmp_path}"\nseeds = "{ROOT}/seeds"\n[[lending.csus]]\ncsu_id = "mine"\nchain = "seven"\n'
        f'chain_id = 7\nfamily = "aave_v3"\nregistry_address = "{REGISTRY}"\n{csu}\n'
    )
    found = deployment_checks.deployments(chain, load_config(str(path)), Block(HEAD, 1, "0x", "0x"))  # type: ignore[arg-type]
    return {check.name.removeprefix("chain seven "): check for check in asyncio.run(found)}


def test_a_deployment_that_is_as_it_was_written_is_well(tmp_path: Path) -> None:
    found = examined(tmp_path, Chain(HEALTHY), f"start_block = {BORN + PER_DAY // 2}")
    assert {name: check.verdict for name, check in found.items()} == {"CSUs": "ok"}


@pytest.mark.parametrize(
    ("start", "verdict", "words"),
    [
        (BORN - 1, "fail", "no contract yet at its start_block 99,999"),
        (BORN + PER_DAY, "warn", "stood a day before its start_block"),
        (HEAD + 1, "fail", "after the newest final block"),
    ],
)
def test_a_start_that_the_chain_contradicts_is_said(tmp_path: Path, start: int, verdict: str, words: str) -> None:
    check = examined(tmp_path, Chain(HEALTHY), f"start_block = {start}")["CSUs mine start"]
    assert (check.verdict, words in check.found, "start_block" in check.cure) == (verdict, True, True)


def test_a_start_that_no_provider_remembers_is_not_called_wrong(tmp_path: Path) -> None:
    check = examined(tmp_path, Chain(HEALTHY, oldest=HEAD - 10), f"start_block = {BORN}")["CSUs mine start"]
    assert check.verdict == "warn" and "archive" in check.cure


@pytest.mark.parametrize("lost", [call(REGISTRY, "getPriceOracle()"), call(ORACLE, "getAssetPrice(address)", ASSET)])
def test_an_oracle_that_is_gone_or_dumb_is_named(tmp_path: Path, lost: Call) -> None:
    check = examined(tmp_path, Chain({key: value for key, value in HEALTHY.items() if key != lost}))["CSUs oracles"]
    assert check.verdict == "warn" and "mine" in check.found


def test_votes_of_other_decimals_are_refused(tmp_path: Path) -> None:
    (tmp_path / "foreshore.toml").write_text(f'[storage]\nroot = "{tmp_path}"\nseeds = "{ROOT}/seeds"\n')
    config = load_config(str(tmp_path / "foreshore.toml"))

    def decimals(number: int) -> Check | None:
        chain = Chain({call(POOL, "token()"): told(ASSET), call(ASSET, "decimals()"): told(number)})
        asked = seed_checks.decimals(chain, config, "exchange x", POOL, Block(HEAD, 1, "0x", "0x"))  # type: ignore[arg-type]
        return asyncio.run(asked)

    right, wrong = decimals(18), decimals(6)
    assert right is not None and wrong is not None
    assert (right.verdict, wrong.verdict) == ("ok", "fail") and "has 6 decimals" in wrong.found


def test_a_pool_of_other_tokens_is_named() -> None:
    chain = Chain({call(POOL, "token0()"): told(ASSET), call(POOL, "token1()"): told(FEED)})

    def pools(token: str) -> Check:
        named = [{"pool": POOL, "token": token, "quote": FEED}]
        return asyncio.run(seed_checks.pools(chain, "seven", named, Block(HEAD, 1, "0x", "0x")))  # type: ignore[arg-type]

    assert pools(ASSET).verdict == "ok"
    wrong = pools(ORACLE)
    assert wrong.verdict == "fail" and POOL in wrong.found and ASSET in wrong.found
