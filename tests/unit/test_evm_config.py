"""The chains of foreshore.toml: lazy, and every mistake names its cure."""

from __future__ import annotations

import tomllib

import pytest

from extract.errors import ConfigError
from extract.evm.config import load_chains

GOOD = """
[chains.base]
chain_id = 8453
finality_depth = 30
max_lag_seconds = 20
[chains.base.feeds]
x = "y"
[[chains.base.providers]]
name = "alchemy"
url_env = "BASE_RPC_URL"
requests_per_second = 25
[[chains.base.providers]]
name = "second"
url_env = "BASE_RPC_URL_2"
[chains.world]
chain_id = 31337
finality_depth = 0
[[chains.world.providers]]
name = "local"
url = "http://127.0.0.1:8545"
"""
ENVIRON = {"BASE_RPC_URL": "https://b.example/v2/secretsecret"}


def test_a_chain_with_the_providers_that_are_set() -> None:
    chain = load_chains(tomllib.loads(GOOD), ENVIRON)["base"]
    assert (chain.chain_id, chain.finality_depth, chain.max_lag_seconds) == (8453, 30, 20)
    assert [p.name for p in chain.providers] == ["alchemy"]
    assert chain.providers[0].requests_per_second == 25
    assert "secretsecret" not in repr(chain)


def test_an_unused_chain_needs_no_keys() -> None:
    chains = load_chains(tomllib.loads(GOOD)["chains"], {})
    assert set(chains) == {"base", "world"} and "base" in chains
    assert chains["world"].providers[0].url == "http://127.0.0.1:8545"
    with pytest.raises(ConfigError, match="set BASE_RPC_URL or BASE_RPC_URL_2"):
        chains["base"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chain_id = 8453", "", "lacks chain_id"),
        ("chain_id = 8453", 'chain_id = "8453"', "type int"),
        ("finality_depth = 30", "finality_depht = 30", "lacks finality_depth"),
        ("finality_depth = 30", "finality_depth = 30\nfinality = 1", "unknown key finality"),
        ('url_env = "BASE_RPC_URL"', "", "url_env"),
        ('url_env = "BASE_RPC_URL"', 'url = "https://real.example"', "loopback only"),
        ("requests_per_second = 25", "requests_per_second = 0", "positive"),
        (
            'name = "second"\nurl_env = "BASE_RPC_URL_2"',
            'name = "alchemy"\nurl_env = "BASE_RPC_URL"',
            "one name",
        ),
    ],
)
def test_mistakes_name_the_chain_and_the_cure(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message) as caught:
        load_chains(tomllib.loads(GOOD.replace(old, new)), ENVIRON)["base"]
    assert "base" in str(caught.value)


def test_a_variable_that_holds_no_url_and_an_unknown_chain() -> None:
    with pytest.raises(ConfigError, match="BASE_RPC_URL does not hold"):
        load_chains(tomllib.loads(GOOD), {"BASE_RPC_URL": "secret"})["base"]
    with pytest.raises(ConfigError, match=r"no chain 'op'.*base, world"):
        load_chains(tomllib.loads(GOOD), ENVIRON)["op"]
