"""`ensure_history`: one backfill, then a final answer; LOADING for whoever asks meanwhile."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.bars.history import HistoryCheck, Reason, Requirement, Status, required_window
from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Answer, Bar, ProviderDown, UnknownSymbol
from operate.bars.pre_paper.cache import BarCache, FeedMismatch, Source
from operate.bars.pre_paper.history import History, ensure_history

SESSIONS = Sessions.of(list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open())))
NOW = 1_773_149_400 + 30 * M5  # 2026-03-10 16:00 UTC
NEEDED = Requirement(M5, lookback_bars=50, pattern_age_bars=12, margin_bars=1, warmup_bars=15)
WINDOW = required_window(NEEDED, SESSIONS, NOW)
LABELS = WINDOW.labels.tolist()


def bar(symbol: str, ts: int) -> Bar:
    return Bar(symbol, ts, 10.0, 11.0, 9.0, 10.0, 100.0)


class Exchange:
    """A provider in this process: bars of the whole grid but for `lacking`; `before` may wait or raise."""

    name, feed = "exchange", "sip"

    def __init__(self, lacking: Sequence[int] = (), before: Callable[[Sequence[str]], object] | None = None) -> None:
        self.lacking, self.before, self.asked = set(lacking), before, list[tuple[tuple[str, ...], int, int]]()

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        self.asked.append((tuple(symbols), first, last))
        if self.before is not None:
            waited = self.before(symbols)
            if asyncio.iscoroutine(waited):
                await waited
        grid = SESSIONS.between(M5, first, last).tolist()
        return Answer({s: [bar(s, ts) for ts in grid if ts not in self.lacking] for s in symbols})

    async def close(self) -> None: ...


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BarCache]:
    with BarCache(tmp_path / "bars.sqlite", "sip", SESSIONS) as made:
        yield made


def ensure(
    cache: BarCache, provider: Exchange | None, *symbols: str, needed: Requirement = NEEDED
) -> dict[str, HistoryCheck]:
    return asyncio.run(ensure_history(cache, provider, symbols or ("X",), needed, NOW))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, len(LABELS) - 1)), st.sets(st.integers(0, len(LABELS) - 1), max_size=6))
def test_every_hole_is_filled_by_one_call_or_named(
    tmp_path_factory: pytest.TempPathFactory, cached: set[int], lacking: set[int]
) -> None:
    """Any bars there before, any bars the provider does not have: SUFFICIENT exactly where nothing is left missing."""
    provider = Exchange([LABELS[i] for i in lacking])
    with BarCache(tmp_path_factory.mktemp("c") / "bars.sqlite", "sip", SESSIONS) as cache:
        cache.put([bar("X", LABELS[i]) for i in cached], Source.FINAL)
        found = ensure(cache, provider)["X"]
        left = [LABELS[i] for i in sorted(lacking - cached)]
        assert np.setdiff1d(LABELS, cache.labels("X", LABELS[0], LABELS[-1])).tolist() == left
        assert sum(gap.count for gap in found.gaps) == len(left)
        assert found.is_sufficient == (not left)
        assert len(provider.asked) == (0 if len(cached) == len(LABELS) else 1)


def test_a_slot_nobody_traded_in_is_asked_for_twice_and_no_more(cache: BarCache) -> None:
    """Endless refetching of a bar that does not exist is what other libraries do."""
    provider = Exchange([LABELS[40]])
    tolerant = Requirement(M5, 50, 12, 1, 15, max_no_trade=1)
    first, second = ensure(cache, provider)["X"], ensure(cache, provider)["X"]
    assert (first.status, first.reason, first.no_trade) == (Status.DEGRADED, Reason.GAP, 0)
    assert (second.status, second.reason, second.no_trade) == (Status.DEGRADED, Reason.GAP, 1)
    assert len(provider.asked) == 2
    assert ensure(cache, provider, needed=tolerant)["X"].is_sufficient
    assert len(provider.asked) == 2
    assert provider.asked[1][1:] == (LABELS[39], LABELS[41])  # only what is missing, and its neighbours


def test_the_newest_bar_is_never_taken_for_one_without_trades(cache: BarCache) -> None:
    """A provider that is late has no later bar either: it says nothing about the slot."""
    provider = Exchange([LABELS[-1]])
    for _ in range(3):
        assert ensure(cache, provider)["X"].reason is Reason.STALE
    assert len(provider.asked) == 3 and not len(cache.no_trade("X", 0, 2**40))


@pytest.mark.parametrize(
    ("before", "lacking", "reason"),
    [
        (lambda _: (_ for _ in ()).throw(ProviderDown("provider exchange did not answer")), [], Reason.PROVIDER_ERROR),
        (lambda _: asyncio.sleep(30), [], Reason.PROVIDER_ERROR),
        (None, LABELS, Reason.PROVIDER_EMPTY),
    ],
    ids=["down", "slow", "empty"],
)
def test_a_provider_that_fails_is_the_reason(
    cache: BarCache, before: Callable[[Sequence[str]], object] | None, lacking: list[int], reason: Reason
) -> None:
    history = History(cache, Exchange(lacking, before), deadline_seconds=0.1)
    found = asyncio.run(history.ensure(["X"], NEEDED, NOW))["X"]
    assert (found.status, found.reason) == (Status.DEGRADED, reason)
    assert found.detail and found.gaps[0].count == len(LABELS)


def test_one_refused_symbol_does_not_cost_the_others_theirs(cache: BarCache) -> None:
    def refuse(symbols: Sequence[str]) -> None:
        if "BAD" in symbols:
            raise UnknownSymbol("nothing is known of BAD")

    found = ensure(cache, Exchange(before=refuse), "X", "BAD", "Y")
    assert {s: f.status.value for s, f in found.items()} == {"X": "SUFFICIENT", "BAD": "DEGRADED", "Y": "SUFFICIENT"}
    assert found["BAD"].detail == "nothing is known of BAD"


def test_an_answer_about_another_symbol_is_refused(cache: BarCache) -> None:
    class Confused(Exchange):
        async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
            return Answer({"OTHER": [bar("OTHER", ts) for ts in LABELS]})

    found = ensure(cache, Confused())["X"]
    assert found.reason is Reason.PROVIDER_ERROR and "OTHER" in found.detail
    assert not len(cache.labels("X", 0, 2**40)) and not len(cache.labels("OTHER", 0, 2**40))


def test_bars_that_have_not_closed_are_not_believed(cache: BarCache) -> None:
    class Eager(Exchange):
        async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
            return Answer({s: [bar(s, ts) for ts in [*LABELS, NOW, NOW + M5]] for s in symbols})

    assert ensure(cache, Eager())["X"].is_sufficient
    assert cache.labels("X", 0, 2**40)[-1] == LABELS[-1]


def test_whoever_asks_during_a_backfill_hears_loading(cache: BarCache) -> None:
    async def story() -> None:
        gate = asyncio.Event()
        provider = Exchange(before=lambda _: gate.wait())
        history = History(cache, provider, deadline_seconds=5)
        assert history.check(["X"], NEEDED, NOW)["X"].reason is Reason.NO_DATA
        first = await history.ensure(["X"], NEEDED, NOW, wait=False)
        await asyncio.sleep(0)
        second = await history.ensure(["X", "Y"], NEEDED, NOW, wait=False)
        for answer in (first["X"], second["X"], second["Y"], history.check(["X"], NEEDED, NOW)["X"]):
            assert (answer.status, answer.reason, answer.deadline) == (Status.LOADING, Reason.BACKFILL_RUNNING, NOW + 5)
        gate.set()
        await history.settle()
        assert len(provider.asked) == 2  # X once, Y once
        assert all(found.is_sufficient for found in history.check(["X", "Y"], NEEDED, NOW).values())

    asyncio.run(story())


def test_without_a_provider_nothing_is_fetched(cache: BarCache) -> None:
    assert ensure(cache, None)["X"].reason is Reason.NO_DATA


def test_another_feed_is_refused(cache: BarCache) -> None:
    provider = Exchange()
    provider.feed = "iex"
    with pytest.raises(FeedMismatch, match="different series"):
        History(cache, provider)


def test_a_socket_bar_that_lacks_minutes_is_not_there_yet(cache: BarCache) -> None:
    cache.put([bar("X", ts) for ts in LABELS[:-1]], Source.WEBSOCKET)
    cache.put([bar("X", LABELS[-1])], Source.PROVISIONAL)
    assert History(cache, None).check(["X"], NEEDED, NOW)["X"].reason is Reason.STALE
    assert ensure(cache, Exchange())["X"].is_sufficient
