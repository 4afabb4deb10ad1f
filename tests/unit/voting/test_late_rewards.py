"""Late rewards beyond what quantiles say: each gauge's own record, and what is left for the exchange as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from decide.columns import floats, in_order
from decide.voting.forecast_tables import KEYS
from decide.voting.late_rewards import Record, late_rewards
from tests.decision_fixtures import Exchange

LONE, EPOCHS, GAUGES = 5, 10, 6


def lone(seed: int = 1) -> Exchange:
    """Nothing moves but one gauge, which has no reward until after the last decision of three epochs in ten."""
    chance = np.random.default_rng(seed)
    votes = np.repeat(chance.lognormal(11, 0.5, (1, GAUGES)), EPOCHS, axis=0)
    rewards = np.repeat(chance.lognormal(6, 0.5, (1, GAUGES)), EPOCHS, axis=0)
    votes[:, LONE], rewards[:, LONE] = 500.0, 0.0
    final = rewards.copy()
    final[[1, 4, 7], LONE] = 1_500.0
    two = 2  # windows
    return Exchange(np.repeat(votes[:, None], two, axis=1), votes, np.repeat(rewards[:, None], two, axis=1), final)


def ordered(of: Exchange) -> tuple[pa.Table, np.ndarray]:
    rows = in_order(of.panel(), KEYS)
    return rows, floats(rows, "rewards_now_usd")


def surprises(rows: pa.Table, expected: np.ndarray, strength: float) -> np.ndarray:
    return late_rewards(rows, expected, lambda _, gauges: Record(sorted(set(gauges)), strength, np.inf))[0]


def growth(rows: pa.Table, expected: np.ndarray, least: float) -> np.ndarray:
    return late_rewards(rows, expected, lambda _, gauges: Record(sorted(set(gauges)), np.inf, least))[1]


def test_a_gauges_own_record_is_what_it_gets_late_shrunk() -> None:
    """Σ (final − expected) / (n + 12), by hand: 0 before the first late bribe is known, 1,500/14 after two epochs."""
    rows, now = ordered(lone())
    found = surprises(rows, now, 12.0)
    place = [(r["decision_window"], r["gauge_address"] == lone().gauge(LONE)) for r in rows.to_pylist()]
    day = np.array([window == "day" and is_lone for window, is_lone in place])
    assert found[day] == pytest.approx(
        [0, 0, *(1_500 / (n + 12) for n in (2, 3, 4)), *(3_000 / (n + 12) for n in (5, 6, 7)), 4_500 / 20, 4_500 / 21]
    )
    assert not found[[not is_lone for _, is_lone in place]].any()


def test_a_record_of_less_than_expected_takes_nothing_away() -> None:
    rows, now = ordered(lone())
    assert not surprises(rows, now + 2_000.0, 12.0).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_what_comes_later_moves_nothing(seed: int) -> None:
    of = lone()
    chance = np.random.default_rng(seed)
    for at in (3, 6, 9):
        final = of.rewards_final.copy()
        final[at:] = chance.lognormal(7, 1, final[at:].shape)
        other = replace(of, rewards_final=final)
        (rows, now), (later, _) = ordered(of), ordered(other)
        epochs = sorted({row["epoch"] for row in rows.to_pylist()})
        decided = np.array([row["epoch"] <= epochs[at] for row in rows.to_pylist()])
        for number, constant in ((surprises, 12.0), (growth, 3)):
            found, moved = (number(table, now, constant) for table in (rows, later))
            assert np.array_equal(found[decided], moved[decided])
            assert at == 9 or not np.array_equal(found, moved), "the control"


def test_growth_counts_what_the_gauges_own_records_leave() -> None:
    """All rewards grow by up to a third: with what is visible as expectation the sum says by how much."""
    rows, now = ordered(Exchange.drawn(8, 6))
    found = growth(rows, now, 3)
    where = rows.select(["epoch", "decision_window"]).to_pylist()
    epochs = sorted({row["epoch"] for row in where})
    first = np.array([row["epoch"] in epochs[:3] for row in where])
    assert (found[first] == 1).all()
    assert ((found[~first] > 1.05) & (found[~first] < 1.3)).all()
    same = {(row["epoch"], row["decision_window"], g) for row, g in zip(where, found, strict=True)}
    assert len(same) == len({key[:2] for key in same}), "one number a decision: it never moves votes"


def test_the_one_gauge_that_is_bribed_at_the_last_moment_gets_a_few_votes() -> None:
    """What is visible puts none on it and loses the bribe; the forecast puts some, and earns more over all epochs."""
    of = replace(lone(), power=5_000.0)
    rows = [row for row in of.replayed().to_pylist() if row["decision_window"] == "T-5"]
    earned = {
        name: sum(row["realised_usd"] for row in rows if row["strategy"] == name) for name in ("foreshore", "snapshot")
    }
    assert earned["foreshore"] > 1.1 * earned["snapshot"]
    last = max(row["epoch"] for row in rows)
    (ours,) = [row for row in rows if row["strategy"] == "foreshore" and row["epoch"] == last]
    held = {vote["gauge_address"]: vote["votes"] for vote in ours["votes"]}
    assert 0 < held[of.gauge(LONE)] < 5_000
