"""A night's course without a chain: which blocks are decided, what is recorded once, what is kept, what is said."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from decide.errors import DecisionError
from extract.config import Config
from extract.errors import Busy
from extract.evm.blocks import Block
from extract.evm.errors import AfterHead, ChainError
from extract.voting.families import FAMILIES
from extract.voting.nights import LiveDecision
from extract.voting.tables import EVENTS
from operate.notify import Notifier
from operate.voting.watch import night as nights
from operate.voting.watch.decisions import Decided
from operate.voting.watch.night import KEPT_MOMENTS, Night
from operate.voting.watch.voice import Voice

SEEDS = Path(__file__).parents[3] / "seeds"
BOUNDARY = 1_771_459_200
VOTERS = ("a", "b")


class Chain:
    """Blocks as they come: every look at the head finds the next one."""

    def __init__(self, stamps: list[int]) -> None:
        self.blocks = [Block(n, BOUNDARY + at, f"0x{n}", f"0x{n - 1}") for n, at in enumerate(stamps)]
        self.at, self.trouble = -1, dict[str, str]()
        self.deaf = 0  # searches for a block that fail

    async def head(self, above: int, seconds: float) -> Block | None:
        await asyncio.sleep(0)
        self.at = min(self.at + 1, len(self.blocks) - 1)
        return self.blocks[self.at] if self.blocks[self.at].number > above else None

    async def first(self, ask: Callable[[Any], Any]) -> Any:
        found = SimpleNamespace(block_at_or_before=self._at_or_before, blocks=self._numbered)
        return await ask(found)

    async def _at_or_before(self, moment: int) -> Block:
        if moment >= self.blocks[self.at].timestamp:
            raise AfterHead("a later block may share that second", self.blocks[self.at].timestamp)
        if self.deaf:
            self.deaf -= 1
            raise ChainError("nobody answers")
        return [block for block in self.blocks[: self.at + 1] if block.timestamp <= moment][-1]

    async def _numbered(self, numbers: list[int], fresh: bool = False) -> list[Block]:
        return [self.blocks[number] for number in numbers]


class Epoch:
    """An open epoch whose every reading is empty."""

    def __init__(self, chain: Chain) -> None:
        self.providers, self.boundary, self.last_moment, self.epoch = chain, BOUNDARY, BOUNDARY, BOUNDARY - 604_800
        self.protocol = SimpleNamespace(name="world", family=FAMILIES["thena"])
        self.run = SimpleNamespace(spec=SimpleNamespace(block_seconds=2.0))
        self.read_at: list[tuple[int, str]] = []

    async def read(self, block: Block, window: Any, is_frozen: bool) -> Any:
        self.read_at.append((block.timestamp - BOUNDARY, window.decision_window))
        state = SimpleNamespace(confirmation="proven", totals={"length": SimpleNamespace(provider="one")})
        tables = {"voting_events": EVENTS.empty_table()}
        return SimpleNamespace(block=block, window=window, state=state, tables=tables)

    def forget(self, above: int) -> None: ...


class Models:
    @contextmanager
    def at(self, tables: Any) -> Iterator[Models]:
        yield self


class Decider:
    settings = SimpleNamespace(rules={})
    fails_at, error = -1, Exception()

    def decide(self, models: Any, window: str) -> Decided:
        self.fails_at -= 1
        if self.fails_at == 0:
            raise self.error
        common = {"protocol": "world", "epoch": BOUNDARY - 604_800, "decision_window": window, "votes": []}
        return Decided([{**common, "voter_id": v, "outcome": "none", "action": "keep"} for v in VOTERS], [])


class Hands:
    has_pending = False
    doubted = 0
    failing: tuple[str, ...] = ()  # whose votes never land

    def __init__(self) -> None:
        self.offered: list[tuple[int, list[str]]] = []

    def owed(self, tries: int) -> list[str]:
        return [v for v in self.failing if sum(v in voters for _, voters in self.offered) < tries]

    def doubt(self) -> None:
        self.doubted += 1

    def submitted(self) -> tuple[pa.Table, pa.Table]:
        return pa.table({}), pa.table({})

    def summary(self) -> str:
        return "nothing"

    def facts(self) -> dict[str, Any]:
        return {}

    async def settle(self, *_: Any) -> None: ...

    async def offer(self, reading: Any, rows: list[dict[str, Any]], *_: Any) -> None:
        self.offered.append((reading.block.timestamp - BOUNDARY, [row["voter_id"] for row in rows]))


class Ear(Voice):
    def __init__(self) -> None:
        super().__init__(Notifier())
        self.heard: list[tuple[str, str]] = []

    def say(self, event: str, text: str, seconds_left: int | None = None, **facts: Any) -> None:
        self.heard.append((event, text))


def played(
    stamps: list[int], monkeypatch: pytest.MonkeyPatch, busy: int = 0
) -> tuple[Night, Epoch, Ear, list[list[LiveDecision]]]:
    """A night over blocks at these seconds after the boundary; the first `busy` landings find the raw zone held."""
    epoch, ear, landed, left = Epoch(Chain(stamps)), Ear(), list[list[LiveDecision]](), [busy]

    def land(_: Any, decisions: list[LiveDecision], run_id: str) -> None:
        if left[0]:
            left[0] -= 1
            raise Busy("somebody else lands")
        landed.append(list(decisions))

    monkeypatch.setattr(nights, "land_decisions", land)
    monkeypatch.setattr(nights, "Lake", SimpleNamespace(of=lambda config: None))
    monkeypatch.setattr(nights, "FAR_POLL_SECONDS", 0.0)
    monkeypatch.setattr(nights, "POLLS_PER_BLOCK", 10**6)
    config = Config(Path("foreshore.toml"), {"storage": {"seeds": str(SEEDS)}}, {})
    night = Night(config, epoch, Models(), Decider(), Hands(), ear, "test")  # type: ignore[arg-type]
    asyncio.run(asyncio.wait_for(night.run(), 60))
    return night, epoch, ear, landed


def test_every_window_is_landed_once_and_only_what_can_land_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    night, epoch, _, landed = played([-90_000, -86_401, -86_399, *range(-605, 2, 2)], monkeypatch)
    keys = [(one.voter_id, one.decision_window) for load in landed for one in load]
    assert sorted(keys) == sorted((v, w) for v in VOTERS for w in ("day", "T-5", "T-1", "T-0"))
    blocks = {one.decision_window: int(one.decision_at.timestamp()) - BOUNDARY for load in landed for one in load}
    assert blocks == {"day": -86_401, "T-5": -301, "T-1": -61, "T-0": -3}
    assert max(at for at, _ in epoch.read_at) == -3, "a block after which nothing lands is not decided on"
    late = [at for at, _ in epoch.read_at if at >= -600]
    assert late == sorted(set(late)) and len(late) >= 297, "each late block once, hours without one notwithstanding"
    assert all(one.blocks_behind == 0 for load in landed for one in load if one.decision_window != "day")
    assert len(night.moments) <= KEPT_MOMENTS


@pytest.mark.parametrize(("tries", "again"), [(1, []), (2, [-86_300]), (3, [-86_300, -86_200])])
def test_a_vote_of_a_day_before_that_did_not_land_is_decided_anew(
    monkeypatch: pytest.MonkeyPatch, tries: int, again: list[int]
) -> None:
    """For whom it failed, as often as the chance to land counts on, and before the last minutes, that decide anyway."""
    monkeypatch.setattr(Hands, "failing", ("b",))
    known = nights.threshold
    monkeypatch.setattr(nights, "threshold", lambda s, name: tries if name == "early_vote_tries" else known(s, name))
    stamps = [*range(-86_421, -86_397, 2), -86_300, -86_200, -86_100, -50_000, *range(-605, 2, 2)]
    night, _, ear, landed = played(stamps, monkeypatch)
    early = [(at, voters) for at, voters in night.hands.offered if at < -600]  # type: ignore[attr-defined]
    assert early == [(-86_399, ["a", "b"]), *((at, ["b"]) for at in again)]
    assert [event for event, _ in ear.heard].count("again") == len(again)
    days = [one for load in landed for one in load if one.decision_window == "day"]
    assert {int(one.decision_at.timestamp()) - BOUNDARY for one in days} == {-86_401}, (
        "the window's own decision stands"
    )


def test_what_could_not_be_landed_is_landed_later_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows wait for the same landing: one load must not hold a row twice."""
    _, _, ear, landed = played(list(range(-305, 2, 2)), monkeypatch, busy=10**3)
    assert landed == [] and [e for e, _ in ear.heard].count("waiting") == 1
    _, _, _, landed = played(list(range(-305, 2, 2)), monkeypatch, busy=100)
    keys = [(one.voter_id, one.decision_window) for load in landed for one in load]
    assert len(keys) == len(set(keys)) == 6


@pytest.mark.parametrize("error", [DecisionError("a share is not positive"), KeyError("a share is not positive")])
def test_a_block_that_cannot_be_decided_on_is_not_the_night(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(Decider, "fails_at", 3)
    monkeypatch.setattr(Decider, "error", error)
    _, epoch, ear, landed = played([*range(-21, 2, 2)], monkeypatch)
    assert [text for event, text in ear.heard if event == "blind"] == [
        f"block 2 could not be decided on: {type(error).__name__}: {error}"
    ]
    assert len(epoch.read_at) == 10 and {one.decision_window for one in landed[-1]} == {"T-0"}


def test_twenty_seconds_without_a_block_keep_nobody_from_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _, epoch, _, landed = played([*range(-61, -23, 2), *range(-3, 2, 2)], monkeypatch)
    assert epoch.read_at[-1] == (-3, "T-0") and {one.decision_window for one in landed[-1]} == {"T-0"}


def test_a_chain_that_had_stood_still_is_decided_on_at_its_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """One gap of minutes is all that was seen of its pace: the next block is not as far away."""
    _, epoch, _, _ = played([-1264, -599, *range(-597, 2, 2)], monkeypatch)
    assert epoch.read_at[0][0] == -599


@pytest.mark.parametrize("deaf", [0, 3])
def test_a_block_in_the_very_second_of_a_window_and_searches_that_fail_cost_no_window(
    monkeypatch: pytest.MonkeyPatch, deaf: int
) -> None:
    """Blocks at even seconds stand on -300 and -60; who is asked for a window's block may not answer three times."""
    stamps = [-86_402, -86_400, -86_398, *range(-606, 8, 2)]
    chain = Chain(stamps)
    chain.deaf = deaf
    monkeypatch.setattr(__name__ + ".Chain", lambda _: chain)
    _, _, ear, landed = played(stamps, monkeypatch)
    blocks = {one.decision_window: int(one.decision_at.timestamp()) - BOUNDARY for load in landed for one in load}
    assert blocks == {"day": -86_400, "T-5": -300, "T-1": -60, "T-0": -2}
    assert any("could not be asked" in text for _, text in ear.heard) == bool(deaf)


def test_a_chain_that_stands_still_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 7))
    monkeypatch.setattr(nights, "time", SimpleNamespace(monotonic=lambda: next(clock), perf_counter=lambda: 0.0))
    monkeypatch.setattr(nights, "READ_DEADLINE_SECONDS", 60)
    chain = [-9, -7]

    async def stand_still() -> Ear:
        epoch, ear = Epoch(Chain(chain)), Ear()
        config = Config(Path("foreshore.toml"), {"storage": {"seeds": str(SEEDS)}}, {})
        night = Night(config, epoch, Models(), Decider(), Hands(), ear, "test")  # type: ignore[arg-type]
        monkeypatch.setattr(nights, "POLLS_PER_BLOCK", 10**6)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(night.run(), 1)
        return ear

    heard = asyncio.run(stand_still()).heard
    assert ("blind", "nobody tells of a block after 1") in heard


def test_a_decision_says_when_and_on_what_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, landed = played([-7, -5, -3, -1, 1], monkeypatch)
    (first, _) = landed[0]
    assert (first.decision_window, first.decision_block, first.decision_block_hash) == ("T-0", 2, "0x2")
    assert first.decision_at == datetime.fromtimestamp(BOUNDARY - 3, UTC) and first.decided_at.tzinfo is UTC


class Clocked(Chain):
    """A chain with a block every two seconds of a clock that only our waiting moves; counts who asks."""

    def __init__(self, hours: int) -> None:
        super().__init__(list(range(-hours * 3600 + 1, 3, 2)))
        self.now, self.looks = float(self.blocks[0].timestamp), 0

    async def head(self, above: int, seconds: float) -> Block | None:
        self.looks += 1
        self.at = min(int(self.now - self.blocks[0].timestamp) // 2, len(self.blocks) - 1)
        return self.blocks[self.at] if self.at > above else None

    async def wait(self, seconds: float) -> None:
        self.now += seconds


def test_twelve_hours_cost_a_provider_less_than_five_thousand_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polled, without a websocket: a look at the head is a request, a reading four (the most: 415 gauges, split)."""
    chain = Clocked(12)
    epoch, real = Epoch(chain), asyncio

    class Patient:
        sleep = staticmethod(chain.wait)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(nights, "asyncio", Patient())
    monkeypatch.setattr(nights, "land_decisions", lambda *_: None)
    monkeypatch.setattr(nights, "Lake", SimpleNamespace(of=lambda config: None))
    config = Config(Path("foreshore.toml"), {"storage": {"seeds": str(SEEDS)}}, {})
    night = Night(config, epoch, Models(), Decider(), Hands(), Ear(), "test")  # type: ignore[arg-type]
    tracemalloc.start()
    asyncio.run(night.run())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    late = [at for at, _ in epoch.read_at if at >= -600]
    assert len(late) >= 298, "each block of the last ten minutes"
    assert chain.looks + 4 * len(epoch.read_at) < 5000, (chain.looks, len(epoch.read_at))
    assert len(night.moments) <= KEPT_MOMENTS and most < 32 * 2**20


def test_a_clock_that_is_wrong_by_a_minute_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided, when, and as which window hangs on the chain's time alone."""
    stamps = [-86_401, -86_399, *range(-305, 2, 2)]
    _, right, _, landed = played(stamps, monkeypatch)
    wrong = SimpleNamespace(now=lambda zone: datetime(2001, 1, 1, tzinfo=zone), fromtimestamp=datetime.fromtimestamp)
    monkeypatch.setattr(nights, "datetime", wrong)
    _, other, _, moved = played(stamps, monkeypatch)
    assert right.read_at == other.read_at

    def told(loads: list[list[LiveDecision]]) -> list[tuple[str, str, int]]:
        return [(one.voter_id, one.decision_window, one.decision_block) for load in loads for one in load]

    assert told(landed) == told(moved)
