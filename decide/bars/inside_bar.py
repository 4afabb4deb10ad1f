"""The inside-bar breakout: one pure function from bars to signals, the same for a backtest and for live bars.

docs/bars/method-inside-bar.md states the rules with their sources. A signal is known at the close of its trigger bar
and rests on bars up to it only; orders it asks for are valid from the next bar on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, time
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from decide.bars.bars import Bars, Floats, Ints, average_true_range
from decide.bars.history import Requirement
from decide.bars.sessions import Sessions
from decide.errors import DecisionError

Flags = npt.NDArray[np.bool_]
Side = Literal["BUY", "SELL"]
Record = TypeVar("Record")
Compare = Callable[[Floats, Floats], Flags]  # "at most" (inclusive) or "below" (strict)


@dataclass(frozen=True)
class Rules:
    """Every parameter of the strategy; their values stand in the `bar_strategies` seed and in a run's manifest."""

    timeframe_minutes: int
    market_tz: str
    session_filter: str  # trade windows in local time, e.g. "09:30-11:00 14:00-15:00"
    inside_bar_definition_mode: str
    inside_bar_mode: str  # inclusive (≤, ≥) or strict (<, >)
    atr_period: int  # bars
    min_mother_bar_size_atr_multiple: float  # 0: any size
    min_mother_body_fraction: float
    min_inside_body_fraction: float
    entry_level_mode: str  # mother_bar or inside_bar: whose high and low are the levels
    require_close_beyond_mother: bool  # trigger by close beyond the level, or else by high or low
    first_inside_bar_only: bool  # at most one signal per trade window
    max_pattern_age_candles: int
    max_deviation_atr: float  # 0: any distance
    stop_distance_cap_ticks: int  # 0: no cap
    tick_size: float  # USD
    risk_reward_ratio: float
    order_validity_policy: str  # session_end, one_bar or fixed_minutes
    order_validity_minutes: int

    def __post_init__(self) -> None:
        choices = {
            "inside_bar_definition_mode": tuple(DEFINITIONS),
            "inside_bar_mode": tuple(COMPARE),
            "entry_level_mode": ("mother_bar", "inside_bar"),
            "order_validity_policy": ("session_end", "one_bar", "fixed_minutes"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise DecisionError(f"{name} = {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        for name in ("timeframe_minutes", "atr_period", "max_pattern_age_candles", "tick_size", "risk_reward_ratio"):
            if not getattr(self, name) > 0:
                raise DecisionError(f"{name} = {getattr(self, name)!r} must be above 0")
        if self.order_validity_policy == "fixed_minutes" and self.order_validity_minutes < 1:
            raise DecisionError("order_validity_policy = 'fixed_minutes' needs order_validity_minutes of at least 1")
        local_windows(self.session_filter)

    @property
    def step(self) -> int:
        """Seconds of a bar."""
        return self.timeframe_minutes * 60

    @property
    def warmup(self) -> int:
        """Bars before a session that its first mother bar needs: `atr_period` true ranges and a close before them."""
        return self.atr_period + 1

    def requirement(self, max_no_trade: int = 0) -> Requirement:
        """What this strategy needs at a close: every bar of the session so far, and `warmup` bars before it."""
        return Requirement(self.step, lookback_bars=1, warmup_bars=self.warmup, max_no_trade=max_no_trade)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Rules:
        """Rules from named values (text or typed); DecisionError names what is missing, unknown or not of its type."""
        return parse_record(cls, values)


def parse_record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """A dataclass of str, bool, int and float fields from named values that may be text; every field, no other."""
    wanted = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    missing, unknown = sorted(set(wanted) - set(values)), sorted(set(values) - set(wanted))
    if missing or unknown:
        raise DecisionError(f"parameters of {kind.__name__}: missing {missing}, unknown {unknown}")
    return kind(**{name: _typed(name, str(wanted[name]), values[name]) for name in wanted})


def _typed(name: str, kind: str, value: Any) -> Any:
    text = str(value).strip()
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind in ("int", "float"):
            number = float(text)
            if not np.isfinite(number) or number < 0 or isinstance(value, bool) or (kind == "int" and number % 1):
                raise ValueError
            return int(number) if kind == "int" else number
    except (ValueError, KeyError):
        raise DecisionError(f"{name} = {value!r} is no {kind} of 0 or more") from None
    return text


COMPARE: Mapping[str, Compare] = {
    "inclusive": lambda a, b: np.asarray(a <= b),
    "strict": lambda a, b: np.asarray(a < b),
}


def _range_in_range(m: Bars, i: Bars, below: Compare) -> Flags:
    return below(i.high, m.high) & below(m.low, i.low)


def _range_in_body(m: Bars, i: Bars, below: Compare) -> Flags:
    return below(i.high, np.maximum(m.open, m.close)) & below(np.minimum(m.open, m.close), i.low)


def _body_in_body(m: Bars, i: Bars, below: Compare) -> Flags:
    top, bottom = np.maximum(i.open, i.close), np.minimum(i.open, i.close)
    return below(top, np.maximum(m.open, m.close)) & below(np.minimum(m.open, m.close), bottom)


def _high_and_close_in_range(m: Bars, i: Bars, below: Compare) -> Flags:
    return below(i.high, m.high) & below(m.low, i.close) & below(i.close, m.high)


DEFINITIONS: Mapping[str, Callable[[Bars, Bars, Compare], Flags]] = {
    "mb_range_hl__ib_hl": _range_in_range,
    "mb_body_oc__ib_hl": _range_in_body,
    "mb_body_oc__ib_body": _body_in_body,
    "mb_high__ib_high_and_close_in_mb_range": _high_and_close_in_range,
}


@dataclass(frozen=True)
class Windows:
    """W trade windows in time order: bars labelled in [start, end) may be mother, inside or trigger of a signal."""

    starts: Ints  # unix seconds
    ends: Ints

    def of_labels(self, labels: Ints) -> Ints:
        """The window's number per label (N,), −1 outside of all."""
        numbers = np.searchsorted(self.starts, labels, side="right") - 1
        if not len(self.ends):
            return np.full(len(labels), -1, dtype=np.int64)
        inside = (numbers >= 0) & (labels < self.ends[numbers])
        return np.asarray(np.where(inside, numbers, -1), dtype=np.int64)


def local_windows(session_filter: str) -> tuple[tuple[time, time], ...]:
    """Trade windows as local times, from "09:30-11:00 14:00-15:00"; DecisionError unless in order and apart."""
    try:
        pairs = [tuple(time.fromisoformat(part) for part in text.split("-")) for text in session_filter.split()]
        windows = tuple((start, end) for start, end in pairs)
    except ValueError:
        windows = ()
    edges = [edge for window in windows for edge in window]
    if not windows or edges != sorted(edges) or any(start >= end for start, end in windows):
        raise DecisionError(
            f"session_filter = {session_filter!r}: local times in order, e.g. '09:30-11:00 14:00-15:00'"
        )
    return windows


def trade_windows(sessions: Sessions, rules: Rules) -> Windows:
    """The rules' windows in every session, in unix seconds: cut at its open and close, empty ones dropped.

    Local times become UTC day by day, so that a change of clocks moves them as it moves the exchange.
    """
    zone, local = ZoneInfo(rules.market_tz), local_windows(rules.session_filter)
    found = []
    for opened, closed in zip(sessions.opens.tolist(), sessions.closes.tolist(), strict=True):
        day = datetime.fromtimestamp(opened, zone).date()
        for start, end in local:
            edges = [int(datetime.combine(day, edge, zone).timestamp()) for edge in (start, end)]
            first, last = max(opened, edges[0]), min(closed, edges[1])
            if first < last:
                found.append((first, last))
    starts, ends = np.asarray(found, dtype=np.int64).reshape(-1, 2).T
    return Windows(starts, ends)


@dataclass(frozen=True)
class Signal:
    """A breakout of an inside bar. Times are unix seconds UTC, prices USD; the ATR is the mother bar's."""

    mother_at: int  # labels, that is bar opens
    inside_at: int
    trigger_at: int
    signal_at: int  # close of the trigger bar: from here on it is known
    side: Side
    entry_price: float
    stop_price: float
    take_profit_price: float
    mother_high: float
    mother_low: float
    inside_high: float
    inside_low: float
    atr: float
    valid_from: int  # an order may fill in [valid_from, valid_to)
    valid_to: int
    reason: str = ""  # why no order comes of it; empty: one does


@dataclass(frozen=True)
class Rejection:
    """An inside bar that led to no signal, and why; `known_at` is when that was known."""

    inside_at: int
    known_at: int
    reason: str


@dataclass(frozen=True)
class Findings:
    """What a run of bars holds, in time order."""

    signals: tuple[Signal, ...]
    rejections: tuple[Rejection, ...]


def find_signals(bars: Bars, rules: Rules, windows: Windows) -> Findings:
    """Signals and rejected inside bars in `bars` (N,), which may span any number of windows.

    What it says about a window is final once the window's bars are there and `rules.warmup` bars stand before it;
    bars after a signal never change it. A missing bar is no bar: the pair around it is no pattern.
    """
    if len(bars) < 2:
        return Findings((), ())
    pattern = _Pattern.of(bars, rules, windows)
    signals: list[Signal] = []
    rejections = [pattern.refused(row) for row in np.flatnonzero(pattern.inside & ~pattern.armable).tolist()]
    armable = np.flatnonzero(pattern.armable)
    place = 0
    while place < len(armable):
        row = int(armable[place])
        outcome, resume = _follow(pattern, row)
        if isinstance(outcome, Signal):
            signals.append(outcome)
        elif outcome is not None:
            rejections.append(outcome)
        place = int(np.searchsorted(armable, resume))
    return Findings(tuple(signals), tuple(sorted(rejections, key=lambda r: (r.known_at, r.inside_at))))


@dataclass(frozen=True)
class _Pattern:
    """Per bar: is it inside the bar before it, and may that pair be armed?"""

    bars: Bars
    rules: Rules
    windows: Windows
    number: Ints  # window per bar
    inside: Flags  # inside the adjacent bar before it, and within a window itself
    same_window: Flags  # the bar before is of the same window
    armable: Flags
    atr: Floats  # of the mother

    @classmethod
    def of(cls, bars: Bars, rules: Rules, windows: Windows) -> _Pattern:
        mother, inner = bars[:-1], bars[1:]
        number = windows.of_labels(bars.labels)
        is_adjacent = np.diff(bars.labels) == rules.step
        below = COMPARE[rules.inside_bar_mode]
        contained = DEFINITIONS[rules.inside_bar_definition_mode](mother, inner, below)
        inside: Flags = contained & is_adjacent & (number[1:] >= 0)
        same: Flags = number[1:] == number[:-1]
        atr = average_true_range(bars, rules.atr_period)[:-1]
        armable = inside & same & _is_large(mother, atr, rules)
        armable &= _body_share(mother) >= rules.min_mother_body_fraction
        armable &= _body_share(inner) >= rules.min_inside_body_fraction

        def first_row(flags: Flags) -> Flags:
            return np.concatenate(([False], flags))

        return cls(
            bars,
            rules,
            windows,
            number,
            first_row(inside),
            first_row(same),
            first_row(armable),
            np.concatenate(([np.nan], atr)),
        )

    def refused(self, row: int) -> Rejection:
        """Why the inside bar of this row is not armed."""
        mother, inner = self.bars[row - 1 : row], self.bars[row : row + 1]
        if not self.same_window[row]:
            reason = "mother_bar_outside_session"
        elif not _is_large(mother, self.atr[row : row + 1], self.rules)[0]:
            reason = "mother_bar_too_small" if np.isfinite(self.atr[row]) else "atr_unknown"
        elif _body_share(mother)[0] < self.rules.min_mother_body_fraction:
            reason = "mother_body_too_small"
        else:
            reason = "inside_body_too_small"
        label = int(inner.labels[0])
        return Rejection(label, label + self.rules.step, reason)


def _is_large(mother: Bars, atr: Floats, rules: Rules) -> Flags:
    """Whether the mother's range is as large as the rules want; an unknown ATR never is."""
    large: Flags = mother.high - mother.low >= rules.min_mother_bar_size_atr_multiple * atr
    return large


def _body_share(bars: Bars) -> Floats:
    size = bars.high - bars.low
    share: Floats = np.divide(np.abs(bars.close - bars.open), size, out=np.zeros(len(bars)), where=size > 0)
    return share


def _follow(pattern: _Pattern, row: int) -> tuple[Signal | Rejection | None, int]:
    """What becomes of the inside bar at `row`, and the first row at which another may be armed."""
    bars, rules = pattern.bars, pattern.rules
    window_end = int(pattern.windows.ends[pattern.number[row]])
    end = int(np.searchsorted(bars.labels, window_end))
    last_label = int(bars.labels[row]) + rules.max_pattern_age_candles * rules.step
    stop = min(end, int(np.searchsorted(bars.labels, last_label, side="right")))
    source = row - 1 if rules.entry_level_mode == "mother_bar" else row
    top, bottom = float(bars.high[source]), float(bars.low[source])
    by_close = rules.require_close_beyond_mother
    watched = slice(row + 1, stop)
    up = (bars.close[watched] if by_close else bars.high[watched]) > top
    down = (bars.close[watched] if by_close else bars.low[watched]) < bottom
    broken = up | down
    inside_at = int(bars.labels[row])
    if not broken.any():
        known_at = min(last_label + rules.step, window_end)
        reason = "pattern_expired" if known_at < window_end else "no_breakout"
        is_over = int(bars.labels[-1]) + rules.step >= known_at
        return (Rejection(inside_at, known_at, reason) if is_over else None), stop
    first = int(np.argmax(broken))
    trigger = row + 1 + first
    known_at = int(bars.labels[trigger]) + rules.step
    resume = end if rules.first_inside_bar_only else trigger + 1
    if up[first] and down[first]:
        return Rejection(inside_at, known_at, "both_sides_broken"), trigger + 1
    level = top if up[first] else bottom
    limit = rules.max_deviation_atr
    if limit and not abs(level - float(bars.close[row])) <= limit * float(pattern.atr[row]):
        return Rejection(inside_at, known_at, "level_too_far"), trigger + 1
    return _signal(pattern, row, trigger, "BUY" if up[first] else "SELL", top, bottom), resume


def _signal(pattern: _Pattern, row: int, trigger: int, side: Side, top: float, bottom: float) -> Signal:
    bars, rules = pattern.bars, pattern.rules
    sign = 1 if side == "BUY" else -1
    entry = top if side == "BUY" else bottom
    cap = rules.stop_distance_cap_ticks * rules.tick_size
    risk = min(top - bottom, cap) if cap else top - bottom
    valid_from = int(bars.labels[trigger]) + rules.step
    window_end = int(pattern.windows.ends[pattern.number[row]])
    lasting = {"session_end": window_end, "one_bar": valid_from + rules.step}
    valid_to = min(window_end, lasting.get(rules.order_validity_policy, valid_from + rules.order_validity_minutes * 60))
    reason = "" if risk > 0 else "no_risk"
    return Signal(
        mother_at=int(bars.labels[row - 1]),
        inside_at=int(bars.labels[row]),
        trigger_at=int(bars.labels[trigger]),
        signal_at=valid_from,
        side=side,
        entry_price=entry,
        stop_price=entry - sign * risk,
        take_profit_price=entry + sign * risk * rules.risk_reward_ratio,
        mother_high=float(bars.high[row - 1]),
        mother_low=float(bars.low[row - 1]),
        inside_high=float(bars.high[row]),
        inside_low=float(bars.low[row]),
        atr=float(pattern.atr[row]),
        valid_from=valid_from,
        valid_to=valid_to,
        reason="invalid_validity_window" if valid_to <= valid_from else reason,
    )


def may_trigger(bars: Bars, rules: Rules) -> Flags:
    """For K symbols at once: can the last bar trigger anything? (K,) from prices (K, N), labels (N,) of one window.

    A necessary condition, without ATR and state: some bar young enough is inside the one before it, and the last bar is
    the first beyond its levels. Where it is False, `signal_at_close` is None (a test compares them).
    """
    count = len(bars.labels)
    if count < 3:
        return np.zeros(len(bars.close), dtype=np.bool_)
    first = max(1, count - 1 - rules.max_pattern_age_candles)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    mother, inner = (
        Bars(bars.labels[rows], *(column[:, rows] for column in columns))
        for rows in (slice(first - 1, count - 2), slice(first, count - 1))
    )
    contained = DEFINITIONS[rules.inside_bar_definition_mode](mother, inner, COMPARE[rules.inside_bar_mode])
    source = mother if rules.entry_level_mode == "mother_bar" else inner
    by_close = rules.require_close_beyond_mother
    upper, lower = (bars.close, bars.close) if by_close else (bars.high, bars.low)
    upper, lower = upper[:, first + 1 :], lower[:, first + 1 :]  # what comes after each candidate
    highest = np.maximum.accumulate(upper[:, -2::-1], axis=1)[:, ::-1]  # from each bar on, the last one left out
    lowest = np.minimum.accumulate(lower[:, -2::-1], axis=1)[:, ::-1]
    is_unbroken = np.ones_like(contained)
    is_unbroken[:, :-1] = (highest <= source.high[:, :-1]) & (lowest >= source.low[:, :-1])
    is_beyond = (upper[:, -1:] > source.high) | (lower[:, -1:] < source.low)
    return np.asarray((contained & is_unbroken & is_beyond).any(axis=1))


def signal_at_close(bars: Bars, rules: Rules, windows: Windows) -> Signal | None:
    """The signal that the last of `bars` triggers, if it does: what a live run asks at every close."""
    if not len(bars):
        return None
    number = int(windows.of_labels(bars.labels[-1:])[0])
    if number < 0:
        return None
    first = int(np.searchsorted(bars.labels, windows.starts[number]))
    found = find_signals(bars[max(0, first - rules.warmup) :], rules, windows).signals
    return found[-1] if found and found[-1].trigger_at == int(bars.labels[-1]) else None
