"""What a doctor says where seeds and configuration differ from the contracts: each with what to write instead."""

from __future__ import annotations

import asyncio
import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extract.config import Config
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.views import call
from extract.seeds import WEEK, read_seed
from extract.voting.families import FAMILIES, Protocol
from operate import deployment_checks, seed_checks
from operate.checks import FAIL, OK, WARN, Check
from tests.line_fixtures import ROOT

VOTER, MINTER, OTHER = (f"0x{digit * 40}" for digit in "123")
NOW = 1_771_459_200 + 5 * 86_400  # within a week that began on a Thursday
START = NOW // WEEK * WEEK
AT = Block(100, NOW, "0x" + "0" * 64, "0x" + "1" * 64)


class Contracts:
    """Answers view calls by selector; what it does not know reverts. `bare`: addresses without code."""

    chain_id = 1

    def __init__(self, answers: dict[str, Sequence[int]], bare: Sequence[str] = ()) -> None:
        self.answers = {call(VOTER, signature, *[0] * signature.count("uint")).data[:10]: words
                        for signature, words in answers.items()}  # fmt: skip
        self.bare = bare

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        assert block == AT.number
        return [self._reply(one) for one in calls]

    def _reply(self, one: Call) -> Reply:
        words = self.answers.get(one.data[:10])
        if words is None:
            return Reply("reverted", b"", "test")
        return Reply("ok", b"".join(word.to_bytes(32, "big") for word in words), "test")

    async def has_code(self, address: str, block: int) -> bool:
        return address not in self.bare


def config(folder: Path, **storage: Any) -> Config:
    return Config(folder / "foreshore.toml", {"storage": {"seeds": str(ROOT / "seeds"), **storage}}, {})


def look(protocol: Protocol, answers: dict[str, Sequence[int]], made: Config) -> dict[str, Check]:
    found = asyncio.run(seed_checks.exchange(Contracts(answers), made, protocol, AT))  # type: ignore[arg-type]
    return {check.name.split(" ", 2)[2]: check for check in found}


HYDREX = Protocol("hydrex", "base", VOTER, MINTER, FAMILIES["thena"])
AERODROME = Protocol("aerodrome", "base", VOTER, MINTER, FAMILIES["velodrome"])
AS_SEEDED = {
    "minter()": [int(MINTER, 16)],
    "active_period()": [START],
    "activePeriod()": [START],
    "VOTE_DELAY()": [0],
    "epochVoteEnd(uint256)": [START + WEEK - 3600],
    "maxVotingNum()": [30],
}


def test_what_is_as_seeded_is_well(tmp_path: Path) -> None:
    found = look(AERODROME, AS_SEEDED, config(tmp_path))
    assert {name: check.verdict for name, check in found.items()} == dict.fromkeys(
        ("minter", "epoch", "last vote", "pools"), OK
    )
    hydrex = {k: v for k, v in AS_SEEDED.items() if k not in ("epochVoteEnd(uint256)", "maxVotingNum()")}
    found = look(HYDREX, hydrex, config(tmp_path))
    assert {name: check.verdict for name, check in found.items()} == dict.fromkeys(("minter", "epoch", "delay"), OK)


@pytest.mark.parametrize(
    ("protocol", "changed", "name", "verdict", "cure"),
    [
        (AERODROME, {"minter()": [int(OTHER, 16)]}, "minter", FAIL, f'set minter = "{OTHER}" in [voting.aerodrome]'),
        (AERODROME, {"activePeriod()": [START + 3600]}, "epoch", FAIL, "set epoch_anchor_mod in [voting.aerodrome]"),
        (AERODROME, {"activePeriod()": [START - 4 * WEEK]}, "epoch", WARN, "is it still in use"),
        (AERODROME, {"activePeriod()": []}, "epoch", FAIL, "correct minter or family in [voting.aerodrome]"),
        (AERODROME, {"epochVoteEnd(uint256)": [START + WEEK - 7200]}, "last vote", FAIL, "_seconds_before to 7200"),
        (AERODROME, {"maxVotingNum()": [20]}, "pools", FAIL, "set max_gauges to 20"),
        (HYDREX, {"VOTE_DELAY()": [600]}, "delay", FAIL, "leave more than 600 s"),
        (replace(AERODROME, name="new"), {}, "rules", FAIL, "add one for new"),
    ],
)  # fmt: skip
def test_what_differs_is_said_with_what_to_write(
    tmp_path: Path, protocol: Protocol, changed: dict[str, Sequence[int]], name: str, verdict: str, cure: str
) -> None:
    check = look(protocol, {**AS_SEEDED, **changed}, config(tmp_path))[name]
    assert check.verdict == verdict and cure in check.cure, check


def test_deployments_that_are_gone_or_whose_pool_moved(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    shutil.copytree(ROOT / "seeds", seeds)
    (aave,) = [row for row in read_seed(seeds, "lending/csu_registry") if row["csu_id"] == "aave_v3_ethereum"]
    with (seeds / "lending" / "csu_registry.csv").open("w") as file:
        writer = csv.DictWriter(file, list(aave))
        writer.writeheader()
        writer.writerow(aave)
    made = config(tmp_path, seeds=str(seeds))
    registry, pool = aave["registry_address"], aave["second_address"]

    def found(pool_told: str, bare: Sequence[str] = ()) -> list[Check]:
        contracts: Any = Contracts({"getPool()": [int(pool_told, 16)]}, bare)
        contracts.spec = type("Spec", (), {"name": "ethereum", "block_seconds": 12.0})()
        checks = asyncio.run(deployment_checks.deployments(contracts, made, AT))
        return [check for check in checks if "start" not in check.name and "oracle" not in check.name]

    assert not found(pool)
    (moved,) = found(OTHER)
    assert moved.verdict == FAIL and OTHER in moved.found and "second_address" in moved.cure
    (gone,) = found(pool, [registry])
    assert gone.verdict == FAIL and registry in gone.found and "registry_address" in gone.cure
