"""The live loop: buffer the socket, load, merge, check, evaluate. It speaks at a bar's close or says why not.

At the close of every bar of the strategy each symbol gets one decision, once and for good: `signal`, `quiet`
(evaluated, nothing found), or `NO-SIGNALS` with a reason. A close whose time is over is not made up for: a signal that
comes a bar late is no signal. What a decision rests on is history's answer at that moment, nothing kept in memory.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from decide.bars.actions import UNADJUSTED_SPLIT
from decide.bars.history import HistoryCheck, Reason, Status, Window, required_window
from decide.bars.orders import Signal
from decide.bars.sessions import M5
from extract.bars.alpaca_socket import Joined, LiveEvent, Lost, Minute, Skipped
from extract.bars.provider import Bar
from operate.bars.backtest import TIME_FIELDS, iso, seconds_of, signal_row
from operate.bars.manifest import Promotion
from operate.bars.pre_paper.cache import BarCache, Source
from operate.bars.pre_paper.clocks import ClockWatch, clock_of
from operate.bars.pre_paper.evaluation import Evaluator, Guards
from operate.bars.pre_paper.folder import RunFolder, stamp
from operate.bars.pre_paper.history import History
from operate.bars.pre_paper.minutes import Roller

MINUTE = 60
CLOCK_PATIENCE_SECONDS = 10  # a feed that has just been joined gets this long to show that the clocks agree
GRACE_SECONDS = 15  # a socket's minute comes seconds after it is over; after that a missing bar is fetched
POLL_SECONDS = 0.2
MOST_AT_ONCE = 1_000  # events handled before the next look at the clock
QUIET_END_SECONDS = 1.0  # a replayed stream that is silent this long after the close has ended


class Clock:
    """What time it is: the machine's, or in a replay the end of the newest minute that has come."""

    def __init__(self, replay_from: int | None = None) -> None:
        self.is_replay = replay_from is not None
        self._seen = replay_from or 0

    def now(self) -> int:
        return self._seen if self.is_replay else int(time.time())

    def see(self, minute_at: int) -> None:
        self._seen = max(self._seen, minute_at + 60)

    def would_move(self, event: LiveEvent) -> bool:
        """Whether an event of a replay belongs to a later moment."""
        return self.is_replay and isinstance(event, Minute) and event.bar.ts + 60 > self._seen


@dataclass(frozen=True)
class Arrival:
    """When an event came: by the process's own counter (for latencies) and by the machine's clock, in seconds."""

    spent: float
    at: float


@dataclass
class Tally:
    """What happened so far."""

    events: int = 0
    skipped: int = 0
    rejoined: int = 0
    signals: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)  # seconds from a bar's arrival to its decision


class Runner:
    """One session of one promotion on many symbols."""

    def __init__(
        self,
        promotion: Promotion,
        symbols: Sequence[str],
        history: History,
        folder: RunFolder,
        clock: Clock,
        session: tuple[int, int],
        since: int,
        facts: dict[str, Any],
        say: Callable[[dict[str, Any]], None] = lambda row: None,
        guards: Guards | None = None,
    ) -> None:
        """`session`: open and close. `since`: when the run first started. `facts`: fields of every line."""
        self.promotion, self.symbols, self.history, self.folder = promotion, tuple(symbols), history, folder
        self.clock, self.session, self.facts, self.say = clock, session, facts, say
        self.rules = promotion.strategy.rules
        self.requirement = self.rules.requirement(promotion.strategy.gates.max_no_trade_slots)
        self.cache: BarCache = history.cache
        self.evaluator = Evaluator(promotion.strategy, self.cache, session, guards or Guards())
        self.watch = ClockWatch()
        if not clock.is_replay:
            history.reached = 0.0
        for line in folder.signal_lines:
            self.evaluator.note(line["symbol"], signal_of(line))
        self.roller = Roller(self.cache.sessions)
        self.tally = Tally()
        self._is_joined, self._has_joined, self._was_cut = False, False, False
        self._to_load: set[str] = set()
        self._loads: dict[asyncio.Task[dict[str, HistoryCheck]], tuple[str, ...]] = {}
        self._rolled: list[tuple[Bar, Source, float]] = []  # with when they arrived
        self._has_ended = False
        self._fresh: dict[str, float] = {}  # symbol -> when its newest bar arrived
        self._status: dict[str, tuple[str, str | None]] = {}
        self._next_close = self._first_close(since)
        self.cache.defer_checkpoints()
        self._has_written = False
        self._was_off = False

    async def run(self, events: AsyncIterator[LiveEvent]) -> None:
        """Until the session is over. Errors: what the provider raised for good, after it was logged."""
        queue: asyncio.Queue[tuple[Arrival, LiveEvent] | BaseException | None] = asyncio.Queue()
        reader = asyncio.create_task(_pump(events, queue))
        gc.freeze()  # what start-up made is here to stay: looking through it took 78 ms in the middle of a burst
        try:
            await self.step()
            silent_since = time.monotonic()
            while True:
                if queue.empty() and self._has_written:
                    self._has_written = False
                    self._prepare()
                batch = await self._receive(queue)
                for received, event in batch:
                    if self.clock.would_move(event):
                        await self.step()  # in a replay every moment gets its look before the next one begins
                    self._handle(event, received)
                await self.step()
                silent_since = time.monotonic() if batch else silent_since
                if self._is_over(time.monotonic() - silent_since):
                    break
        finally:
            gc.unfreeze()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        await self._finish()

    def _prepare(self) -> None:
        """What the next close need not wait for, now that nobody does: the log's way to the disk, bars of before."""
        self.cache.checkpoint()
        window = required_window(self.requirement, self.cache.sessions, self.clock.now())
        if window.first is not None and window.last is not None:
            self.cache.hold(self.symbols, window.first, window.last)

    async def _receive(self, queue: asyncio.Queue[Any]) -> list[tuple[Arrival, LiveEvent]]:
        """What has come, or nothing after a moment; raises what the stream ended with."""
        batch: list[Any] = []
        try:
            item = await asyncio.wait_for(queue.get(), POLL_SECONDS)
            while True:
                if isinstance(item, BaseException):
                    if batch:
                        queue.put_nowait(item)  # first what came before it
                        break
                    self.folder.log("stream_ended", error=str(item))
                    raise item
                if item is None:
                    self._has_ended = True
                else:
                    batch.append(item)
                if queue.empty() or len(batch) >= MOST_AT_ONCE:
                    break
                item = queue.get_nowait()
        except TimeoutError:
            pass
        return batch

    def _is_over(self, silence: float) -> bool:
        close, now = self.session[1], self.clock.now()
        if self.clock.is_replay:
            return self._has_ended or (now >= close and silence >= QUIET_END_SECONDS)
        return now >= close + GRACE_SECONDS + self.history.deadline_seconds or (
            now >= close + GRACE_SECONDS and not self._undecided(close) and not self._loads
        )

    def _undecided(self, close: int) -> list[str]:
        at = iso(close)
        return [symbol for symbol in self.symbols if (symbol, at) not in self.folder.checked]

    def _handle(self, event: LiveEvent, received: Arrival) -> None:
        self.tally.events += 1
        if isinstance(event, Minute):
            self.clock.see(event.bar.ts)
            self._hear(event.bar.ts + MINUTE, received)
            self._rolled += [(bar, source, received.spent) for bar, source in self.roller.add(event.bar)]
        elif isinstance(event, Joined):
            self.tally.rejoined += self._has_joined
            self._is_joined = self._has_joined = True
            self._to_load = set(self.symbols)
            self.folder.log("joined", symbols=len(event.symbols), clock=iso(self.clock.now()))
            self._note(dict.fromkeys(self.symbols, (Status.LOADING.value, Reason.BACKFILL_RUNNING.value)))
        elif isinstance(event, Lost):
            self._is_joined, self._was_cut = False, True
            self.folder.log("lost", reason=event.reason, clock=iso(self.clock.now()))
            self._note(dict.fromkeys(self.symbols, (Status.LOADING.value, FEED_DISCONNECTED)))
        elif isinstance(event, Skipped):
            self.tally.skipped += 1
            self.folder.log("skipped", reason=event.reason)

    def _hear(self, ended: int, received: Arrival) -> None:
        """A minute was over at `ended`: what that says of the clocks, and of bars that are over."""
        if self.history.reached is not None:
            self.history.reached = max(self.history.reached, ended)
            self.watch.minute(ended, received.at)

    def _is_clock_off(self) -> bool:
        """Whether the machine's clock is not the exchange's; never in a replay, whose time is the feed's."""
        if self.clock.is_replay:
            return False
        told = clock_of(self.history.provider)
        if told is not None:
            self.watch.http(*told)
        ahead = self.watch.ahead()
        if ahead and not self._was_off:
            self.folder.log("clock_skew", ahead_seconds=round(ahead, 1), clock=iso(self.clock.now()))
        self._was_off = bool(ahead)
        return self._was_off

    def _store(self, now: int) -> None:
        """Keep the bars that came, and those whose time ran out without all of their minutes: one write per source."""
        late = time.perf_counter()
        self._rolled += [(bar, source, late) for bar, source in self.roller.close(now - GRACE_SECONDS)]
        for source in Source:
            bars = [bar for bar, of, _ in self._rolled if of is source]
            if bars:
                self.cache.put(bars, source, at=now)
                self._has_written = True
        self._fresh |= {bar.symbol: at for bar, of, at in self._rolled if of is Source.WEBSOCKET}
        self._rolled.clear()

    async def step(self) -> None:
        """Look at the clock: load what is asked for, decide what can be decided, give up what is over."""
        now = self.clock.now()
        self._store(now)
        if self._is_joined and self._to_load:
            await self._load(self._to_load)
            self._to_load = set()
        window = required_window(self.requirement, self.cache.sessions, now)
        close = window.last + M5 if window.last is not None else None
        self._give_up(now, close if window.is_open else None)
        self._collect(window)
        if close is None or not window.is_open or close > self.session[1]:
            self.folder.flush()
            return
        loading = {symbol for symbols in self._loads.values() for symbol in symbols}
        idle = [s for s in self._undecided(close) if s not in loading]
        if self._is_clock_off():
            for symbol in self._undecided(close) if now >= close + CLOCK_PATIENCE_SECONDS else ():
                self._refuse(symbol, close, (Status.DEGRADED.value, CLOCK_SKEW))
        elif idle and self._is_joined:
            fresh = [s for s in idle if s in self._fresh]
            self._settle(
                fresh, self.history.check(fresh, self.requirement, now) if fresh else {}, window, is_final=False
            )
            left = [s for s in self._undecided(close) if s not in loading] if fresh else idle
            if left and now >= close + GRACE_SECONDS:
                await self._load(left)
                self._collect(window)
        self.folder.flush()

    async def _load(self, symbols: Iterable[str]) -> None:
        """Fetch what is missing, behind the loop; in a replay the clock waits for it."""
        wanted = tuple(sorted(symbols))
        task = asyncio.create_task(self.history.ensure(wanted, self.requirement, self.clock.now()))
        self._loads[task] = wanted
        if self.clock.is_replay:
            await asyncio.gather(task, return_exceptions=True)

    def _collect(self, window: Window) -> None:
        """Take in the answers of loads that are done; each is final for the close that is current."""
        for task in [task for task in self._loads if task.done()]:
            symbols = self._loads.pop(task)
            answers = task.result()
            self._note({s: (c.status.value, c.reason.value if c.reason else None) for s, c in answers.items()})
            if not window.is_open or window.last is None or not self._is_joined:
                continue
            current = {s: check for s, check in answers.items() if check.last_required == window.last}
            again = [s for s in symbols if s not in current]  # a bar closed meanwhile
            current |= self.history.check(again, self.requirement, self.clock.now()) if again else {}
            self._settle([s for s in symbols if s not in again], current, window, is_final=True)
            self._settle(again, current, window, is_final=False)

    def _settle(self, symbols: Sequence[str], checks: dict[str, HistoryCheck], window: Window, is_final: bool) -> None:
        """Decide where history is whole; where it is not, refuse if that answer is final. Signals first."""
        if not symbols:
            return
        close = int(window.labels[-1]) + M5
        at_close = iso(close)
        open_ones = [s for s in symbols if (s, at_close) not in self.folder.checked]
        if self._is_clock_off():
            return  # `step` refuses them by name
        whole = [s for s in open_ones if checks[s].is_sufficient]
        for symbol in [s for s in whole if self.evaluator.is_unadjusted(s, window)]:
            whole.remove(symbol)
            self._refuse(symbol, close, (Status.DEGRADED.value, UNADJUSTED_SPLIT), checks[symbol])
        signals = self.evaluator.signals(whole, close, window)
        for symbol in [s for s in signals if self.evaluator.is_killed(s, close)]:
            del signals[symbol]
            whole.remove(symbol)
            self._refuse(symbol, close, (Status.DEGRADED.value, KILL_SWITCH), checks[symbol])
        self._say(signals)
        self._was_cut = self._was_cut and not whole
        spent = time.perf_counter()
        self.tally.latencies += [spent - at for s in whole if (at := self._fresh.pop(s, None)) is not None]
        for symbol in whole:
            self._audit(symbol, at_close, "signal" if symbol in signals else "quiet", SUFFICIENT, checks[symbol])
        self._note(dict.fromkeys(whole, SUFFICIENT))
        for symbol in open_ones if is_final else ():
            check = checks[symbol]
            if not check.is_sufficient:
                self._refuse(symbol, close, (check.status.value, check.reason.value if check.reason else None), check)

    def _say(self, signals: dict[str, tuple[Signal, ...]]) -> None:
        """Put signals on the disk, then tell them."""
        rows = []
        for symbol, said in signals.items():
            for signal in said:
                key = f"{self.facts['promotion_sha256'][:16]}:{symbol}:{signal.trigger_at}:{signal.side}"
                row = {"key": key, **self.facts}
                rows.append(row | {"symbol": symbol, **signal_row(vars(signal)), "said_at": stamp()})
                self.evaluator.note(symbol, signal)
        for told in self.folder.signals(rows):
            self.tally.signals += 1
            self.say(dict(told))

    def _refuse(self, symbol: str, close: int, why: tuple[str, str | None], check: HistoryCheck | None = None) -> None:
        self._fresh.pop(symbol, None)
        self._note({symbol: why})
        self._audit(symbol, iso(close), NO_SIGNALS, why, check)

    def _audit(
        self, symbol: str, close: str, decision: str, why: tuple[str, str | None], check: HistoryCheck | None
    ) -> None:
        row: dict[str, Any] = {"symbol": symbol, "close": close, "decision": decision, "status": why[0]}
        row |= {"reason": why[1], "clock": iso(self.clock.now()), "said_at": stamp()}
        if check is not None:
            row |= {"required": check.required, "present": check.present, "no_trade": check.no_trade}
            row["gaps"] = [{"first": iso(g.first), "last": iso(g.last), "count": g.count} for g in check.gaps]
            row["detail"] = check.detail
        self.tally.decisions[decision] = self.tally.decisions.get(decision, 0) + 1
        self.folder.check(row)

    def _give_up(self, now: int, current: int | None) -> None:
        """Refuse every close of this run whose time is over and that nothing was said about."""
        while self._next_close <= self.session[1]:
            close = self._next_close
            if current is not None and close >= current:
                return
            if current is None and close + self.rules.step > now:
                return
            for symbol in self._undecided(close):
                self._refuse(symbol, close, (Status.LOADING.value, self._why_missed(symbol)))
            self._next_close += self.rules.step

    def _why_missed(self, symbol: str) -> str:
        if any(symbol in symbols for symbols in self._loads.values()):
            return Reason.BACKFILL_RUNNING.value
        if not self._has_joined:
            return RUNNER_DOWN
        return FEED_DISCONNECTED if self._was_cut or not self._is_joined else Reason.STALE.value

    def _first_close(self, since: int) -> int:
        """The first close after the run's first start."""
        opened, step = self.session[0], self.rules.step
        return opened + step * max(1, -(-(since - opened) // step))

    def _note(self, statuses: dict[str, tuple[str, str | None]]) -> None:
        """Log where a symbol's status or reason changes."""
        changed: dict[tuple[str, str | None], list[str]] = {}
        for symbol, status in statuses.items():
            if self._status.get(symbol) != status:
                self._status[symbol] = status
                changed.setdefault(status, []).append(symbol)
        for (name, reason), symbols in changed.items():
            self.folder.log("status", status=name, reason=reason, symbols=symbols, clock=iso(self.clock.now()))

    async def _finish(self) -> None:
        """Decide the last close with what can be had, then refuse what is left."""
        if self._is_joined and self.clock.is_replay and self._undecided(self.session[1]):
            await self._load(self.symbols)
            self._collect(required_window(self.requirement, self.cache.sessions, self.clock.now()))
        for task in self._loads:
            task.cancel()
        await asyncio.gather(*self._loads, return_exceptions=True)
        self._give_up(self.session[1] + self.rules.step, None)
        self.folder.flush()


def signal_of(line: Mapping[str, Any]) -> Signal:
    """A signal from its line in the run's folder."""
    names = {field.name for field in fields(Signal)}
    values: dict[str, Any] = {name: value for name, value in line.items() if name in names}
    for name, value in values.items():
        if value is not None and (name.endswith("_at") or name in TIME_FIELDS):
            values[name] = seconds_of(value)
    return Signal(**values)


NO_SIGNALS = "NO-SIGNALS"
CLOCK_SKEW = "clock_skew"
KILL_SWITCH = "kill_switch"
SUFFICIENT = (Status.SUFFICIENT.value, None)
FEED_DISCONNECTED = "feed_disconnected"
RUNNER_DOWN = "runner_down"


async def _pump(events: AsyncIterator[LiveEvent], queue: asyncio.Queue[Any]) -> None:
    """Buffer the stream while the loop is busy; the queue's last item says how it ended."""
    try:
        async for event in events:
            queue.put_nowait((Arrival(time.perf_counter(), time.time()), event))
        queue.put_nowait(None)
    except Exception as error:  # also one that nobody thought of: a reader that dies silently is waited for in vain
        queue.put_nowait(error)
