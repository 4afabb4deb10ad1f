"""Is a backtest good enough to act on? Each criterion passes, fails, or says why there are too few epochs to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError
from decide.uncertainty import LEAST_EPOCHS, Floats, bootstrap_interval, series

THRESHOLDS = (
    "acceptance_level",
    "acceptance_p10_slack",
    "acceptance_win_share",
    "acceptance_coverage_low",
    "acceptance_coverage_high",
)
P10_EPOCHS = 10  # below ten epochs, none need lie under a P10
ROUNDING = 1e-12  # 0.89 is exactly one point under 0.90, whatever binary fractions say


@dataclass(frozen=True)
class Criterion:
    """One condition. `passed` is None when it cannot be judged; then `value` is NaN.

    `value` is compared with `threshold` as `explanation` says, both in the criterion's own unit.
    """

    name: str
    passed: bool | None
    value: float
    threshold: float
    explanation: str


def acceptance(
    uplift_over_each_baseline: Mapping[str, npt.ArrayLike],
    share_of_hindsight: npt.ArrayLike,
    baseline_share: npt.ArrayLike,
    thresholds: Mapping[str, float],
    seed: int,
    covered_share_by_window: Mapping[str, npt.ArrayLike] | None = None,
) -> list[Criterion]:
    """The criteria of one policy's backtest, in a fixed order.

    uplift_over_each_baseline: per baseline (T,) log ratios of income, one per epoch in time order; by name:
    `median_uplift_<baseline>`: one-sided bootstrap lower bound of the median > 0;
    `drop_one_<baseline>`: the smallest mean and median that are left when any one epoch is dropped > 0;
    `win_share_<baseline>`: share of epochs with uplift > 0 at least `acceptance_win_share`.
    share_of_hindsight, baseline_share (T,), paired by epoch: realised / hindsight-optimal income;
    `p10_share`: P10 of the first − P10 of the second at least −`acceptance_p10_slack` (0.01 is one point).
    covered_share_by_window: per window (T,) share of gauges within their 80 % interval in each epoch;
    `coverage_<window>`: the mean over epochs within [`acceptance_coverage_low`, `acceptance_coverage_high`].

    thresholds: the five of THRESHOLDS; `acceptance_level` is the level of the one-sided bound (0.90: the low
    end of a two-sided 80 % interval).
    Errors: DecisionError for a missing threshold, a level not within (0.5, 1), no baseline, values not finite, or
    shares of different lengths.
    """
    missing = [name for name in THRESHOLDS if name not in thresholds]
    if missing:
        raise DecisionError(f"thresholds lack {', '.join(missing)}")
    if not uplift_over_each_baseline:
        raise DecisionError("no baseline to be better than")
    limits = {name: float(thresholds[name]) for name in THRESHOLDS}
    found: list[Criterion] = []
    for baseline, values in sorted(uplift_over_each_baseline.items()):
        uplift = series(values, f"uplift over {baseline}")
        found += [
            _median_uplift(baseline, uplift, limits["acceptance_level"], seed),
            _drop_one(baseline, uplift),
            _win_share(baseline, uplift, limits["acceptance_win_share"]),
        ]
    found.append(_p10_share(share_of_hindsight, baseline_share, limits["acceptance_p10_slack"]))
    found += _coverage(covered_share_by_window or {}, limits)
    return found


def _unknown(name: str, threshold: float, reason: str) -> Criterion:
    return Criterion(name, None, float("nan"), threshold, f"Cannot be judged: {reason}.")


def _few(epochs: int, least: int) -> str:
    return f"{epochs} epochs; at least {least} are needed"


def _median_uplift(baseline: str, uplift: Floats, level: float, seed: int) -> Criterion:
    name = f"median_uplift_{baseline}"
    if not len(uplift):
        return _unknown(name, 0.0, _few(0, LEAST_EPOCHS))
    interval = bootstrap_interval(uplift, "median", level=2 * level - 1, seed=seed)
    if not np.isfinite(interval.low):
        return _unknown(name, 0.0, str(interval.reason))
    explanation = (
        f"The median log uplift over {baseline} is {interval.estimate:+.4f} over {len(uplift)} epochs, with "
        f"{level:.0%} confidence at least {interval.low:+.4f}; that bound must be above 0."
    )
    return Criterion(name, interval.low > 0, interval.low, 0.0, explanation)


def _drop_one(baseline: str, uplift: Floats) -> Criterion:
    name = f"drop_one_{baseline}"
    epochs = len(uplift)
    if epochs < LEAST_EPOCHS:
        return _unknown(name, 0.0, _few(epochs, LEAST_EPOCHS))
    means = (uplift.sum() - uplift) / (epochs - 1)
    medians = np.array([np.median(np.delete(uplift, row)) for row in range(epochs)])
    value = float(min(means.min(), medians.min()))
    explanation = (
        f"Dropping any one of {epochs} epochs leaves a mean log uplift over {baseline} of at least {means.min():+.4f} "
        f"(without epoch number {int(means.argmin()) + 1}) and a median of at least {medians.min():+.4f}; both must "
        "stay above 0."
    )
    return Criterion(name, value > 0, value, 0.0, explanation)


def _win_share(baseline: str, uplift: Floats, least_share: float) -> Criterion:
    name = f"win_share_{baseline}"
    epochs, won = len(uplift), int((uplift > 0).sum())
    if epochs < LEAST_EPOCHS:
        return _unknown(name, least_share, _few(epochs, LEAST_EPOCHS))
    explanation = f"{won} of {epochs} epochs earned more than {baseline}; at least {least_share:.0%} must."
    return Criterion(name, won / epochs >= least_share, won / epochs, least_share, explanation)


def _p10_share(share: npt.ArrayLike, baseline_share: npt.ArrayLike, slack: float) -> Criterion:
    own, other = series(share, "share of hindsight"), series(baseline_share, "baseline's share of hindsight")
    if len(own) != len(other):
        raise DecisionError(f"shares of hindsight are not paired: {len(own)} epochs and the baseline's {len(other)}")
    if len(own) < P10_EPOCHS:
        return _unknown("p10_share", -slack, _few(len(own), P10_EPOCHS))
    low, low_other = float(np.quantile(own, 0.1)), float(np.quantile(other, 0.1))
    explanation = (
        f"In a bad epoch (P10 of {len(own)}) the policy earns {low:.1%} of hindsight, the baseline {low_other:.1%}; "
        f"it may fall short by at most {slack:.1%}."
    )
    return Criterion("p10_share", low - low_other >= -slack - ROUNDING, low - low_other, -slack, explanation)


def _coverage(covered: Mapping[str, npt.ArrayLike], limits: Mapping[str, float]) -> Iterator[Criterion]:
    low, high = limits["acceptance_coverage_low"], limits["acceptance_coverage_high"]
    if not covered:
        yield _unknown("coverage", low, "no intervals were forecast")
    for window, values in sorted(covered.items()):
        shares = series(values, f"covered share of {window}")
        if ((shares < 0) | (shares > 1)).any():
            raise DecisionError(f"covered shares of {window} must lie within [0, 1]")
        if len(shares) < LEAST_EPOCHS:
            yield _unknown(f"coverage_{window}", low, _few(len(shares), LEAST_EPOCHS))
            continue
        value = float(shares.mean())
        nearest = low if abs(value - low) <= abs(value - high) else high
        explanation = (
            f"80 % intervals at {window} held the truth {value:.1%} of the time over {len(shares)} epochs; "
            f"{low:.0%} to {high:.0%} is wanted. The threshold shown is the nearer end."
        )
        held = low - ROUNDING <= value <= high + ROUNDING
        yield Criterion(f"coverage_{window}", held, value, nearest, explanation)
