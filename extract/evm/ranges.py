"""Which block ranges to ask for: pure bookkeeping, no I/O, no clock.

`Width` learns how many blocks one provider takes per request; `Plan` hands out disjoint ranges, takes back
what was refused and says what may be given to the reader next, in order and without gap or overlap.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from extract.evm.errors import Kind, Refusal

T = TypeVar("T")
START_BLOCKS = 250  # nothing known yet: a busy contract answers this in one piece, a quiet one is passed at once
TARGET_LOGS = 4_800  # per request: about 3 MB of JSON, half of what most providers allow, the unit of memory,
# and no round number, because exactly so many logs look like an answer that was cut
_GROWTH = 16  # at most, per success: a quiet stretch says little about the next one
_RETEST = 16  # successes at a suspected width before twice as much is tried
_INFORMATIVE = 2  # a success teaches when it covered at least 1/2 of the current width


@dataclass
class Width:
    """Blocks per request for one provider. `hard` is what it allows (None: not known), `soft` what density
    suggests, `suspected` what it answered after it had failed at more: tried at twice that now and then.
    """

    hard: int | None = None
    soft: int = START_BLOCKS
    suspected: int | None = None
    at_suspected: int = 0  # successes at that width
    tried: bool = False  # one success at least: until then one request at a time finds out

    @property
    def blocks(self) -> int:
        return min(self.soft, *(cap for cap in (self.hard, self.suspected) if cap is not None), self.soft)

    def succeeded(self, blocks: int, logs: int) -> None:
        """A range of `blocks` brought `logs`: aim for TARGET_LOGS, growing at most sixteenfold."""
        self.tried = True
        self.at_suspected += blocks == self.suspected
        if self.suspected is not None and self.at_suspected >= _RETEST:
            self.suspect(2 * self.suspected)
        ideal = blocks * TARGET_LOGS // logs if logs else blocks * _GROWTH
        if ideal < self.soft or blocks * _INFORMATIVE >= self.blocks:
            self.soft = max(1, min(ideal, self.soft * _GROWTH))

    def suspect(self, blocks: int) -> None:
        """More than `blocks` failed again and again, and so many were answered."""
        self.suspected, self.at_suspected = blocks, 0

    def refused(self, refusal: Refusal, first: int, last: int) -> bool:
        """Shrink below the refused range; True when `hard` was learned. Strictly narrower than asked, so no
        loop.
        """
        asked = last - first + 1
        suggested = _suggested_blocks(refusal, first, last)
        if refusal.kind is Kind.RANGE:
            self.hard = max(1, min(suggested or _capped(refusal.cap, asked), asked - 1))
            self.soft = max(self.soft, self.hard)
            return True
        self.soft = max(1, min(suggested or asked // 2, asked - 1))
        return False


def _suggested_blocks(refusal: Refusal, first: int, last: int) -> int | None:
    """Width of a usable suggestion: it starts where we asked and is narrower; one that repeats the question
    is none.
    """
    if refusal.suggested is None:
        return None
    start, end = refusal.suggested
    return end - start + 1 if start == first and first <= end < last else None


def _capped(cap: int | None, asked: int) -> int:
    """The cap where it is news; one block less where the cap itself was refused (counted exclusively); else
    half.
    """
    if cap and cap < asked:
        return cap
    return asked - 1 if cap == asked else asked // 2


@dataclass
class Plan(Generic[T]):
    """A range of blocks on its way from asked-for to delivered. All ranges inclusive.

    open: not asked; taken: being asked; done: answered, waiting for earlier ranges. `next_block` is delivered
    next.
    """

    first: int
    last: int
    open: list[tuple[int, int]] = field(init=False)
    taken: dict[int, int] = field(init=False, default_factory=dict)
    done: dict[int, tuple[int, T]] = field(init=False, default_factory=dict)
    next_block: int = field(init=False)

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(f"range upside down: {self.first} > {self.last}")
        self.open, self.next_block = [(self.first, self.last)], self.first

    @property
    def is_delivered(self) -> bool:
        return self.next_block > self.last

    def may_take(self, outstanding: int) -> bool:
        """Whether the next range fits into memory: the one the reader waits for always does."""
        if not self.open:
            return False
        return self.open[0][0] == self.next_block or len(self.taken) + len(self.done) < outstanding

    def take(self, blocks: int) -> tuple[int, int]:
        """The first `blocks` blocks of the earliest open range."""
        start, end = self.open.pop(0)
        last = min(end, start + blocks - 1)
        if last < end:
            self.open.insert(0, (last + 1, end))
        self.taken[start] = last
        return start, last

    def give_back(self, start: int) -> None:
        """A taken range was refused: it is open again, joined to its neighbours to be cut anew."""
        insort(self.open, (start, self.taken.pop(start)))
        joined: list[tuple[int, int]] = []
        for low, high in self.open:
            if joined and joined[-1][1] + 1 == low:
                joined[-1] = (joined[-1][0], high)
            else:
                joined.append((low, high))
        self.open = joined

    def finish(self, start: int, result: T) -> None:
        self.done[start] = (self.taken.pop(start), result)

    def deliver(self) -> tuple[int, int, T] | None:
        """The next range in order with its result, once; None while it is not there."""
        found = self.done.pop(self.next_block, None)
        if found is None:
            return None
        start, self.next_block = self.next_block, found[0] + 1
        return start, found[0], found[1]


def estimate_requests(blocks: int, width: Width) -> int:
    """Requests a quiet range would cost: what `--plan` can know before any log was seen."""
    wide, requests = Width(width.hard, width.soft), 0
    while blocks > 0:
        step = min(blocks, wide.blocks)
        if wide.blocks == wide.hard:
            return requests + -(-blocks // wide.blocks)
        wide.succeeded(step, 0)
        blocks, requests = blocks - step, requests + 1
    return requests
