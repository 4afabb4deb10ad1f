"""What a backtest proves: uplifts with intervals, a test against having tried many variants, criteria passed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from decide.columns import groups
from decide.coverage import IntervalCoverage
from decide.evaluate import diebold_mariano
from decide.quantiles import Floats
from decide.thresholds import Rows, thresholds
from decide.uncertainty import STATISTICS, Interval, Statistic, bootstrap_interval, mean_interval, snooping_test
from decide.voting.acceptance import acceptance

BASELINES = ("proportional", "hold", "snapshot", "equal")
ACCEPTED_AGAINST = ("proportional", "hold")
OURS = "foreshore"
MEASURES = ("drift", "uplift")
SHOWN: tuple[Statistic, ...] = ("mean", "median")
WINDOW = ["protocol", "voter_id", "decision_window"]
A_PROMISE = 0.01  # of what could be earned: what was earned over less is a ratio to next to nothing


@dataclass(frozen=True)
class _Replay:
    """One exchange, voter and window, (E,) by epoch: USD by strategy, NaN where there is no outcome; 0 USD is one.

    `hindsight` is the one reference: the optimum under the exchange's own limits, the same for all strategies.
    """

    epochs: list[int]
    realised: Mapping[str, Floats]
    expected: Floats  # ours
    hindsight: Floats
    profile_hindsight: Floats  # ours: under our profile's limits
    forecasts: list[str]

    def share(self, strategy: str) -> Floats:
        """realised / hindsight (E,), NaN where the strategy has no outcome or nothing could be earned."""
        earned = self.realised.get(strategy, np.full(len(self.epochs), np.nan))
        return _ratio(earned, self.hindsight)

    def gain(self, baseline: str) -> Floats:
        """Ours − the baseline's share of hindsight, of the epochs in which both have an outcome."""
        apart = self.share(OURS) - self.share(baseline)
        return apart[np.isfinite(apart)]


def _ratio(amount: Floats, reference: Floats, least: Floats | float = 0.0) -> Floats:
    """amount / reference (E,), NaN where the reference is not above `least`."""
    return np.asarray(np.divide(amount, reference, out=np.full(len(amount), np.nan), where=reference > least))


def backtest_statistics(results: pa.Table, scores: pa.Table, threshold_rows: Rows, coverage_rows: Rows) -> pa.Table:
    """Rows (SCHEMA) per exchange, voter and window: what was measured, against what, with interval, p and verdict."""
    values = thresholds(threshold_rows)
    coverage = IntervalCoverage.of(coverage_rows, values["coverage_tolerance"])
    scored = dict(groups(scores, WINDOW, ["epoch", "measure"]))
    found: list[dict[str, Any]] = []
    for key, rows in groups(results, WINDOW, ["epoch", "strategy"]):
        made = _statistics(_replay(rows), values, coverage, scored.get(key))
        found += [dict(zip(WINDOW, key, strict=True)) | row for row in made]
    return pa.Table.from_pylist(found, schema=SCHEMA)


def _replay(rows: pa.Table) -> _Replay:
    wanted = ["epoch", "strategy", "kind", "realised_usd", "expected_usd", "hindsight_usd", "profile_hindsight_usd"]
    table = rows.select(wanted).to_pylist()
    epochs = sorted({row["epoch"] for row in table})
    place = {epoch: n for n, epoch in enumerate(epochs)}
    names = sorted({row["strategy"] for row in table})
    realised = {name: np.full(len(epochs), np.nan) for name in names}
    expected, hindsight, profile = (np.full(len(epochs), np.nan) for _ in range(3))
    for row in table:
        n = place[row["epoch"]]
        realised[row["strategy"]][n] = _number(row["realised_usd"])
        hindsight[n] = _number(row["hindsight_usd"])
        if row["strategy"] == OURS:
            expected[n], profile[n] = _number(row["expected_usd"]), _number(row["profile_hindsight_usd"])
    forecasts = sorted({row["strategy"] for row in table if row["kind"] in ("forecast", "snapshot")})
    return _Replay(epochs, realised, expected, hindsight, profile, forecasts)


def _statistics(
    replayed: _Replay, values: Mapping[str, float], coverage: IntervalCoverage, scores: pa.Table | None
) -> list[dict[str, Any]]:
    if OURS not in replayed.realised:
        return []
    made = _Intervals(values, coverage)
    earned = replayed.realised[OURS]
    rows = [
        *made.rows("hindsight_share", None, replayed.share(OURS), (*SHOWN, "p10")),
        *made.rows("profile_hindsight_share", None, _ratio(earned, replayed.profile_hindsight)),
        *made.rows("realised_over_expected", None, _ratio(earned, replayed.expected, A_PROMISE * replayed.hindsight)),
    ]
    for name in (name for name in BASELINES if name in replayed.realised):
        gain = replayed.gain(name)
        rows += made.rows("share_gain", name, gain)
        if len(gain):
            rows.append(_plain("win_share", name, float((gain > 0).mean()), len(gain)))
    rows += _snooping(replayed, values)
    if "snapshot" in replayed.realised:
        rows += _skill(scores)
        rows += _criteria(replayed, values, scores)
    return rows


@dataclass(frozen=True)
class _Intervals:
    """Statistics with their intervals, as far as simulation says that these cover what they promise."""

    values: Mapping[str, float]
    coverage: IntervalCoverage

    def rows(
        self, metric: str, baseline: str | None, sample: Floats, statistics: Sequence[Statistic] = SHOWN
    ) -> list[dict[str, Any]]:
        known = sample[np.isfinite(sample)]
        return [self._row(metric, baseline, known, statistic) for statistic in statistics] if len(known) else []

    def _row(self, metric: str, baseline: str | None, sample: Floats, statistic: Statistic) -> dict[str, Any]:
        row = {
            "metric": f"{statistic}_{metric}",
            "baseline": baseline or "",
            "value": float(STATISTICS[statistic][0](sample)),
            "observations": len(sample),
            "explanation": self.coverage.said(statistic, len(sample)),
        }
        if not self.coverage.is_shown(statistic, len(sample)):
            return row
        found, how = self._interval(sample, statistic)
        ends = {"low": _finite(found.low), "high": _finite(found.high)}
        return row | ends | {"explanation": found.reason or row["explanation"] or how}

    def _interval(self, sample: Floats, statistic: Statistic) -> tuple[Interval, str]:
        level = self.values["bootstrap_level"]
        if statistic == "mean":
            return mean_interval(sample, level), "t interval on cosine sums, correlated epochs allowed for"
        draws, seed = int(self.values["bootstrap_draws"]), int(self.values["bootstrap_seed"])
        found = bootstrap_interval(sample, statistic, level=level, draws=draws, seed=seed)
        return found, f"block bootstrap, blocks of {found.block_length} epochs"


def _plain(metric: str, baseline: str, value: float, observations: int) -> dict[str, Any]:
    return {"metric": metric, "baseline": baseline, "value": value, "observations": observations, "explanation": ""}


def _snooping(replayed: _Replay, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Is the best variant better than `proportional`, all variants tried being counted? In shares of hindsight.

    The one row that a new variant changes: its question is about all of them.
    """
    names = replayed.forecasts
    if "proportional" not in replayed.realised or not names:
        return []
    shares = np.stack([replayed.share(name) for name in ("proportional", *names)], axis=1)
    shares = shares[np.isfinite(shares).all(axis=1)]
    if not len(shares):
        return []
    found = snooping_test(shares[:, 0], shares[:, 1:], names, seed=int(values["bootstrap_seed"]))
    return [
        {
            "metric": "snooping",
            "baseline": "proportional",
            "value": found.mean_difference,
            "p_value": _finite(found.p_value),
            "observations": found.observations,
            "explanation": found.reason or f"superior predictive ability of {found.best} among {len(names)} variants",
        }
    ]


def _skill(scores: pa.Table | None) -> list[dict[str, Any]]:
    """Does the forecast lose less than 'nothing will move'? Mean loss against loss, paired by epoch, by measure."""
    found = []
    for measure in MEASURES:
        rows = _of_measure(scores, measure)
        ours, still = (np.array([row[name] for row in rows]) for name in ("pinball", "pinball_no_move"))
        if len(rows):
            test = diebold_mariano(ours, still)
            found.append(
                {
                    "metric": "pinball_difference",
                    "baseline": f"no_move_{measure}",
                    "value": test.estimate,
                    "p_value": _finite(test.p_value),
                    "observations": test.observations,
                    "explanation": test.reason or "below 0: the forecast loses less than 'nothing will move'",
                }
            )
    return found


def _of_measure(scores: pa.Table | None, measure: str) -> list[dict[str, Any]]:
    return [] if scores is None else [row for row in scores.to_pylist() if row["measure"] == measure]


def _covered(scores: pa.Table | None, measure: str) -> Floats:
    """Share of gauges inside the 80 % interval per epoch; epochs in which nothing moved prove nothing."""
    rows = _of_measure(scores, measure)
    return np.array([r["coverage_80"] for r in rows if r["unmoved_share"] < 1 and r["coverage_80"] is not None])


def _criteria(replayed: _Replay, values: Mapping[str, float], scores: pa.Table | None) -> list[dict[str, Any]]:
    both = np.stack([replayed.share(OURS), replayed.share("proportional")])
    both = both[:, np.isfinite(both).all(axis=0)]
    found = acceptance(
        {name: replayed.gain(name) for name in ACCEPTED_AGAINST},
        replayed.gain("snapshot"),
        (both[0], both[1]),
        values,
        {measure: _covered(scores, measure) for measure in MEASURES},
    )
    return [
        {
            "metric": "criterion",
            "baseline": criterion.name,
            "value": _finite(criterion.value),
            "low": _finite(criterion.threshold),
            "passed": criterion.passed,
            "observations": len(replayed.epochs),
            "explanation": criterion.explanation,
        }
        for criterion in found
    ]


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _named(kind: pa.DataType, names: Sequence[str]) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


SCHEMA = pa.schema(
    _named(pa.string(), [*WINDOW, "metric", "baseline"])
    + _named(pa.float64(), ["value", "low", "high", "p_value"])
    + _named(pa.int64(), ["observations"])
    + _named(pa.bool_(), ["passed"])
    + _named(pa.string(), ["explanation"])
)
