"""Whole nights on a real node: decided at every block, sent, landed; killed, reorganised, senders that fail."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simulate.voting
from extract.evm.abi import Function
from extract.seeds import WEEK
from operate.rebuild import rebuild
from operate.voting.watch.attempts import read_attempts
from operate.voting.watch.models import load_models
from operate.voting.watch.world_claims import claim
from operate.voting.watch.world_clock import Node
from operate.warehouse import Warehouse, read_tables
from tests.line_fixtures import ROOT, Line
from tests.world_fixtures import ask

pytestmark = [pytest.mark.node, pytest.mark.long]
BLOCK_SECONDS = 2.5  # of the wall clock for two of the chain's: a decision on a slow machine has its time
SENDER = """
import json, os, sys, urllib.request
vote = json.load(sys.stdin)
{before}
asked = {{"from": vote["from"], "to": vote["to"], "data": vote["data"], "gas": hex(vote["gas"]), "gasPrice": "0x0"}}
body = json.dumps({{"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [asked]}}).encode()
request = urllib.request.Request(os.environ["NODE"], body, {{"Content-Type": "application/json"}})
print(json.dumps({{"hash": json.load(urllib.request.urlopen(request, timeout=5))["result"]}}))
"""


class Nights:
    """A published store in front of a world whose clock we hold, 40 s before the boundary; each night begins there."""

    def __init__(self, world: simulate.RunningWorld, folder: Path) -> None:
        self.world, self.folder, self.node = world, folder, world.info["node_url"]
        self.line = Line(world, folder)
        self.config = self.line.configure()
        assert self.line.extract() == 0
        self.warehouse = Warehouse.of(self.config)
        assert not rebuild(self.warehouse).held_back
        load_models(self.warehouse)
        self.watches: list[Watch] = []
        self.boundary, self.epoch = world.info["open_epoch"] + WEEK, world.info["open_epoch"]

    def sender(self, before: str = "") -> str:
        script = self.folder / f"sender-{abs(hash(before))}.py"
        script.write_text(SENDER.format(before=before))
        return shlex.join([sys.executable, str(script)])

    def mine(self, after: int) -> None:
        ask(self.node, "evm_mine", {"timestamp": self.boundary + after})

    def attempts(self, voter: str = "7001") -> Any:
        return read_attempts(self.folder / "nights" / "hydrex_world" / str(self.epoch) / f"{voter}.jsonl")

    def forget(self) -> None:
        for path in (self.folder / "nights").rglob("*.json*"):
            path.unlink()


class Watch:
    """A watch in a process of its own, its events as they come."""

    def __init__(self, nights: Nights, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "operate.cli", "watch", "--protocol", "hydrex_world", "--json", *arguments],
            cwd=ROOT,
            env={**os.environ, **nights.line.environment(), "NODE": nights.node},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        nights.watches.append(self)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def until(self, event: str, seconds: float = 120.0, count: int = 1) -> None:
        deadline = time.monotonic() + seconds
        while sum(e["event"] == event for e in self.events) < count:
            assert self.process.poll() is None or sum(e["event"] == event for e in self.events) >= count, self.end()
            assert time.monotonic() < deadline, f"no {event} within {seconds} s: {self.events[-5:]}"
            time.sleep(0.05)

    def end(self) -> str:
        self.process.wait(60)
        self._reader.join()
        return self.process.stderr.read() if self.process.stderr else ""

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def said(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("nights")
    with simulate.voting.running(folder / "world", epochs=2, gauges=8, voters=6) as world:
        yield Nights(world, folder)


@pytest.fixture
def nights(store: Nights) -> Iterator[Nights]:
    """The store with the chain as it was before the last night."""
    snapshot = ask(store.node, "evm_snapshot")
    yield store
    for watch in store.watches:
        if watch.process.poll() is None:
            watch.kill()
    ask(store.node, "evm_revert", snapshot)
    store.forget()


def live_through(nights: Nights, watch: Watch, first: int = -37, last: int = -1) -> None:
    for after in range(first, last + 1, 2):
        nights.mine(after)
        time.sleep(BLOCK_SECONDS)


def close(nights: Nights, watch: Watch) -> str:
    for after in range(1, 120, 4):
        if watch.process.poll() is not None:
            break
        nights.mine(after)
        time.sleep(0.3)
    return watch.end()


def test_without_a_sender_nothing_is_sent_and_the_newest_vote_is_in_a_file(nights: Nights) -> None:
    watch = Watch(nights)
    watch.until("decided")
    live_through(nights, watch, last=-33)
    live_through(nights, watch, first=-5)
    assert not close(nights, watch), watch.events[-3:]
    assert watch.process.returncode == 0
    vote = json.loads((nights.folder / "nights" / "hydrex_world" / str(nights.epoch) / "7001.json").read_text())
    assert vote["to"] == nights.world.info["protocols"]["hydrex"]["voter"] and vote["data"].startswith("0x")
    assert vote["last_votable_at"] == nights.boundary
    assert not watch.said("sent") and not nights.attempts()
    windows = {e["text"].split()[0] for e in watch.said("window")}
    assert windows == {"T-0"}


def test_votes_land_in_time_and_the_warehouse_decides_the_same_afterwards(nights: Nights) -> None:
    watch = Watch(nights, "--sender", nights.sender())
    watch.until("decided")
    live_through(nights, watch)
    assert not close(nights, watch), watch.events[-3:]
    attempts = nights.attempts()
    assert attempts and attempts[0].outcome == "landed"
    decided = [e["block"] for e in watch.said("decided")]
    t0 = [e for e in watch.said("decided") if e["row"]["decision_window"] == "T-0"]
    assert t0 and max(decided) == t0[0]["block"], "the last block that takes a vote is not decided on"
    flip(nights)
    claimed(nights, "7001")
    assert nights.line.extract(nights.config, epochs=1) in (0, 3)
    assert not rebuild(nights.warehouse).held_back
    rows = read_tables(nights.warehouse, {"p": "select * from decision_parity"})["p"].to_pylist()
    parity = {(r["voter_id"], r["decision_window"]): r["decision_parity"] for r in rows}
    assert parity and set(parity.values()) == {"equal"}, parity
    review = json.loads(nights.line.cli("review", "--protocol", "hydrex_world", "--voter", "7001", "--json").stdout)
    assert review[0]["epoch"] == nights.epoch and review[0]["attempts"][0]["outcome"] == "landed"
    shown = nights.line.cli("review", "--protocol", "hydrex_world", "--voter", "7001")
    assert shown.returncode == 0 and "from what was promised to what was earned" in shown.stdout
    received_to_the_unit(nights, review[0])


def claimed(nights: Nights, nft: str) -> None:
    """The NFT's owner claims every bribe of the exchange; the others claim nothing."""
    node, info = Node(nights.node), nights.world.info
    claim(node, info["protocols"]["hydrex"], [token["address"] for token in info["tokens"]], [], [int(nft)])
    for _ in range(10):
        node.mine(node.now + 2)


def received_to_the_unit(nights: Nights, review: dict[str, Any]) -> None:
    """What claims paid is what tokens arrived, and what the votes that stood were entitled to."""
    receipts = [row for row in review["receipts"] if row["receipt_status"] != "not_claimed"]
    less = [row for row in review["receipts"] if row["receipt_status"] == "not_claimed"]
    assert receipts and all(row["entitled_amount"] * 10 ** row["token_decimals"] < 1 for row in less), "not a unit"
    assert {row["receipt_status"] for row in receipts} <= {"received", "shared"}
    (recipient,) = {row["recipient_address"] for row in receipts}
    for token in {row["token_address"] for row in receipts}:
        call = {"to": token, "data": Function("balanceOf(address)").encode(recipient)}
        held = int(ask(nights.node, "eth_call", call, "latest"), 16)
        query = f"""select sum(received_raw)::varchar as raw from main_intermediate.int_reward_claims
            where recipient_address = '{recipient}' and token_address = '{token}'"""
        ((logged,),) = [row.values() for row in read_tables(nights.warehouse, {"rows": query})["rows"].to_pylist()]
        assert held == int(logged), "every unit that arrived came with a claim, of this epoch or of one before"
    for row in receipts:
        units = 1e-6 * row["entitled_amount"] + 2 / 10 ** row["token_decimals"]
        assert row["receipt_status"] == "shared" or row["received_amount"] == pytest.approx(
            row["entitled_amount"], abs=units
        )
    assert 0.98 * review["entitled_usd"] < review["received_then_usd"] <= review["entitled_usd"] * (1 + 1e-6)
    others = [row for row in of_others(nights) if row["epoch"] == nights.epoch]
    assert others and {row["receipt_status"] for row in others} == {"not_claimed"}


def of_others(nights: Nights) -> list[dict[str, Any]]:
    query = "select * from reward_receipts where protocol = 'hydrex_world' and voter_id <> '7001'"
    return read_tables(nights.warehouse, {"rows": query})["rows"].to_pylist()


def flip(nights: Nights) -> None:
    where = nights.world.info["protocols"]["hydrex"]
    turn = {
        "from": where["admin"],
        "to": where["minter"],
        "data": "0xed29fc11",
        "gas": hex(12_000_000),
        "gasPrice": "0x0",
    }
    ask(nights.node, "eth_sendTransaction", turn)
    head = int(ask(nights.node, "eth_getBlockByNumber", "latest", False)["timestamp"], 16) - nights.boundary
    for n in range(1, 30):
        nights.mine(head + 2 * n)


def test_killed_with_a_vote_on_its_way_it_comes_back_and_sends_nothing_twice(nights: Nights) -> None:
    started = nights.folder / "started"
    slow = nights.sender(f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(1.0)")
    first = Watch(nights, "--voter", "7001", "--sender", slow)
    first.until("decided")
    nights.mine(-37)
    first.until("sent")
    deadline = time.monotonic() + 60
    while not started.exists():  # a sender that the kill comes before never sends
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.kill()
    (attempt,) = nights.attempts()
    assert attempt.outcome is None, "the kill came before anybody knew"
    again = Watch(nights, "--voter", "7001", "--sender", slow)
    again.until("decided")
    live_through(nights, again, first=-33, last=-23)
    live_through(nights, again, first=-21)
    close(nights, again)
    assert nights.attempts()[0].outcome == "landed", "the sender outlived the watch: the contract says that one voted"
    assert all(a.outcome is not None for a in nights.attempts())


def test_a_sender_that_hangs_or_talks_nonsense_is_told_and_the_night_goes_on(nights: Nights) -> None:
    watch = Watch(nights, "--voter", "7001", "--sender", f"{sys.executable} -c \"print('no hash')\"")
    watch.until("decided")
    live_through(nights, watch, last=-31)
    live_through(nights, watch, first=-5)
    close(nights, watch)
    assert watch.process.returncode == 2
    assert any("no hash" in e["text"] for e in watch.said("failed"))
    assert [a.outcome for a in nights.attempts()] == ["never"], (
        "it may have been sent: nothing else goes before it is over"
    )


TWICE = """
from pathlib import Path
first = {"from": vote["from"], "to": vote["to"], "data": vote["data"], "gas": hex(vote["gas"]), "gasPrice": "0x0"}
again = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [first]}).encode()
sent = urllib.request.Request(os.environ["NODE"], again, {"Content-Type": "application/json"})
hash_ = json.load(urllib.request.urlopen(sent, timeout=5))["result"]
print(hash_, file=Path(sys.argv[0]).with_suffix(".first").open("a"))
"""


def test_a_vote_that_lands_twice_counts_once(nights: Nights) -> None:
    """A sender that tries again although the first try was on its way: two transactions, one vote, one record."""
    watch = Watch(nights, "--voter", "7001", "--sender", nights.sender(TWICE))
    watch.until("decided")
    live_through(nights, watch)
    assert not close(nights, watch), watch.events[-3:]
    attempts = nights.attempts()
    assert attempts and all(a.outcome == "landed" for a in attempts)
    (twins,) = nights.folder.glob("*.first")
    hashes = twins.read_text().split()
    twins.unlink()
    assert len(hashes) == len(attempts) == len({a.transaction_hash for a in attempts})
    sent = [*hashes, *(a.transaction_hash for a in attempts)]
    done = [ask(nights.node, "eth_getTransactionReceipt", one)["status"] for one in sent]
    assert done[: len(hashes)] == ["0x1"] * len(hashes), (
        "the first of each pair is the vote; the contract may refuse the other"
    )
    assert len(watch.said("landed")) == len(attempts)


def test_a_block_that_is_taken_back_is_decided_again(nights: Nights) -> None:
    watch = Watch(nights, "--voter", "7001")
    watch.until("decided")
    nights.mine(-37)
    watch.until("decided", count=4)
    before = ask(nights.node, "evm_snapshot")
    nights.mine(-35)
    watch.until("decided", count=7)
    ask(nights.node, "evm_revert", before)
    for after in (-34, -32, -30):
        nights.mine(after)
        time.sleep(BLOCK_SECONDS)
    live_through(nights, watch, first=-5)
    close(nights, watch)
    assert watch.said("reorg"), [e["text"] for e in watch.events]
    assert watch.process.returncode == 0


def test_a_second_watch_is_refused_by_name(nights: Nights) -> None:
    watch = Watch(nights)
    watch.until("decided")
    second = nights.line.cli("watch", "--protocol", "hydrex_world")
    assert second.returncode == 1 and "another process sends this voter's votes" in second.stderr
    watch.kill()


def test_the_check_names_what_would_fail_tonight(nights: Nights) -> None:
    done = nights.line.cli("watch", "--protocol", "hydrex_world", "--check", "--json")
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 1, "nobody has gas money in the embedded world"
    assert found["state"]["verdict"] == "ok" and "proven" in found["state"]["found"]
    assert found["voter 7001 trial"]["verdict"] == "ok" and "a vote lands" in found["voter 7001 trial"]["found"]
    assert found["voter 7001 gas"]["verdict"] == "fail" and found["voter 7001 gas"]["cure"]


def test_an_epoch_that_nobody_turned_is_said_at_every_block_and_ends_with_one(nights: Nights) -> None:
    """The flip is a week late: the contracts are in the epoch before, and no vote would count."""
    week = 7 * 86_400
    nights.mine(3600)
    for after in range(week - 61, week - 40, 2):
        nights.mine(after)
    checked = subprocess.run(
        [sys.executable, "-m", "operate.cli", "watch", "--protocol", "hydrex_world", "--check"],
        cwd=ROOT, env={**os.environ, **nights.line.environment()}, capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 1 and "turned late" in checked.stdout
    watch = Watch(nights)
    watch.until("started")
    for after in range(week - 37, week + 5, 2):
        nights.mine(after)
        time.sleep(0.3)
    watch.end()
    assert watch.process.returncode == 1
    assert all("turned late" in e["text"] for e in watch.said("blind")) and watch.said("blind")
    assert watch.said("failed") and not watch.said("decided")
