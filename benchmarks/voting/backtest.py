"""The whole decision side on a synthetic panel: forecasts walked forward, replay, statistics; one process and two.

python -m benchmarks.voting.backtest            52 epochs x 4 windows x 60 gauges
python -m benchmarks.voting.backtest --json
"""

from __future__ import annotations

import functools
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import numpy as np
import pyarrow as pa

from benchmarks.common import Contestant, arguments, race, result, show
from benchmarks.voting.decision_tables import WINDOW_SCHEMA, seed_rows, window_row
from decide.voting.backtest_tables import backtest_tables
from decide.voting.forecast_tables import forecast_quantiles, forecast_scenarios
from decide.voting.recommend_tables import Seeds

WEEK = 604_800
FIRST = 1_700_092_800  # a Thursday 00:00 UTC
WINDOWS = {"day": (86_400, 0.25), "T-5": (300, 0.05), "T-1": (60, 0.02), "T-0": (0, 0.0)}
POWER = 1_774_908.0


@functools.cache
def inputs(epochs: int, gauges: int, windows: tuple[str, ...]) -> tuple[pa.Table, pa.Table]:
    """Panel and voter windows of a Hydrex-like exchange; late moves grow with the time that is left."""
    chance = np.random.default_rng(7)
    size = chance.lognormal(5.5, 1.2, gauges)
    pull = chance.lognormal(0, 0.5, gauges)
    panel, rows = [], []
    for epoch in (FIRST + n * WEEK for n in range(epochs)):
        final_rewards = size * chance.lognormal(0, 0.4, gauges)
        final_votes = final_rewards * pull * 400 * chance.lognormal(0, 0.3, gauges)
        known_at = datetime.fromtimestamp(epoch + WEEK + 10, UTC)
        for position, name in enumerate(WINDOWS, 1):
            left = WINDOWS[name][1]
            late = np.abs(chance.normal(0, 1, (2, gauges))) * left
            decision_at = datetime.fromtimestamp(epoch + WEEK, UTC) - timedelta(seconds=WINDOWS[name][0])
            if name not in windows:
                continue
            key = {"protocol": "hydrex", "voter_id": "observer", "epoch": epoch, "decision_window": name}
            rows.append(key | window_row(position, decision_at, POWER, "none"))
            for g in range(gauges):
                panel.append(
                    key
                    | {
                        "gauge_address": f"0x{g:040x}",
                        "other_votes_now": final_votes[g] * np.exp(-late[0, g]),
                        "other_votes_final": final_votes[g],
                        "own_votes_now": 0.0,
                        "own_votes_final": 0.0,
                        "previous_votes": 0.0,
                        "rewards_now_usd": final_rewards[g] * np.exp(-late[1, g]),
                        "rewards_final_usd": final_rewards[g],
                        "data_confidence": 1.0,
                        "is_price_stale": False,
                        "is_candidate": True,
                        "decision_at": decision_at,
                        "known_at": known_at,
                    }
                )
    return pa.Table.from_pylist(panel), pa.Table.from_pylist(rows, schema=WINDOW_SCHEMA)


def run(epochs: int, gauges: int, windows: tuple[str, ...]) -> int:
    """Forecast and replay some windows; returns the rows of the replay."""
    panel, voter_windows = inputs(epochs, gauges, windows)
    names = ("thresholds", "scenario_weights", "risk_profiles", "voting_rules", "decision_windows", "submission_counts")
    seeds = Seeds(*(seed_rows(name) for name in names))
    quantiles = forecast_quantiles(panel, seed_rows("forecast_candidates"), seeds.thresholds)
    forecasts = forecast_scenarios(panel, quantiles, seeds.scenario_weights, seeds.thresholds)
    results = backtest_tables(panel, quantiles, forecasts, voter_windows, seeds, seed_rows("backtest_variants"))
    worst = max(gap for gap in results["optimality_gap"].to_pylist() if gap is not None)
    assert worst <= 1e-6, f"an allocation is not certified: gap {worst}"
    return results.num_rows


def main() -> None:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--epochs", type=int, default=52)
    parser.add_argument("--gauges", type=int, default=60)
    asked = parser.parse_args()
    size = (asked.epochs, asked.gauges)
    everything = tuple(WINDOWS)
    inputs(*size, everything)
    halves = [("day", "T-0"), ("T-5", "T-1")]  # windows are independent but for the staged rows
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(functools.partial(inputs, *size), halves))  # workers up, panels made
        contestants = [
            Contestant("one process", lambda: run(*size, everything) and None),
            Contestant(
                "two processes, two windows each",
                lambda: list(pool.map(functools.partial(run, *size), halves)) and None,
            ),
        ]
        race(contestants, asked.rounds)
    decisions = asked.epochs * len(WINDOWS)
    found = result("forecast and replay, eight strategies", contestants, decisions, "decisions", gauges=asked.gauges)
    show(found, asked.json)


if __name__ == "__main__":
    main()
