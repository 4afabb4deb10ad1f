"""Two real vote epochs: the exact optimum against what was computed and what was earned then.

The recording has final bribes, own votes and what they earned; other voters' votes follow as x·(bribe/earned − 1).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from decide.voting.allocate import Problem, gauge_returns, solve
from decide.voting.constants import risk_profiles
from extract.seeds import read_seed

pytestmark = pytest.mark.golden
POWER = 1_774_908.0
SEEDS = Path(__file__).parents[3] / "seeds" / "voting"


def epoch(golden: Path, date: str) -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    """V (N, 1), R (N, 1) of the gauges whose other votes can be recovered from either column, and their rows."""
    with (golden / "hydrex" / "allocation_decision.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["epoch_date"] == date]
    votes, rewards, kept = [], [], []
    for row in rows:
        pairs = [(row["our_votes"], row["our_expected_usd"]), (row["optimal_votes"], row["optimal_expected_usd"])]
        own, earned = max(((float(x), float(usd)) for x, usd in pairs), key=lambda pair: pair[1])
        if own > 0 and earned > 0:
            votes.append(max(own * (float(row["final_bribe_usd"]) / earned - 1), 0.0))
            rewards.append(float(row["final_bribe_usd"]))
            kept.append(row)
    return np.array(votes)[:, None], np.array(rewards)[:, None], kept


def optimum(votes: np.ndarray, rewards: np.ndarray, count: int, least: float = 1000.0) -> float:
    made = solve(Problem(votes, rewards, POWER, np.ones(1), least, count))
    assert made.status == "optimal" and made.gap <= 1e-6
    return made.objective


@pytest.mark.parametrize(
    ("date", "recorded", "best", "shares"),
    [
        ("2026-04-16", 728.55, 731.15, {5: 86.7, 10: 93.3, 20: 98.0, 30: 99.5}),
        ("2026-04-30", 477.37, 477.61, {5: 95.3, 10: 97.4, 20: 99.0, 30: 99.7}),
    ],
)
def test_the_exact_optimum_of_real_epochs(
    golden: Path, date: str, recorded: float, best: float, shares: dict[int, float]
) -> None:
    votes, rewards, rows = epoch(golden, date)
    free = optimum(votes, rewards, len(votes))
    assert free > recorded and free > sum(float(row["our_expected_usd"]) for row in rows)
    assert free == pytest.approx(best, abs=0.02)
    for count, share in shares.items():
        assert 100 * optimum(votes, rewards, count) / free == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("date", ["2026-04-16", "2026-04-30"])
def test_the_recorded_optimum_is_reproduced_and_beaten(golden: Path, date: str) -> None:
    """Their own votes on their own gauges, valued by our formula, are what they recorded, and less than ours."""
    votes, rewards, rows = epoch(golden, date)
    theirs = np.array([float(row["optimal_votes"]) for row in rows])
    worth = gauge_returns(votes, rewards, theirs).sum()
    assert worth == pytest.approx(sum(float(row["optimal_expected_usd"]) for row in rows), rel=1e-3)
    made = solve(Problem(votes, rewards, float(theirs.sum()), np.ones(1), 1000.0, len(rows)))
    assert made.objective > worth


@pytest.mark.parametrize("date", ["2026-04-16", "2026-04-30"])
@pytest.mark.parametrize("power", [POWER, 100_000.0])
def test_the_default_profile_gives_up_little_of_real_epochs(golden: Path, date: str, power: float) -> None:
    """Whatever the voter's size: 2 % of the best under the exchange's own limits; the plan's limits cost 4 to 54 %."""
    votes, rewards, _ = epoch(golden, date)
    rows = [{name: value or None for name, value in row.items()} for row in read_seed(SEEDS, "risk_profiles")]
    profiles = risk_profiles(rows)
    (default,) = (row["risk_profile"] for row in rows if row["is_default"] == "true")

    def best(count: int, least: float) -> float:
        made = solve(Problem(votes, rewards, power, np.ones(1), least, count))
        return made.objective

    free = best(len(votes), 1.0)
    chosen, plan = profiles[default], profiles["plan"]
    assert best(chosen.k_max, chosen.min_votes) >= 0.98 * free
    if power >= plan.min_votes:
        assert best(plan.k_max, plan.min_votes) < 0.97 * free
