"""What a backtest proves: uplifts with intervals, a test against having tried many variants, criteria passed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from decide.columns import groups
from decide.quantiles import Floats
from decide.thresholds import Rows, thresholds
from decide.uncertainty import Interval, Statistic, bootstrap_interval, snooping_test
from decide.voting.acceptance import acceptance

BASELINES = ("proportional", "hold", "snapshot", "equal")
ACCEPTED_AGAINST = ("proportional", "hold")
SHARE_STATISTICS: tuple[Statistic, ...] = ("median", "p10")
UPLIFT_STATISTICS: tuple[Statistic, ...] = ("mean", "median")
WINDOW = ["protocol", "voter_id", "decision_window"]


@dataclass(frozen=True)
class _Replay:
    """One exchange, voter and window: realised and hindsight USD by epoch and strategy, NaN where there was no vote."""

    epochs: list[int]
    realised: Mapping[str, Floats]
    expected: Mapping[str, Floats]
    hindsight: Floats
    forecasts: list[str]

    def uplift(self, ours: str, baseline: str) -> Floats:
        """log(ours / baseline) of the epochs in which both earned something."""
        a, b = self.realised[ours], self.realised[baseline]
        both = (a > 0) & (b > 0)
        return np.log(a[both] / b[both])

    def share(self, strategy: str) -> Floats:
        """realised / hindsight of the epochs in which something could be earned."""
        known = np.isfinite(self.realised[strategy]) & (self.hindsight > 0)
        return self.realised[strategy][known] / self.hindsight[known]

    def paired_shares(self, ours: str, baseline: str) -> tuple[Floats, Floats]:
        """realised / hindsight of both, in the epochs in which both answered and something could be earned."""
        a, b = self.realised[ours], self.realised[baseline]
        both = np.isfinite(a) & np.isfinite(b) & (self.hindsight > 0)
        return a[both] / self.hindsight[both], b[both] / self.hindsight[both]


def backtest_statistics(results: pa.Table, scores: pa.Table, threshold_rows: Rows) -> pa.Table:
    """Rows (SCHEMA) per exchange, voter and window: what was measured, against what, with interval, p and verdict."""
    values = thresholds(threshold_rows)
    covered = {key: _coverage(rows) for key, rows in groups(scores, WINDOW, ["epoch", "measure"])}
    found: list[dict[str, Any]] = []
    for key, rows in groups(results, WINDOW, ["epoch", "strategy"]):
        replayed = _replay(rows)
        made = _statistics(replayed, values, covered.get(key))
        found += [dict(zip(WINDOW, key, strict=True)) | row for row in made]
    return pa.Table.from_pylist(found, schema=SCHEMA)


def _coverage(rows: pa.Table) -> dict[str, Floats]:
    """Share of gauges inside the 80 % interval per epoch, by measure; epochs in which nothing moved prove nothing."""
    table = rows.to_pylist()
    return {
        measure: np.array([r["coverage_80"] for r in table if r["measure"] == measure and r["unmoved_share"] < 1])
        for measure in ("drift", "uplift")
    }


def _replay(rows: pa.Table) -> _Replay:
    table = rows.to_pylist()
    epochs = sorted({row["epoch"] for row in table})
    place = {epoch: n for n, epoch in enumerate(epochs)}
    names = sorted({row["strategy"] for row in table})
    realised = {name: np.full(len(epochs), np.nan) for name in names}
    expected = {name: np.full(len(epochs), np.nan) for name in names}
    hindsight = np.full(len(epochs), np.nan)
    for row in table:
        n, name = place[row["epoch"]], row["strategy"]
        realised[name][n] = _number(row["realised_usd"])
        expected[name][n] = _number(row["expected_usd"])
        if row["hindsight_usd"] is not None:
            hindsight[n] = row["hindsight_usd"]
    forecasts = sorted({row["strategy"] for row in table if row["kind"] in ("forecast", "snapshot")})
    return _Replay(epochs, realised, expected, hindsight, forecasts)


def _statistics(
    replayed: _Replay, values: Mapping[str, float], covered: Mapping[str, Floats] | None
) -> list[dict[str, Any]]:
    ours = "foreshore"
    if ours not in replayed.realised or not len(replayed.share(ours)):
        return []
    rows = [_interval("hindsight_share", None, replayed.share(ours), s, values) for s in SHARE_STATISTICS]
    both = (replayed.realised[ours] > 0) & (replayed.expected[ours] > 0)
    if both.any():
        bias = np.log(replayed.realised[ours][both] / replayed.expected[ours][both])
        rows.append(_interval("realised_over_expected", None, bias, "mean", values))
    baselines = [name for name in BASELINES if name in replayed.realised and len(replayed.uplift(ours, name))]
    for name in baselines:
        uplift = replayed.uplift(ours, name)
        rows += [_interval("log_uplift", name, uplift, s, values) for s in UPLIFT_STATISTICS]
        rows.append(_plain("win_share", name, float((uplift > 0).mean()), len(uplift)))
    rows += _snooping(replayed, values)
    accepted = {name: replayed.uplift(ours, name) for name in ACCEPTED_AGAINST if name in baselines}
    if accepted and covered is not None:
        rows += _criteria(replayed, accepted, values, covered)
    return rows


def _interval(
    metric: str, baseline: str | None, sample: Floats, statistic: Statistic, values: Mapping[str, float]
) -> dict[str, Any]:
    found: Interval = bootstrap_interval(
        sample,
        statistic,
        level=values["bootstrap_level"],
        draws=int(values["bootstrap_draws"]),
        seed=int(values["bootstrap_seed"]),
    )
    return {
        "metric": f"{statistic}_{metric}",
        "baseline": baseline or "",
        "value": found.estimate,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "observations": found.observations,
        "explanation": found.reason or f"block bootstrap, blocks of {found.block_length} epochs",
    }


def _plain(metric: str, baseline: str, value: float, observations: int) -> dict[str, Any]:
    return {"metric": metric, "baseline": baseline, "value": value, "observations": observations, "explanation": ""}


def _snooping(replayed: _Replay, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Is the best variant better than `proportional`, all variants tried being counted? In shares of hindsight."""
    names = replayed.forecasts
    if "proportional" not in replayed.realised or not names:
        return []
    table = np.stack([replayed.realised[name] for name in ("proportional", *names)], axis=1)
    known = np.isfinite(table).all(axis=1) & (replayed.hindsight > 0)
    shares = table[known] / replayed.hindsight[known, None]
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


def _criteria(
    replayed: _Replay, accepted: Mapping[str, Floats], values: Mapping[str, float], covered: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    measured = {name: shares for name, shares in covered.items() if len(shares)}
    ours, proportional = replayed.paired_shares("foreshore", "proportional")
    found = acceptance(
        accepted,
        ours,
        proportional,
        values,
        int(values["bootstrap_seed"]),
        measured or None,
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
