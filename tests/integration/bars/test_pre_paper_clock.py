"""The machine's clock is not the exchange's: ahead or behind, nothing is said and nothing wrong is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from decide.bars.actions import JumpRule, Split
from decide.bars.bars import Bars
from decide.bars.promotable import PromotionGates
from extract.bars.actions import Action
from extract.bars.alpaca_socket import LiveEvent, Minute
from extract.bars.provider import Bar
from operate.bars.pre_paper.cache import BarCache
from operate.bars.pre_paper.clocks import ClockWatch
from operate.bars.pre_paper.evaluation import Guards
from operate.bars.pre_paper.folder import RunFolder
from operate.bars.pre_paper.run import Asked, trade_session
from operate.bars.pre_paper.runner import CLOCK_SKEW, KILL_SWITCH
from tests.bar_fixtures import STEP
from tests.pre_paper_fixtures import FEED, Desk, Shelf, busy, day_bars, iso, stream_of


class World:
    """True time, and a machine whose clock is `ahead` seconds off."""

    def __init__(self, ahead: float, start: float) -> None:
        self.ahead, self.now = ahead, start

    def machine(self) -> float:
        return self.now + self.ahead

    async def play(self, events: Sequence[LiveEvent], end: float) -> AsyncIterator[LiveEvent]:
        """Every minute a second after it is over."""
        for event in events:
            if isinstance(event, Minute) and event.bar.ts + 61 > self.now:
                self.now = event.bar.ts + 61
                await asyncio.sleep(0.003)
            yield event
        for moment in range(int(self.now), int(end) + 60, 5):
            self.now = moment
            await asyncio.sleep(0.001)
        self.now = end + 900
        await asyncio.sleep(3600)


class Running(Shelf):
    """A provider that serves the bar that is running, as far as it has come."""

    world: World

    def _rows(self, symbol: str, first: int, last: int) -> list[Bar]:
        found = []
        for bar in super()._rows(symbol, first, last):
            if bar.ts > self.world.now:
                continue
            half = replace_bar(bar) if bar.ts + STEP > self.world.now else bar
            found.append(half)
        return found


def replace_bar(bar: Bar) -> Bar:
    """What of a bar there is half way through: its first print."""
    return Bar(bar.symbol, bar.ts, bar.open, bar.open, bar.open, bar.open, 1.0)


def live(desk: Desk, monkeypatch: pytest.MonkeyPatch, ahead: float) -> dict[str, Any]:
    """A session on the machine's clock; the summary."""
    world = World(ahead, desk.session[0] - 300)
    shown = SimpleNamespace(time=world.machine, perf_counter=time.perf_counter, monotonic=time.monotonic)
    monkeypatch.setattr("operate.bars.pre_paper.runner.time", shown)
    shelf = Running(desk.bars)
    shelf.world = world
    events = stream_of(desk.bars, desk.session)

    async def play() -> dict[str, Any]:
        with (
            RunFolder(desk.folder / "run") as folder,
            BarCache(desk.folder / "cache" / "bars.sqlite", FEED, desk.sessions) as cache,
        ):
            stream = world.play(events, desk.session[1])
            return await trade_session(desk.plan(), Asked(Path("manifest")), cache, folder, shelf, stream)

    return asyncio.run(asyncio.wait_for(play(), 60))


def kept(desk: Desk, symbol: str) -> Bars:
    with BarCache(desk.folder / "cache" / "bars.sqlite", FEED, desk.sessions) as cache:
        return cache.bars(symbol, 0, 2**40)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, {"AAA": day_bars(3), "BBB": day_bars(4)})


def assert_nothing_wrong_is_kept(desk: Desk) -> None:
    for symbol, true in desk.bars.items():
        held = kept(desk, symbol)
        rows = np.searchsorted(true.labels, held.labels)
        assert len(held) and (held.close == true.close[rows]).all() and (held.high == true.high[rows]).all()


def test_with_the_right_clock_live_says_what_the_backtest_says(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    live(desk, monkeypatch, 0)
    refused = {(r["symbol"], r["close"]) for r in desk.decisions() if r["decision"] == "NO-SIGNALS"}
    assert CLOCK_SKEW not in {r["reason"] for r in desk.decisions()} and len(refused) < 8
    for symbol, said in desk.said().items():
        gone = {close for name, close in refused if name == symbol}
        assert said == [s for s in desk.expected()[symbol] if iso(_seconds(s[0]) + STEP) not in gone]
    assert_nothing_wrong_is_kept(desk)


@pytest.mark.parametrize("ahead", [70, -400, 12])
def test_with_a_wrong_clock_nothing_is_said_and_nothing_wrong_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    live(desk, monkeypatch, ahead)
    assert desk.said() == {"AAA": [], "BBB": []}
    reasons = [r["reason"] for r in desk.decisions() if r["decision"] == "NO-SIGNALS"]
    assert len(reasons) == len(desk.decisions()) and reasons.count(CLOCK_SKEW) > 0.8 * len(reasons)
    assert_nothing_wrong_is_kept(desk)


def _seconds(text: str) -> int:
    return int(np.datetime64(text.rstrip("Z"), "s").astype(np.int64))


def test_a_few_late_minutes_are_no_wrong_clock_and_dates_tell_too() -> None:
    watch = ClockWatch()
    for minute in range(1, 6):
        watch.minute(60.0 * minute, 60.0 * minute + (150 if minute == 3 else 2))
    assert watch.ahead() == 0
    watch.http(1_000.0, 1_003.0)
    assert watch.ahead() == 0
    watch.http(1_000.0, 1_070.0)
    assert watch.ahead() == 70
    watch.http(1_000.0, 600.0)
    assert watch.ahead() == -400
    late = ClockWatch()
    late.minute(60.0, 130.0)
    assert late.ahead() == 70


class Told(Shelf):
    """A provider that tells of a split at the day's open."""

    kinds: tuple[Action, ...] = ()

    async def actions(self, symbols: Sequence[str], first: Any, last: Any) -> list[Action]:
        return [a for a in self.kinds if a.symbol in symbols and first <= a.ex_date <= last]


def split_day(desk: Desk) -> dict[str, Bars]:
    """The same bars, with prices before the day four times as high: a four-for-one split that night."""
    made = {}
    for symbol, bars in desk.bars.items():
        factor = np.where(bars.labels < desk.session[0], 4.0, 1.0)
        prices = [values * factor for values in (bars.open, bars.high, bars.low, bars.close)]
        made[symbol] = Bars(bars.labels, prices[0], prices[1], prices[2], prices[3], bars.volume)
    return made


class Guarded(Desk):
    """A desk with guards."""

    guards: Guards = Guards(jumps=JumpRule(1.45, 0.06))

    def plan(self) -> Any:
        return replace(super().plan(), guards=self.guards)


def test_a_split_is_adjusted_where_it_was_told_and_refused_by_name_where_not(tmp_path: Path) -> None:
    from datetime import date

    desk = Guarded(tmp_path, {"AAA": day_bars(3), "BBB": day_bars(4)})
    raw = split_day(desk)
    shelf = Told(raw)
    shelf.kinds = (Action("AAA", "split", date(2025, 10, 28), 1.0, 4.0),)
    desk.run(stream_of(desk.bars, desk.session), shelf)
    reasons = {r["reason"] for r in desk.decisions("BBB")}
    assert reasons == {"unadjusted_split"} and desk.said()["BBB"] == []
    assert desk.said()["AAA"] == desk.expected()["AAA"]  # as if there had been no split
    assert {r["decision"] for r in desk.decisions("AAA")} == {"signal", "quiet"}


def test_kill_switches_stop_a_symbol_that_does_what_was_not_tested(tmp_path: Path) -> None:
    desk = Guarded(tmp_path, {"AAA": day_bars(3)}, busy())
    free = Guarded(tmp_path / "free", desk.bars, busy())
    free.run(stream_of(free.bars, free.session))
    assert len(free.said()["AAA"]) > 3
    desk.guards = Guards(gates=PromotionGates(0, 0, 0, 1, 1, 3, 1))
    desk.run(stream_of(desk.bars, desk.session))
    assert desk.said()["AAA"] == free.said()["AAA"][:3]
    assert KILL_SWITCH in {r["reason"] for r in desk.decisions()}
    lossy = Guarded(tmp_path / "lossy", desk.bars, busy(commission_per_share_usd=50))
    lossy.guards = Guards(gates=PromotionGates(0, 0, 0, 1, 1, 1_000, 0.05))
    lossy.run(stream_of(lossy.bars, lossy.session))
    assert 0 < len(lossy.said()["AAA"]) < len(free.said()["AAA"])


def test_a_split_is_what_both_numbers_say() -> None:
    assert Split(0, Fraction(1), Fraction(4)).factor == 0.25
    rule = JumpRule(1.45, 0.06)
    assert [rule.looks_like_a_split(r) for r in (0.5, 2.05, 0.252, 1.5, 0.1, 1.2, 1.0)] == [True] * 5 + [False] * 2
