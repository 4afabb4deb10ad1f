"""Which pairs of bars are an inside bar in its mother, by each definition; what rules ask of bars, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from decide.bars.bars import Bars, range_sums, true_range
from decide.bars.rules import Rules, Windows
from decide.bars.ticks import Flags, Ints, at_least, ratio

Made = TypeVar("Made")
Prices = tuple[Any, Any, Any, Any]  # open, high, low, close
Compare = Callable[[Any, Any], Any]  # "at most" (inclusive) or "below" (strict)

COMPARE: Mapping[str, Compare] = {"inclusive": lambda a, b: a <= b, "strict": lambda a, b: a < b}


def _range_in_range(m: Prices, i: Prices, below: Compare) -> Any:
    return below(i[1], m[1]) & below(m[2], i[2])


def _range_in_body(m: Prices, i: Prices, below: Compare) -> Any:
    return below(i[1], np.maximum(m[0], m[3])) & below(np.minimum(m[0], m[3]), i[2])


def _body_in_body(m: Prices, i: Prices, below: Compare) -> Any:
    top, bottom = np.maximum(i[0], i[3]), np.minimum(i[0], i[3])
    return below(top, np.maximum(m[0], m[3])) & below(np.minimum(m[0], m[3]), bottom)


def _high_and_close_in_range(m: Prices, i: Prices, below: Compare) -> Any:
    return below(i[1], m[1]) & below(m[2], i[3]) & below(i[3], m[1])


DEFINITIONS: Mapping[str, Callable[[Prices, Prices, Compare], Any]] = {
    "mb_range_hl__ib_hl": _range_in_range,
    "mb_body_oc__ib_hl": _range_in_body,
    "mb_body_oc__ib_body": _body_in_body,
    "mb_high__ib_high_and_close_in_mb_range": _high_and_close_in_range,
}


class Series:
    """Bars with what rules ask of them, worked out once each: a sweep asks the same of them again and again."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self._held = bars, dict[Any, Any]()

    def once(self, key: Any, make: Callable[[], Made]) -> Made:
        """What `make` makes, under a key that stands for everything it depends on besides the bars."""
        if key not in self._held:
            self._held[key] = make()
        found: Made = self._held[key]
        return found

    def sums(self, period: int) -> Ints:
        """Sum of the last `period` true ranges per bar, -1 where it is unknown."""
        ranges = self.once("ranges", lambda: true_range(self.bars))
        return self.once(("sums", period), lambda: range_sums(ranges, period))

    def numbers(self, windows: Windows) -> tuple[Ints, Ints]:
        """The window of each bar, and the first row behind each window."""
        labels = self.bars.labels
        key = (windows, "numbers")
        return self.once(key, lambda: (windows.of_labels(labels), np.asarray(np.searchsorted(labels, windows.ends))))

    def pairs(self, rules: Rules, windows: Windows) -> tuple[Flags, Flags]:
        """Per bar: is it inside the bar just before it and in a window, and is that bar in the same window?"""
        key = (windows, rules.inside_bar_definition_mode, rules.inside_bar_mode, rules.step)
        return self.once(key, lambda: self._pairs(rules, windows))

    def _pairs(self, rules: Rules, windows: Windows) -> tuple[Flags, Flags]:
        number, exact = self.numbers(windows)[0], self.bars.exact
        mother, inner = tuple(p[:-1] for p in exact), tuple(p[1:] for p in exact)
        below = COMPARE[rules.inside_bar_mode]
        inside = DEFINITIONS[rules.inside_bar_definition_mode](mother, inner, below)  # type: ignore[arg-type]
        inside = inside & (np.diff(self.bars.labels) == rules.step) & (number[1:] >= 0)
        return np.r_[False, inside], np.r_[False, number[1:] == number[:-1]]

    def large(self, rules: Rules) -> Flags:
        """Whether a mother's range is as large as the rules want, by row of its inside bar; never for an unknown
        ATR.
        """
        share = rules.min_mother_bar_size_atr_multiple
        return self.once(("large", rules.atr_period, share), lambda: self._large(rules.atr_period, share))

    def _large(self, period: int, share: float) -> Flags:
        sums, (_, high, low, _) = self.sums(period), self.bars.exact
        large = at_least(high - low, np.maximum(sums, 0), ratio(share), period) & (sums >= 0)
        return np.asarray(np.r_[False, large[:-1]], dtype=np.bool_)

    def bodied(self, share: float) -> Flags:
        """Whether body over range is at least `share`; a bar without a range has none."""
        return self.once(("body", share), lambda: self._bodied(share))

    def _bodied(self, share: float) -> Flags:
        opened, high, low, close = self.bars.exact
        size = high - low
        flags: Flags = at_least(np.abs(close - opened), size, ratio(share)) & ((size > 0) | (share == 0))
        return flags

    def armable(self, rules: Rules, windows: Windows) -> Flags:
        """Per bar: is it an inside bar whose pair may be armed?"""
        inside, same = self.pairs(rules, windows)
        mother = np.r_[False, self.bodied(rules.min_mother_body_fraction)[:-1]]
        flags: Flags = inside & same & self.large(rules) & mother & self.bodied(rules.min_inside_body_fraction)
        return flags
