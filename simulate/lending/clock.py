"""New York days and the blocks of the world: sparse by day, dense around midnight, with stalls and exact hits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
LONG_DAY = date(2025, 11, 2)  # 25 hours: clocks go back at 06:00 UTC
DAYS_BEFORE = 4  # at most so many days of the world lie before the long one
LAST_SECOND = (-2, 1)  # days, counted from the long one, whose last block is one second before midnight
EXACT_MIDNIGHT = (-1, 1)  # days whose first block is at midnight exactly
BLOCKS_PER_DAY = 36  # spread over the day, besides those around midnight
STALLED_MIDNIGHT = 0  # the day that begins in a stall: no block for 37 minutes around its midnight


@dataclass(frozen=True)
class Day:
    """A New York calendar day, [start, end) in unix seconds; `offset` counts from the long day."""

    date: date
    offset: int
    start: int
    end: int


def midnight(day: date) -> int:
    """Unix second at which a New York day begins."""
    return int(datetime.combine(day, time(), NEW_YORK).timestamp())


def days(count: int) -> list[Day]:
    """`count` days in a row (at least 3), the long one among them."""
    if count < 3:
        raise ValueError("a lending world needs at least 3 days")
    before = min(DAYS_BEFORE, count - 2)
    dates = [LONG_DAY + timedelta(days=n) for n in range(-before, count - before)]
    return [Day(d, (d - LONG_DAY).days, midnight(d), midnight(d + timedelta(days=1))) for d in dates]


def block_times(day: Day, chance: random.Random) -> list[int]:
    """Times of the day's blocks, ascending, all within [start, end)."""
    length = day.end - day.start
    share = length / BLOCKS_PER_DAY
    times = {day.start + int(share * (n + chance.uniform(0.1, 0.9))) for n in range(BLOCKS_PER_DAY)}
    times |= {day.start + seconds + chance.randrange(3) for seconds in (2, 14, 26, 300)}
    times |= {day.end - seconds - chance.randrange(3) for seconds in (900, 60, 27, 15, 3)}
    if day.offset == 0:
        times |= {day.end - 3_600 + seconds for seconds in (0, 1_200, 2_400)}  # the 25th hour
        times = {t for t in times if t >= day.start + 720}
    if day.offset in EXACT_MIDNIGHT:
        times.add(day.start)
    if day.offset == STALLED_MIDNIGHT - 1:
        times = {t for t in times if t < day.end - 1_500}
    if day.offset in LAST_SECOND:
        times.add(day.end - 1)
    return sorted(times)
