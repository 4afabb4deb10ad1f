"""Five-minute bars out of the socket's one-minute bars.

A bar of all five minutes is whole (`websocket`). One that lacks a minute when its time is over is `provisional`: a
minute without a trade and a minute that was lost look the same, so the provider's own bar has to be fetched. That goes
for the first bar after joining in the middle of one, too. Corrections and late minutes make the bar anew.
"""

from __future__ import annotations

import numpy as np

from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Bar
from operate.bars.pre_paper.cache import Source

PARTS = 5
KEPT_SECONDS = 86_400  # corrections of older minutes are left to the provider's history

Rolled = tuple[Bar, Source]


class Roller:
    """Minutes in, five-minute bars out; holds the minutes of the last day."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._minutes: dict[str, dict[int, dict[int, Bar]]] = {}  # symbol -> label -> minute -> bar
        self._open: dict[str, set[int]] = {}  # symbol -> labels nothing has been said about
        self._on_grid: dict[int, bool] = {}
        self._swept = 0

    def add(self, minute: Bar) -> list[Rolled]:
        """The five-minute bar that `minute` completes or changes, and those it leaves behind unfinished."""
        label = minute.ts // M5 * M5
        if not minute.is_whole or not self._holds(label):
            return []
        labels = self._minutes.setdefault(minute.symbol, {})
        if label not in labels:
            labels[label] = {}
            self._open.setdefault(minute.symbol, set()).add(label)
        labels[label][minute.ts] = minute
        behind = self._finish(minute.symbol, label)
        waiting = self._open[minute.symbol]
        if len(labels[label]) == PARTS or label not in waiting:
            waiting.discard(label)
            return [*behind, self._roll((minute.symbol, label))]
        return behind

    def _holds(self, label: int) -> bool:
        if label not in self._on_grid:
            self._on_grid[label] = bool(self._sessions.holds(M5, np.array([label], np.int64))[0])
        return self._on_grid[label]

    def close(self, moment: int) -> list[Rolled]:
        """Bars whose time is over at `moment` (unix seconds) and that nothing has been said about; forgets old ones."""
        now = moment // M5 * M5
        over = [rolled for symbol in self._minutes for rolled in self._finish(symbol, now)]
        if now > self._swept:
            self._swept = now
            for symbol, labels in self._minutes.items():
                for label in [label for label in labels if label < moment - KEPT_SECONDS]:
                    del labels[label]
                    self._open[symbol].discard(label)
            self._on_grid = {label: fits for label, fits in self._on_grid.items() if label >= moment - KEPT_SECONDS}
        return over

    def _finish(self, symbol: str, label: int) -> list[Rolled]:
        waiting = self._open[symbol]
        late = sorted(ts for ts in waiting if ts < label) if waiting and min(waiting) < label else ()
        waiting.difference_update(late)
        return [self._roll((symbol, ts)) for ts in late]

    def _roll(self, key: tuple[str, int]) -> Rolled:
        held = self._minutes[key[0]][key[1]]
        minutes = [held[ts] for ts in sorted(held)]
        bar = Bar(
            symbol=key[0],
            ts=key[1],
            open=minutes[0].open,
            high=max(m.high for m in minutes if m.high is not None),
            low=min(m.low for m in minutes if m.low is not None),
            close=minutes[-1].close,
            volume=None if any(m.volume is None for m in minutes) else sum(m.volume or 0.0 for m in minutes),
        )
        return bar, Source.WEBSOCKET if len(minutes) == PARTS else Source.PROVISIONAL
