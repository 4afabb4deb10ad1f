"""Real late bribes: why a forecast of rewards must work where there is nothing yet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from decide.voting.forecast import apply_move, move

pytestmark = pytest.mark.golden
FLOOR = 1.0  # uplift_floor_usd


@pytest.fixture(scope="module")
def bribes(golden: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with (golden / "hydrex" / "late_bribe_pattern.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(np.array([float(row[name]) for row in rows]) for name in ("boundary_usd", "late_usd", "total_usd"))  # type: ignore[return-value]


def test_totals_are_what_was_seen_plus_what_came_late(bribes: tuple[np.ndarray, ...]) -> None:
    seen, late, total = bribes
    assert np.allclose(seen + late, total, atol=0.02)
    assert (seen == 0).sum() >= 4, "pools that got all of their bribe late are why ratios alone are not enough"
    assert late.max() > 6_000


def test_the_model_of_rewards_holds_every_late_bribe(bribes: tuple[np.ndarray, ...]) -> None:
    """Log moves with a floor give the dollars back exactly, from nothing too; a plain ratio is undefined there."""
    seen, _, total = bribes
    moves = move(seen, total, FLOOR)
    assert np.isfinite(moves).all()
    assert np.allclose(apply_move(seen, moves, FLOOR), total, rtol=1e-12)
    with np.errstate(divide="ignore"):
        assert np.isinf(total[seen == 0] / seen[seen == 0]).all()
    nothing = np.zeros(1)
    assert apply_move(nothing, np.quantile(moves[seen == 0], [0.5]), FLOOR)[0] == pytest.approx(
        np.median(total[seen == 0]), rel=0.5
    ), "quantiles survive the transformation: it is additive where nothing stood"
