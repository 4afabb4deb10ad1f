"""The opening-range breakout: the first half hour sets a range, the first close beyond it is the signal of the day.

Toby Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout (1990), in its plainest form: stop
at the other side of the range, target at a multiple of the range, out at the session's close.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decide.bars.strategy import Known, Order

NAME = "opening_range"
VERSION = "1.0.0"
TIMEFRAME_MINUTES = 5
PARAMETERS = {
    "range_minutes": 30,  # of the session, from its open
    "last_entry_minutes": 240,  # from the open: a later breakout has no time to go anywhere
    "risk_reward_ratio": 1.5,  # target over stop distance
    "order_minutes": 30,  # life of the entry order
}
HISTORY = {"lookback_bars": 1, "warmup_bars": 0, "has_session_state": True}  # every bar of the session so far
EXECUTION = {"entry_order": "stop", "exit_at": "session_close"}


def orders(known: Known, parameters: Mapping[str, Any]) -> list[Order]:
    """One order at the first close beyond the range, none before the range is whole and none after that close."""
    today, step = known.today, TIMEFRAME_MINUTES * 60
    size = int(parameters["range_minutes"]) * 60 // step
    minutes = (known.now + step - known.session_open) // 60
    if len(today) <= size or minutes > parameters["last_entry_minutes"]:
        return []
    high, low = float(today.high[:size].max()), float(today.low[:size].min())
    earlier, last = today.close[size:-1], float(today.close[-1])
    if low <= last <= high or (earlier > high).any() or (earlier < low).any() or high <= low:
        return []
    valid_to = known.now + step + int(parameters["order_minutes"]) * 60
    gain = (high - low) * float(parameters["risk_reward_ratio"])
    if last > high:
        return [Order("BUY", "stop", high, low, high + gain, valid_to=valid_to)]
    return [Order("SELL", "stop", low, high, low - gain, valid_to=valid_to)]
