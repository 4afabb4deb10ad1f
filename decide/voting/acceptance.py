"""Is a backtest good enough to act on? Each criterion passes, fails, or says why it is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError
from decide.series import series
from decide.uncertainty import LEAST_EPOCHS, Floats, mean_interval

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
    """One condition. `passed` is None while it is open; `value` is NaN when nothing can be said of it.

    `value` is compared with `threshold` as `explanation` says, both in the criterion's own unit.
    """

    name: str
    passed: bool | None
    value: float
    threshold: float
    explanation: str


def acceptance(
    gain_over_each_baseline: Mapping[str, npt.ArrayLike],
    gain_over_snapshot: npt.ArrayLike,
    shares: tuple[npt.ArrayLike, npt.ArrayLike],
    thresholds: Mapping[str, float],
    covered_share_by_measure: Mapping[str, npt.ArrayLike],
) -> list[Criterion]:
    """The criteria of one policy's backtest, in a fixed order; all are there, whatever there was to judge.

    gain_over_each_baseline: per baseline (T,) ours − the baseline's share of hindsight, one per epoch in time order in
    which both have an outcome (0 USD is one); by name:
    `mean_gain_<baseline>`: is the mean gain above 0? passed when its one-sided bound is, failed when the gain is below
    0 with the same confidence, else open;
    `drop_one_<baseline>`: the smallest mean and median that are left when any one epoch is dropped > 0;
    `win_share_<baseline>`: share of epochs with a gain > 0 at least `acceptance_win_share`.
    gain_over_snapshot (T,): the same against the optimum on what was visible; `beats_snapshot`, judged as a mean gain:
    without it a pass would claim a skill that the forecast has not shown. Gains that are all 0 show none.
    shares: ours and the baseline's share of hindsight (T,), paired by epoch; `p10_share`: P10 of the first − P10 of the
    second at least −`acceptance_p10_slack` (0.01 is one point).
    covered_share_by_measure: per measure (T,) share of gauges within their 80 % interval in each epoch;
    `coverage_<measure>`: the mean over epochs within [`acceptance_coverage_low`, `acceptance_coverage_high`].

    thresholds: the five of THRESHOLDS; `acceptance_level` is the level of the one-sided bounds (0.90: the low end of a
    two-sided 80 % interval).
    Errors: DecisionError for a missing threshold, a level not within (0.5, 1), values not finite, or shares of
    different lengths.
    """
    missing = [name for name in THRESHOLDS if name not in thresholds]
    if missing:
        raise DecisionError(f"thresholds lack {', '.join(missing)}")
    limits = {name: float(thresholds[name]) for name in THRESHOLDS}
    level = limits["acceptance_level"]
    if not 0.5 < level < 1:
        raise DecisionError(f"acceptance_level {level} must lie within (0.5, 1)")
    found: list[Criterion] = []
    for baseline, values in sorted(gain_over_each_baseline.items()):
        gain = series(values, f"gain over {baseline}")
        found += [
            _mean_gain(f"mean_gain_{baseline}", baseline, gain, level),
            _drop_one(baseline, gain),
            _win_share(baseline, gain, limits["acceptance_win_share"]),
        ]
    found.append(_mean_gain("beats_snapshot", "snapshot", series(gain_over_snapshot, "gain over snapshot"), level))
    found.append(_p10_share(*shares, limits["acceptance_p10_slack"]))
    found += _coverage(covered_share_by_measure, limits)
    return found


def _unknown(name: str, threshold: float, reason: str) -> Criterion:
    return Criterion(name, None, float("nan"), threshold, f"Cannot be judged: {reason}.")


def _few(epochs: int, least: int) -> str:
    return f"{epochs} epochs; at least {least} are needed"


def _points(share: float) -> str:
    """A share of hindsight in percent, with its sign; what rounds to nothing has none of its own."""
    return f"{round(share, 4) + 0.0:+.2%}"


def _mean_gain(name: str, baseline: str, gain: Floats, level: float) -> Criterion:
    if not len(gain):
        return _unknown(name, 0.0, _few(0, LEAST_EPOCHS))
    interval = mean_interval(gain, 2 * level - 1)
    if not np.isfinite(interval.low):
        return _unknown(name, 0.0, str(interval.reason))
    if interval.low > 0:
        passed, verdict = True, "it is above 0"
    elif interval.high <= 0:
        passed, verdict = False, "it is not above 0" if interval.high == 0 else "it is below 0"
    else:
        passed, verdict = None, "it may lie on either side of 0"
    explanation = (
        f"On average {_points(interval.estimate)} of hindsight more than {baseline} over {len(gain)} epochs; with "
        f"{level:.0%} confidence at least {_points(interval.low)}, with the same at most {_points(interval.high)}: "
        f"{verdict}."
    )
    return Criterion(name, passed, interval.low, 0.0, explanation)


def _drop_one(baseline: str, gain: Floats) -> Criterion:
    name = f"drop_one_{baseline}"
    epochs = len(gain)
    if epochs < LEAST_EPOCHS:
        return _unknown(name, 0.0, _few(epochs, LEAST_EPOCHS))
    means = (gain.sum() - gain) / (epochs - 1)
    medians = np.array([np.median(np.delete(gain, row)) for row in range(epochs)])
    value = float(min(means.min(), medians.min()))
    explanation = (
        f"Dropping any one of {epochs} epochs leaves a mean gain over {baseline} of at least {_points(means.min())} "
        f"of hindsight (without epoch number {int(means.argmin()) + 1}) and a median of at least "
        f"{_points(medians.min())}; both must stay above 0."
    )
    return Criterion(name, value > 0, value, 0.0, explanation)


def _win_share(baseline: str, gain: Floats, least_share: float) -> Criterion:
    name = f"win_share_{baseline}"
    epochs, won = len(gain), int((gain > 0).sum())
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
    for measure, values in sorted(covered.items()):
        shares = series(values, f"covered share of {measure}")
        if ((shares < 0) | (shares > 1)).any():
            raise DecisionError(f"covered shares of {measure} must lie within [0, 1]")
        if len(shares) < LEAST_EPOCHS:
            yield _unknown(f"coverage_{measure}", low, _few(len(shares), LEAST_EPOCHS))
            continue
        value = float(shares.mean())
        nearest = low if abs(value - low) <= abs(value - high) else high
        explanation = (
            f"80 % intervals of {measure} held the truth {value:.1%} of the time over {len(shares)} epochs; "
            f"{low:.0%} to {high:.0%} is wanted. The threshold shown is the nearer end."
        )
        held = low - ROUNDING <= value <= high + ROUNDING
        yield Criterion(f"coverage_{measure}", held, value, nearest, explanation)
