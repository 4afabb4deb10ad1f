"""A strategy of one's own: one file with a name, a version, the history it needs, and one pure function to orders.

    NAME = "opening_range"
    VERSION = "1.0.0"
    TIMEFRAME_MINUTES = 5
    PARAMETERS = {"range_minutes": 30, "risk_reward_ratio": 2.0}          # numbers, text, flags; --set changes them
    HISTORY = {"lookback_bars": 1, "warmup_bars": 0, "has_session_state": True}

    def orders(known, parameters):                                        # at every close, on bars known there
        return [Order("BUY", "stop", entry_price, stop_price, take_profit_price)]

`HISTORY` may be a function of the parameters. Optional: `MARKET_TZ`, `EXECUTION` and `GATES` (values in place of
those
of
the seed's first strategy), `TICK_SIZE`, `TICK_SIZE_BELOW_DOLLAR`. The file's text is part of a promotion: what was
tested is what runs. It is the user's own code and runs with the user's rights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from decide.bars.bars import Bars
from decide.bars.closes import signals_at_closes
from decide.bars.history import Requirement
from decide.bars.inside_bar import find_signals
from decide.bars.orders import ENTRY_ORDERS, Findings, Side, Signal
from decide.bars.rules import Rules, trade_windows
from decide.bars.sessions import Sessions
from decide.bars.ticks import Ticks, dollars, micros
from decide.errors import DecisionError

NEEDED = ("NAME", "VERSION", "TIMEFRAME_MINUTES", "PARAMETERS", "HISTORY", "orders")
TICKS = ("TICK_SIZE", "TICK_SIZE_BELOW_DOLLAR")
MARKET_TZ = "America/New_York"


@dataclass(frozen=True)
class Order:
    """One side of what a strategy asks for at a close; several of one close cancel each other. Prices in USD.

    `valid_to` and `exit_by` are unix seconds; None: the session's close. Prices are put on the security's tick.
    """

    side: Side
    entry_order: str  # stop, limit or market; a market order's entry price is what its risk is counted from
    entry_price: float
    stop_price: float
    take_profit_price: float
    valid_to: int | None = None
    exit_by: int | None = None


@dataclass(frozen=True)
class Known:
    """What is known at a close: bars up to it (at least the declared history), and the session it lies in."""

    bars: Bars
    session_open: int  # unix seconds
    session_close: int

    @property
    def now(self) -> int:
        """Label of the bar that has just closed."""
        return int(self.bars.labels[-1])

    @cached_property
    def today(self) -> Bars:
        """Bars of this session."""
        return self.bars[int(np.searchsorted(self.bars.labels, self.session_open)) :]


Function = Callable[[Known, Mapping[str, Any]], Sequence[Order]]


@dataclass(frozen=True)
class OwnRules:
    """The rules of a file: its text, and the parameters it runs with."""

    source: str
    parameters: Mapping[str, Any]
    module: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, source: str, parameters: Mapping[str, Any] | None = None, ticks: Mapping[str, float] | None = None
    ) -> OwnRules:
        """From a file's text; DecisionError says what it lacks. `ticks`: those of a security, in place of its own."""
        module: dict[str, Any] = {"__name__": __name__}  # a module that exists: dataclasses look theirs up
        try:
            exec(compile(source, "<strategy>", "exec"), module)
        except Exception as error:
            raise DecisionError(f"the strategy's file does not run: {type(error).__name__}: {error}") from None
        missing = [name for name in NEEDED if name not in module]
        if missing:
            raise DecisionError(f"the strategy's file lacks {', '.join(missing)}: see decide/bars/strategy.py")
        changed = dict(parameters or {})
        unknown = sorted(set(changed) - set(module["PARAMETERS"]))
        if unknown:
            raise DecisionError(f"{module['NAME']} has no parameter {unknown[0]}: {', '.join(module['PARAMETERS'])}")
        made = cls(source, {**module["PARAMETERS"], **changed}, {**module, **(ticks or {})})
        made.requirement()
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels as its text: what a file defines is of no module."""
        ticks = {name: self.module[name] for name in TICKS if name in self.module}
        return OwnRules.of, (self.source, self.parameters, ticks)

    def changed(self, values: Mapping[str, str]) -> OwnRules:
        """The same with parameters from text, each of the kind its default has."""
        made = {name: _like(name, self.module["PARAMETERS"][name], text) for name, text in values.items()}
        return OwnRules.of(self.source, {**self.parameters, **made})

    @property
    def name(self) -> str:
        return str(self.module["NAME"])

    @property
    def version(self) -> str:
        return str(self.module["VERSION"])

    @property
    def timeframe_minutes(self) -> int:
        return int(self.module["TIMEFRAME_MINUTES"])

    @property
    def market_tz(self) -> str:
        return str(self.module.get("MARKET_TZ", MARKET_TZ))

    @property
    def step(self) -> int:
        """Seconds of a bar."""
        return self.timeframe_minutes * 60

    @cached_property
    def ticks(self) -> Ticks:
        """Smallest steps of an order's price."""
        return Ticks.of(self.module.get("TICK_SIZE", 0.01), self.module.get("TICK_SIZE_BELOW_DOLLAR", 0.0001))

    @property
    def warmup(self) -> int:
        """Bars before a session that its first close needs."""
        need = self.requirement()
        return need.lookback_bars + need.pattern_age_bars + need.margin_bars + need.warmup_bars - 1

    def requirement(self, max_no_trade: int = 0) -> Requirement:
        """The history it declares."""
        declared = self.module["HISTORY"]
        values = declared(self.parameters) if callable(declared) else declared
        try:
            return Requirement(self.step, max_no_trade=max_no_trade, **values)
        except TypeError as error:
            raise DecisionError(f"HISTORY of {self.name}: {error}") from None

    def as_params(self) -> dict[str, Any]:
        """What a manifest holds of it."""
        ticks = {name.lower(): self.module[name] for name in TICKS if name in self.module}
        return {"source": self.source, "parameters": dict(self.parameters), **ticks}

    def at_close(self, known: Known) -> tuple[Signal, ...]:
        """Its signals at the close of the last known bar; DecisionError where an order cannot be one."""
        function: Function = self.module["orders"]
        asked = function(known, self.parameters)
        return tuple(self._signal(order, known) for order in asked)

    def _signal(self, order: Order, known: Known) -> Signal:
        if order.side not in ("BUY", "SELL") or order.entry_order not in ENTRY_ORDERS:
            raise DecisionError(f"{self.name}: an order to {order.side} by {order.entry_order}: neither is known")
        prices = [order.entry_price, order.stop_price, order.take_profit_price]
        if not np.isfinite(prices).all():
            raise DecisionError(f"{self.name}: an order at {known.now} has a price that is no number")
        entry, stop, target = self.ticks.nearest(micros(prices)).tolist()
        sign = 1 if order.side == "BUY" else -1
        signal_at = known.now + self.step
        valid_to = known.session_close if order.valid_to is None else min(int(order.valid_to), known.session_close)
        reason = "no_risk" if sign * (entry - stop) <= 0 else ""
        reason = "target_not_positive" if min(target, entry) <= 0 else reason
        return Signal(
            trigger_at=known.now,
            signal_at=signal_at,
            side=order.side,
            entry_price=float(dollars(entry)),
            stop_price=float(dollars(stop)),
            take_profit_price=float(dollars(target)),
            valid_from=signal_at,
            valid_to=valid_to,
            exit_by=known.session_close if order.exit_by is None else min(int(order.exit_by), known.session_close),
            entry_order=order.entry_order,
            reason="invalid_validity_window" if valid_to <= signal_at else reason,
        )


AnyRules = Rules | OwnRules


class Follow(Protocol):
    """Called with every close: the bars known there and what was said."""

    def __call__(self, known: Known, said: tuple[Signal, ...]) -> None: ...


def _like(name: str, default: Any, text: str) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.strip().lower()]
        return type(default)(text) if not isinstance(default, str) else text
    except (KeyError, ValueError, TypeError):
        raise DecisionError(f"{name} = {text!r} is no {type(default).__name__}") from None


def bars_needed(rules: AnyRules, so_far: int) -> int:
    """Bars that a close needs, the last one included, when `so_far` bars of its session have closed."""
    need = rules.requirement()
    asked = need.lookback_bars + need.pattern_age_bars + need.margin_bars
    return max(asked, so_far if need.has_session_state else 0) + need.warmup_bars


def find(rules: AnyRules, bars: Bars, sessions: Sessions) -> Findings:
    """Every signal in `bars` whose close lies in one of `sessions`."""
    if isinstance(rules, Rules):
        return find_signals(bars, rules, trade_windows(sessions, rules))
    said: list[Signal] = []
    replay(rules, bars, sessions, lambda _, signals: said.extend(signals))
    return Findings(tuple(said))


def replay(rules: OwnRules, bars: Bars, sessions: Sessions, follow: Follow, whole: bool = False) -> None:
    """Ask `rules` at every close of `sessions`, on the declared history only (`whole`: on all bars before, too)."""
    place = np.searchsorted(sessions.opens, bars.labels, side="right") - 1
    inside = (place >= 0) & (bars.labels < sessions.closes[place])
    for row in np.flatnonzero(inside).tolist():
        opened, closed = int(sessions.opens[place[row]]), int(sessions.closes[place[row]])
        first = 0 if whole else _first_row(rules, bars, row, opened)
        known = Known(bars[first : row + 1], opened, closed)
        follow(known, rules.at_close(known))


def _first_row(rules: AnyRules, bars: Bars, row: int, opened: int) -> int:
    so_far = (int(bars.labels[row]) - opened) // rules.step + 1
    return max(0, row + 1 - bars_needed(rules, so_far))


def at_close(rules: AnyRules, bars: Bars, session: Sessions) -> tuple[Signal, ...]:
    """What the strategy says at the close of the last of `bars`; `session` is the one it lies in."""
    return at_closes(rules, [bars], session)[0]


def at_closes(rules: AnyRules, many: Sequence[Bars], session: Sessions) -> list[tuple[Signal, ...]]:
    """The same for the bars of many symbols, each by itself, in their order."""
    if isinstance(rules, Rules):
        return signals_at_closes(many, rules, trade_windows(session, rules))
    return [_own_at_close(rules, bars, session) for bars in many]


def _own_at_close(rules: OwnRules, bars: Bars, session: Sessions) -> tuple[Signal, ...]:
    if not len(bars):
        return ()
    opened, closed = int(session.opens[0]), int(session.closes[0])
    if not opened <= int(bars.labels[-1]) < closed:
        return ()
    first = _first_row(rules, bars, len(bars) - 1, opened)
    return rules.at_close(Known(bars[first:], opened, closed))


def for_security(rules: AnyRules, tick_size: float, tick_size_below_dollar: float) -> AnyRules:
    """The rules with the ticks of a security."""
    if isinstance(rules, OwnRules):
        module = {**rules.module, "TICK_SIZE": tick_size, "TICK_SIZE_BELOW_DOLLAR": tick_size_below_dollar}
        return replace(rules, module=module)
    return replace(rules, tick_size=tick_size, tick_size_below_dollar=tick_size_below_dollar)
