"""Bars held in memory are the file's: whoever writes, in whatever order, what is read together equals what is read
alone, by a connection that holds nothing.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.bars.bars import Bars
from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Bar
from operate.bars.pre_paper.cache import BarCache, Source

SESSIONS = Sessions.of(list(csv.DictReader((Path(__file__).parents[3] / "seeds/bars/sessions.csv").open())))
OPEN = 1_773_149_400  # 2026-03-10 13:30 UTC
NAMES = ("A", "B", "C")

writes = st.tuples(
    st.booleans(),  # through the cache that reads, or through another connection
    st.sampled_from(NAMES),
    st.integers(0, 9),
    st.sampled_from(list(Source)),
    st.integers(8, 12),
    st.integers(1, 4),
)
reads = st.tuples(st.sets(st.sampled_from(NAMES), min_size=1), st.integers(0, 9), st.integers(0, 9))


def same(found: Bars, wanted: Bars) -> bool:
    names = ("labels", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(found, name), getattr(wanted, name), equal_nan=True) for name in names)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(writes, reads), min_size=1, max_size=25))
def test_what_is_held_is_the_files(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple, tuple[set[str], int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("c") / "bars.sqlite"
    with BarCache(path, "sip", SESSIONS) as reader, BarCache(path, "sip", SESSIONS) as other:
        for (is_own, symbol, slot, source, close, at), (asked, one, two) in steps:
            bar = Bar(symbol, OPEN + slot * M5, 10.0, max(10, close) + 1.0, 5.0, float(close), 7.0)
            (reader if is_own else other).put([bar], source, at=at)
            symbols, first, last = sorted(asked), OPEN + min(one, two) * M5, OPEN + max(one, two) * M5
            alone = {name: other.bars(name, first, last) for name in symbols}
            found = reader.many(symbols, first, last)
            assert list(found) == symbols
            assert all(same(found[name], alone[name]) for name in symbols)

            most = max(len(bars) for bars in alone.values())
            even, side = reader.side_by_side(symbols, first, last)
            assert even == [name for name in symbols if most and len(alone[name]) == most]
            for row, name in enumerate(even):
                assert np.array_equal(side.close[row], alone[name].close)
                assert np.array_equal(side.volume[row], alone[name].volume)
            assert not even or np.array_equal(side.labels, alone[even[0]].labels)
