"""Five-minute bars out of minutes, against a sum over what has come."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Bar
from operate.bars.pre_paper.cache import Source
from operate.bars.pre_paper.minutes import Roller

SESSIONS = Sessions.of(list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open())))
OPEN = 1_773_149_400  # 2026-03-10 13:30 UTC


def minute(number: int, price: int = 10, symbol: str = "X") -> Bar:
    return Bar(symbol, OPEN + 60 * number, price, price + 2, price - 1, price + 1, 100.0 + number)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("XY"), st.integers(0, 24), st.integers(5, 30)), max_size=120))
def test_the_last_bar_said_is_made_of_all_that_came(sent: list[tuple[str, int, int]]) -> None:
    """Any order, repetition and correction of minutes: what was said last of a bar is the truth of what had come."""
    roller, came = Roller(SESSIONS), dict[tuple[str, int], Bar]()
    said: dict[tuple[str, int], tuple[Bar, Source]] = {}
    for symbol, number, price in sent:
        came[symbol, number] = minute(number, price, symbol)
        for bar, source in roller.add(came[symbol, number]):
            said[bar.symbol, bar.ts] = (bar, source)
    for bar, source in roller.close(OPEN + 25 * 60):
        assert (bar.symbol, bar.ts) not in said
        said[bar.symbol, bar.ts] = (bar, source)
    assert set(said) == {(symbol, OPEN + number // 5 * M5) for symbol, number in came}
    for (symbol, label), (bar, source) in said.items():
        held = [came[symbol, n] for n in range((label - OPEN) // 60, (label - OPEN) // 60 + 5) if (symbol, n) in came]
        assert source is (Source.WEBSOCKET if len(held) == 5 else Source.PROVISIONAL)
        assert (bar.open, bar.close) == (held[0].open, held[-1].close)
        assert (bar.high, bar.low) == (max(b.high or 0 for b in held), min(b.low or 0 for b in held))
        assert bar.volume == sum(b.volume or 0 for b in held)
    assert roller.close(OPEN + 86_400) == []


def test_minutes_outside_the_session_make_no_bar() -> None:
    roller = Roller(SESSIONS)
    for number in (-5, -1, 390, 395):
        assert roller.add(minute(number)) == []
    assert roller.close(OPEN + 86_400) == []


def test_a_bar_is_said_with_its_fifth_minute() -> None:
    roller = Roller(SESSIONS)
    assert [len(roller.add(minute(n))) for n in range(6)] == [0, 0, 0, 0, 1, 0]
    assert [(bar.ts, source) for bar, source in roller.add(minute(10))] == [(OPEN + M5, Source.PROVISIONAL)]
    assert np.array([bar.ts for bar, _ in roller.close(OPEN + 15 * 60)]).tolist() == [OPEN + 2 * M5]


def test_minutes_of_yesterday_are_forgotten() -> None:
    roller = Roller(SESSIONS)
    for number in range(5):
        roller.add(minute(number))
    roller.close(OPEN + 2 * 86_400)
    assert [bar.volume for bar, _ in roller.add(minute(2)) + roller.close(OPEN + 2 * 86_400)] == [102.0]
