"""Scores, intervals, tests and acceptance against closed forms, published formulas and hand-made samples."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from arch.bootstrap._samplers_python import stationary_bootstrap_sample_python
from scipy import special, stats

from decide import uncertainty
from decide.errors import DecisionError
from decide.evaluate import diebold_mariano
from decide.quantiles import pinball_rows
from decide.uncertainty import (
    bootstrap_interval,
    compounded_band,
    default_block,
    mean_interval,
    snooping_test,
    stationary_indices,
)
from decide.voting.acceptance import THRESHOLDS, Criterion, acceptance

LIMITS = dict(zip(THRESHOLDS, (0.90, 0.01, 0.60, 0.72, 0.88), strict=True))


def autoregressive(rng: np.random.Generator, runs: int, epochs: int, memory: float) -> np.ndarray:
    """Standard normal AR(1) paths (runs, epochs) after a burn-in of 40."""
    path = rng.standard_normal((runs, epochs + 40))
    for step in range(1, epochs + 40):
        path[:, step] = memory * path[:, step - 1] + math.sqrt(1 - memory**2) * path[:, step]
    return path[:, 40:]


# --- scores


def test_pinball_charges_each_side_by_its_level() -> None:
    rows = pinball_rows([10.0, 10.0], [[6.0, 10.0, 13.0]] * 2, [0.1, 0.5, 0.9])
    assert rows == pytest.approx(np.array([[0.4, 0.0, 0.3]] * 2))
    assert pinball_rows([10.0, 0.0], [[8.0], [8.0]], [0.25]) == pytest.approx(np.array([[0.5], [6.0]]))


def test_pinball_is_least_at_the_true_quantile_of_a_normal() -> None:
    sample = np.random.default_rng(3).standard_normal(40_000)
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    true = special.ndtri(levels)
    at_truth = pinball_rows(sample, np.tile(true, (len(sample), 1)), levels).mean(axis=0)
    density = np.exp(-(true**2) / 2) / math.sqrt(2 * math.pi)
    assert at_truth == pytest.approx(density, abs=0.005)  # E loss of a standard normal at its quantile is φ(q)
    for shift in (-0.2, 0.2):
        assert (pinball_rows(sample, np.tile(true + shift, (len(sample), 1)), levels).mean(axis=0) > at_truth).all()


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(DecisionError, match=r"expected \(2, 1\)"):
        pinball_rows([1.0, 2.0], [[1.0]], [0.5])
    with pytest.raises(DecisionError, match=r"not finite, the first at \[1\]"):
        pinball_rows([1.0, math.nan], [[1.0], [1.0]], [0.5])
    with pytest.raises(DecisionError, match="within"):
        pinball_rows([1.0], [[1.0]], [1.0])


# --- intervals


def test_the_walk_is_archs_stationary_bootstrap() -> None:
    rng = np.random.default_rng(5)
    for epochs, block in ((4, 2), (17, 3), (52, 4), (9, 1)):
        starts, uniforms = rng.integers(epochs, size=(20, epochs)), rng.random((20, epochs))
        ours = uncertainty._walk(starts, uniforms, block)
        for row in range(20):
            theirs = stationary_bootstrap_sample_python(starts[row].copy(), uniforms[row], 1 / block)
            assert ours[row].tolist() == theirs.tolist()


def test_blocks_have_the_asked_mean_length() -> None:
    rows = stationary_indices(2000, 5, 50, seed=1)
    follows = (np.diff(rows, axis=1) % 2000 == 1).mean()
    assert follows == pytest.approx(1 - 1 / 5, abs=0.01)


def test_default_block_grows_with_the_cube_root() -> None:
    assert [default_block(t) for t in (1, 4, 8, 12, 25, 52, 104, 1000)] == [1, 2, 2, 2, 3, 4, 5, 10]


def test_an_interval_of_independent_epochs_is_the_t_interval() -> None:
    values = np.random.default_rng(11).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(values, "mean", seed=1, block=1, draws=8000)
    half = stats.t.ppf(0.95, 399) * values.std(ddof=1) / 20
    assert interval.estimate == values.mean()
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


@pytest.mark.parametrize(
    ("memory", "statistic", "least"),
    [
        (0.0, "mean", 0.85),
        (0.3, "mean", 0.80),
        (0.0, "median", 0.86),
        (0.3, "median", 0.83),
        (0.0, "p10", 0.83),
    ],
)
def test_ninety_per_cent_intervals_of_52_epochs_hold_the_truth_about_that_often(
    memory: float, statistic: uncertainty.Statistic, least: float
) -> None:
    """Measured over 1,000 paths: 0.89, 0.85, 0.91, 0.87, 0.87; a standard error of 300 paths is 0.02."""
    paths = autoregressive(np.random.default_rng(7), 300, 52, memory)
    truth = float(special.ndtri(0.1)) if statistic == "p10" else 0.0
    found = [bootstrap_interval(p, statistic, draws=400, seed=n) for n, p in enumerate(paths)]
    assert least <= np.mean([i.low <= truth <= i.high for i in found]) <= 0.96


def test_correlated_epochs_widen_the_interval() -> None:
    values = autoregressive(np.random.default_rng(2), 1, 400, 0.7)[0]
    blocks = bootstrap_interval(values, "mean", seed=1)
    rows = bootstrap_interval(values, "mean", seed=1, block=1)
    assert blocks.high - blocks.low > 1.4 * (rows.high - rows.low)


def test_too_few_epochs_give_no_interval_and_say_how_many_are_needed() -> None:
    for statistic, least in (("mean", 4), ("median", 4), ("p10", 22)):
        values = np.random.default_rng(1).standard_normal(least)
        assert math.isfinite(bootstrap_interval(values, statistic, seed=1).low)  # type: ignore[arg-type]
        short = bootstrap_interval(values[1:], statistic, seed=1)  # type: ignore[arg-type]
        assert math.isnan(short.low) and math.isnan(short.high) and math.isfinite(short.estimate)
        assert short.reason and f"at least {least}" in short.reason
    assert "two blocks" in str(bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0], "mean", seed=1, block=3).reason)
    with pytest.raises(DecisionError, match="at least one epoch"):
        bootstrap_interval([], "mean", seed=1)


def test_equal_values_are_said_to_be_equal() -> None:
    interval = bootstrap_interval([0.1] * 30, "p10", seed=1)
    assert interval.low == interval.high == interval.estimate == pytest.approx(0.1)
    assert interval.reason == "every epoch has the same value"


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"draws": 0}, {"block": 0}, {"statistic": "mode"}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DecisionError):
        bootstrap_interval([1.0, 2.0, 3.0, 4.0], **{"statistic": "mean", "seed": 1, **wrong})  # type: ignore[arg-type]


# --- snooping


def variants(epochs: int, seed: int, edge: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A baseline and eight variants around it (sd 1 per epoch), the third of which earns `edge` more."""
    rng = np.random.default_rng(seed)
    baseline = rng.normal(10.0, 3.0, epochs)
    returns = baseline[:, None] + rng.standard_normal((epochs, 8))
    returns[:, 2] += edge
    return baseline, returns, [f"v{n}" for n in range(8)]


def test_a_true_null_is_seldom_rejected_though_the_luckiest_variant_looks_good() -> None:
    found = [snooping_test(*variants(52, seed, 0.0), seed=seed, draws=300) for seed in range(40)]
    p = np.array([t.p_value for t in found])
    assert min(t.mean_difference for t in found) > 0.0  # picking the best of eight always shows a gain
    assert (p < 0.05).mean() <= 0.20 and 0.3 < np.median(p) < 0.75
    assert all(t.p_lower <= t.p_value <= t.p_upper for t in found)


def test_a_planted_gain_is_found_and_permuting_it_away_kills_it() -> None:
    baseline, returns, names = variants(52, 4, 0.9)
    found = snooping_test(baseline, returns, names, seed=1)
    assert found.best == "v2" and found.mean_difference == pytest.approx(0.9, abs=0.4)
    assert found.p_value == pytest.approx(1 / 1001) == found.p_upper
    table, rng = np.column_stack([baseline, returns]), np.random.default_rng(8)
    p = []
    for seed in range(40):
        shuffled = rng.permuted(table, axis=1)  # within each epoch: nobody keeps the gain
        p.append(snooping_test(shuffled[:, 0], shuffled[:, 1:], names, seed=seed, draws=300).p_value)
    assert np.mean(np.array(p) < 0.05) <= 0.20 and np.median(p) > 0.3


def test_many_tries_cost_significance() -> None:
    """The best of eight equal variants, tested as if it had been the only one, looks like a find; among all, not."""
    alone, among = [], []
    for seed in range(40):
        baseline, returns, names = variants(52, seed, 0.0)
        found = snooping_test(baseline, returns, names, seed=seed, draws=300)
        best = names.index(found.best)
        alone.append(snooping_test(baseline, returns[:, [best]], [found.best], seed=seed, draws=300).p_upper)
        among.append(found.p_upper)
    assert (np.array(alone) <= np.array(among)).all()
    assert np.mean(np.array(alone) < 0.05) >= 0.3 > 0.2 >= np.mean(np.array(among) < 0.05)


def test_variants_that_cannot_be_tested_give_no_p_and_a_reason() -> None:
    baseline, returns, names = variants(20, 1, 0.0)
    short = snooping_test(baseline[:11], returns[:11], names, seed=1)
    same = snooping_test(baseline, np.column_stack([baseline] * 2), names[:2], seed=1)
    steady = snooping_test(baseline, np.column_stack([baseline + 1, returns[:, 0]]), names[:2], seed=1)
    for test, words in ((short, "at least 12"), (same, "equals the baseline"), (steady, "v0 differs")):
        assert math.isnan(test.p_value) and math.isnan(test.p_lower) and test.reason and words in test.reason
    rounding = snooping_test(baseline * 1e6, baseline[:, None] * 1e6 + 0.1, names[:1], seed=1)
    assert math.isnan(rounding.p_value) and "v0 differs" in str(rounding.reason)
    returns[:, 5] = baseline
    some = snooping_test(baseline, returns, names, seed=1)
    assert math.isfinite(some.p_value) and some.reason and some.reason.startswith("1 variants equal")
    with pytest.raises(DecisionError, match="may not repeat"):
        snooping_test(baseline, returns[:, :2], ["a", "a"], seed=1)
    with pytest.raises(DecisionError, match="expected"):
        snooping_test(baseline[1:], returns, names, seed=1)


def test_arch_is_imported_only_by_the_test_that_needs_it() -> None:
    code = "import sys, decide.voting.acceptance; sys.exit(bool({'arch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- tests of forecasts


def test_diebold_mariano_without_lags_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.random(30), rng.random(30) + 0.1
    wanted = stats.ttest_rel(a, b)
    found = diebold_mariano(a, b, lags=0)
    assert (found.statistic, found.p_value) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert diebold_mariano(b, a).statistic == pytest.approx(-diebold_mariano(a, b).statistic)


def test_diebold_mariano_by_hand_with_one_lag() -> None:
    d = np.array([1.0, 2.0, 0.0, 3.0, 4.0])  # mean 2, deviations −1 0 −2 1 2: γ₀ = 10/5, γ₁ = (0 + 0 − 2 + 2)/5 = 0
    found = diebold_mariano(d, np.zeros(5), lags=1)
    assert found.statistic == pytest.approx(math.sqrt((5 + 1 - 4 + 2 / 5) / 5) * 2 / math.sqrt(2 / 5))


def test_diebold_mariano_rejects_a_true_null_at_its_level() -> None:
    paths = autoregressive(np.random.default_rng(9), 600, 25, 0.0)
    rejected = np.mean([diebold_mariano(p, np.zeros(25)).p_value < 0.05 for p in paths])
    assert 0.02 <= rejected <= 0.08


def test_diebold_mariano_says_why_it_has_no_answer() -> None:
    assert "too few" in str(diebold_mariano([1.0, 2.0, 4.0], [0.0] * 3).reason)
    assert "same amount" in str(diebold_mariano([1.0] * 9, [0.5] * 9).reason)
    assert "same amount" in str(diebold_mariano(np.arange(9) * 1e6 + 0.1, np.arange(9) * 1e6).reason)
    assert "too few" in str(diebold_mariano(np.arange(6.0) ** 2, [0.0] * 6, lags=9).reason)


# --- acceptance


def good(epochs: int = 52) -> dict[str, object]:
    rng = np.random.default_rng(12)
    share = rng.uniform(0.93, 1.0, epochs)
    return {
        "gain_over_each_baseline": {
            "proportional": rng.normal(0.14, 0.077, epochs),
            "hold": rng.normal(0.10, 0.08, epochs),
        },
        "gain_over_snapshot": rng.normal(0.01, 0.02, epochs),
        "shares": (share, share - 0.03),
        "thresholds": LIMITS,
        "covered_share_by_measure": {"drift": np.full(epochs, 0.81), "uplift": rng.uniform(0.7, 0.9, epochs)},
    }


def judged(**changed: object) -> dict[str, Criterion]:
    return {c.name: c for c in acceptance(**{**good(), **changed})}  # type: ignore[arg-type]


def test_a_good_backtest_passes_every_criterion_in_a_fixed_order() -> None:
    found = judged()
    assert list(found) == [
        "mean_gain_hold", "drop_one_hold", "win_share_hold",
        "mean_gain_proportional", "drop_one_proportional", "win_share_proportional",
        "beats_snapshot", "p10_share", "coverage_drift", "coverage_uplift",
    ]  # fmt: skip
    assert all(c.passed is True for c in found.values()), found
    assert all(len(c.explanation) > 40 and math.isfinite(c.value) for c in found.values())


def test_one_lucky_epoch_does_not_pass() -> None:
    gain = np.full(20, -0.01)
    gain[4] = 0.3
    found = judged(gain_over_each_baseline={"hold": gain})
    assert found["drop_one_hold"].passed is False and "epoch number 5" in found["drop_one_hold"].explanation
    assert found["win_share_hold"].passed is False and found["win_share_hold"].value == 0.05
    assert found["mean_gain_hold"].passed is None


def test_skill_is_open_failed_or_passed_and_no_gain_is_no_skill() -> None:
    """Everything else passes: only against the snapshot does the forecast have to show what it is worth."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, 40)
    noise -= noise.mean()
    for shift, passed in ((0.005, None), (-0.005, None), (0.1, True), (-0.1, False)):
        found = judged(gain_over_snapshot=noise + shift)
        assert found["beats_snapshot"].passed is passed and f"{shift:+.2%}" in found["beats_snapshot"].explanation
        assert all(c.passed for c in found.values() if c.name != "beats_snapshot")
    assert judged(gain_over_snapshot=np.zeros(40))["beats_snapshot"].passed is False


def test_the_acceptance_level_is_one_sided() -> None:
    gain = np.random.default_rng(3).normal(0.05, 0.2, 30)
    bound = judged(gain_over_each_baseline={"hold": gain})["mean_gain_hold"].value
    assert bound == mean_interval(gain, level=0.8).low
    with pytest.raises(DecisionError, match="level"):
        judged(thresholds={**LIMITS, "acceptance_level": 0.4})


def test_the_thresholds_decide_at_their_edge() -> None:
    shares = (np.full(12, 0.89), np.full(12, 0.90))
    assert judged(shares=shares)["p10_share"].passed is True
    assert judged(shares=shares, thresholds={**LIMITS, "acceptance_p10_slack": 0.009})["p10_share"].passed is False
    won = {"hold": [0.1] * 6 + [-0.1] * 4}
    assert judged(gain_over_each_baseline=won)["win_share_hold"].passed is True
    strict = {**LIMITS, "acceptance_win_share": 0.61}
    assert judged(gain_over_each_baseline=won, thresholds=strict)["win_share_hold"].passed is False
    for share, passed in ((0.71, False), (0.72, True), (0.88, True), (0.89, False)):
        assert judged(covered_share_by_measure={"drift": [share] * 9})["coverage_drift"].passed is passed


def test_too_few_epochs_are_neither_passed_nor_failed() -> None:
    few = [0.5, 0.6, 0.7]
    found = acceptance({"hold": few}, few, ([0.9] * 9, [0.5] * 9), LIMITS, {"drift": [0.8] * 3})
    found += acceptance({"hold": []}, [], ([], []), LIMITS, {"drift": []})
    assert len(found) == 12
    assert all(c.passed is None and math.isnan(c.value) and "Cannot be judged" in c.explanation for c in found)


def test_what_acceptance_needs_is_named() -> None:
    with pytest.raises(DecisionError, match="acceptance_win_share"):
        judged(thresholds={k: v for k, v in LIMITS.items() if k != "acceptance_win_share"})
    with pytest.raises(DecisionError, match="not paired: 51"):
        judged(shares=([0.9] * 51, [0.9] * 52))


def test_a_band_of_equal_returns_is_their_compound_and_few_returns_have_none() -> None:
    band = compounded_band(np.full(8, 0.1), seed=1)
    np.testing.assert_allclose(band.low, 1.1 ** np.arange(1, 9))
    np.testing.assert_allclose(band.high, band.low)
    few = compounded_band([0.1, -0.1, 0.2], seed=1)
    assert not len(few.low) and not len(few.high) and few.reason is not None and few.reason.startswith("3 epochs")
    for wrong, level in (([0.1] * 8, 1.0), ([0.1] * 7 + [-1.5], 0.9), ([0.1] * 7 + [math.nan], 0.9)):
        with pytest.raises(DecisionError):
            compounded_band(wrong, level, seed=1)


def test_a_band_holds_the_expected_total_as_often_as_it_says() -> None:
    """90 % of bands over 60 independent returns hold what the mean log return makes of them, within sampling error."""
    rng = np.random.default_rng(11)
    mean, deviation, held = 0.002, 0.02, 0
    for run in range(300):
        band = compounded_band(np.expm1(rng.normal(mean, deviation, 60)), draws=300, seed=run)
        held += band.low[-1] <= math.exp(60 * mean) <= band.high[-1]
    assert 0.84 <= held / 300 <= 0.94
