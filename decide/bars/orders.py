"""What a strategy says at a close: signals, each the order of one side; several said at one close cancel each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decide.bars.ticks import Flags, Ints, micros

Side = Literal["BUY", "SELL"]
ENTRY_ORDERS = ("stop", "limit", "market")


@dataclass(frozen=True)
class Signal:
    """An order that a strategy asks for. Times are unix seconds UTC, prices USD.

    `trigger_at` is the label of the last bar it rests on, `signal_at` that bar's close: from there on it is known.
    Signals
    of one close are legs of one order: the first that fills cancels the others. What only inside bars have is None for
    other strategies.
    """

    trigger_at: int
    signal_at: int
    side: Side
    entry_price: float
    stop_price: float
    take_profit_price: float
    valid_from: int  # an order may fill in [valid_from, valid_to)
    valid_to: int
    exit_by: int = 0  # when its position is closed at the latest; 0: at `valid_to`
    entry_order: str = ""  # stop, limit or market; empty: as the execution rules say
    mother_at: int | None = None  # labels, that is bar opens
    inside_at: int | None = None
    mother_high: float | None = None
    mother_low: float | None = None
    inside_high: float | None = None
    inside_low: float | None = None
    atr: float | None = None  # of the mother bar
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
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class Orders:
    """K orders as columns (K,): times in unix seconds, prices in millionths of a dollar."""

    known_at: Ints
    trigger_at: Ints
    sign: Ints  # 1 buys, -1 sells
    kind: Ints  # place in ENTRY_ORDERS
    entry: Ints
    stop: Ints
    target: Ints
    valid_from: Ints
    valid_to: Ints
    exit_by: Ints
    is_order: Flags  # False: its signal had a reason not to be one

    def __len__(self) -> int:
        return len(self.sign)

    @classmethod
    def of(cls, signals: Sequence[Signal], entry_order: str) -> Orders:
        """The columns of signals; `entry_order` where a signal names none."""

        def times(name: str) -> Ints:
            return np.array([getattr(signal, name) for signal in signals], dtype=np.int64)

        def prices(name: str) -> Ints:
            return micros([getattr(signal, name) for signal in signals])

        exit_by, valid_to = times("exit_by"), times("valid_to")
        return cls(
            known_at=times("signal_at"),
            trigger_at=times("trigger_at"),
            sign=np.array([1 if signal.side == "BUY" else -1 for signal in signals], dtype=np.int64),
            kind=np.array([ENTRY_ORDERS.index(s.entry_order or entry_order) for s in signals], dtype=np.int64),
            entry=prices("entry_price"),
            stop=prices("stop_price"),
            target=prices("take_profit_price"),
            valid_from=times("valid_from"),
            valid_to=valid_to,
            exit_by=np.where(exit_by > 0, exit_by, valid_to),
            is_order=np.array([not signal.reason for signal in signals], dtype=np.bool_),
        )
