"""Providers, history and live bars against the simulated market, with everything that goes wrong there."""

from __future__ import annotations

import asyncio
import csv
import tomllib
from collections.abc import Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from decide.bars.history import HistoryCheck, Reason, Requirement, Status, required_window
from decide.bars.sessions import M5, Sessions
from extract.bars import http
from extract.bars.alpaca_socket import Joined, LiveEvent, Lost, Minute, Skipped
from extract.bars.config import BarSource, bar_source
from extract.bars.provider import Bar, BarProviderError, ProviderRefused, UnknownSymbol
from extract.config import Config
from operate.bars.pre_paper.cache import BarCache, Source
from operate.bars.pre_paper.history import History
from operate.bars.pre_paper.minutes import Roller
from simulate import bars as stock_market
from simulate.bars import RunningBars
from tests.polymarket_fixtures import hasty

SESSIONS = Sessions.of(list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open())))
OPEN = 1_773_063_000  # Monday 2026-03-09 13:30 UTC, the first day of summer time
START = OPEN - 300
NEEDED = Requirement(M5, lookback_bars=50, pattern_age_bars=12, margin_bars=1, warmup_bars=15)
HALF_DAY = 1_764_340_200  # Friday 2025-11-28 14:30 UTC
PROVIDERS = ("eodhd", "alpaca")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBars]:
    with stock_market.running(tmp_path_factory.mktemp("market"), now="2026-03-09T13:25:00Z") as market:
        yield market


@pytest.fixture
def market(running: RunningBars, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningBars]:
    """The market on Monday morning before the open; whatever a test switches on is off again after it."""
    monkeypatch.setattr(http, "CLOCK", hasty())
    running.clock(now=START, run=False)
    yield running
    running.heal()


def source(market: RunningBars, name: str, **environ: str) -> BarSource:
    return bar_source(
        Config(Path("foreshore.toml"), tomllib.loads(market.config()), {**market.environ, **environ}), name
    )


def fetch(origin: BarSource, *symbols: str, first: int = START - 4 * 86_400, last: int = START) -> dict[str, list[Bar]]:
    async def ask() -> dict[str, list[Bar]]:
        provider = origin.open()
        try:
            return {s: [*bars] for s, bars in (await provider.fetch(symbols, "M5", first, last)).bars.items()}
        finally:
            await provider.close()

    return asyncio.run(ask())


def ensure(market: RunningBars, cache: BarCache, name: str, now: int, deadline: float = 10) -> HistoryCheck:
    async def ask() -> HistoryCheck:
        provider = source(market, name).open()
        try:
            return (await History(cache, provider, deadline).ensure(["FORE"], NEEDED, now))["FORE"]
        finally:
            await provider.close()

    return asyncio.run(ask())


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BarCache]:
    with BarCache(tmp_path / "bars.sqlite", "sip", SESSIONS) as made:
        yield made


@pytest.mark.parametrize("name", PROVIDERS)
def test_both_shapes_say_the_same_bars(market: RunningBars, name: str) -> None:
    """Thursday and Friday, 78 bars each and a few outside; never a bar that has not closed."""
    bars = fetch(source(market, name), "FORE")["FORE"]
    labels = np.array([bar.ts for bar in bars])
    expected = SESSIONS.between(M5, START - 4 * 86_400, START)
    assert np.isin(expected, labels).all() and len(expected) == 2 * 78
    assert (np.diff(labels) > 0).all() and all(bar.is_whole for bar in bars)
    other = fetch(source(market, "alpaca" if name == "eodhd" else "eodhd"), "FORE")["FORE"]
    assert [(b.ts, b.open, b.high, b.low, b.close, b.volume) for b in bars] == [
        (b.ts, b.open, b.high, b.low, b.close, b.volume) for b in other
    ]
    market.clock(now=OPEN + 601)
    assert max(b.ts for b in fetch(source(market, name), "FORE", last=OPEN + 9_000)["FORE"]) == OPEN + 300


def test_long_spans_are_asked_for_in_parts(market: RunningBars) -> None:
    """EODHD takes 600 days of five-minute bars a call; Alpaca pages by rows."""
    span = {"first": START - 700 * 86_400, "last": START}
    by_name = {name: fetch(source(market, name), "FORE", **span)["FORE"] for name in PROVIDERS}
    assert len(by_name["eodhd"]) == len(by_name["alpaca"]) > 37_000
    assert len({bar.ts for bar in by_name["eodhd"]}) == len(by_name["eodhd"])


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_symbol_nobody_knows(market: RunningBars, name: str) -> None:
    if name == "eodhd":
        with pytest.raises(UnknownSymbol, match="NOPE"):
            fetch(source(market, name), "NOPE")
    else:
        assert fetch(source(market, name), "NOPE", "FORE")["NOPE"] == []


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_wrong_key_is_refused_without_showing_it(market: RunningBars, name: str) -> None:
    wrong = source(market, name, WORLD_BARS_TOKEN="hunter2-not-a-token", WORLD_BARS_KEY="hunter2-not-a-key")
    with pytest.raises(ProviderRefused, match="check its key") as caught:
        fetch(wrong, "FORE")
    assert "hunter2" not in str(caught.value) and "hunter2" not in repr(wrong)


FAULTS = {
    "down": ({"kind": "down"}, Reason.PROVIDER_ERROR),
    "refused": ({"kind": "down", "value": 403}, Reason.PROVIDER_ERROR),
    "too many requests": ({"kind": "down", "value": 429, "count": 2}, None),
    "empty": ({"kind": "empty"}, Reason.PROVIDER_EMPTY),
    "slow": ({"kind": "slow", "value": 5}, Reason.PROVIDER_ERROR),
    "broken off": ({"kind": "malformed"}, Reason.PROVIDER_ERROR),
    "broken off once": ({"kind": "malformed", "count": 1}, None),
    "hole": (
        {"kind": "missing", "first": OPEN - 3 * 86_400 + 24 * M5, "last": OPEN - 3 * 86_400 + 25 * M5},
        Reason.GAP,
    ),
    "twice": ({"kind": "duplicate"}, None),
    "reversed": ({"kind": "out_of_order"}, None),
}


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_history_is_whole_or_says_why(market: RunningBars, cache: BarCache, name: str, fault: str) -> None:
    """Monday 09:35: one bar of today, the rest of Friday."""
    now = OPEN + M5
    market.clock(now=now)
    market.control(channel="rest", **FAULTS[fault][0])
    found, reason = ensure(market, cache, name, now, deadline=0.6 if fault == "slow" else 10), FAULTS[fault][1]
    assert (found.status, found.reason) == (Status.DEGRADED if reason else Status.SUFFICIENT, reason), found
    if fault == "hole":
        assert [gap.count for gap in found.gaps] == [2]
    market.heal()
    healed = ensure(market, cache, name, now)
    assert healed.is_sufficient and len(cache.bars("FORE", 0, 2**40)) >= healed.required
    assert healed.first_required == required_window(NEEDED, SESSIONS, now).first


def test_an_answer_about_another_symbol_is_refused(market: RunningBars) -> None:
    market.control("wrong_symbol", channel="rest")
    with pytest.raises(BarProviderError, match="OTHER, which was not asked for"):
        fetch(source(market, "alpaca"), "FORE")


def test_a_revised_bar_replaces_the_first_and_is_logged(market: RunningBars, cache: BarCache) -> None:
    label = OPEN - 3 * 86_400 + 3_600 + 60 * M5  # Friday 19:30
    market.clock(now=OPEN + M5)
    market.control("revised", channel="rest", first=label, last=label)
    assert ensure(market, cache, "alpaca", OPEN + M5).is_sufficient
    market.heal()
    bars = fetch(source(market, "alpaca"), "FORE")["FORE"]
    cache.put(bars, Source.FINAL)
    assert [row["ts"] for row in cache.revisions("FORE")] == [label]


# -- live bars


def listen(market: RunningBars, *symbols: str, until: int, live: BarSource | None = None) -> list[LiveEvent]:
    """Events until every symbol's minute before `until` was due."""

    async def collect() -> list[LiveEvent]:
        events: list[LiveEvent] = []
        async with aclosing((live or source(market, "alpaca")).socket().stream(symbols)) as stream:
            with_time = asyncio.timeout(10)
            try:
                async with with_time:
                    async for event in stream:
                        events.append(event)
                        if isinstance(event, Minute) and event.bar.ts >= until:
                            break
            except TimeoutError:
                pytest.fail(f"no minute at {until}; the last event is {events[-1:]}")
        return events

    return asyncio.run(collect())


def rolled(events: list[LiveEvent]) -> tuple[dict[int, Bar], dict[int, Source]]:
    """The last five-minute bar said for each label, and its source."""
    roller, bars, sources = Roller(SESSIONS), dict[int, Bar](), dict[int, Source]()
    for event in events:
        if isinstance(event, Minute):
            for bar, origin in roller.add(event.bar):
                bars[bar.ts], sources[bar.ts] = bar, origin
    return bars, sources


def values(bar: Bar) -> tuple[float | None, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


LIVE_FAULTS = {
    "none": [],
    "duplicate": [{"kind": "duplicate"}],
    "out of order": [{"kind": "out_of_order", "first": OPEN + 600, "last": OPEN + 600}],
    "late": [{"kind": "late", "value": 4, "first": OPEN + 900, "last": OPEN + 900}],
    "revised": [{"kind": "revised", "first": OPEN + 1200, "last": OPEN + 1500}],
}


@pytest.mark.parametrize("fault", LIVE_FAULTS)
def test_live_minutes_make_the_bars_the_provider_has(market: RunningBars, fault: str) -> None:
    """However they come, in the end the five-minute bars are those of the provider's history."""
    for wanted in LIVE_FAULTS[fault]:
        market.control(channel="stream", symbol="FORE", **wanted)
    events = listen(market, "FORE", until=OPEN + 45 * 60)
    assert events[0] == Joined(("FORE",))
    bars, sources = rolled(events)
    truth = {bar.ts: bar for bar in fetch(source(market, "alpaca"), "FORE", first=OPEN, last=OPEN + 44 * 60)["FORE"]}
    labels = range(OPEN, OPEN + 40 * 60, M5)
    assert {ts: values(bars[ts]) for ts in labels} == {ts: values(truth[ts]) for ts in labels}
    assert {sources[ts] for ts in labels} == {Source.WEBSOCKET}
    updates = sum(isinstance(event, Minute) and event.is_update for event in events)
    assert updates == (6 if fault == "revised" else 0)


def test_a_lost_minute_makes_a_provisional_bar(market: RunningBars) -> None:
    market.control("missing", channel="stream", symbol="FORE", first=OPEN + 660, last=OPEN + 660)
    _, sources = rolled(listen(market, "FORE", until=OPEN + 30 * 60))
    assert [ts for ts, origin in sources.items() if origin is Source.PROVISIONAL] == [OPEN + 600]


def test_a_disconnect_is_said_and_joined_again(market: RunningBars, cache: BarCache) -> None:
    """Minutes are gone while we were away; the backfill brings their bars, and history is whole again."""
    market.control("disconnect", channel="stream", first=OPEN + 3_660, count=1, value=7)
    events = listen(market, "FORE", until=OPEN + 2 * 3_600)
    assert [type(event) for event in events if not isinstance(event, Minute)] == [Joined, Lost, Joined]
    bars, sources = rolled(events)
    for ts, bar in bars.items():
        cache.put([bar], sources[ts], at=ts + 300)  # on the market's clock, as the run does: what was known later wins
    now = OPEN + 7_200
    before = History(cache, None).check(["FORE"], NEEDED, now)["FORE"]
    assert not before.is_sufficient and before.gaps[-1].first == OPEN + 3_600 and before.gaps[-1].count == 2
    assert ensure(market, cache, "alpaca", now).is_sufficient


def test_joining_in_the_middle_of_a_bar_does_not_make_a_bar(market: RunningBars) -> None:
    market.clock(now=OPEN + 7 * 60)
    bars, sources = rolled(listen(market, "FORE", until=OPEN + 20 * 60))
    assert sources[OPEN + 300] is Source.PROVISIONAL and sources[OPEN + 600] is Source.WEBSOCKET and OPEN not in bars


def test_foreign_and_broken_messages_are_said_to_be_skipped(market: RunningBars) -> None:
    market.control("wrong_symbol", channel="stream", symbol="FORE", count=1)
    market.control("malformed", channel="stream", first=OPEN + 300, count=1)
    skipped = [e.reason for e in listen(market, "FORE", until=OPEN + 900) if isinstance(e, Skipped)]
    assert len(skipped) == 2 and "'OTHER'" in skipped[0] and "not JSON" in skipped[1]


def test_a_half_day_ends_at_one(market: RunningBars) -> None:
    market.clock(now=HALF_DAY + 205 * 60)
    bars, _ = rolled(listen(market, "FORE", until=HALF_DAY + 209 * 60))
    assert max(bars) == HALF_DAY + 205 * 60
    market.clock(now=HALF_DAY + 220 * 60)
    found = fetch(source(market, "alpaca"), "FORE", first=HALF_DAY, last=HALF_DAY + 220 * 60)["FORE"]
    assert SESSIONS.holds(M5, np.array([bar.ts for bar in found])).sum() == 42


@pytest.mark.parametrize(("environ", "said"), [({"WORLD_BARS_SECRET": "hunter2-wrong"}, "auth failed"), ({}, "NOPE")])
def test_a_socket_that_refuses_for_good(market: RunningBars, environ: dict[str, str], said: str) -> None:
    with pytest.raises(ProviderRefused, match=said) as caught:
        listen(market, "FORE", *([] if environ else ["NOPE"]), until=OPEN, live=source(market, "alpaca", **environ))
    assert "hunter2" not in str(caught.value)


def test_the_same_seed_gives_the_same_minutes(market: RunningBars, tmp_path: Path) -> None:
    with stock_market.running(tmp_path, now="2026-03-09T13:25:00Z", seed=7, symbols="TIDE,FORE") as again:
        assert fetch(source(again, "eodhd"), "FORE") == fetch(source(market, "eodhd"), "FORE")
    with stock_market.running(tmp_path, now="2026-03-09T13:25:00Z", seed=8) as other:
        assert fetch(source(other, "eodhd"), "FORE") != fetch(source(market, "eodhd"), "FORE")


def test_about_as_many_inside_bars_as_in_real_ones(market: RunningBars) -> None:
    """Real AAPL, HOOD, SPY: 12.9 to 14.0 % of bars lie within the one before, same session."""
    bars = fetch(source(market, "eodhd"), "FORE", first=START - 200 * 86_400)["FORE"]
    kept = [b for b, fits in zip(bars, SESSIONS.holds(M5, np.array([b.ts for b in bars])), strict=True) if fits]
    pairs = [(a, b) for a, b in pairwise(kept) if b.ts - a.ts == M5]
    inside = sum((b.high or 0) <= (a.high or 0) and (b.low or 0) >= (a.low or 0) for a, b in pairs) / len(kept)
    assert 0.11 < inside < 0.18
