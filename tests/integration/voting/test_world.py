"""The embedded world: its books agree with its chain, its clock is awkward on purpose, and it is always the same."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

import simulate
from simulate import voting as voting_world
from simulate.chain import anvil as node
from simulate.chain.contracts import MULTICALL3, calldata, multicall3_code
from tests.world_fixtures import ask, ask_all

pytestmark = pytest.mark.node

WEEK = 604_800
VOTES_VIEW = {"hydrex": "weightsAt(address,uint256)", "velodrome": "weights(address)"}
TOTAL_VIEW = {"hydrex": "totalWeightAt(uint256)", "velodrome": "totalWeight()"}
REWARD_VIEW = {"hydrex": "rewardData(address,uint256)", "velodrome": "tokenRewardsPerEpoch(address,uint256)"}
REWARD_WORD = {"hydrex": 1, "velodrome": 0}
MINT_TOPIC = {
    "hydrex": "0xb4c03061fb5b7fed76389d5af8f2e0ddb09f8c70d1333abbb62582835e10accb",
    "velodrome": "0xcd2127828092f586df56003faf212897e901bb47f89a227e1acd3a0738f1fe5f",
}
Row = dict[str, Any]


def test_a_world_whose_contract_wants_time_between_votes(tmp_path: Path) -> None:
    """Half a day between two votes: what conduits send again in the last minutes reverts, and their books know it."""
    with voting_world.running(tmp_path / "world", epochs=2, gauges=8, voters=6, vote_delay=43_200) as world:
        refused = [row for row in world.actions() if row["kind"] == "refused"]
        reasons = Counter(row["reason"] for row in refused)
        assert reasons["VoteDelayNotMet"] >= 4, "two conduits, twice a week"
        voter = world.info["protocols"]["hydrex"]["voter"]
        delay = ask(world.rpc_url, "eth_call", {"to": voter, "data": calldata("VOTE_DELAY()")}, "latest")
        assert int(delay, 16) == 43_200


@pytest.fixture(scope="module")
def books(small_world: simulate.RunningWorld) -> list[Row]:
    return small_world.actions()


@pytest.fixture(scope="module")
def blocks(small_world: simulate.RunningWorld) -> list[int]:
    """Timestamp of every block, by number."""
    numbers = range(small_world.info["head"]["number"] + 1)
    headers = ask_all(small_world.rpc_url, [("eth_getBlockByNumber", [hex(n), False]) for n in numbers])
    return [int(header["timestamp"], 16) for header in headers]


@pytest.fixture(scope="module")
def sampled(small_world: simulate.RunningWorld) -> list[int]:
    """Blocks to compare at: some at random, and those before and at each flip."""
    info = small_world.info
    numbers = set(random.Random(1).sample(range(info["deployed_block"] + 2, info["head"]["number"] + 1), 25))
    for flip in info["flips"]:
        numbers |= {flip[name]["block"] - back for name in info["protocols"] for back in (0, 1)}
    return sorted(number for number in numbers if number > info["deployed_block"] + 2)


def _view(to: str, function: str, arguments: list[Any], block: int) -> tuple[str, list[Any]]:
    return "eth_call", [{"to": to, "data": calldata(function, *arguments)}, hex(block)]


def _words(result: str) -> list[int]:
    """The words of a reply; three zeros where there was no contract yet."""
    return [int(result[at : at + 64], 16) for at in range(2, len(result), 64)] or [0, 0, 0]


def votes_from_books(books: list[Row], protocol: str, block: int) -> tuple[int, Counter[str]]:
    """The epoch at a block, and each pool's votes for it: our own replay of what the agents did."""
    epoch, votes, cleared = 0, Counter[str](), set[str]()
    for row in books:
        if row["protocol"] != protocol or row["block"] > block:
            continue
        if row["kind"] == "flip":
            epoch = row["epoch"]
            if protocol == "hydrex":  # votes start again; a kill cleared a pool for its epoch only
                votes, cleared = Counter(), set()
        elif row["kind"] == "vote" and row["pool"] not in cleared:
            votes[row["pool"]] += int(row["delta"])
        elif row["kind"] == "kill" and protocol == "hydrex":
            cleared.add(row["pool"])
            votes[row["pool"]] = 0
    return epoch, votes


@pytest.mark.parametrize("protocol", VOTES_VIEW)
def test_votes_on_chain_equal_the_books(
    small_world: simulate.RunningWorld, books: list[Row], sampled: list[int], protocol: str
) -> None:
    where = small_world.info["protocols"][protocol]
    pools = [gauge["pool"] for gauge in where["gauges"]]
    seen = 0
    for block in sampled:
        epoch, votes = votes_from_books(books, protocol, block)
        at = [epoch] if protocol == "hydrex" else []
        calls = [_view(where["voter"], VOTES_VIEW[protocol], [pool, *at], block) for pool in pools]
        *found, total = ask_all(small_world.rpc_url, [*calls, _view(where["voter"], TOTAL_VIEW[protocol], at, block)])
        assert [int(word, 16) for word in found] == [votes[pool] for pool in pools], f"block {block}"
        assert int(total, 16) == votes.total(), f"block {block}"
        seen += sum(map(bool, votes.values()))
    assert seen > 100  # it compared something


@pytest.mark.parametrize(("protocol", "is_cleared"), [("hydrex", True), ("velodrome", False)])
def test_a_kill_clears_votes_only_where_they_restart(
    small_world: simulate.RunningWorld, books: list[Row], protocol: str, is_cleared: bool
) -> None:
    kill = next(row for row in books if row["kind"] == "kill" and row["protocol"] == protocol)
    voter, block = small_world.info["protocols"][protocol]["voter"], kill["block"]
    at = [kill["epoch"]] if protocol == "hydrex" else []
    calls = [_view(voter, VOTES_VIEW[protocol], [kill["pool"], *at], n) for n in (block - 1, block)]
    calls += [_view(voter, "isAlive(address)", [kill["gauge"]], n) for n in (block - 1, block)]
    before, after, lived, lives = (int(word, 16) for word in ask_all(small_world.rpc_url, calls))
    moved = sum(
        int(row["delta"])
        for row in books
        if row["kind"] == "vote" and row["block"] == block and row["pool"] == kill["pool"]
    )
    assert before > 0 and (lived, lives) == (1, 0)
    assert after == (0 if is_cleared else before + moved)


@pytest.mark.parametrize("protocol", REWARD_VIEW)
def test_rewards_on_chain_equal_the_books(
    small_world: simulate.RunningWorld, books: list[Row], sampled: list[int], protocol: str
) -> None:
    rewards = [row for row in books if row["kind"] == "reward" and row["protocol"] == protocol]
    keys = sorted({(row["bribe"], row["token"], row["epoch"]) for row in rewards})
    for block in sampled[::4]:
        expected: Counter[tuple[str, str, int]] = Counter()
        for row in rewards:
            if row["block"] <= block:
                expected[row["bribe"], row["token"], row["epoch"]] += int(row["amount"])
        calls = [_view(bribe, REWARD_VIEW[protocol], [token, epoch], block) for bribe, token, epoch in keys]
        found = [_words(result)[REWARD_WORD[protocol]] for result in ask_all(small_world.rpc_url, calls)]
        assert found == [expected[key] for key in keys], f"block {block}"


def test_prices_on_chain_equal_the_books(small_world: simulate.RunningWorld, books: list[Row]) -> None:
    feed = next(token["feed"] for token in small_world.info["tokens"] if token["symbol"] == "TIDE")
    newest = {row["block"]: row for row in books if row["kind"] == "price" and row["feed"] == feed}
    posted = list(newest.values())
    assert len(posted) > 30
    calls = [_view(feed, "latestRoundData()", [], row["block"]) for row in posted]
    rounds = [_words(result) for result in ask_all(small_world.rpc_url, calls)]
    assert [(r[1], r[3]) for r in rounds] == [(int(row["amount"]), row["timestamp"]) for row in posted]


def test_flips_are_where_the_minters_say(small_world: simulate.RunningWorld) -> None:
    info = small_world.info
    for name, where in info["protocols"].items():
        wanted = {"address": where["minter"], "topics": [MINT_TOPIC[name]], "fromBlock": "0x0", "toBlock": "latest"}
        logs = ask(small_world.rpc_url, "eth_getLogs", wanted)
        assert [int(log["blockNumber"], 16) for log in logs] == [flip[name]["block"] for flip in info["flips"]]
        late = {flip[name]["timestamp"] - flip["boundary"] for flip in info["flips"]}
        assert late <= set(range(9, 14))
    assert [e["flips"] is None for e in info["epochs"]] == [False] * (len(info["epochs"]) - 1) + [True]


def test_the_clock_is_awkward(small_world: simulate.RunningWorld, blocks: list[int]) -> None:
    boundaries = {epoch["boundary"] for epoch in small_world.info["epochs"] if epoch["is_complete"]}
    steps = [after - before for before, after in pairwise(blocks)]
    assert min(steps) == 0, "two blocks share a second"
    assert max(steps) > 3_600 and 2 in steps
    assert boundaries & set(blocks) and boundaries - set(blocks), "a block on some boundaries, a missed slot on others"
    assert Counter(blocks)[small_world.info["epochs"][1]["boundary"]] == 2, "a boundary that two blocks share"
    for epoch in small_world.info["epochs"]:
        for before in (86_400, 300, 60):
            newest = max(t for t in blocks if t <= epoch["boundary"] - before)
            assert epoch["boundary"] - before - newest <= 2, "blocks are dense at every window"


def test_the_head_is_past_t1_of_the_open_epoch_and_t1_is_final(
    small_world: simulate.RunningWorld, blocks: list[int]
) -> None:
    t1 = small_world.info["open_epoch"] + WEEK - 60
    assert blocks[-1] == t1 + 20 == small_world.info["head"]["timestamp"]
    assert blocks[-1 - 5] >= t1  # five blocks below the head


def test_every_block_keeps_its_state(small_world: simulate.RunningWorld) -> None:
    minter = small_world.info["protocols"]["hydrex"]["minter"]
    head, deployed = small_world.info["head"]["number"], small_world.info["deployed_block"]
    periods = ask_all(small_world.rpc_url, [_view(minter, "active_period()", [], n) for n in range(head + 1)])
    assert set(periods[:deployed]) == {"0x"} and deployed > 3, "the chain is older than the contracts"
    assert [int(period, 16) for period in periods[deployed:]] == sorted(
        int(period, 16) for period in periods[deployed:]
    )


def test_multicall3_is_a_little_older_than_the_contracts_but_not_there_from_the_start(
    small_world: simulate.RunningWorld,
) -> None:
    deployed = small_world.info["deployed_block"]
    assert small_world.info["multicall3"] == MULTICALL3
    numbers = [*range(deployed + 1), small_world.info["head"]["number"]]
    codes = ask_all(small_world.rpc_url, [("eth_getCode", [MULTICALL3, hex(number)]) for number in numbers])
    assert set(codes[: deployed - 1]) == {"0x"}, "readers have to do without it there"
    assert set(codes[deployed - 1 :]) == {multicall3_code()}


def test_a_long_world_keeps_its_oldest_states_too(tmp_path: Path) -> None:
    """Past 500 blocks the node keeps old states on disk."""
    with voting_world.running(tmp_path, epochs=9, gauges=8, voters=4) as world:
        head, deployed = world.info["head"]["number"], world.info["deployed_block"]
        assert 550 < head < 2_500
        minter = world.info["protocols"]["hydrex"]["minter"]
        numbers = range(deployed, head + 1, 7)
        periods = ask_all(world.rpc_url, [_view(minter, "active_period()", [], n) for n in numbers])
        assert [int(period, 16) for period in periods] == [
            max((f["boundary"] for f in world.info["flips"] if f["hydrex"]["block"] <= n), default=1_757_548_800 - WEEK)
            for n in numbers
        ]
        assert any((tmp_path / "states").rglob("*.json"))
    assert not (tmp_path / "states").exists()


def test_the_awkward_moments_happen(small_world: simulate.RunningWorld, books: list[Row]) -> None:
    flips = {flip["boundary"]: flip["hydrex"]["timestamp"] for flip in small_world.info["flips"]}
    votes = [row for row in books if row["kind"] == "vote"]

    def late(row: Row, low: int, high: int) -> bool:
        return low <= row["epoch"] + WEEK - row["timestamp"] <= high

    past = [
        row
        for row in books
        if row["protocol"] == "hydrex" and row["kind"] in ("vote", "reward", "refused") and late(row, -13, -1)
    ]
    for kind in ("refused", "reward"):  # each week, between the calendar boundary and the flip, for the week that ends
        assert {row["epoch"] + WEEK for row in past if row["kind"] == kind} == set(flips) - {min(flips)}, kind
    assert not [row for row in past if row["kind"] == "vote"], "nobody votes there"
    assert all(row["timestamp"] < flips[row["epoch"] + WEEK] for row in past)
    assert {row["kind"] for row in books} >= {"delegate", "bribe_replaced", "poke", "deposit_managed"}
    for protocol in ("hydrex", "velodrome"):
        own = [row for row in votes if row["protocol"] == protocol]
        assert any(late(row, 0, 60) for row in own) and any(late(row, 61, 300) for row in own)
        assert any(int(row["delta"]) < 0 for row in own)
        rewards = [row for row in books if row["kind"] == "reward" and row["protocol"] == protocol]
        assert any(late(row, 0, 60) for row in rewards) and any(late(row, 61, 300) for row in rewards)
        kill = next(row for row in books if row["kind"] == "kill" and row["protocol"] == protocol)
        assert votes_from_books(books, protocol, kill["block"] - 1)[1][kill["pool"]] > 0, "killed with votes on it"
        newest = [row for row in books if row["kind"] == "gauge" and row["protocol"] == protocol][-1]
        assert any(row["gauge"] == newest["gauge"] for row in own), "the gauge created in mid-epoch is voted for"
        voted = {row["gauge"] for row in own}
        assert {row["gauge"] for row in rewards} - voted, "rewards without votes"


def test_tokens_are_priced_in_every_way(small_world: simulate.RunningWorld) -> None:
    tokens = {token["behaviour"]: token for token in small_world.info["tokens"]}
    head = small_world.info["head"]
    stale, dead, live = ask_all(
        small_world.rpc_url,
        [_view(tokens[kind]["feed"], "latestRoundData()", [], head["number"]) for kind in ("stale", "dead", "live")],
    )
    assert head["timestamp"] - _words(stale)[3] > 2 * 86_400 > 3_600 > head["timestamp"] - _words(live)[3]
    assert dead["code"] == 3, "the dead feed reverts"
    assert tokens["none"]["feed"] is None


def test_tokens_say_their_decimals(small_world: simulate.RunningWorld) -> None:
    tokens, head = small_world.info["tokens"], small_world.info["head"]["number"]
    found = ask_all(small_world.rpc_url, [_view(token["address"], "decimals()", [], head) for token in tokens])
    assert [int(word, 16) for word in found] == [token["decimals"] for token in tokens]
    assert {token["decimals"] for token in tokens} == {0, 2, 6, 8, 18, 24}


@pytest.mark.parametrize(("protocol", "view"), [("hydrex", "rewardTokens(uint256)"), ("velodrome", "rewards(uint256)")])
def test_a_token_is_listed_twice(small_world: simulate.RunningWorld, protocol: str, view: str) -> None:
    bribes = small_world.info["protocols"][protocol]["gauges"][1]["bribes"].values()
    head = small_world.info["head"]["number"]
    first, second = ([_view(bribe, view, [i], head) for i in range(2)] for bribe in bribes)
    one, _, two, again = ask_all(small_world.rpc_url, [*first, *second])
    assert one == two == again


def test_hydrex_votes_end_at_the_calendar_boundary(small_world: simulate.RunningWorld, blocks: list[int]) -> None:
    """On the state of every block around a boundary: votes land up to it, none between it and the flip."""
    where = small_world.info["protocols"]["hydrex"]
    living = [g["pool"] for g in where["gauges"] if _is_alive(small_world, where["voter"], g["gauge"])]
    boundary, flip = small_world.info["flips"][1]["boundary"], small_world.info["flips"][1]["hydrex"]["block"]
    voter = where["voters"][0]["address"]

    def said(block: int, pools: list[str], shares: list[int]) -> str:
        data = calldata("vote(address[],uint256[])", pools, shares)
        call = {"from": voter, "to": where["voter"], "data": data}
        return error_name(ask_all(small_world.rpc_url, [("eth_call", [call, hex(block)])])[0])

    around = [n for n, t in enumerate(blocks) if boundary - 12 <= t and n < flip]
    late = [n for n in around if blocks[n] > boundary]
    assert late and {said(n, living[:2], [1, 1]) for n in late} == {"EpochStale"}
    assert {said(n, living[:2], [1, 1]) for n in around if blocks[n] <= boundary} <= {"", "VoteDelayNotMet"}
    block = small_world.info["head"]["number"]
    assert said(block, [living[0], living[0]], [1, 1]) == "VotedAlready"
    assert said(block, living[:2], [10**30, 1]) == "InsufficientVotingPower", "a share that rounds to nothing"
    dead = "0x" + "dd" * 20
    assert said(block, [dead], [1]) == "" and said(block, [living[0], dead], [1, 10**30]) == "", "unknown: skipped"


def test_velodrome_votes_have_their_window(small_world: simulate.RunningWorld, blocks: list[int]) -> None:
    where, head = small_world.info["protocols"]["velodrome"], small_world.info["head"]["number"]
    living = next(g["pool"] for g in where["gauges"] if _is_alive(small_world, where["voter"], g["gauge"]))

    def refused(voter: Row, block: int) -> str:
        data = calldata("vote(uint256,address[],uint256[])", voter["token_id"], [living], [1])
        call = {"from": voter["address"], "to": where["voter"], "data": data}
        reply = ask_all(small_world.rpc_url, [("eth_call", [call, hex(block)])])[0]
        return error_name(reply)

    listed = [voter for voter in where["voters"] if voter["is_whitelisted"]]
    others = [voter for voter in where["voters"] if not voter["is_whitelisted"]]
    flip = small_world.info["flips"][-1]["velodrome"]["block"]
    open_day = next(n for n, t in enumerate(blocks) if t > small_world.info["open_epoch"] + 3_600)
    assert {refused(voter, flip) for voter in others} == {"DistributeWindow"}
    said = {refused(voter, open_day) for voter in others}
    assert "" in said and said <= {"", "ZeroBalance"}, "those that gave all their power to a managed NFT have none"
    assert {refused(voter, head) for voter in others} <= {"NotWhitelistedNFT", "AlreadyVotedOrDeposited", "ZeroBalance"}
    assert {refused(voter, head - 4) for voter in listed} >= {""}, "the whitelisted may vote in the last hour"
    assert {refused(voter, head) for voter in listed} == {"AlreadyVotedOrDeposited"}


ERRORS = {
    "0x" + keccak(text=f"{name}()").hex()[:8]: name
    for name in (
        "EpochStale",
        "VoteDelayNotMet",
        "VotedAlready",
        "InsufficientVotingPower",
        "AlreadyVotedOrDeposited",
        "DistributeWindow",
        "NotWhitelistedNFT",
        "NotApprovedOrOwner",
        "ZeroBalance",
    )
}


def error_name(reply: Any) -> str:
    """The contract's own error; empty where it had none."""
    return ERRORS[reply["data"][:10]] if isinstance(reply, dict) else ""


def _is_alive(world: simulate.RunningWorld, voter: str, gauge: str) -> bool:
    method, params = _view(voter, "isAlive(address)", [gauge], world.info["head"]["number"])
    return bool(int(ask(world.rpc_url, method, *params), 16))


def _hashes(world: simulate.RunningWorld, numbers: list[int]) -> list[str]:
    headers = ask_all(world.rpc_url, [("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    return [header["hash"] for header in headers]


def test_the_same_seed_makes_the_same_blocks(
    small_world: simulate.RunningWorld, books: list[Row], sampled: list[int], tmp_path: Path
) -> None:
    deployed, head = small_world.info["deployed_block"], small_world.info["head"]["number"]
    numbers = [1, deployed, *sampled, head]
    with voting_world.running(tmp_path) as again:
        assert again.info["head"] == small_world.info["head"]
        assert _hashes(again, numbers) == _hashes(small_world, numbers)
        assert again.actions() == books
    with voting_world.running(tmp_path, epochs=1, seed=8) as other:  # in the folder that the last one left
        assert other.info["seed"] == 8, "another world's file was taken for this one's"
        voters_come = deployed + 1  # until here nothing is left to chance, nor to the number of epochs
        assert _hashes(other, [deployed]) == _hashes(small_world, [deployed])
        assert _hashes(other, [voters_come]) != _hashes(small_world, [voters_come])


def test_nothing_answers_when_a_world_is_left(tmp_path: Path) -> None:
    with voting_world.running(tmp_path, epochs=1, gauges=8, voters=4) as world:
        urls = world.rpc_url, world.info["node_url"]
        nodes = _children(world.process.pid)
        assert all(map(_answers, urls))
    assert not any(map(_answers, urls))
    if sys.platform == "linux":
        assert len(nodes) == 1 and not Path(f"/proc/{nodes[0]}").exists()


def _children(pid: int) -> list[str]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return listed.read_text().split() if listed.exists() else []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_node_ends_with_its_world(tmp_path: Path, end: signal.Signals) -> None:
    if end == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent was killed")
    with voting_world.running(tmp_path, epochs=1, gauges=8, voters=4) as world:
        assert ask(world.info["node_url"], "eth_chainId") == "0x7a69"
        world.process.send_signal(end)
        code = world.process.wait(10)
        assert _soon(lambda: not _answers(world.info["node_url"])), "anvil outlived its world"
    assert code == (-end if end == signal.SIGKILL else 0)


def _answers(url: str) -> bool:
    try:
        ask(url, "eth_chainId")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def _soon(is_so: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def test_a_world_too_small_is_refused_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulate", "voting", "--port=0", "--gauges=2", f"--out={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "at least 1 epoch, 8 gauges and 4 voters" in done.stderr


def test_a_node_that_cannot_be_installed_says_why_and_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "FOLDER", tmp_path)
    monkeypatch.setattr(node, "_npm", lambda: [sys.executable, "-c", "raise SystemExit('registry unreachable')"])
    with pytest.raises(node.NodeError, match=r"(?s)npm ci.*registry unreachable.*npm ping"):
        node.ensure_anvil()
