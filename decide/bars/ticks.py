"""Prices as whole numbers. A comparison of prices is a comparison of integers: 0.16 >= 0.16, and 254.14 is 254.14.

A price is held in millionths of a dollar (int64): exchanges and providers quote at most six places. Orders stand on the
tick of their security at their price; prints may lie between ticks, and are compared as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
MICROS = 1_000_000  # of a dollar
_SAFE = 2**62


def micros(prices: npt.ArrayLike) -> Ints:
    """Prices in USD as millionths, to the nearest."""
    return np.rint(np.asarray(prices, dtype=np.float64) * MICROS).astype(np.int64)


def dollars(exact: npt.ArrayLike) -> Floats:
    """Millionths as USD: for each the nearest float there is."""
    return np.asarray(np.asarray(exact, dtype=np.int64) / MICROS)


def ratio(value: float) -> Fraction:
    """A parameter as it was written: 0.55 is 11/20, not the nearest float."""
    return Fraction(repr(float(value)))


def at_least(left: Ints, right: Ints, share: Fraction, parts: int = 1) -> Flags:
    """left >= share x right / parts, exactly, element by element; all of them 0 or more."""
    one, other = _crossed(left, right, share, parts)
    return np.asarray(one >= other, dtype=np.bool_)


def at_most(left: Ints, right: Ints, share: Fraction, parts: int = 1) -> Flags:
    """left <= share x right / parts, exactly."""
    one, other = _crossed(left, right, share, parts)
    return np.asarray(one <= other, dtype=np.bool_)


def _crossed(left: Ints, right: Ints, share: Fraction, parts: int) -> tuple[Any, Any]:
    """Both sides times the denominators; Python's own integers where 64 bits would not hold them."""
    up, down = share.numerator, share.denominator * parts
    if max(int(left.max(initial=0)) * down, int(right.max(initial=0)) * up) < _SAFE:
        return left * down, right * up
    return left.astype(object) * down, right.astype(object) * up


@dataclass(frozen=True)
class Ticks:
    """Smallest steps of an order's price, in millionths: one from a dollar on, one below it (Regulation NMS, 612)."""

    from_dollar: int
    below_dollar: int

    @classmethod
    def of(cls, from_dollar: float, below_dollar: float) -> Ticks:
        """From USD; DecisionError unless both are above 0 and have at most six places."""
        made = cls(int(micros(from_dollar)), int(micros(below_dollar)))
        if made.from_dollar < 1 or made.below_dollar < 1:
            raise DecisionError(f"ticks of {from_dollar} and {below_dollar} USD: both must be at least 0.000001")
        return made

    def at(self, price: Ints) -> Ints:
        """The tick at each price."""
        return np.where(price >= MICROS, self.from_dollar, self.below_dollar).astype(np.int64)

    def nearest(self, price: Ints) -> Ints:
        """The nearest price on the tick, half a tick upwards."""
        tick = self.at(price)
        return np.asarray((price + tick // 2) // tick * tick)


def scaled(size: Ints, factor: Fraction, tick: Ints) -> Ints:
    """size x factor to the nearest tick, half a tick upwards."""
    up, down = factor.numerator, factor.denominator
    if int(size.max(initial=0)) * up * 2 < _SAFE:
        return np.asarray((2 * size * up + down * tick) // (2 * down * tick) * tick)
    wide: Any = (2 * size.astype(object) * up + down * tick) // (2 * down * tick) * tick
    return np.asarray(wide, dtype=np.int64)
