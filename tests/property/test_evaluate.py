"""What holds of scores and intervals for any sample: symmetry, scale, order, and the same bytes for the same seed."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from decide.evaluate import diebold_mariano
from decide.quantiles import pinball_rows
from decide.uncertainty import (
    Statistic,
    bootstrap_interval,
    compounded_band,
    mean_interval,
    snooping_test,
    stationary_indices,
)

LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = arrays.arrays(np.float64, st.integers(1, 60), elements=numbers)
statistics = st.sampled_from(["mean", "median", "p10"])
seeds = st.integers(0, 2**32)


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows = draw(st.integers(1, 12))
    truth = draw(arrays.arrays(np.float64, rows, elements=numbers))
    return truth, np.sort(draw(arrays.arrays(np.float64, (rows, 5), elements=numbers)), axis=1)


@given(forecasts())
def test_losses_are_never_negative_and_nothing_when_exact(forecast: tuple[np.ndarray, np.ndarray]) -> None:
    truth, quantiles = forecast
    assert (pinball_rows(truth, quantiles, LEVELS) >= 0).all()
    assert (pinball_rows(truth, np.repeat(truth[:, None], 5, axis=1), LEVELS) == 0).all()


@given(forecasts())
def test_mirrored_forecasts_lose_the_same(forecast: tuple[np.ndarray, np.ndarray]) -> None:
    truth, quantiles = forecast
    mirrored = pinball_rows(-truth, -quantiles[:, ::-1], LEVELS)
    np.testing.assert_allclose(mirrored, pinball_rows(truth, quantiles, LEVELS)[:, ::-1], rtol=1e-9, atol=1e-9)


@given(st.integers(1, 40), st.integers(1, 8), seeds)
def test_resampled_rows_exist_and_blocks_continue_or_restart(epochs: int, block: int, seed: int) -> None:
    rows = stationary_indices(epochs, block, 6, seed)
    assert rows.shape == (6, epochs) and rows.min() >= 0 and rows.max() < epochs


@settings(max_examples=60)
@given(samples, statistics, seeds)
def test_intervals_are_ordered_within_the_sample_and_repeatable(values: np.ndarray, name: Statistic, seed: int) -> None:
    first, second = (bootstrap_interval(values, name, draws=60, seed=seed) for _ in range(2))
    assert repr(first) == repr(second)
    assert first.observations == len(values) and math.isnan(first.low) == math.isnan(first.high)
    if math.isnan(first.low):
        assert first.reason
    else:
        slack = 1e-9 * max(1.0, float(np.abs(values).max()))
        assert values.min() - slack <= first.low <= first.high <= values.max() + slack


@settings(max_examples=40)
@given(samples, st.floats(0.01, 100), st.floats(-100, 100), seeds)
def test_intervals_move_and_stretch_with_their_values(values: np.ndarray, by: float, shift: float, seed: int) -> None:
    plain = bootstrap_interval(values, "median", draws=50, seed=seed)
    moved = bootstrap_interval(values * by + shift, "median", draws=50, seed=seed)
    wanted = [plain.low * by + shift, plain.high * by + shift]
    np.testing.assert_allclose([moved.low, moved.high], wanted, rtol=1e-9, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), seeds)
def test_the_order_of_variants_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, names = rng.random(14), [f"v{n}" for n in range(5)]
    returns = baseline[:, None] + rng.normal(0.1, 0.3, (14, 5))
    returns[:, 4] = returns[:, 3]  # a tie goes to the first name
    straight = snooping_test(baseline, returns, names, seed, draws=40)
    turned = snooping_test(baseline, returns[:, order], [names[n] for n in order], seed, draws=40)
    assert repr(straight) == repr(turned) == repr(snooping_test(baseline, returns, names, seed, draws=40))


@given(st.data(), st.integers(4, 40))
def test_swapping_forecasters_turns_the_sign_and_keeps_p(data: st.DataObject, epochs: int) -> None:
    a, b = (data.draw(arrays.arrays(np.float64, epochs, elements=numbers)) for _ in range(2))
    one, other = diebold_mariano(a, b), diebold_mariano(b, a)
    assert one.reason == other.reason
    np.testing.assert_allclose([one.statistic, one.p_value], [-other.statistic, other.p_value], rtol=1e-6)


@given(samples, st.floats(0.5, 0.99), st.floats(0.01, 100), st.floats(-100, 100))
def test_intervals_of_means_move_stretch_and_mirror(values: np.ndarray, level: float, by: float, shift: float) -> None:
    plain, moved = mean_interval(values, level), mean_interval(-values * by + shift, level)
    wanted = [-plain.high * by + shift, -plain.low * by + shift]
    np.testing.assert_allclose(
        [moved.low, moved.high], wanted, rtol=1e-6, atol=1e-6 * max(1, np.abs(values).max() * by)
    )
    assert math.isnan(plain.low) == (len(values) < 4) and (len(values) >= 4 or plain.reason)


@given(
    arrays.arrays(np.float64, st.integers(4, 40), elements=st.floats(-0.2, 0.2, allow_subnormal=False)),
    seeds,
)
@settings(max_examples=50)
def test_a_band_ends_where_the_mean_of_log_returns_does_and_is_ordered(returns: np.ndarray, seed: int) -> None:
    band = compounded_band(returns, draws=400, seed=seed)
    assert band.reason is None and band.low.shape == band.high.shape == returns.shape
    assert (band.low <= band.high).all() and (band.low >= 0).all()
    known = bootstrap_interval(np.log1p(returns), "mean", draws=400, seed=seed)
    count = len(returns)  # percentiles are drawn between two neighbours: of products and of sums not quite the same
    np.testing.assert_allclose(
        (np.log(band.low[-1]), np.log(band.high[-1])), (count * known.low, count * known.high), atol=0.02
    )
    again = compounded_band(returns, draws=400, seed=seed)
    assert (again.low == band.low).all() and (again.high == band.high).all()
