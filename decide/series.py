"""Numbers as a caller gives them, checked before anything is computed from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError

Floats = npt.NDArray[np.float64]


def series(values: npt.ArrayLike, name: str, ndim: int = 1) -> Floats:
    """`values` as float64 of `ndim` dimensions. DecisionError when the shape differs, or any value is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise DecisionError(f"{name} has {array.ndim} dimensions, expected {ndim}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise DecisionError(f"{name} has {len(bad)} values that are not finite, the first at {bad[0].tolist()}")
    return array
