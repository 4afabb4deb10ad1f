"""The inside bar's parameters and trade windows; values come from the `bar_strategies` seed or a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime, time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from decide.bars.history import Requirement
from decide.bars.sessions import Sessions
from decide.bars.ticks import Ints, Ticks
from decide.errors import DecisionError

Record = TypeVar("Record")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "inside_bar_definition_mode": (
        "mb_range_hl__ib_hl",
        "mb_body_oc__ib_hl",
        "mb_body_oc__ib_body",
        "mb_high__ib_high_and_close_in_mb_range",
    ),
    "inside_bar_mode": ("inclusive", "strict"),
    "entry_level_mode": ("mother_bar", "inside_bar"),
    "order_validity_policy": ("session_end", "one_bar", "fixed_minutes"),
    "entry_legs": ("breakout", "both_sides"),
}


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
    tick_size: float  # USD, from a dollar on
    risk_reward_ratio: float
    order_validity_policy: str  # session_end, one_bar or fixed_minutes
    order_validity_minutes: int
    tick_size_below_dollar: float = 0.0001  # USD
    entry_legs: str = "breakout"  # or both_sides: an order on either side at the inside bar's close

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise DecisionError(f"{name} = {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        for name in ("timeframe_minutes", "atr_period", "max_pattern_age_candles", "tick_size", "risk_reward_ratio"):
            if not getattr(self, name) > 0:
                raise DecisionError(f"{name} = {getattr(self, name)!r} must be above 0")
        if self.order_validity_policy == "fixed_minutes" and self.order_validity_minutes < 1:
            raise DecisionError("order_validity_policy = 'fixed_minutes' needs order_validity_minutes of at least 1")
        local_windows(self.session_filter)
        _ = self.ticks

    @property
    def ticks(self) -> Ticks:
        """Smallest steps of an order's price."""
        return Ticks.of(self.tick_size, self.tick_size_below_dollar)

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

    def as_params(self) -> dict[str, Any]:
        """Every parameter by name, as a manifest holds them."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Rules:
        """Rules from named values (text or typed); DecisionError names what is missing, unknown or not of its type."""
        return parse_record(cls, values)


def parse_record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """A dataclass of str, bool, int and float fields from named values that may be text; no other names.

    A field with a default may be left out.
    """
    wanted = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    needed = {f.name for f in fields(kind) if f.default is MISSING}  # type: ignore[arg-type]
    missing, unknown = sorted(needed - set(values)), sorted(set(values) - set(wanted))
    if missing or unknown:
        raise DecisionError(f"parameters of {kind.__name__}: missing {missing}, unknown {unknown}")
    return kind(**{name: _typed(name, str(wanted[name]), value) for name, value in values.items()})


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


@dataclass(frozen=True, eq=False)
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
