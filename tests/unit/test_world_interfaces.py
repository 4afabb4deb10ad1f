"""The world's contracts speak the real families' interfaces: selectors and topics as recorded from public chains."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from simulate.chain.anvil import FOLDER
from simulate.chain.contracts import Contract, compile_all, multicall3_code, signature
from simulate.chain.profiles import PROFILES, Refused, refuse_blocks, refuse_bytes, refuse_results
from simulate.voting import CONTRACTS

# contract -> event (i = indexed) -> topic of the real one
TOPICS = {
    "thena_voter": {
        "Voted(address i,uint256)": "4d99b957a2bc29a30ebd96a7be8e68fe50a3c701db28a91436490b7d53870ca4",
        "Abstained(address,uint256)": "433fa8b9e8e2cb00bd714503252e8bfd144f0f318459a2ea8b39c1ae25361717",
        "GaugeCreated(address i,address,address,address i,address i)": (
            "a4d97e9e7c65249b4cd01acb82add613adea98af32daf092366982f0a0d4e453"
        ),
        "NotifyReward(address i,address i,uint256)": "f70d5c697de7ea828df48e5c4573cb2194c659f1901f70110c52b066dcf50826",
        "DistributeReward(address i,address i,uint256)": (
            "4fa9693cae526341d334e2862ca2413b2e503f1266255f9e0869fb36e6d89b17"
        ),
        "GaugeKilled(address i)": "04a5d3f5d80d22d9345acc80618f4a4e7e663cf9e1aed23b57d975acec002ba7",
        "GaugeRevived(address i)": "ed18e9faa3dccfd8aa45f69c4de40546b2ca9cccc4538a2323531656516db1aa",
    },
    "thena_bribe": {
        "RewardAdded(address i,uint256,uint256)": "6a6f77044107a33658235d41bedbbaf2fe9ccdceb313143c947a5e76e1ec8474",
        "Staked(address i,uint256)": "9e71bc8eea02a63969f509818f2dafb9254532904319f9dbda79b67bd34a5f3d",
        "Withdrawn(address i,uint256)": "7084f5476618d8e60b11ef0d7d3f06914655adb8793e28ff7f018d4c76d505d5",
    },
    "thena_minter": {
        "Mint(address i,uint256,uint256,uint256)": "b4c03061fb5b7fed76389d5af8f2e0ddb09f8c70d1333abbb62582835e10accb",
    },
    "velodrome_voter": {
        "Voted(address i,address i,uint256 i,uint256,uint256,uint256)": (
            "452d440efc30dfa14a0ef803ccb55936af860ec6a6960ed27f129bef913f296a"
        ),
        "Abstained(address i,address i,uint256 i,uint256,uint256,uint256)": (
            "adab630928b1d46214641293704a312ee7ad87e03ae14a7fd95e7308b93998df"
        ),
        "GaugeCreated(address i,address i,address i,address,address,address,address,address)": (
            "ef9f7d1ffff3b249c6b9bf2528499e935f7d96bb6d6ec4e7da504d1d3c6279e1"
        ),
        "NotifyReward(address i,address i,uint256)": "f70d5c697de7ea828df48e5c4573cb2194c659f1901f70110c52b066dcf50826",
        "DistributeReward(address i,address i,uint256)": (
            "4fa9693cae526341d334e2862ca2413b2e503f1266255f9e0869fb36e6d89b17"
        ),
        "GaugeKilled(address i)": "04a5d3f5d80d22d9345acc80618f4a4e7e663cf9e1aed23b57d975acec002ba7",
        "GaugeRevived(address i)": "ed18e9faa3dccfd8aa45f69c4de40546b2ca9cccc4538a2323531656516db1aa",
    },
    "velodrome_reward": {
        "NotifyReward(address i,address i,uint256 i,uint256)": (
            "52977ea98a2220a03ee9ba5cb003ada08d394ea10155483c95dc2dc77a7eb24b"
        ),
        "Deposit(address i,uint256 i,uint256)": "90890809c654f11d6e72a28fa60149770a0d11ec6c92319d6ceb2bb0a4ea1a15",
        "Withdraw(address i,uint256 i,uint256)": "f279e6a1f5e320cca91135676d9cb6e44ca8a08c0b88342bcdb1144f6511b568",
    },
    "velodrome_minter": {
        "Mint(address i,uint256,uint256,bool)": "cd2127828092f586df56003faf212897e901bb47f89a227e1acd3a0738f1fe5f",
    },
}

# contract -> function -> (selector of the real one, types it returns)
VIEWS = {
    "thena_voter": {
        "weightsAt(address,uint256)": ("636056f2", "uint256"),
        "totalWeightAt(uint256)": ("53be568d", "uint256"),
        "_epochTimestamp()": ("f8803bb6", "uint256"),
        "internal_bribes(address)": ("eae40f26", "address"),
        "external_bribes(address)": ("ae21c4cb", "address"),
        "gauges(address)": ("b9a09fd5", "address"),
        "isAlive(address)": ("1703e5f9", "bool"),
        "pools(uint256)": ("ac4afa38", "address"),
        "length()": ("1f7b6d32", "uint256"),
    },
    "thena_bribe": {
        "rewardData(address,uint256)": ("38174862", "(uint256,uint256,uint256)"),
        "rewardTokens(uint256)": ("7bb7bed1", "address"),
        "rewardsListLength()": ("e6886396", "uint256"),
        "totalSupplyAt(uint256)": ("981b24d0", "uint256"),
    },
    "thena_minter": {"active_period()": ("d1399608", "uint256")},
    "velodrome_voter": {
        "weights(address)": ("a7cac846", "uint256"),
        "gaugeToFees(address)": ("c4f08165", "address"),
        "gaugeToBribe(address)": ("929c8dcd", "address"),
        "gauges(address)": ("b9a09fd5", "address"),
        "isAlive(address)": ("1703e5f9", "bool"),
        "pools(uint256)": ("ac4afa38", "address"),
        "length()": ("1f7b6d32", "uint256"),
    },
    "velodrome_reward": {
        "tokenRewardsPerEpoch(address,uint256)": ("92777b29", "uint256"),
        "rewards(uint256)": ("f301af42", "address"),
        "rewardsListLength()": ("e6886396", "uint256"),
    },
    "velodrome_minter": {"activePeriod()": ("0a441f7b", "uint256")},
    "feed": {
        "latestRoundData()": ("feaf968c", "uint80,int256,uint256,uint256,uint80"),
        "decimals()": ("313ce567", "uint8"),
    },
}

EXPECTED_EVENTS = [(name, event, topic) for name, events in TOPICS.items() for event, topic in events.items()]
EXPECTED_VIEWS = [(name, view, *told) for name, views in VIEWS.items() for view, told in views.items()]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contract]:
    return compile_all(tmp_path_factory.mktemp("artifacts"), CONTRACTS)


def _event(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(i['type'] + ' i' * i['indexed'] for i in entry['inputs'])})"


def _returns(entry: dict[str, Any]) -> str:
    def told(output: dict[str, Any]) -> str:
        inner = ",".join(told(c) for c in output.get("components", []))
        return f"({inner})" if inner else str(output["type"])

    return ",".join(told(output) for output in entry["outputs"])


def test_events_have_the_real_topics_and_indexed_fields(contracts: dict[str, Contract]) -> None:
    for name, event, topic in EXPECTED_EVENTS:
        own = {_event(e): signature(e) for e in contracts[name].abi if e["type"] == "event"}
        assert event in own, f"{name} has {sorted(own)}"
        assert keccak(text=own[event]).hex() == topic, event


def test_views_have_the_real_selectors_and_returns(contracts: dict[str, Contract]) -> None:
    for name, view, selector, returns in EXPECTED_VIEWS:
        own = {signature(e): e for e in contracts[name].abi if e["type"] == "function"}
        assert view in own, f"{name} lacks {view}"
        assert keccak(text=view)[:4].hex() == selector, view
        assert _returns(own[view]) == returns, view


def test_a_contract_is_compiled_when_its_source_changes_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "gauge.vy"
    source.write_text((CONTRACTS / "gauge.vy").read_text())
    first = compile_all(tmp_path / "kept", tmp_path)
    monkeypatch.setattr("vyper.compile_code", None)  # calling it fails from here on
    assert compile_all(tmp_path / "kept", tmp_path) == first
    source.write_text(source.read_text() + "\n# changed\n")
    with pytest.raises(TypeError):
        compile_all(tmp_path / "kept", tmp_path)


def test_multicall3_is_the_public_code() -> None:
    code = bytes.fromhex(multicall3_code().removeprefix("0x"))
    assert keccak(code).hex() == "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"
    assert bytes.fromhex("82ad56cb") in code  # aggregate3((address,bool,bytes)[])


def test_the_package_lock_pins_the_node_and_names_no_host() -> None:
    text = (FOLDER / "package-lock.json").read_text()
    packages: dict[str, dict[str, Any]] = json.loads(text)["packages"]
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert packages[""]["dependencies"] == wanted
    assert {packages[f"node_modules/{name}"]["version"] for name in wanted} == set(wanted.values())
    assert not re.search(r"://|\"resolved\"", text), "npm takes the registry of the machine it runs on"


# --- the words of a refusal: profile -> code, and its text for blocks 100-20099

RANGES = {
    "alchemy_free": (-32600, r"up to a 10 block range\..*should work: \[0x64, 0x6d\]"),
    "infura": (-32602, r"^range 20000 exceeds limit of 10000$"),
    "drpc": (35, r"^ranges over 10000 blocks are not supported on freetier$"),
    "blockpi": (-32602, r"^eth_getLogs is limited to 1024 block range$"),
    "one_rpc": (-32000, r"^eth_getLogs is limited to a 1000 blocks range$"),
    "polygon": (-32000, r"^block range exceeds configured limit$"),
    "small_batches": (-32602, r"^eth_getLogs range is too large, max is 7 blocks$"),  # of the plain style
}
RESULTS = {  # for 25,000 logs found there
    "alchemy": (-32602, r"^Log response size exceeded\. .*2K block range.*cap of 10K logs.*: \[0x64, 0x1c83\]$"),
    "infura": (-32005, r"^query returned more than 10000 results\."),
    "reth": (-32602, r"^query exceeds max results 20000, retry with the range 100-14499$"),
    "zksync": (-32602, r"^Query returned more than 10000 results\. Try with this block range \[0x64, 0x1c83\]\.$"),
    "llamarpc": (-32000, r"^query exceeds max results 10000$"),
    "time_out": (-32005, r"^query timeout exceeded$"),
}


def _says(refused: Refused, code: int, words: str) -> None:
    assert refused.code == code
    assert re.search(words, refused.message), refused.message


def test_ranges_and_results_are_refused_in_the_providers_words() -> None:
    for name, told in RANGES.items():
        _says(refuse_blocks(PROFILES[name].style, 100, 20_099, PROFILES[name].max_blocks or 7), *told)
    for name, told in RESULTS.items():
        _says(refuse_results(PROFILES[name].style, 100, 20_099, PROFILES[name].max_results or 7, 25_000), *told)
    tenderly = refuse_blocks("tenderly", 1, 3_000, 2_000)
    assert tenderly.data == {"payload": "range 3000 is bigger than range limit 2000"}
    _says(refuse_bytes("ankr"), -32000, r"^Response is too big$")
    _says(refuse_bytes("alchemy"), -32602, r"^Log response size exceeded\.")
    assert refuse_blocks("quicknode", 1, 20_000, 10_000).status == 413


def test_no_two_providers_share_their_words() -> None:
    """A profile with a limit of its own but the plain words would test nothing."""
    styles = {p.style for p in PROFILES.values() if p.max_blocks is not None}
    assert "plain" not in styles
    words = [json.dumps(refuse_blocks(style, 1, 9_999, 7).reply(1)["error"]) for style in sorted(styles)]
    assert len(set(words)) == len(words)


def test_a_suggestion_may_repeat_the_range_but_never_leaves_it() -> None:
    """One block with too many logs: the suggestion is that block again, as real nodes say it."""
    assert "[0x64, 0x64]" in refuse_results("zksync", 100, 100, 40, 41).message
    assert "range 100-100" in refuse_results("reth", 100, 100, 40, 10**9).message
