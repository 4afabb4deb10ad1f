"""The registry of CSUs: the seed, what the configuration adds, and errors that name the row."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from extract.config import Config, load_config
from extract.errors import ConfigError, RequestError
from extract.evm.config import load_chains
from extract.lending.families import FAMILIES
from extract.lending.registry import Csu, load_registry, wanted_csus
from extract.seeds import read_seed
from tests.golden.conftest import golden as golden

ROOT = Path(__file__).resolve().parents[3]
ROW = {
    "csu_id": "mine",
    "family": "aave_v3",
    "chain": "world",
    "chain_id": 31337,
    "registry_address": "0x" + "Ab" * 20,
}


def config(*csus: dict[str, Any], chains: tuple[str, ...] = ("ethereum",)) -> Config:
    raw = {
        "storage": {"seeds": str(ROOT / "seeds")},
        "lending": {"csus": list(csus)},
        "chains": {name: {} for name in chains},
    }
    return Config(Path("foreshore.toml"), raw, {})


def rows() -> list[dict[str, str]]:
    return read_seed(ROOT / "seeds", "lending/csu_registry")


def test_ninety_six_csus_and_the_plans_forty_three_first() -> None:
    found = list(load_registry(config()).values())
    assert len(found) == 96
    assert [csu.is_planned for csu in found] == [True] * 43 + [False] * 53
    assert "cap_ethereum" not in [csu.csu_id for csu in found[:43]]
    families = Counter(csu.family for csu in found)
    assert families == {
        "aave_v3": 21,
        "aave_v2": 3,
        "compound_v3": 28,
        "compound_v2": 19,
        "fluid": 5,
        "moolah": 2,
        "morpho_blue": 7,
        "euler_v2": 5,
        "silo_v2": 4,
        "gearbox": 1,
        "cap": 1,
    }


def test_what_no_family_reads_is_unsupported_and_nothing_else_is() -> None:
    for row in rows():
        assert (row["status"] == "active") == (row["family"] in FAMILIES)
        assert row["price_unit"] in ("usd", "eth", "base")
        assert len(row["source"]) > 10


def test_one_deployment_is_one_row_and_an_address_may_stand_on_several_chains() -> None:
    keys = Counter((row["chain_id"], row["registry_address"]) for row in rows())
    assert set(keys.values()) == {1}
    same = [row["chain"] for row in rows() if row["registry_address"] == "0xa97684ead0e402dc232d5a977953df7ecbab3cdb"]
    assert sorted(same) == ["arbitrum", "avalanche", "optimism", "polygon"]
    comet = [row["csu_id"] for row in rows() if row["registry_address"] == "0x9c4ec768c28520b50860ea7a15bd7213a9ff58bf"]
    assert sorted(comet) == ["compound_v3_arb_usdc", "compound_v3_base_usdbc"]


@pytest.mark.golden
def test_addresses_are_the_checksummed_candidates_in_lower_case(golden: Path) -> None:
    with (golden / "lending" / "csu_candidates.csv").open(newline="") as handle:
        candidates = {row["csu_id"]: row for row in csv.DictReader(handle)}
    ours = {row["csu_id"]: row for row in rows()}
    assert ours.keys() == candidates.keys()
    for csu_id, row in ours.items():
        theirs = candidates[csu_id]
        for mine, other in (("registry_address", "registry"), ("second_address", "second_address")):
            assert (to_checksum_address(row[mine]) if row[mine] else "") == theirs[other]
        family = "morpho_blue" if row["family"] == "moolah" else row["family"]  # its fork, which prices otherwise
        assert (family, row["chain"], row["chain_id"]) == (theirs["family"], theirs["chain"], theirs["chain_id"])
        assert theirs["start_block"] in ("", row["start_block"])
        planned = theirs["named_in_seed_repo"] == "y" and csu_id != "cap_ethereum"
        assert row["is_planned"] == str(planned).lower()


@pytest.mark.parametrize(
    ("csu_id", "field", "value"),
    [  # errors of the first plan, put right
        ("compound_v3_poly_usdc_e", "registry_address", "0xf25212e676d1f7f89cd72ffee66158f541246445"),
        ("compound_v3_poly_usdt", "registry_address", "0xaeb318360f27748acb200ce616e389a6c9409a07"),
        ("aave_v3_sonic", "registry_address", "0x5c2e738f6e27bce0f7558051bf90605dd6176900"),
        ("kinetic_flare", "registry_address", "0x8041680fb73e1fe5f851e76233dcdfa0f2d2d7c8"),
        ("fluid_base", "start_block", 17391473),
        ("fluid_arbitrum", "start_block", 228361632),
        ("cap_ethereum", "start_block", 22867447),
        ("lista_lending_bnb", "start_date", date(2025, 4, 1)),
        ("aave_v3_plasma", "start_date", date(2025, 9, 1)),
        ("compound_v3_eth_weth", "price_unit", "base"),
        ("compound_v3_eth_usdc", "price_unit", "usd"),
    ],
)
def test_known_values(csu_id: str, field: str, value: object) -> None:
    assert getattr(load_registry(config())[csu_id], field) == value


def test_fluid_rows_name_their_vault_factory() -> None:
    found = load_registry(config()).values()
    assert all(csu.second_address for csu in found if csu.family == "fluid")


def test_every_chain_of_the_registry_is_configured_under_its_id() -> None:
    shipped = load_config(str(ROOT / "foreshore.toml"))
    tables = shipped.section("chains")
    variables = [p["url_env"] for table in tables.values() for p in table["providers"]]
    assert len(variables) == len(set(variables)) == 2 * len(tables)
    chains = load_chains(tables, dict.fromkeys(variables, "https://node.example"))
    for csu in load_registry(config()).values():
        assert chains[csu.chain].chain_id == csu.chain_id
    for name, table in tables.items():
        assert table["price_sources"][0]["chain_key"]
        assert all(k == k.lower() and v == v.lower() for k, v in table.get("feeds", {}).items()), name


def test_a_fork_is_one_table_of_the_configuration() -> None:
    mine = load_registry(config(ROW))["mine"]
    assert mine == Csu("mine", "aave_v3", "world", 31337, "0x" + "ab" * 20)
    changed = load_registry(config(ROW | {"csu_id": "aave_v3_ethereum"}))["aave_v3_ethereum"]
    assert changed.chain == "world"  # the configuration overrules the seed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registry_address": "0x123"}, "'0x123' is not an address"),
        ({"second_address": "nonsense"}, "'nonsense' is not an address"),
        ({"chain_id": "one"}, "invalid literal"),
        ({"start_date": "yesterday"}, "Invalid isoformat"),
        ({"start_block": "soon"}, "invalid literal"),
    ],
)
def test_a_bad_row_is_named_with_its_file(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"\[\[lending.csus\]\]: CSU mine is not whole") as caught:
        load_registry(config(ROW | change))
    assert message in str(caught.value)


def test_a_missing_column_and_a_double_are_named() -> None:
    with pytest.raises(ConfigError, match=r"CSU mine is not whole.*family"):
        load_registry(config({k: v for k, v in ROW.items() if k != "family"}))
    with pytest.raises(ConfigError, match="CSU other has the chain and address of mine"):
        load_registry(config(ROW, ROW | {"csu_id": "other"}))


def test_wanted_csus_by_name_once_each_or_by_configured_chain() -> None:
    names = ["fluid_ethereum", "aave_v3_ethereum", "fluid_ethereum"]
    assert [csu.csu_id for csu in wanted_csus(config(), names)] == names[:2]
    assert {csu.chain for csu in wanted_csus(config(), [])} == {"ethereum"}
    assert [csu.csu_id for csu in wanted_csus(config(ROW, chains=("world",)), [])] == ["mine"]


def test_an_unknown_csu_is_answered_with_what_is_near() -> None:
    with pytest.raises(RequestError, match=r"no CSU 'aave_v3_etherium'.*aave_v3_ethereum"):
        wanted_csus(config(), ["aave_v3_etherium"])
    with pytest.raises(RequestError, match="and 91 more"):
        wanted_csus(config(), ["§"])


def test_what_a_partition_depends_on() -> None:
    csu = load_registry(config())["aave_v3_ethereum"]
    assert csu.facts() == replace(csu, is_planned=False).facts()
    assert csu.facts() != replace(csu, price_unit="eth").facts()
