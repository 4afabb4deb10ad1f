"""Pre-paper against the backtest: the same signals where history is whole, NO-SIGNALS with a reason where it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decide.bars.bars import Bars, combine
from decide.bars.inside_bar import find_signals
from decide.bars.rules import trade_windows
from extract.bars.alpaca_socket import Joined, LiveEvent, Minute
from extract.bars.provider import ProviderRefused
from extract.errors import Busy
from operate.bars.pre_paper.folder import LOG, RESULT, RunFolder, read_lines
from operate.bars.pre_paper.runner import FEED_DISCONNECTED, RUNNER_DOWN
from tests.bar_fixtures import STEP
from tests.pre_paper_fixtures import LOST, Desk, Shelf, brief, busy, day_bars, iso, stream_of


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, {"AAA": day_bars(3), "BBB": day_bars(4)})


def without(events: list[LiveEvent], first: int, last: int, symbol: str = "AAA") -> list[LiveEvent]:
    """The stream without a symbol's minutes in [first, last]."""
    return [e for e in events if not (isinstance(e, Minute) and e.bar.symbol == symbol and first <= e.bar.ts <= last)]


def refused(desk: Desk, symbol: str = "AAA") -> dict[str, str]:
    """Reason by close of what was refused."""
    return {row["close"]: row["reason"] for row in desk.decisions(symbol) if row["decision"] == "NO-SIGNALS"}


def outside(desk: Desk, symbol: str = "AAA") -> list[Any]:
    """The backtest's signals whose close was not refused."""
    gone = refused(desk, symbol)
    return [s for s in desk.expected()[symbol] if iso(_seconds(s[0]) + desk.strategy.rules.step) not in gone]


def _seconds(text: str) -> int:
    return int(np.datetime64(text.rstrip("Z"), "s").astype(np.int64))


def test_a_whole_day_says_what_the_backtest_says(desk: Desk) -> None:
    summary = desk.run(stream_of(desk.bars, desk.session))
    assert desk.said() == desk.expected()
    assert sum(map(len, desk.said().values())) == summary["signals"] > 6
    assert len(desk.decisions()) == 2 * 78
    assert {row["decision"] for row in desk.decisions()} == {"signal", "quiet"}


def test_fifteen_minute_bars_come_from_whole_threes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"AAA": day_bars(3)}, busy(timeframe_minutes=15, max_pattern_age_candles=8))
    desk.run(stream_of(desk.bars, desk.session))
    rules = desk.strategy.rules
    batch = find_signals(combine(desk.bars["AAA"], STEP, 3 * STEP), rules, trade_windows(desk.sessions, rules)).signals
    assert desk.said()["AAA"] == [brief(s) for s in batch if s.trigger_at >= desk.session[0]]
    assert len(desk.said()["AAA"]) > 0 and len(desk.decisions()) == 26


def test_late_duplicate_revised_and_disordered_minutes_change_nothing_within_their_bar(desk: Desk) -> None:
    events = stream_of(desk.bars, desk.session)
    rng = np.random.default_rng(1)
    minutes = [e for e in events if isinstance(e, Minute)]
    key = [m.bar.ts // 300 + rng.random() * 0.9 for m in minutes]  # any order within a bar
    mixed = [m for _, m in sorted(zip(key, minutes, strict=True), key=lambda pair: pair[0])]
    doubled = [copy for m in mixed for copy in ([m, m] if rng.random() < 0.3 else [m])]
    desk.run([events[0], *doubled])
    assert desk.said() == desk.expected()
    assert len(desk.decisions()) == 2 * 78


def test_a_lost_minute_is_fetched_and_a_hole_nobody_fills_stops_the_signals(desk: Desk) -> None:
    opened = desk.session[0]
    events = without(stream_of(desk.bars, desk.session), opened + 40 * 60, opened + 41 * 60)
    shelf = Shelf(desk.bars)
    desk.run(events, shelf)
    assert desk.said() == desk.expected() and refused(desk) == {}
    assert any(calls[0] == ("AAA",) for calls in shelf.calls)

    holed = Desk(desk.folder / "holed", desk.bars)
    hole = opened + 8 * STEP
    holed.run(without(stream_of(desk.bars, desk.session), hole, hole + 60), Shelf(desk.bars, frozenset({hole})))
    gone = refused(holed)
    assert min(gone) == iso(hole + STEP) and len(gone) == 78 - 8  # to the session's end: state needs every bar
    assert set(gone.values()) <= {"gap", "stale", "provider_empty"}
    assert holed.said()["AAA"] == outside(holed) != holed.expected()["AAA"]
    assert holed.said()["BBB"] == holed.expected()["BBB"]
    gaps = next(r["gaps"] for r in holed.decisions("AAA") if r["close"] == iso(hole + 2 * STEP))
    assert gaps == [{"first": iso(hole), "last": iso(hole), "count": 1}]


@pytest.mark.parametrize(
    ("provider", "reason"),
    [({"is_down": True}, "provider_error"), ({"bars": {}}, "provider_empty"), ({"delay": 99.0}, "provider_error")],
)
def test_without_a_past_there_is_no_signal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, provider: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr("operate.bars.pre_paper.run.DEADLINE_SECONDS", 0.02)
    desk.run(stream_of(desk.bars, desk.session), replace(Shelf(desk.bars), **provider))
    assert desk.said() == {"AAA": [], "BBB": []}
    assert len(desk.decisions()) == 2 * 78
    assert {row["decision"] for row in desk.decisions()} == {"NO-SIGNALS"}
    assert {row["reason"] for row in desk.decisions()} <= {reason, "backfill_running"}


def test_bars_of_another_symbol_do_not_make_a_history(desk: Desk) -> None:
    class Liar(Shelf):
        def _rows(self, symbol: str, first: int, last: int) -> list[Any]:
            return super()._rows("BBB", first, last)

    desk.run(stream_of(desk.bars, desk.session), Liar(desk.bars))
    assert desk.said()["AAA"] == [] and desk.said()["BBB"] == desk.expected()["BBB"]


def test_reconnect_loads_before_it_speaks(desk: Desk) -> None:
    """Cut for 12 minutes: the closes in between are refused, the rest is as if nothing had been."""
    opened = desk.session[0]
    cut, back = opened + 62 * 60, opened + 74 * 60
    events = stream_of(desk.bars, desk.session)
    before = [e for e in events if not isinstance(e, Minute) or e.bar.ts < cut]
    after = [e for e in events if isinstance(e, Minute) and e.bar.ts >= back]
    desk.run([*before, LOST, Joined(("AAA", "BBB")), *after])
    gone = refused(desk)
    assert gone == dict.fromkeys([iso(opened + 65 * 60), iso(opened + 70 * 60)], FEED_DISCONNECTED)
    assert desk.said()["AAA"] == outside(desk) and desk.said()["BBB"] == outside(desk, "BBB")
    log = [row for row in read_lines(desk.folder / "run" / LOG) if row["event"] in ("status", "lost", "joined")]
    story = [(row["event"], row.get("status"), row.get("reason")) for row in log]
    lost = story.index(("lost", None, "cut"))
    assert story[lost + 1 : lost + 4] == [
        ("status", "LOADING", FEED_DISCONNECTED),
        ("joined", None, None),
        ("status", "LOADING", "backfill_running"),
    ]
    assert ("status", "SUFFICIENT", None) in story[lost + 4 :]


def test_started_in_the_middle_of_the_day(desk: Desk) -> None:
    opened = desk.session[0]
    events = stream_of(desk.bars, desk.session)
    late = [e for e in events if not isinstance(e, Minute) or e.bar.ts >= opened + 123 * 60]  # 11:33, within a bar
    desk.run(late, start=123 * 60)
    assert refused(desk) == {}
    closes = [row["close"] for row in desk.decisions("AAA")]
    assert closes[0] == iso(opened + 120 * 60) and len(closes) == 78 - 23  # a close is current until the next one
    assert desk.said()["AAA"] == [s for s in desk.expected()["AAA"] if s[0] >= iso(opened + 115 * 60)]


@pytest.mark.parametrize("cut", [0, 1, 7, 40, 41, 333, 700])
def test_cut_off_anywhere_and_started_again_says_nothing_twice(desk: Desk, cut: int) -> None:
    """The runner dies after `cut` events; the next one begins a little later with what is on the disk."""
    events = stream_of(desk.bars, desk.session)

    def dies() -> Any:
        yield from events[: cut + 1]
        raise ProviderRefused("killed")

    with pytest.raises(ProviderRefused):
        desk.run(dies())
    moment = max((e.bar.ts + 60 for e in events[: cut + 1] if isinstance(e, Minute)), default=desk.session[0])
    rest = [events[0], *(e for e in events[cut + 1 :])]
    desk.run(rest, start=moment - desk.session[0])
    keys = [(row["symbol"], row["close"]) for row in desk.decisions()]
    assert len(keys) == len(set(keys)) == 2 * 78
    assert desk.said() == desk.expected() and refused(desk) == refused(desk, "BBB") == {}


def test_a_long_absence_is_named_and_made_up_for_in_history_only(desk: Desk) -> None:
    opened = desk.session[0]
    events = stream_of(desk.bars, desk.session)
    first = [e for e in events if not isinstance(e, Minute) or e.bar.ts < opened + 3600]
    desk.run(first, start=-300)
    # that run ended with its stream: what it never saw it refused, and those decisions stand
    again = Desk(desk.folder / "again", desk.bars)
    with RunFolder(again.folder / "run") as folder:
        folder.manifest({"identity": {"since": opened}})
    later = [e for e in events if not isinstance(e, Minute) or e.bar.ts >= opened + 7200]
    again.run(later, start=7200)
    assert set(refused(again).values()) == {RUNNER_DOWN}
    assert len(refused(again)) == 23 and again.said()["AAA"] == outside(again)


def test_a_result_of_an_earlier_start_is_gone_while_a_run_runs_and_says_how_the_newest_ended(desk: Desk) -> None:
    path = desk.folder / "run" / RESULT
    events = stream_of(desk.bars, desk.session)
    half = len(events) // 2

    def status() -> str | None:
        return json.loads(path.read_text())["status"] if path.exists() else None

    seen: list[str | None] = []

    def watched(some: list[LiveEvent], broken: bool) -> Iterator[LiveEvent]:
        for event in some:
            seen.append(status())
            yield event
        if broken:
            raise ZeroDivisionError("by hand")

    with pytest.raises(ZeroDivisionError):
        desk.run(watched(events[:half], broken=True))
    assert status() == "FAILED" and json.loads(path.read_text())["failure"] == "ZeroDivisionError"
    desk.run(watched(events[half:], broken=False))
    assert set(seen) == {None} and len(seen) == len(events) and status() == "FINISHED"


def test_one_run_has_one_writer(desk: Desk) -> None:
    with RunFolder(desk.folder / "run"), pytest.raises(Busy, match="another pre-paper run"):
        RunFolder(desk.folder / "run")


def test_half_a_line_is_no_line(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        assert folder.signals([{"key": "a"}]) == [{"key": "a"}] and folder.signals([{"key": "a"}]) == []
    with (tmp_path / "signals.jsonl").open("ab") as handle:
        handle.write(b'{"key": "b", "sym')
    with RunFolder(tmp_path) as folder:
        assert folder.said == {"a"} and folder.signals([{"key": "b"}])
    assert [line["key"] for line in read_lines(tmp_path / "signals.jsonl")] == ["a", "b"]


def test_a_day_whose_bars_differ_is_told_apart(desk: Desk) -> None:
    """The comparison of said and expected can fail: one price moved, and they differ."""
    other: dict[str, Bars] = {**desk.bars, "AAA": day_bars(30)}
    desk.run(stream_of(other, desk.session), Shelf(other))
    assert desk.said()["AAA"] != desk.expected()["AAA"] and desk.said()["BBB"] == desk.expected()["BBB"]
