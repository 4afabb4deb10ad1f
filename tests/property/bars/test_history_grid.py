"""Sessions and history against an oracle that walks the calendar bar by bar, minute of the clock by minute."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.bars.history import (
    Backfill,
    Gap,
    HistoryCheck,
    Reason,
    Requirement,
    Status,
    check,
    find_gaps,
    required_bars,
    required_window,
)
from decide.bars.sessions import M5, Sessions
from decide.errors import DecisionError

SEED = list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open()))
SESSIONS = Sessions.of(SEED)
SPANS = [tuple(int(datetime.fromisoformat(row[k]).timestamp()) for k in ("open_utc", "close_utc")) for row in SEED]
M15 = 900


def at(text: str) -> int:
    """Unix seconds of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def said(label: int) -> str:
    return f"{datetime.fromtimestamp(label, UTC):%Y-%m-%d %H:%M}"


def oracle(requirement: Requirement, moment: int, grace: int) -> tuple[int, list[int]] | None:
    """Required count and five-minute labels, walking back from `moment` one bar at a time; None off the calendar."""
    settled, step = moment - grace, requirement.timeframe
    if settled < SPANS[0][0] or settled >= (SPANS[-1][1] // 86_400 + 1) * 86_400:
        return None
    closed: list[int] = []  # newest first
    session_of_newest = None
    asked = requirement.lookback_bars + requirement.pattern_age_bars + requirement.margin_bars
    for start, end in reversed(SPANS):
        if start > settled:
            continue
        label = end - step
        while label >= start:
            if label + step <= settled:
                if session_of_newest is None:
                    session_of_newest = start
                    if requirement.has_session_state:
                        asked = max(asked, (label - start) // step + 1)
                closed.append(label)
                if len(closed) == asked + requirement.warmup_bars:
                    labels = [part for bar in reversed(closed) for part in range(bar, bar + step, M5)]
                    return asked + requirement.warmup_bars, labels
            label -= step
    return None


requirements = st.builds(
    Requirement,
    timeframe=st.sampled_from([M5, M15]),
    lookback_bars=st.integers(1, 120),
    pattern_age_bars=st.integers(0, 12),
    margin_bars=st.integers(0, 3),
    warmup_bars=st.integers(0, 20),
    has_session_state=st.booleans(),
    max_no_trade=st.integers(0, 3),
)
moments = st.integers(SPANS[0][0] - 86_400, SPANS[-1][1] + 3 * 86_400)


@settings(max_examples=300, deadline=None)
@given(requirements, moments, st.integers(0, 30))
def test_the_window_is_the_oracles(requirement: Requirement, moment: int, grace: int) -> None:
    window, wanted = required_window(requirement, SESSIONS, moment, grace), oracle(requirement, moment, grace)
    if wanted is None:
        assert window.out_of_range and not len(window.labels)
        assert check(window, np.array([], np.int64)).reason is Reason.CALENDAR_OUT_OF_RANGE
    else:
        assert (window.required_bars, window.labels.tolist()) == wanted


@settings(max_examples=300, deadline=None)
@given(
    requirements,
    st.integers(at("2025-01-10T00:00"), at("2026-12-31T00:00")),
    st.sets(st.integers(0, 200)),
    st.sets(st.integers(0, 200), max_size=5),
    st.sampled_from(["none", "running", "done", "empty", "error"]),
)
def test_gaps_and_status_are_the_oracles(
    requirement: Requirement, moment: int, lost: set[int], quiet: set[int], state: str
) -> None:
    """Any set of holes, any of them known to have had no trade, any outcome of a backfill."""
    window = required_window(requirement, SESSIONS, moment)
    labels = window.labels.tolist()
    missing = {i for i in lost if i < len(labels)}
    silent = missing & quiet
    present = np.array([label for i, label in enumerate(labels) if i not in missing], np.int64)
    found = check(
        window,
        np.r_[present, present[:3] - 7, [0]],  # labels off the grid never count
        np.array([labels[i] for i in silent], np.int64),
        requirement.max_no_trade,
        Backfill(state, moment + 30),
    )
    left = missing - silent if len(silent) <= requirement.max_no_trade else missing
    runs: list[list[int]] = []
    for i in sorted(left):
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    assert found.gaps == tuple(Gap(labels[r[0]], labels[r[-1]], len(r)) for r in runs)
    assert found.present == found.required - len(left) and found.no_trade == len(silent)
    is_open = any(start + requirement.timeframe <= moment < end + requirement.timeframe for start, end in SPANS)
    assert window.is_open == is_open
    if not left:
        assert (found.status, found.reason) == (
            (Status.SUFFICIENT, None) if is_open else (Status.DEGRADED, Reason.MARKET_CLOSED)
        )
    elif state == "running":
        assert (found.status, found.deadline) == (Status.LOADING, moment + 30)
    else:
        is_tail = len(runs) == 1 and runs[0][-1] == len(labels) - 1
        plain = Reason.NO_DATA if len(left) == len(labels) else Reason.STALE if is_tail else Reason.GAP
        wanted = {"error": Reason.PROVIDER_ERROR, "empty": Reason.PROVIDER_EMPTY}.get(state, plain)
        assert (found.status, found.reason) == (Status.DEGRADED, wanted)
    assert found.is_sufficient == (found.status is Status.SUFFICIENT)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(at("2024-01-01T00:00"), at("2026-12-31T00:00")), st.integers(0, 20 * 86_400), st.sampled_from([M5, M15])
)
def test_the_grid_between_two_moments(first: int, length: int, step: int) -> None:
    wanted = [
        label
        for start, end in SPANS
        if end > first and start <= first + length
        for label in range(start, end, step)
        if first <= label <= first + length
    ]
    assert SESSIONS.between(step, first, first + length).tolist() == wanted
    probes = np.array([*wanted[:50], *[label + 60 for label in wanted[:50]], first], np.int64)
    assert SESSIONS.holds(step, probes).tolist() == [
        any(start <= p < end and (p - start) % step == 0 for start, end in SPANS) for p in probes.tolist()
    ]


ATR = Requirement(M5, lookback_bars=50, pattern_age_bars=12, margin_bars=1, warmup_bars=15)


def judge(moment: int, gone: list[int], requirement: Requirement = ATR) -> HistoryCheck:
    window = required_window(requirement, SESSIONS, moment)
    return check(window, np.setdiff1d(window.labels, gone))


def test_monday_morning_reaches_back_to_friday() -> None:
    """2026-03-09 is the Monday after the clocks changed: it opens at 13:30 UTC, Friday opened at 14:30."""
    found = judge(at("2026-03-09T13:35"), [])
    assert found.status is Status.SUFFICIENT and found.required == 78  # 63 asked, 15 warm-up
    assert said(found.last_required or 0) == "2026-03-09 13:30"
    assert said(found.first_required or 0) == "2026-03-06 14:35"
    assert judge(at("2026-03-09T13:35"), [at("2026-03-06T20:55"), at("2026-03-09T13:30")]).gaps == (
        Gap(at("2026-03-06T20:55"), at("2026-03-09T13:30"), 2),  # one hole: the weekend is no bar
    )


def test_the_day_after_thanksgiving_is_a_half_day() -> None:
    """2025-11-28 closes at 18:00 UTC; Thursday had no session. 36 phantom bars a fixed 78 would ask for."""
    found = judge(at("2025-11-28T18:00"), [])
    assert found.status is Status.SUFFICIENT
    assert said(found.last_required or 0) == "2025-11-28 17:55"
    assert said(found.first_required or 0) == "2025-11-26 18:00"  # 78 = 42 of Friday + 36 of Wednesday
    assert judge(at("2025-11-28T18:06"), []).reason is Reason.MARKET_CLOSED
    monday = required_window(ATR, SESSIONS, at("2025-12-01T14:35"))
    assert said(int(monday.labels[-2])) == "2025-11-28 17:55"


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2025-03-07T14:35", "14:30"),
        ("2025-03-10T13:35", "13:30"),
        ("2025-10-31T13:35", "13:30"),
        ("2025-11-03T14:35", "14:30"),
    ],
)
def test_the_open_moves_with_the_clocks(moment: str, opens: str) -> None:
    found = judge(at(moment), [])
    assert found.is_sufficient and said(found.last_required or 0)[11:] == opens


def test_before_the_open_nothing_is_said_however_whole_history_is() -> None:
    found = judge(at("2026-03-10T12:00"), [])
    assert (found.status, found.reason, found.gaps) == (Status.DEGRADED, Reason.MARKET_CLOSED, ())
    assert judge(at("2026-03-10T13:34"), []).reason is Reason.MARKET_CLOSED  # open, but no bar has closed yet
    assert judge(at("2026-03-10T13:35"), []).is_sufficient


def test_session_state_asks_for_the_whole_day_and_the_warm_up() -> None:
    """78 bars of the day, 14 true ranges and one close before them: the 93 that make results equal to full history."""
    lean = Requirement(M5, lookback_bars=1, warmup_bars=15)
    assert required_bars(lean, SESSIONS, at("2026-03-10T20:00")) == 93
    assert required_bars(lean, SESSIONS, at("2026-03-10T13:35")) == 16
    stateless = Requirement(M5, lookback_bars=50, warmup_bars=15, has_session_state=False)
    assert required_bars(stateless, SESSIONS, at("2026-03-10T20:00")) == 65


def test_fifteen_minute_bars_are_asked_for_in_fives() -> None:
    """65 M15 bars are 195 M5 bars; a bar that has not closed is not asked for, nor its first parts."""
    requirement = Requirement(M15, lookback_bars=50, warmup_bars=15, has_session_state=False)
    window = required_window(requirement, SESSIONS, at("2026-03-10T14:25"))
    assert window.required_bars == 65 and len(window.labels) == 195
    assert said(int(window.labels[-1])) == "2026-03-10 14:10"  # of the bar 14:00 to 14:15
    middle = int(window.labels[100])
    assert find_gaps(window, np.setdiff1d(window.labels, [middle])) == (Gap(middle, middle, 1),)


def test_grace_waits_for_the_newest_bar() -> None:
    window = required_window(ATR, SESSIONS, at("2026-03-10T14:00") + 3, grace_seconds=5)
    assert said(int(window.labels[-1])) == "2026-03-10 13:50"


def test_a_hole_in_the_middle_is_found_with_both_ends_in_place() -> None:
    gone = [at("2026-03-10T14:00") + M5 * i for i in range(3)]
    found = judge(at("2026-03-10T15:30"), gone)
    assert (found.status, found.reason) == (Status.DEGRADED, Reason.GAP)
    assert found.gaps == (Gap(gone[0], gone[2], 3),) and found.present == found.required - 3


def test_past_the_calendar_is_said() -> None:
    assert judge(at("2028-01-03T15:00"), []).reason is Reason.CALENDAR_OUT_OF_RANGE
    assert judge(at("2015-01-02T15:00"), []).reason is Reason.CALENDAR_OUT_OF_RANGE  # too little before it


def test_a_backfill_past_its_deadline_counts_as_failed() -> None:
    window = required_window(ATR, SESSIONS, at("2026-03-10T15:30"))
    late = check(window, window.labels[:0], backfill=Backfill("running", window.moment))
    assert (late.status, late.reason) == (Status.DEGRADED, Reason.PROVIDER_ERROR)


def test_overrides_close_a_day_or_move_it() -> None:
    closed = Sessions.of(SEED, [{"date": "2026-03-10", "open_utc": "", "close_utc": "", "early": ""}])
    window = required_window(ATR, closed, at("2026-03-11T13:35"))
    assert said(int(window.labels[-2])) == "2026-03-09 19:55"
    short = {"date": "2026-03-10", "open_utc": "2026-03-10T13:30:00Z", "close_utc": "2026-03-10T17:00:00Z"}
    moved = Sessions.of(SEED, [short])
    assert said(int(required_window(ATR, moved, at("2026-03-11T13:35")).labels[-2])) == "2026-03-10 16:55"


def test_what_is_no_calendar_and_no_requirement_is_refused() -> None:
    for wrong in ([5, 3], [10, 20]), ([5, 8], [10, 20]), ([], []):
        with pytest.raises(DecisionError):
            Sessions(*(np.array(column, np.int64) for column in wrong))
    with pytest.raises(DecisionError, match="multiple of 300"):
        Requirement(60, lookback_bars=5)
    with pytest.raises(DecisionError, match="lookback_bars"):
        Requirement(M5, lookback_bars=0)
    with pytest.raises(DecisionError, match="do not fit"):
        SESSIONS.before(3_600)
    assert timedelta(seconds=M5) * 78 == timedelta(hours=6.5)
