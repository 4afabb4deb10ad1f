"""Which inputs can be decided on. Every message names the field, what is wrong with it, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError
from decide.voting.optimum.curve import Floats

MOST_UNITS = 2**52  # whole numbers beyond this have no exact float


def array(values: npt.ArrayLike, field: str, shape: tuple[int, ...], infinite: bool = False) -> Floats:
    """A float array of a shape, every entry ≥ 0 and finite (or +inf where that means no limit)."""
    made = np.asarray(values)
    if made.dtype.kind not in "fiu":
        raise DecisionError(f"{field} holds {made.dtype} values: give numbers")
    made = made.astype(np.float64)
    if made.shape != shape:
        raise DecisionError(
            f"{field} has shape {made.shape}, expected {shape}: one row per gauge, one column a scenario"
        )
    wrong = np.isnan(made) | (made < 0) | (np.isinf(made) & (not infinite))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DecisionError(f"{field}{list(where)} is {made[where]}: give a finite number of at least 0")
    return made


def number(value: object, field: str, least: float, most: float = math.inf, above: bool = False) -> float:
    """A finite number within [least, most], or above `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise DecisionError(f"{field} is {value!r}: give a number")
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made) or made > most or made < least or (above and made == least):
        bounds = f"above {least:g}" if above else f"at least {least:g}"
        raise DecisionError(f"{field} is {made:g}: give a finite number {bounds}{_most(most)}")
    return made


def _most(most: float) -> str:
    return "" if math.isinf(most) else f" and at most {most:g}"


def whole_number(value: object, field: str, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise DecisionError(f"{field} is {value!r}: give a whole number")
    if value < least:
        raise DecisionError(f"{field} is {value}: give at least {least}")
    return int(value)


def one_of(value: object, field: str, allowed: Sequence[str]) -> str:
    """One of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise DecisionError(f"{field} is {value!r}: give one of {', '.join(allowed)}")
    return value
