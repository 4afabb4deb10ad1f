"""Votes that chase rewards: where those to come go, and what a forecast learns of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decide.voting.chasing import RECENT, filled, usual_total
from decide.voting.forecast import Candidate, Panel, move, walk_forward
from simulate.voting.agents import best_answer
from tests.decision_fixtures import WEEK, rules

SOME = st.floats(1e-3, 1e6)
AMOUNTS = st.lists(st.tuples(SOME | st.just(0.0), SOME | st.just(0.0)), min_size=1, max_size=12)
PLAIN = Candidate("plain", "pooled", 12, "gap", 4, 0)


@given(AMOUNTS, SOME | st.just(0.0))
def test_votes_to_come_go_where_a_vote_is_paid_most(gauges: list[tuple[float, float]], coming: float) -> None:
    votes, rewards = (np.array(column) for column in zip(*gauges, strict=True))
    after = filled(votes, rewards, coming)
    assert (after >= votes).all()
    if not (rewards > 0).any():
        assert (after == votes).all()
        return
    assert float((after - votes).sum()) == pytest.approx(coming, rel=1e-6, abs=1e-6 * (1 + votes.sum()))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(rewards > 0, rewards / after, 0.0)
    got = after > votes * (1 + 1e-9) + 1e-9
    if got.any():
        assert rate[got].min() >= rate[~got].max(initial=0.0) * (1 - 1e-6), "nobody passes a better paid gauge by"


def test_the_usual_total_is_that_of_the_newest_epochs() -> None:
    finals, epoch = np.array([1.0] * 5 + [50.0] * RECENT), np.arange(5 + RECENT)
    assert usual_total(finals, epoch) == 50.0 and usual_total(finals[:0], epoch[:0]) == 0.0


def chased(epochs: int, gauges: int) -> tuple[Panel, np.ndarray]:
    """Each epoch some of the votes are there, by no rule; the rest, up to the same total, then chases rewards."""
    chance = np.random.default_rng(5)
    epoch, gauge = np.repeat(np.arange(epochs), gauges), np.tile(np.arange(gauges), epochs)
    rewards = chance.lognormal(6, 1, len(epoch))
    votes = chance.lognormal(9, 1.5, len(epoch))
    after = np.concatenate(
        [filled(votes[epoch == e], rewards[epoch == e], 6e6 - votes[epoch == e].sum()) for e in range(epochs)]
    )
    boundary = (epoch + 1) * WEEK
    panel = Panel(epoch, gauge, votes, rewards, boundary - 300_000_000, boundary + 10_000_000)
    return panel, move(votes, after, 1_000.0)


def test_a_forecast_that_knows_of_chasing_does_not_promise_too_much() -> None:
    """Where votes chase rewards the gauges that look best get most votes; plain clusters see half of it."""
    panel, moves = chased(14, 40)
    late = panel.epoch >= 8
    wrong: dict[str, float] = {}
    for name, chase in (("plain", 0.0), ("chase", 1.0)):
        found = walk_forward(panel, moves, rules(candidates=(replace(PLAIN, chase=chase),), default=0))
        best = late & (panel.rewards / (panel.votes + 1_000) > np.quantile(panel.rewards / (panel.votes + 1_000), 0.8))
        wrong[name] = float(np.mean((moves - found.quantiles[:, 2])[best]))
    assert abs(wrong["chase"]) < 0.5 * abs(wrong["plain"]) and abs(wrong["chase"]) < 0.15
    both = (PLAIN, replace(PLAIN, name="chase", chase=1.0))
    assert (walk_forward(panel, moves, rules(candidates=both, default=0)).chosen[late] == 1).all()


def test_the_agents_of_the_world_answer_best() -> None:
    """No exchange of a vote between two gauges earns a conduit more."""
    gauges = {0: (1_000.0, 50.0), 1: (500.0, 80.0), 2: (9_000.0, 10.0)}
    found = best_answer(gauges, 2_000.0)
    assert sum(found.values()) == pytest.approx(2_000)
    worth = {i: usd * votes / (votes + found[i]) ** 2 for i, (votes, usd) in gauges.items()}
    held = [worth[i] for i in gauges if found[i] > 0]
    assert max(worth.values()) == pytest.approx(max(held)) and max(held) == pytest.approx(min(held))
