"""The provider in front of the world refuses in real providers' words, and goes wrong when told to."""

from __future__ import annotations

import json
import re
import time
import urllib.error
from typing import Any

import pytest

import simulate
from simulate.chain.profiles import PROFILES, refuse_blocks, refuse_results
from tests.world_fixtures import ask, ask_all, post

pytestmark = pytest.mark.node

BLOCK_NUMBER = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}


def logs_request(first: int, last: int, **more: Any) -> dict[str, Any]:
    wanted = {"fromBlock": hex(first), "toBlock": hex(last), **more}
    return {"jsonrpc": "2.0", "id": 7, "method": "eth_getLogs", "params": [wanted]}


def refusal(url: str, body: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, error object and headers of a request that is refused."""
    try:
        status, reply, headers = 200, post(url, body), {}
    except urllib.error.HTTPError as error:
        status, reply, headers = error.code, json.loads(error.read()), dict(error.headers)
    return status, reply["error"], headers


# --- clean


def test_the_clean_endpoint_says_what_the_node_says(healthy_world: simulate.RunningWorld) -> None:
    calls: list[tuple[str, list[Any]]] = [
        ("eth_chainId", []),
        ("eth_getBlockByNumber", ["0x8", False]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x20"}]),
        ("eth_unknown", []),
    ]
    assert ask_all(healthy_world.rpc_url, calls) == ask_all(healthy_world.info["node_url"], calls)
    assert ask_all(healthy_world.profile_url("reth"), calls) == ask_all(healthy_world.info["node_url"], calls)


def test_requests_are_counted_by_profile_and_method(healthy_world: simulate.RunningWorld) -> None:
    before = healthy_world.stats().get("clean", {})
    ask_all(healthy_world.rpc_url, [("eth_chainId", []), ("eth_chainId", []), ("eth_blockNumber", [])])
    after = healthy_world.stats()["clean"]
    grown = {key: after[key] - before.get(key, 0) for key in ("requests", "eth_chainId", "eth_blockNumber")}
    assert grown == {"requests": 1, "eth_chainId": 2, "eth_blockNumber": 1}


def test_an_unknown_profile_names_those_there_are(healthy_world: simulate.RunningWorld) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        post(healthy_world.profile_url("nobody"), BLOCK_NUMBER)
    assert error.value.code == 404 and b"alchemy" in error.value.read()


# --- limits

RANGE_WORDS = {  # profile -> status, code, text
    "alchemy_free": (200, -32600, r"up to a 10 block range.*should work: \[0x5, 0xe\]"),
    "infura": (200, -32602, r"^range 999996 exceeds limit of 10000$"),
    "quicknode": (413, -32614, r"^eth_getLogs is limited to a 10,000 range$"),
    "reth": (200, -32602, r"^query exceeds max block range 100000$"),
    "drpc": (200, 35, r"^ranges over 10000 blocks are not supported on freetier$"),
    "blockpi": (200, -32602, r"^eth_getLogs is limited to 1024 block range$"),
    "one_rpc": (200, -32000, r"^eth_getLogs is limited to a 1000 blocks range$"),
    "polygon": (200, -32000, r"^block range exceeds configured limit$"),
    "ankr": (200, -32600, r"^block range is too wide$"),
    "base_public": (200, -32000, r"^block range too large$"),
    "publicnode": (200, -32701, r"maximum block range: 50000"),
    "chainstack": (200, -32602, r"^Block range limit exceeded\.$"),
    "cloudflare": (200, -32047, r"Max range: 800"),
    "bsc_dataseed": (200, -32005, r"^limit exceeded$"),
}


@pytest.mark.parametrize("profile", RANGE_WORDS)
def test_a_wide_range_is_refused_in_the_providers_words(healthy_world: simulate.RunningWorld, profile: str) -> None:
    status, code, words = RANGE_WORDS[profile]
    told = refusal(healthy_world.profile_url(profile), logs_request(5, 1_000_000))
    assert (told[0], told[1]["code"]) == (status, code)
    assert re.search(words, told[1]["message"])


def test_tenderly_hides_its_words_in_the_data(healthy_world: simulate.RunningWorld) -> None:
    _, error, _ = refusal(healthy_world.profile_url("tenderly"), logs_request(1, 3_000))
    assert error["data"]["payload"] == "range 3000 is bigger than range limit 2000"


@pytest.mark.parametrize("wanted", [{"fromBlock": "earliest", "toBlock": "latest"}, {"fromBlock": "0x0"}])
def test_a_range_up_to_a_tag_is_counted_too(healthy_world: simulate.RunningWorld, wanted: dict[str, str]) -> None:
    body = {"jsonrpc": "2.0", "id": 7, "method": "eth_getLogs", "params": [wanted]}
    asked = healthy_world.info["head"]["number"] + 1
    assert asked > 100
    told = refusal(healthy_world.profile_url("chainstack"), body)[1]
    assert told["message"] == "Block range limit exceeded."
    assert "Query returned more than 40" in refusal(healthy_world.profile_url("small_results"), body)[1]["message"]
    newest = {**body, "params": [{}]}  # the newest block alone
    assert post(healthy_world.profile_url("chainstack"), newest) == post(healthy_world.rpc_url, newest)


def test_a_range_that_fits_is_answered(healthy_world: simulate.RunningWorld) -> None:
    fitting = logs_request(5, 14)
    assert post(healthy_world.profile_url("alchemy_free"), fitting) == post(healthy_world.rpc_url, fitting)


def test_following_the_suggestions_finds_every_log(healthy_world: simulate.RunningWorld) -> None:
    head, first, found, refusals = healthy_world.info["head"]["number"], 0, [], 0
    last = head
    while first <= head:
        reply = post(healthy_world.profile_url("small_results"), logs_request(first, last))
        if "error" in reply:
            refusals += 1
            if last == first:  # a block with more logs than the cap: no range helps
                reply = post(healthy_world.rpc_url, logs_request(first, last))
            else:
                last = int(re.findall(r"0x[0-9a-f]+", reply["error"]["message"])[1], 16)
                continue
        found += reply["result"]
        first, last = last + 1, head
    assert refusals > 3
    assert found == post(healthy_world.rpc_url, logs_request(0, head))["result"]


@pytest.mark.parametrize("style", sorted({profile.style for profile in PROFILES.values()}))
def test_suggestions_stay_inside_the_range_and_get_smaller(style: str) -> None:
    for words in (refuse_blocks(style, 100, 20_099, 7).message, refuse_results(style, 100, 20_099, 10, 25).message):
        for low, high in re.findall(r"\[(0x[0-9a-f]+), (0x[0-9a-f]+)\]", words):
            assert int(low, 16) == 100 <= int(high, 16) < 20_099


def test_other_limits(healthy_world: simulate.RunningWorld) -> None:
    addresses = [f"0x{i:040x}" for i in range(21)]
    told = refusal(healthy_world.profile_url("few_addresses"), logs_request(1, 2, address=addresses))
    assert told[1]["message"] == "specify less number of addresses"
    told = refusal(healthy_world.profile_url("small_batches"), [BLOCK_NUMBER] * 6)
    assert told[:1] == (413,) and told[1]["code"] == -32600
    assert len(post(healthy_world.profile_url("small_batches"), [BLOCK_NUMBER] * 5)) == 5
    told = refusal(healthy_world.profile_url("ankr"), logs_request(0, healthy_world.info["head"]["number"]))
    assert told[1]["message"] == "Response is too big"


@pytest.mark.parametrize(("profile", "retry_after"), [("limited", None), ("limited_polite", "1")])
def test_a_rate_limit_counts_batch_items_and_recovers(
    healthy_world: simulate.RunningWorld, profile: str, retry_after: str | None
) -> None:
    url = healthy_world.profile_url(profile)
    post(url, [BLOCK_NUMBER] * 20)
    status, error, headers = refusal(url, [BLOCK_NUMBER] * 6)
    assert (status, error["code"], headers.get("Retry-After")) == (429, -32005, retry_after)
    time.sleep(1.05)
    assert len(post(url, [BLOCK_NUMBER] * 6)) == 6


def test_a_slow_provider_takes_its_time_once_a_request(healthy_world: simulate.RunningWorld) -> None:
    started = time.monotonic()
    post(healthy_world.profile_url("slow"), [BLOCK_NUMBER] * 30)
    assert 0.08 <= time.monotonic() - started < 1.0


# --- faults


def test_faults_in_place_of_an_answer(healthy_world: simulate.RunningWorld) -> None:
    healthy_world.control("status", 503, count=1)
    assert refusal(healthy_world.rpc_url, BLOCK_NUMBER)[0] == 503
    healthy_world.control("malformed", count=1)
    with pytest.raises(json.JSONDecodeError):
        post(healthy_world.rpc_url, BLOCK_NUMBER)
    healthy_world.control("reset", count=1)
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        post(healthy_world.rpc_url, BLOCK_NUMBER)
    healthy_world.control("hang", 5, count=1)
    with pytest.raises(TimeoutError):
        post(healthy_world.rpc_url, BLOCK_NUMBER, timeout=0.2)
    healthy_world.control("rpc_error", [-32603, "Internal error"], count=1)
    assert refusal(healthy_world.rpc_url, BLOCK_NUMBER)[1] == {"code": -32603, "message": "Internal error"}
    assert "result" in post(healthy_world.rpc_url, BLOCK_NUMBER), "every fault struck once"


def test_a_fault_strikes_as_often_as_told_or_until_healed(healthy_world: simulate.RunningWorld) -> None:
    healthy_world.control("status", 502, count=2)
    assert [refusal(healthy_world.rpc_url, BLOCK_NUMBER)[0] for _ in range(2)] == [502, 502]
    assert "result" in post(healthy_world.rpc_url, BLOCK_NUMBER)
    healthy_world.control("hang", 0.01)
    assert [refusal(healthy_world.rpc_url, BLOCK_NUMBER)[0] for _ in range(3)] == [504] * 3
    healthy_world.heal()
    assert "result" in post(healthy_world.rpc_url, BLOCK_NUMBER)


def test_a_fault_keeps_to_its_profile_and_methods(healthy_world: simulate.RunningWorld) -> None:
    healthy_world.control("status", 500, profile="reth", methods=["eth_getLogs"])
    assert refusal(healthy_world.profile_url("reth"), logs_request(1, 2))[0] == 500
    assert "result" in post(healthy_world.profile_url("reth"), BLOCK_NUMBER)
    assert "result" in post(healthy_world.rpc_url, logs_request(1, 2))


def test_the_wrong_chain(healthy_world: simulate.RunningWorld) -> None:
    healthy_world.control("chain_id", 10)
    assert ask(healthy_world.rpc_url, "eth_chainId") == "0xa"


def test_a_lagging_node_is_consistent(healthy_world: simulate.RunningWorld) -> None:
    url, head = healthy_world.rpc_url, healthy_world.info["head"]["number"]
    minter = healthy_world.info["protocols"]["hydrex"]["minter"]
    whole = ask(url, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    healthy_world.control("lag", 30)
    old = head - 30
    assert int(ask(url, "eth_blockNumber"), 16) == old
    for tag in ("latest", "finalized"):
        assert int(ask(url, "eth_getBlockByNumber", tag, False)["number"], 16) == old
    assert ask(url, "eth_getBlockByNumber", hex(head), False) is None
    call = {"to": minter, "data": "0xd1399608"}
    assert ask_all(url, [("eth_call", [call, hex(head)])]) == [{"code": -32000, "message": "header not found"}]
    expected = [log for log in whole if int(log["blockNumber"], 16) <= old]
    assert len(expected) < len(whole)
    for first, last in (("0x0", hex(head)), ("0x0", "latest"), ("earliest", "latest")):
        assert ask(url, "eth_getLogs", {"fromBlock": first, "toBlock": last}) == expected
    assert ask(url, "eth_getLogs", {"fromBlock": hex(head - 3), "toBlock": hex(head)}) == []


def test_truncated_logs_are_still_valid(healthy_world: simulate.RunningWorld) -> None:
    wanted = {"fromBlock": "0x0", "toBlock": "latest"}
    whole = ask(healthy_world.rpc_url, "eth_getLogs", wanted)
    healthy_world.control("truncate", 5)
    assert ask(healthy_world.rpc_url, "eth_getLogs", wanted) == whole[:5]


def test_missing_archive_state(healthy_world: simulate.RunningWorld) -> None:
    head = healthy_world.info["head"]["number"]
    call = {"to": healthy_world.info["protocols"]["hydrex"]["minter"], "data": "0xd1399608"}
    healthy_world.control("no_archive", 20)
    old, fresh, newest = ask_all(
        healthy_world.rpc_url, [("eth_call", [call, at]) for at in (hex(head - 21), hex(head - 20), "latest")]
    )
    assert "missing trie node" in old["message"]
    assert fresh == newest and fresh.startswith("0x")


def test_a_reorg_is_told_the_same_way_everywhere(healthy_world: simulate.RunningWorld) -> None:
    block = healthy_world.info["flips"][1]["hydrex"]["block"]
    url = healthy_world.rpc_url
    true_hash = ask(url, "eth_getBlockByNumber", hex(block), False)["hash"]
    healthy_world.control("reorg", block)
    header, child = ask_all(url, [("eth_getBlockByNumber", [hex(n), False]) for n in (block, block + 1)])
    logs = ask(url, "eth_getLogs", {"fromBlock": hex(block), "toBlock": hex(block)})
    assert header["hash"] != true_hash
    assert {header["hash"]} == {child["parentHash"]} | {log["blockHash"] for log in logs}


def test_answers_that_do_not_belong_to_the_question(healthy_world: simulate.RunningWorld) -> None:
    healthy_world.control("wrong_id", count=1)
    assert post(healthy_world.rpc_url, BLOCK_NUMBER)["id"] == 987_654_321
    healthy_world.control("drop_items", count=1)
    assert len(post(healthy_world.rpc_url, [BLOCK_NUMBER] * 6)) == 3
    assert len(post(healthy_world.rpc_url, [BLOCK_NUMBER] * 6)) == 6


def test_an_unknown_fault_is_refused(healthy_world: simulate.RunningWorld) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        healthy_world.control("earthquake")
    assert error.value.code == 400 and b"no fault 'earthquake'" in error.value.read()
