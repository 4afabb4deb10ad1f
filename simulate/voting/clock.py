"""When the world's blocks come: sparse and irregular in the week, dense around the decision windows."""

from __future__ import annotations

import random

WEEK = 604_800
DAY = 86_400
HEAD_AFTER_T1 = 20  # seconds from the open epoch's T-1 moment to its head; some blocks lie between, for finality
TWIN_BOUNDARY, TWIN_T5 = 1, 2  # weeks in which two blocks share that moment's second


def block_times(number: int, start: int, chance: random.Random, hourly: bool = False) -> list[int]:
    """Times of the blocks of week `number`, ascending; a second may come twice, as on chains with sub-second blocks.

    The node hashes its whole state at each block, so blocks are what a world costs (15-25 ms each).
    """
    end = start + WEEK
    times = {start + int(chance.uniform(0.002, 0.995) * (WEEK - DAY // 2)) for _ in range(14)}
    times |= {end - DAY + offset for offset in (-4, -2, 0, 2)}
    times |= {end - 3_600 * hours for hours in range(2, 14)} if hourly else set()
    times |= {end - 3_660 + offset for offset in (-4, -2, 0, 2)}
    times |= {end - before for before in range(3_600, 700, -580)}
    times |= {end - before + chance.randrange(3) for before in range(660, 310, -70)}
    times |= {end - 300 + offset for offset in (-4, -2, 0, 2)}
    times |= {end - before + chance.randrange(2) for before in range(280, 80, -40)}
    times |= {end - 60 + offset for offset in range(-4, 11, 2)}
    times |= {end - before + chance.randrange(3) for before in range(46, 18, -6)}
    times |= {end - before for before in range(16, 0, -2)}
    times.add(end - 60 + HEAD_AFTER_T1)
    _miss_slots(times, end, chance)
    twin = {TWIN_BOUNDARY: end, TWIN_T5: end - 300}.get(number)
    return sorted(times) if twin is None else sorted([*times - {twin}, twin, twin])


def _miss_slots(times: set[int], end: int, chance: random.Random) -> None:
    """Now and then there is no block in the very second of a window, nor just before the boundary."""
    times.discard(end - chance.randrange(2, 8, 2))
    for second in (end - DAY, end - 300, end - 60):
        if chance.random() < 0.3:
            times.discard(second)
    if chance.random() < 0.5:
        times.add(end)


def spread(moments: list[int], times: list[int]) -> list[int]:
    """For each moment (ascending) the index of the block it goes into: the first at or after it; len(times) for none.

    Of two blocks with the same second the first takes one moment and the second the rest, so that they differ.
    """
    slots: list[int] = []
    block = 0
    for moment in moments:
        while block < len(times) and times[block] < moment:
            block += 1
        is_twin = block + 1 < len(times) and times[block + 1] == times[block]
        if is_twin and slots and slots[-1] == block:
            block += 1
        slots.append(block)
    return slots
