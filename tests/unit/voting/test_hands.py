"""From a decision to a vote on its way, and what becomes of it: the chain's word, asked no more often than needed."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.config import Config
from extract.evm.blocks import Block
from extract.evm.errors import ChainError
from extract.evm.proof import PROVEN
from extract.evm.transport import Answer as RpcAnswer
from extract.voting.families import FAMILIES
from operate.notify import Notifier
from operate.voting.watch import hands
from operate.voting.watch.attempts import read_attempts
from operate.voting.watch.hands import Hands
from operate.voting.watch.voice import Voice

SEEDS = Path(__file__).parents[3] / "seeds"
HASH, VOTER, POOL = "0x" + "ab" * 32, "0x" + "11" * 20, "0x" + "22" * 20
BOUNDARY = 1_771_459_200
GOOD = shlex.join([sys.executable, "-c", f"import json; print(json.dumps({{'hash': '{HASH}'}}))"])
BABBLING = shlex.join([sys.executable, "-c", "print('sent, I think')"])


class Providers:
    """A chain by hand: receipts by hash, blocks two seconds apart, and what was asked of it."""

    def __init__(self, newest: int) -> None:
        self.newest, self.receipts, self.asked = newest, dict[str, Any](), list[str]()
        self.is_silent = False

    def stamp(self, number: int) -> Block:
        return Block(number, BOUNDARY - 101 + 2 * number, f"0x{number}", f"0x{number - 1}")

    async def head(self, above: int, seconds: float) -> Block | None:
        return self.stamp(self.newest)

    async def first(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        return await ask(self)

    async def gas_price(self) -> int:
        return 10**7

    async def blocks(self, numbers: list[int]) -> list[Block]:
        return [self.stamp(number) for number in numbers]

    async def receipt(self, transaction_hash: str) -> Any:
        self.asked.append("receipt")
        if self.is_silent:
            raise ChainError("nobody answers")
        return self.receipts.get(transaction_hash)

    async def try_out(self, asked: Any, block: int) -> tuple[Any, Any]:
        return RpcAnswer("0x", "one"), RpcAnswer(100_000, "one")


class Epoch:
    """The open epoch as far as hands know it."""

    def __init__(self, newest: int) -> None:
        protocol = SimpleNamespace(name="world", voter="0x" + "33" * 20, family=FAMILIES["thena"])
        self.providers, self.protocol, self.epoch = Providers(newest), protocol, BOUNDARY - 604_800
        self.last_moment, self.run = BOUNDARY, SimpleNamespace(spec=SimpleNamespace(chain_id=1))
        self.voted_at: int | None = 0

    async def last_voted(self, voter: Any, block: int) -> int | None:
        return self.voted_at


class Ear(Voice):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(Notifier())
        self.heard: list[tuple[str, str]] = []

    def say(self, event: str, text: str, seconds_left: int | None = None, **facts: Any) -> None:
        self.heard.append((event, text))

    def texts(self, event: str) -> list[str]:
        return [text for said, text in self.heard if said == event]


ROW = {
    "protocol": "world",
    "voter_id": VOTER,
    "epoch": BOUNDARY - 604_800,
    "outcome": "ok",
    "action": "submit",
    "is_what_if": False,
    "votes": [{"gauge_address": "0x" + "44" * 20, "pool_address": POOL, "votes": 7.0}],
    "allocation": {"0x" + "44" * 20: 7},
    "voter": {
        "account_address": VOTER, "token_id": None, "sender": None, "owner_address": None, "power_raw": str(7 * 10**18),
    },
}  # fmt: skip


class Night:
    """Hands with a decision at block 10, where the newest block is `newest`."""

    def __init__(self, folder: Path, sender: str | None = GOOD, newest: int = 10) -> None:
        storage = {"root": str(folder), "raw_url": f"{folder}/raw", "seeds": str(SEEDS)}
        self.epoch, self.ear, self.folder = Epoch(newest), Ear(), folder
        config = Config(folder / "foreshore.toml", {"storage": storage}, {})
        self.hands = Hands(config, self.epoch, [VOTER], sender, self.ear, "test")  # type: ignore[arg-type]
        self.hands._record = lambda: None  # type: ignore[method-assign]  # what lands is another test's matter

    @property
    def path(self) -> Path:
        return self.folder / "nights" / "world" / str(BOUNDARY - 604_800) / f"{VOTER}.jsonl"

    async def offer(self) -> None:
        state = SimpleNamespace(confirmation=PROVEN)
        reading = SimpleNamespace(block=self.epoch.providers.stamp(10), state=state)
        await self.hands.offer(reading, [ROW], 2, 80)  # type: ignore[arg-type]
        await asyncio.gather(*(of.sending for of in self.hands._voters.values() if of.sending))
        await asyncio.sleep(0)  # what is done with the answer comes after it

    async def settle(self, number: int, is_over: bool = False) -> None:
        await self.hands.settle(self.epoch.providers.stamp(number), 80, is_over)

    def outcomes(self) -> list[str | None]:
        return [attempt.outcome for attempt in read_attempts(self.path)]


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_what_has_landed_is_not_asked_again_until_a_block_is_taken_back(tmp_path: Path) -> None:
    night = Night(tmp_path)

    async def through() -> None:
        await night.settle(10)  # what an earlier process left
        await night.offer()
        await night.settle(11)
        night.epoch.providers.receipts[HASH] = (12, True)
        await night.settle(12)
        assert night.outcomes() == ["landed"] and night.epoch.providers.asked == ["receipt", "receipt"]
        await night.settle(13)
        assert len(night.epoch.providers.asked) == 2, "settled is settled"
        night.epoch.providers.receipts.clear()
        night.hands.doubt()
        await night.settle(14)
        assert night.outcomes() == [None] and night.hands.has_pending, "taken back: it may land again"
        await night.settle(15, is_over=True)

    run(through())
    assert night.outcomes() == ["never"] and night.hands.has_failed


def test_without_a_hash_the_contract_tells_whether_one_voted(tmp_path: Path) -> None:
    night = Night(tmp_path, BABBLING)

    async def through() -> None:
        await night.offer()
        night.epoch.voted_at = night.epoch.providers.stamp(10).timestamp  # a vote of before
        await night.settle(11)
        assert night.outcomes() == [None]
        night.epoch.voted_at = night.epoch.providers.stamp(11).timestamp
        await night.settle(12)

    run(through())
    assert night.outcomes() == ["landed"] and night.ear.texts("failed")[0].endswith("no hash in 'sent, I think'")


@pytest.mark.parametrize("twin", [True, False])
def test_a_transaction_that_reverted_because_its_twin_landed_is_no_lost_vote(tmp_path: Path, twin: bool) -> None:
    night = Night(tmp_path)

    async def through() -> None:
        await night.offer()
        night.epoch.providers.receipts[HASH] = (12, False)
        night.epoch.voted_at = night.epoch.providers.stamp(11 if twin else 10).timestamp
        await night.settle(12)

    run(through())
    assert night.outcomes() == ["landed" if twin else "reverted"]


def test_a_decision_that_took_too_long_is_not_sent_to_revert(tmp_path: Path) -> None:
    """Decided on block 10, and by now the last block that takes a vote is there."""
    night = Night(tmp_path, newest=50)
    run(night.offer())
    assert night.epoch.providers.stamp(50).timestamp == BOUNDARY - 1
    assert night.outcomes() == [] and "too late" in night.ear.texts("refused")[0]


def test_providers_that_hang_and_a_full_disk_refuse_a_vote_and_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "ASK_SECONDS", 0.2)
    night = Night(tmp_path)

    async def hang(asked: Any, block: int) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(night.epoch.providers, "try_out", hang)
    run(night.offer())
    assert night.ear.texts("refused") == [f"voter {VOTER}: no provider tried it in 0.2 s"]

    night = Night(tmp_path / "full", sender=None)
    monkeypatch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    run(night.offer())
    assert "No space left on device" in night.ear.texts("refused")[0]


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_vote_after_the_last_moment_has_not_landed(tmp_path: Path, by_hash: bool) -> None:
    """Block 50 is stamped a second before the boundary, block 51 a second after it."""
    for block, outcome in ((50, "landed"), (51, "late")):
        night = Night(tmp_path / str(block), GOOD if by_hash else BABBLING)

        async def through(night: Night = night, block: int = block) -> None:
            await night.offer()
            if by_hash:
                night.epoch.providers.receipts[HASH] = (block, True)
            else:
                night.epoch.voted_at = night.epoch.providers.stamp(block).timestamp
            await night.settle(52)

        run(through())
        assert night.outcomes() == [outcome]
        assert len(night.ear.texts("failed")) == (outcome == "late") + (not by_hash)


def test_nobodys_silence_is_an_outcome(tmp_path: Path) -> None:
    night = Night(tmp_path)

    async def through() -> None:
        await night.offer()
        night.epoch.providers.is_silent = True
        await night.settle(11)
        await night.settle(12)

    run(through())
    assert night.outcomes() == [None] and len(night.ear.texts("provider")) == 1


def test_without_a_sender_the_vote_is_in_a_file(tmp_path: Path) -> None:
    night = Night(tmp_path, sender=None)
    run(night.offer())
    vote = json.loads(night.path.with_suffix(".json").read_text())
    assert (vote["from"], vote["gas"], vote["decision_block"]) == (VOTER, 120_000, 10)
    assert not night.path.exists() or night.outcomes() == []


def test_a_vote_is_owed_until_it_landed_or_was_tried_often_enough(tmp_path: Path) -> None:
    night = Night(tmp_path)

    async def through() -> None:
        assert night.hands.owed(2) == [], "nothing was decided yet"
        await night.offer()
        assert night.hands.owed(2) == [], "it may still land"
        night.epoch.providers.receipts[HASH] = (11, False)
        await night.settle(11)
        assert night.outcomes() == ["reverted"]
        assert night.hands.owed(2) == [VOTER] and night.hands.owed(1) == []
        await night.offer()
        await night.settle(12)
        assert night.outcomes() == ["reverted", "reverted"] and night.hands.owed(2) == []
        assert night.hands.owed(3) == [VOTER]
        await night.offer()
        night.epoch.providers.receipts[HASH] = (13, True)
        await night.settle(13)

    run(through())
    assert night.outcomes()[-1] == "landed" and night.hands.owed(9) == []


def test_a_vote_that_failed_before_a_kill_is_owed_by_who_comes_back(tmp_path: Path) -> None:
    night = Night(tmp_path, "/nowhere/sender")  # cannot be started: nothing was sent, provably
    run(night.offer())
    assert night.outcomes() == ["not_sent"]
    night.hands.close()
    assert Night(tmp_path).hands.owed(2) == [VOTER]


@pytest.mark.parametrize("change", [{"action": "wait"}, {"outcome": "nothing_to_gain"}])
def test_a_vote_that_is_worth_it_no_more_is_not_owed(tmp_path: Path, change: dict[str, str]) -> None:
    night = Night(tmp_path, "/nowhere/sender")
    run(night.offer())
    assert night.hands.owed(2) == [VOTER]
    reading = SimpleNamespace(block=night.epoch.providers.stamp(10), state=SimpleNamespace(confirmation=PROVEN))
    run(night.hands.offer(reading, [{**ROW, **change}], 2, 80))  # type: ignore[arg-type]
    assert night.hands.owed(2) == []


@pytest.mark.parametrize("change", [{"action": "wait"}, {"outcome": "no_voting_power"}, {"voter_id": "somebody"}])
def test_only_a_vote_that_is_worth_it_and_asked_for_is_offered(tmp_path: Path, change: dict[str, str]) -> None:
    night = Night(tmp_path)
    reading = SimpleNamespace(block=night.epoch.providers.stamp(10), state=SimpleNamespace(confirmation=PROVEN))
    run(night.hands.offer(reading, [{**ROW, **change}], 2, 80))  # type: ignore[arg-type]
    assert night.outcomes() == [] and not night.ear.heard
