"""Splits in a series of raw bars: seen as of a moment, or named where nobody told of them.

Raw bars stay raw. A strategy at a close sees earlier bars in the terms of that moment: scaled by every split whose
ex-date has come, and by no other. A jump over night that looks like a split and has no action makes its session
unusable (`unadjusted_split`) instead of making a wild average range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby

import numpy as np

from decide.bars.bars import Bars
from decide.bars.orders import Findings
from decide.bars.sessions import Ints, Sessions
from decide.bars.strategy import AnyRules, find
from decide.bars.ticks import MICROS
from decide.errors import DecisionError

UNADJUSTED_SPLIT = "unadjusted_split"


@dataclass(frozen=True)
class Split:
    """`old` shares became `new` ones at the open of `ex_at` (unix seconds): 1 and 4 is a four-for-one split.

    1 and 1 says that there was no split, whatever a jump looks like.
    """

    ex_at: int
    old: Fraction
    new: Fraction

    def __post_init__(self) -> None:
        if self.old <= 0 or self.new <= 0:
            raise DecisionError(f"a split of {self.old} into {self.new} shares: both must be above 0")

    @property
    def factor(self) -> float:
        """What earlier prices are multiplied by."""
        return float(self.old / self.new)


@dataclass(frozen=True)
class JumpRule:
    """When a price change over night looks like a split; rows of the `thresholds` seed.

    least: smallest ratio of the two prices. tolerance: how far it may be from a ratio of small numbers, as a share.
    """

    least: float
    tolerance: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> JumpRule:
        """From the constants by name."""
        return cls(float(values["split_jump_least_ratio"]), float(values["split_jump_tolerance"]))

    def looks_like_a_split(self, ratio: float) -> bool:
        """Whether old price over new price (or the other way round) is near n, n/2, n/3 or n/4 for small n."""
        size = max(ratio, 1 / ratio)
        if size < self.least:
            return False
        return any(abs(size * d / n - 1) <= self.tolerance for d in (1, 2, 3, 4) for n in (max(round(size * d), 1),))


@dataclass(frozen=True)
class Turns:
    """What happened to a series at the opens of its sessions: splits to apply, and opens of unexplained jumps."""

    splits: tuple[Split, ...] = ()
    jumps: tuple[int, ...] = ()


def turns(bars: Bars, sessions: Sessions, splits: Sequence[Split], rule: JumpRule | None) -> Turns:
    """Compare every session's first open with the close before it.

    A split that the prices do not show (the series is adjusted already) is not applied. Several of one day count as
    one.
    """
    ordered = sorted(splits, key=lambda split: split.ex_at)
    told = {ex_at: _product(list(same)) for ex_at, same in groupby(ordered, key=lambda split: split.ex_at)}
    found: list[Split] = []
    jumps: list[int] = []
    session = np.searchsorted(sessions.opens, bars.labels, side="right") - 1
    for row in (np.flatnonzero(np.diff(session) > 0) + 1).tolist():
        opened = int(sessions.opens[session[row]])
        after = int(bars.labels[row - 1])
        ratio = float(bars.open[row] / bars.close[row - 1])
        since = [split for ex_at, split in told.items() if after < ex_at <= opened]
        if since:
            split = replace(_product(since), ex_at=opened)
            if abs(math.log(ratio / split.factor)) < abs(math.log(ratio)):
                found.append(split)
        elif rule is not None and rule.looks_like_a_split(ratio):
            jumps.append(opened)
    return Turns(tuple(found), tuple(jumps))


def _product(splits: Sequence[Split]) -> Split:
    old, new = Fraction(1), Fraction(1)
    for split in splits:
        old, new = old * split.old, new * split.new
    return Split(splits[0].ex_at, old, new)


def as_of(bars: Bars, splits: Sequence[Split], moment: int) -> Bars:
    """`bars` in the terms of `moment` (unix seconds): earlier prices scaled by the splits that had come by then."""
    effective = [split for split in splits if split.ex_at <= moment and len(bars) and split.ex_at > int(bars.labels[0])]
    if not effective:
        return bars
    factor = np.ones(len(bars))
    for split in effective:
        factor[: int(np.searchsorted(bars.labels, split.ex_at))] *= split.factor
    prices = [np.rint(values * factor * MICROS) / MICROS for values in (bars.open, bars.high, bars.low, bars.close)]
    return Bars(bars.labels, prices[0], prices[1], prices[2], prices[3], bars.volume / factor)


def find_as_of(rules: AnyRules, bars: Bars, sessions: Sessions, splits: Sequence[Split]) -> Findings:
    """Signals of every session, each on bars in its own terms; `sessions` are the ones to judge."""
    exes: Ints = np.array([split.ex_at for split in splits], dtype=np.int64)
    terms = np.searchsorted(np.sort(exes), sessions.opens, side="right")
    parts = []
    for term in np.unique(terms).tolist():
        chosen = np.flatnonzero(terms == term)
        some = Sessions(sessions.opens[chosen], sessions.closes[chosen])
        stop = int(np.searchsorted(bars.labels, some.closes[-1]))
        parts.append(find(rules, as_of(bars[:stop], splits, int(some.opens[0])), some))
    return Findings(
        tuple(signal for part in parts for signal in part.signals),
        tuple(rejection for part in parts for rejection in part.rejections),
    )
