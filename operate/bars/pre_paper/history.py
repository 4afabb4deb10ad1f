"""`ensure_history`: is every required bar there? If not, fetch all that is missing once, then answer for good.

A check compares every required label of a symbol, as bits; only where one is missing are they listed. A backfill asks
the provider once per distinct span for everything between the first and the last missing bar, stores what came, checks
again, and that answer is final: SUFFICIENT, or DEGRADED with the gaps that are left and the reason. Whoever asks about
a symbol whose backfill is still running gets LOADING with its deadline.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from decide.bars.history import Backfill, HistoryCheck, Requirement, Window, check, conclude, find_gaps, required_window
from decide.bars.sessions import M5, Ints
from extract.bars.provider import Answer, Bar, BarProvider, BarProviderError, ProviderDown
from extract.errors import ForeshoreError
from extract.evm.redact import redact
from operate.bars.pre_paper.cache import BarCache, FeedMismatch, Source
from operate.bars.pre_paper.clocks import clock_of

DEADLINE_SECONDS = 30.0


class History:
    """A cache, the provider that fills it, and which symbols it is filling right now."""

    def __init__(
        self, cache: BarCache, provider: BarProvider | None, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Without a provider nothing is fetched. FeedMismatch when the provider serves another feed than the cache."""
        if provider is not None and provider.feed != cache.feed:
            raise FeedMismatch(
                f"bar provider {provider.name} serves the feed {provider.feed!r}, the cache holds {cache.feed!r}: "
                "they are different series"
            )
        self.cache, self.provider, self.deadline_seconds = cache, provider, deadline_seconds
        self.reached: float | None = None  # what the feed is known to have reached; None: the clock is believed
        self._running: dict[str, int] = {}  # symbol -> deadline
        self._tasks: set[asyncio.Task[dict[str, Backfill]]] = set()

    def check(
        self, symbols: Sequence[str], requirement: Requirement, now: int, grace_seconds: int = 0
    ) -> dict[str, HistoryCheck]:
        """What is there at `now` (unix seconds), without fetching; LOADING where a backfill is running."""
        window = required_window(requirement, self.cache.sessions, now, grace_seconds)
        return self._judge(symbols, window, requirement, {})

    async def ensure(
        self,
        symbols: Sequence[str],
        requirement: Requirement,
        now: int,
        grace_seconds: int = 0,
        wait: bool = True,
    ) -> dict[str, HistoryCheck]:
        """The same, after fetching what is missing; with `wait` False the fetching goes on behind a LOADING answer."""
        window = required_window(requirement, self.cache.sessions, now, grace_seconds)
        found = self._judge(symbols, window, requirement, {})
        short = [s for s, answer in found.items() if answer.gaps and s not in self._running]
        spans = {s: span for s in short if (span := self._span(s, window)) is not None}
        if not spans or self.provider is None:
            return found
        deadline = now + max(int(np.ceil(self.deadline_seconds)), 1)
        self._running |= dict.fromkeys(spans, deadline)
        task = asyncio.create_task(self._backfill(spans, window))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not wait:
            return self._judge(symbols, window, requirement, {})
        fills = await task
        return {**found, **self._judge(list(spans), window, requirement, fills)}

    async def settle(self) -> None:
        """Wait for every backfill that is running."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _judge(
        self, symbols: Sequence[str], window: Window, requirement: Requirement, fills: Mapping[str, Backfill]
    ) -> dict[str, HistoryCheck]:
        if window.first is None or window.last is None:
            return dict.fromkeys(symbols, conclude(window, ()))
        whole = conclude(window, ())
        holding = self.cache.holding(symbols, window.labels)
        return {
            symbol: whole if symbol in holding else self._compare(symbol, window, requirement, fills.get(symbol))
            for symbol in symbols
        }

    def _compare(self, symbol: str, window: Window, requirement: Requirement, fill: Backfill | None) -> HistoryCheck:
        assert window.first is not None and window.last is not None
        if fill is None and symbol in self._running:
            fill = Backfill("running", self._running[symbol])
        present = self.cache.labels(symbol, window.first, window.last)
        no_trade = self.cache.no_trade(symbol, window.first, window.last)
        return check(window, present, no_trade, requirement.max_no_trade, fill)

    def _span(self, symbol: str, window: Window) -> tuple[int, int] | None:
        """First and last label worth asking for: around the missing ones, but for slots known to have no trade."""
        assert window.first is not None and window.last is not None
        there = np.union1d(
            self.cache.labels(symbol, window.first, window.last), self.cache.no_trade(symbol, window.first, window.last)
        )
        gaps = find_gaps(window, there)
        if not gaps:
            return None
        # one bar more on either side: only an answer that has the neighbours says something about a slot
        first, last = np.searchsorted(window.labels, [gaps[0].first, gaps[-1].last])
        return int(window.labels[max(first - 1, 0)]), int(window.labels[min(last + 1, len(window.labels) - 1)])

    async def _backfill(self, spans: Mapping[str, tuple[int, int]], window: Window) -> dict[str, Backfill]:
        """Fetch every span once; how it went, by symbol. Never raises: a failure is an outcome with a reason."""
        groups: dict[tuple[int, int], list[str]] = defaultdict(list)
        for symbol, span in spans.items():
            groups[span].append(symbol)
        fills: dict[str, Backfill] = {}
        try:
            async with asyncio.timeout(self.deadline_seconds):
                for answers in asyncio.as_completed([self._fetch(s, span, window) for span, s in groups.items()]):
                    fills |= await answers
        except TimeoutError:
            late = Backfill("error", detail=f"the provider did not answer within {self.deadline_seconds:g} s")
            fills = {**dict.fromkeys(spans, late), **fills}
        finally:
            for symbol in spans:
                self._running.pop(symbol, None)
        return fills

    async def _fetch(self, symbols: Sequence[str], span: tuple[int, int], window: Window) -> dict[str, Backfill]:
        assert self.provider is not None
        try:
            answer = await self.provider.fetch(symbols, "M5", *span)
            foreign = sorted(set(answer.bars) - set(symbols))
            if foreign:
                raise BarProviderError(f"bar provider {self.provider.name} answered for {foreign[0]}, not asked for")
            over = self._over(answer, window)
            return {symbol: self._store(symbol, answer.bars.get(symbol, ()), window, over) for symbol in symbols}
        except ForeshoreError as error:
            if len(symbols) > 1 and not isinstance(error, ProviderDown):  # a refused symbol must not cost the others
                parts = [await self._fetch([symbol], span, window) for symbol in symbols]
                return {symbol: fill for part in parts for symbol, fill in part.items()}
            return dict.fromkeys(symbols, Backfill("error", detail=redact(str(error))))

    def _over(self, answer: Answer, window: Window) -> float:
        """Until when bars are known to be over: what a later minute, a later bar or the provider's date shows."""
        if self.reached is None:
            return window.moment
        later = max((bar.ts for bars in answer.bars.values() for bar in bars), default=0)
        dated = clock_of(self.provider)
        return max(self.reached, later, dated[0] if dated else 0)

    def _store(self, symbol: str, bars: Sequence[Bar], window: Window, over: float) -> Backfill:
        """Keep closed bars of the right symbol; note slots that were left out between others.

        A bar that nothing shows to be over yet is provisional: the provider may be serving the one that runs.
        """
        mine = [bar for bar in bars if bar.symbol == symbol and bar.ts + M5 <= window.moment]
        if not mine:
            return Backfill("empty", detail="the provider answered without a bar")
        self.cache.put([bar for bar in mine if bar.ts + M5 <= over], Source.FINAL, at=window.moment)
        self.cache.put([bar for bar in mine if bar.ts + M5 > over], Source.PROVISIONAL, at=window.moment)
        self._note_misses(symbol, np.array([bar.ts for bar in mine if bar.is_whole], np.int64), window)
        return Backfill("done")

    def _note_misses(self, symbol: str, had: Ints, window: Window) -> None:
        if not len(had):
            return
        inner = window.labels[(window.labels > had.min()) & (window.labels < had.max())]
        missed = inner[~np.isin(inner, had)]
        if len(missed):
            held = self.cache.labels(symbol, int(missed[0]), int(missed[-1]))
            self.cache.missed(symbol, [int(ts) for ts in missed[~np.isin(missed, held)]], at=window.moment)


async def ensure_history(
    cache: BarCache,
    provider: BarProvider | None,
    symbols: Sequence[str],
    requirement: Requirement,
    now: int,
    grace_seconds: int = 0,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> dict[str, HistoryCheck]:
    """One final answer per symbol, after at most one backfill (see `History.ensure`)."""
    return await History(cache, provider, deadline_seconds).ensure(symbols, requirement, now, grace_seconds)
