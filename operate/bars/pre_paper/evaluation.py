"""What the strategy says at a bar's close, on the cache's bars, and what holds a signal back besides history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from decide.bars.actions import JumpRule, Split, as_of, turns
from decide.bars.backtest import simulate_trades
from decide.bars.bars import Bars, combine
from decide.bars.closes import may_trigger
from decide.bars.history import Window
from decide.bars.orders import Signal
from decide.bars.promotable import PromotionGates
from decide.bars.rules import Rules, trade_windows
from decide.bars.run import BarStrategy
from decide.bars.sessions import M5, Sessions
from decide.bars.strategy import at_closes
from operate.bars.pre_paper.cache import BarCache


@dataclass(frozen=True)
class Guards:
    """What holds signals back besides history: splits by symbol, jumps that look like one, the kill switches."""

    splits: Mapping[str, tuple[Split, ...]] = field(default_factory=dict)
    jumps: JumpRule | None = None
    gates: PromotionGates | None = None


class Evaluator:
    """One strategy in one session: its signals on whole bars, splits within them, and the kill switches."""

    def __init__(self, strategy: BarStrategy, cache: BarCache, session: tuple[int, int], guards: Guards) -> None:
        """`session`: open and close, unix seconds."""
        self.strategy, self.rules, self.cache = strategy, strategy.rules, cache
        self.session, self.guards = session, guards
        self.today = Sessions(*(np.array([edge]) for edge in session))
        self.windows = trade_windows(self.today, self.rules) if isinstance(self.rules, Rules) else None
        self.said: dict[str, list[Signal]] = {}  # in this session, by symbol
        self._turned: dict[str, tuple[tuple[Split, ...], bool]] = {}

    def note(self, symbol: str, signal: Signal) -> None:
        """A signal that was said: the kill switches count it."""
        self.said.setdefault(symbol, []).append(signal)

    def signals(self, symbols: Sequence[str], close: int, window: Window) -> dict[str, tuple[Signal, ...]]:
        """What the strategy says on the bars that closed at `close`, from the cache's whole bars."""
        label = close - self.rules.step
        if window.first is None or window.last is None or not symbols:
            return {}
        if self.windows is not None:
            number = int(self.windows.of_labels(np.array([label]))[0])
            if number < 0:
                return {}
            symbols = self._worth_a_look(symbols, int(self.windows.starts[number]), window.last)
        required = self.cache.many(symbols, window.first, window.last)
        known = {symbol: self._in_todays_terms(symbol, bars) for symbol, bars in required.items()}
        # a slot without a trade triggers nothing
        known = {symbol: bars for symbol, bars in known.items() if len(bars) and int(bars.labels[-1]) == label}
        said = at_closes(self.rules, list(known.values()), self.today)
        return {symbol: signals for symbol, signals in zip(known, said, strict=True) if signals}

    def _in_todays_terms(self, symbol: str, bars: Bars) -> Bars:
        """The required bars, adjusted for what split since, in the strategy's length."""
        bars = as_of(bars, self._turns(symbol, bars)[0], self.session[0])
        return combine(bars, M5, self.rules.step)

    def _turns(self, symbol: str, bars: Bars) -> tuple[tuple[Split, ...], bool]:
        """Splits within the required bars, and whether there is a jump like one that nobody told of."""
        if symbol not in self._turned:
            seen = turns(bars, self.cache.sessions, self.guards.splits.get(symbol, ()), self.guards.jumps)
            if not len(bars) or int(bars.labels[-1]) < self.session[0]:
                return seen.splits, bool(seen.jumps)  # today's first bar is still to come
            self._turned[symbol] = seen.splits, bool(seen.jumps)
        return self._turned[symbol]

    def is_unadjusted(self, symbol: str, window: Window) -> bool:
        """Whether a symbol's required bars jump as for a split that nobody told of."""
        if symbol not in self._turned:
            assert window.first is not None and window.last is not None
            self._turns(symbol, self.cache.bars(symbol, window.first, window.last))
        return symbol in self._turned and self._turned[symbol][1]

    def is_killed(self, symbol: str, close: int) -> bool:
        """Whether a symbol has said more, or lost more on paper, in this session than its gates allow."""
        gates, said = self.guards.gates, self.said.get(symbol, [])
        if gates is None or not said:
            return False
        if len({signal.signal_at for signal in said}) >= gates.kill_max_signals_per_session:
            return True
        rule = self.strategy.execution
        bars = combine(self.cache.bars(symbol, self.session[0], close - M5), M5, self.rules.step)
        trades = simulate_trades(bars, said, self.today.closes, rule, self.rules.step)
        over = [trade for trade in trades if trade.exit_at is not None and trade.exit_at + self.rules.step <= close]
        lost = -sum(
            trade.net_usd for trade in over if trade.exit_reason != "time_exit" or trade.signal.exit_by <= close
        )
        return lost > gates.kill_max_loss_share * rule.initial_equity_usd

    def _worth_a_look(self, symbols: Sequence[str], opened: int, last: int) -> list[str]:
        """Symbols whose last bar may trigger; all at once where their bars lie side by side."""
        if self.rules.step != M5 or not isinstance(self.rules, Rules):
            return list(symbols)
        young = last - (self.rules.max_pattern_age_candles + 1) * M5
        even, bars = self.cache.side_by_side(symbols, max(opened, young), last)
        if not even:
            return []
        may = dict(zip(even, may_trigger(bars, self.rules).tolist(), strict=True))
        return [symbol for symbol in symbols if may.get(symbol, True)]
