"""What several answers to the same question come to, by a stated rule over the valid ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Final

CLIP: Final = 0.001  # log-odds of 0 and 1 are infinite; the tick of the book, as in the log score


def _mean_log_odds(values: Sequence[float]) -> float:
    """Inverse logit of the mean logit: the geometric mean of odds.

    Source: Satopää et al. (2014), International Journal of Forecasting 30(2).
    """
    kept = [min(max(value, CLIP), 1 - CLIP) for value in values]
    return 1 / (1 + math.exp(-fmean(math.log(value / (1 - value)) for value in kept)))


RULES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "median": median,
    "mean": fmean,
    "mean_log_odds": _mean_log_odds,
}


def aggregate(values: Sequence[float], rule: str) -> float:
    """One probability of values (k,) in [0, 1], k ≥ 1; one value stays itself under every rule."""
    return values[0] if len(values) == 1 else float(RULES[rule](values))
