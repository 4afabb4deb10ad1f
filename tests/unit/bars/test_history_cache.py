"""The bar cache: who replaces whom, what is written down about it, and two processes on one file."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Bar
from extract.errors import StorageError
from operate.bars.pre_paper.cache import BarCache, FeedMismatch, Source

ROWS = list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open()))
SESSIONS = Sessions.of(ROWS)
OPEN = 1_773_149_400  # 2026-03-10 13:30 UTC
RANK = {Source.PROVISIONAL: 1, Source.WEBSOCKET: 2, Source.FINAL: 3}
ALWAYS = (0, 2**40)


def bar(ts: int, close: float = 10.0, symbol: str = "X") -> Bar:
    return Bar(symbol, ts, 10.0, max(10.0, close) + 1, min(10.0, close) - 1, close, 100.0)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BarCache]:
    with BarCache(tmp_path / "bars.sqlite", "sip", SESSIONS) as made:
        yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(list(Source)), st.integers(8, 12), st.integers(1, 4)), max_size=30
    )
)
def test_what_was_known_last_stands_and_every_other_value_is_logged(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, Source, int, int]]
) -> None:
    """Any order of writes, against a dictionary: known later wins, at one moment the better source, partial never."""
    held: dict[int, tuple[Source, float, int]] = {}
    log: list[tuple[int, float, float, str]] = []
    with BarCache(tmp_path_factory.mktemp("c") / "bars.sqlite", "sip", SESSIONS) as cache:
        for slot, source, close, at in writes:
            ts = OPEN + slot * M5
            cache.put([bar(ts, float(close))], source, at=at)
            before = held.get(ts)
            if before is None:
                held[ts] = (source, float(close), at)
                continue
            is_whole = source is not Source.PROVISIONAL or before[0] is Source.PROVISIONAL
            stands = is_whole and (at, RANK[source]) >= (before[2], RANK[before[0]] if at == before[2] else 0)
            if before[1] != close:
                log.append((ts, before[1], float(close), "replaced" if stands else "refused"))
                held[ts] = (source, float(close), at) if stands else before
            elif RANK[source] > RANK[before[0]]:
                held[ts] = (source, float(close), at)
        stored = sqlite3.connect(cache.path).execute("select ts, source, close, updated_at from bars").fetchall()
        assert {ts: (Source(source), close, at) for ts, source, close, at in stored} == held
        told = [(r["ts"], r["old_close"], r["new_close"], r["outcome"]) for r in cache.revisions("X")]
        assert told == log
        whole = sorted(ts for ts, (source, _, _) in held.items() if source is not Source.PROVISIONAL)
        assert cache.labels("X", *ALWAYS).tolist() == whole == cache.bars("X", *ALWAYS).labels.tolist()
        for wanted in ([], whole, whole[1:], [OPEN], [OPEN, OPEN + M5], [*whole, OPEN + 7 * M5], [OPEN + 40 * 3_600]):
            holding = cache.holding(["X", "Y"], np.array(wanted, np.int64))
            assert holding == ({"X", "Y"} if not wanted else {"X"} if set(wanted) <= set(whole) else set())


def test_writing_the_same_again_changes_nothing(cache: BarCache) -> None:
    assert cache.put([bar(OPEN)], Source.FINAL, at=1).changed == 1
    assert cache.put([bar(OPEN)], Source.FINAL, at=2).changed == 0
    assert cache.revisions() == []


def test_a_correction_after_the_fetch_stands_and_an_older_word_is_refused_by_name(cache: BarCache) -> None:
    cache.put([bar(OPEN)], Source.FINAL, at=10)
    assert cache.put([bar(OPEN, 9.0)], Source.WEBSOCKET, at=11).changed == 1
    assert cache.put([bar(OPEN, 8.0)], Source.FINAL, at=9).changed == 0
    assert cache.put([bar(OPEN, 7.0)], Source.PROVISIONAL, at=12).changed == 0
    told = [(r["old_close"], r["new_close"], r["outcome"]) for r in cache.revisions()]
    assert told == [(10.0, 9.0, "replaced"), (9.0, 8.0, "refused"), (9.0, 7.0, "refused")]


def test_a_slot_that_is_filled_flat_is_no_bar(cache: BarCache) -> None:
    cache.put([Bar("X", OPEN, 10.0, 10.0, 10.0, 10.0, 0.0)], Source.FINAL)
    assert not len(cache.labels("X", *ALWAYS)) and cache.no_trade("X", *ALWAYS).tolist() == [OPEN]


def test_what_is_no_bar_of_the_grid_is_left_out_and_counted(cache: BarCache) -> None:
    stray = [bar(OPEN - M5), bar(OPEN + 78 * M5), bar(OPEN + 60)]  # before the open, at the close, no bar's open
    broken = [Bar("X", OPEN, None, 1, 1, 1, 1), Bar("X", OPEN, 1, 2, 3, 1, 1), Bar("X", OPEN, 0, 0, 0, 0, 1)]
    written = cache.put([*stray, *broken, bar(OPEN)], Source.FINAL)
    assert (written.changed, written.off_grid, written.broken) == (1, 3, 3)
    assert cache.labels("X", *ALWAYS).tolist() == [OPEN]


def test_a_slot_is_believed_to_have_had_no_trade_from_the_second_time_on(cache: BarCache) -> None:
    cache.missed("X", [OPEN], at=1)
    assert not len(cache.no_trade("X", *ALWAYS))
    cache.missed("X", [OPEN], at=2)
    assert cache.no_trade("X", *ALWAYS).tolist() == [OPEN]
    cache.put([bar(OPEN)], Source.FINAL)  # it had one after all
    assert not len(cache.no_trade("X", *ALWAYS))


def test_a_volume_nobody_said_is_not_zero(cache: BarCache) -> None:
    cache.put([Bar("X", OPEN, 1, 1, 1, 1, None)], Source.FINAL)
    assert np.isnan(cache.bars("X", *ALWAYS).volume[0])


def test_another_feed_is_refused(cache: BarCache) -> None:
    with pytest.raises(FeedMismatch, match="'sip', not 'iex'"):
        BarCache(cache.path, "iex", SESSIONS)


def test_a_day_that_turned_out_closed_is_dropped(cache: BarCache) -> None:
    """An unscheduled closure is announced later: what is no bar of the new calendar goes."""
    cache.put([bar(OPEN), bar(OPEN + 86_400)], Source.FINAL)
    closed = [{"date": "2026-03-10", "open_utc": "", "close_utc": ""}]
    with BarCache(cache.path, "sip", Sessions.of(ROWS, closed)) as again:
        assert again.labels("X", *ALWAYS).tolist() == [OPEN + 86_400]
        assert not again.holding(["X"], np.array([OPEN])) and again.holding(["X"], np.array([OPEN + 86_400]))


def test_what_is_no_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "bars.sqlite").write_text("something else entirely, and long enough to be no database at all")
    with pytest.raises(StorageError, match="move it away"):
        BarCache(tmp_path / "bars.sqlite", "sip", SESSIONS)


def write_for_ever(path: Path, ready: str) -> None:
    """Transactions of five bars each, one close per transaction, until killed."""
    cache = BarCache(path, "sip", SESSIONS)
    for number in range(1, 1_000_000):
        cache.put([bar(OPEN + i * M5, 10.0 + number / 1000) for i in range(5)], Source.FINAL, at=time.monotonic_ns())
        if number == 20:
            Path(ready).touch()


def test_a_writer_killed_at_any_moment_leaves_whole_transactions(tmp_path: Path) -> None:
    """Read while it is written, then kill -9: five bars of one transaction, and a revision for each one replaced."""
    path, chance = tmp_path / "bars.sqlite", random.Random(5)
    for turn in range(3):
        ready = tmp_path / f"ready{turn}"
        process = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(path, str(ready)))
        process.start()
        while not ready.exists():
            assert process.is_alive()
            time.sleep(0.005)
        with BarCache(path, "sip", SESSIONS) as reader:
            for _ in range(20):
                assert len(set(reader.bars("X", *ALWAYS).close.tolist())) == 1
        time.sleep(chance.uniform(0, 0.05))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with BarCache(path, "sip", SESSIONS) as after:
            closes = after.bars("X", *ALWAYS).close
            assert len(closes) == 5 and np.all(closes == closes[0])
            log = after.revisions("X")
            assert len(log) % 5 == 0 and log[-1]["new_close"] == closes[0]
