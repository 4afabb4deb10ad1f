"""Large voters one by one: known conduits are recovered, and nothing of the future is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decide.voting.conduits import LEAST_SHARE, Conduit, Held, Style, Week, after, chosen, learn
from decide.voting.forecast import Candidate, Panel, move, walk_forward
from decide.voting.situation import returns
from tests.decision_fixtures import WEEK, Exchange, rules, seed_rows

FLOOR, GAUGES, EPOCHS = 1_000.0, 30, 10
STYLES: list[Style] = ["proportional", "answer", "size", "habit"]
POWERS = [900_000.0, 700_000.0, 500_000.0, 400_000.0]
BREADTHS = [12, 9, 6, 5]
SOME = st.floats(1e-3, 1e6)


def lived(seed: int = 3) -> list[Week]:
    """Weeks in which four conduits, one of each style, vote in turn after the moment; the first has voted before it in
    each third week, and stays. A crowd holds a third of the votes, nobody of it much.
    """
    chance = np.random.default_rng(seed)
    gauge, habit = np.arange(GAUGES), np.zeros(GAUGES)
    habit[[3, 8, 13, 18, 23]] = [0.4, 0.3, 0.1, 0.1, 0.1]
    found = []
    for e in range(EPOCHS):
        rewards, crowd = chance.lognormal(6, 1, GAUGES), chance.lognormal(10, 1.2, GAUGES)
        final, now, votes = np.zeros((GAUGES, 5)), np.zeros((GAUGES, 5)), crowd.copy()
        for m, style in enumerate(STYLES):
            shares = habit if style == "habit" else chosen(style, votes, rewards, POWERS[m], BREADTHS[m], FLOOR)
            final[:, m] = POWERS[m] * shares
            votes = votes + final[:, m]
        now[:, 0] = final[:, 0] if e % 3 == 0 else 0.0
        now[0, 4] = final[0, 4] = 5_000.0  # one of the crowd
        found.append(Week(gauge, crowd + now[:, 0], rewards, now, votes, final))
    return found


def test_known_conduits_are_recovered() -> None:
    weeks = lived()
    found = learn(weeks[:-1], FLOOR)
    assert [c.place for c in found] == [0, 1, 2, 3], "the largest first, and nobody of the crowd"
    assert [c.style for c in found] == STYLES
    assert [c.power for c in found] == pytest.approx(POWERS)
    assert [c.breadth for c in found[1:]] == pytest.approx(
        [np.count_nonzero(weeks[0].final[:, m]) for m in (1, 2, 3)], abs=2
    )
    assert all(c.first > 0.9 for c in found) and found[0].again < 0.4
    assert found[3].habit[3] == pytest.approx(0.4) and found[3].habit[0] == 0.0
    week = replace(weeks[-1], votes_end=np.full(GAUGES, np.nan), final=np.full((GAUGES, 5), np.nan))
    missed = np.abs(after(week, found, FLOOR) - weeks[-1].votes_end).sum() / 2
    assert missed < 0.15 * (weeks[-1].votes_end.sum() - week.votes.sum()), "of what was to come"


def test_what_a_conduit_is_not_seen_to_do_is_taken_from_the_others() -> None:
    """The second has never had a vote standing: whether it would vote anew is judged by the one that has."""
    found = learn(lived(), FLOOR)
    assert found[1].again == pytest.approx(0.5 / 4, rel=0.5) and found[1].first > 0.9


def test_without_known_ends_there_are_no_conduits() -> None:
    weeks = lived()
    assert learn([], FLOOR) == []
    assert learn([replace(week, final=np.zeros((GAUGES, 5))) for week in weeks], FLOOR) == []
    small = [replace(week, final=week.final * LEAST_SHARE * 0.1) for week in weeks]
    assert learn(small, FLOOR) == []


@given(st.lists(st.tuples(SOME | st.just(0.0), SOME | st.just(0.0)), min_size=1, max_size=12), SOME, st.integers(1, 12))
def test_shares_are_of_the_whole_power_on_few_gauges(
    gauges: list[tuple[float, float]], power: float, breadth: int
) -> None:
    votes, rewards = (np.array(column) for column in zip(*gauges, strict=True))
    for style in ("proportional", "answer", "size"):
        shares = chosen(style, votes, rewards, power, breadth, FLOOR)
        assert (shares >= 0).all() and np.count_nonzero(shares) <= breadth
        assert shares.sum() == pytest.approx(1.0 if (rewards > 0).any() else 0.0)
        assert not shares[rewards <= 0].any()


@given(st.lists(st.tuples(SOME, SOME), min_size=2, max_size=8), SOME, st.integers(0, 7), st.integers(0, 7))
def test_the_best_answer_earns_most(gauges: list[tuple[float, float]], power: float, i: int, j: int) -> None:
    """No vote moved between two gauges earns more."""
    votes, rewards = (np.array(column) for column in zip(*gauges, strict=True))
    x = power * chosen("answer", votes, rewards, power, len(votes), FLOOR)
    i, j = i % len(x), j % len(x)
    other = x.copy()
    other[i], other[j] = other[i] - 0.1 * x[i], other[j] + 0.1 * x[i]
    earned = [float(returns((votes + FLOOR)[:, None], rewards[:, None], own)[0]) for own in (x, other)]
    assert i == j or earned[1] <= earned[0] * (1 + 1e-9)


def panel_of(weeks: list[Week]) -> tuple[Panel, np.ndarray, Held]:
    epoch = np.repeat(np.arange(len(weeks)), GAUGES)
    boundary = (epoch + 1) * WEEK
    columns = {name: np.concatenate([getattr(week, name) for week in weeks]) for name in vars(weeks[0])}
    panel = Panel(
        epoch, columns["gauge"], columns["votes"], columns["rewards"], boundary - 300_000_000, boundary + 10_000_000
    )
    return panel, move(panel.votes, columns["votes_end"], FLOOR), Held(columns["now"], columns["final"])


VOTERS = Candidate("voters", "pooled", 12, "gap", 4, 0, large_voters=True)


def test_the_forecast_that_knows_them_is_chosen_and_nearer() -> None:
    panel, moves, held = panel_of(lived())
    plain = replace(VOTERS, name="plain", large_voters=False)
    late = panel.epoch >= 4
    missed = {}
    for candidate in (plain, VOTERS):
        found = walk_forward(panel, moves, rules(candidates=(candidate,), default=0), held)
        missed[candidate.name] = float(np.abs(moves - found.quantiles[:, 2])[late].mean())
    assert missed["voters"] < 0.3 * missed["plain"]
    both = walk_forward(panel, moves, rules(candidates=(plain, VOTERS), default=0), held)
    assert (both.chosen[late] == 1).all()
    nobody = walk_forward(panel, moves, rules(candidates=(VOTERS,), default=0))
    same = walk_forward(panel, moves, rules(candidates=(plain,), default=0))
    assert np.array_equal(nobody.quantiles, same.quantiles), "where nobody is told apart it is the plain candidate"


@pytest.mark.parametrize("at", [3, 6, 8])
def test_what_large_voters_do_later_moves_nothing(at: int) -> None:
    """Votes visible after the decision, and how this and later epochs ended: other numbers, the same forecast."""
    panel, moves, held = panel_of(lived())
    alone = rules(candidates=(VOTERS,), default=0)
    found = walk_forward(panel, moves, alone, held)
    chance = np.random.default_rng(1)
    later, future = panel.epoch > at, panel.epoch >= at
    now, final = held.now.copy(), held.final.copy()
    now[later] = chance.lognormal(10, 1, now[later].shape)
    final[future] = chance.lognormal(10, 1, final[future].shape)
    other_moves = np.where(future, chance.normal(0, 1, len(moves)), moves)
    other = walk_forward(panel, other_moves, alone, Held(now, final))
    decided = panel.epoch <= at
    assert np.array_equal(found.quantiles[decided], other.quantiles[decided])
    now, final = held.now.copy(), held.final.copy()
    final[panel.epoch < at] *= 3.0
    past = walk_forward(panel, moves, alone, Held(now, final))
    assert not np.array_equal(found.quantiles[panel.epoch == at], past.quantiles[panel.epoch == at]), "the control"


def test_the_panels_lists_are_read_whatever_their_order_and_whoever_else_is_there() -> None:
    """Through the tables: rows shuffled, and a voter that only a later epoch has, change no earlier forecast."""
    chance = np.random.default_rng(2)
    drawn = Exchange.drawn(6, 8)
    final = chance.dirichlet(np.ones(3), (6, 8)).transpose(0, 2, 1) * 0.6 * drawn.votes_final[:, None]
    now = np.repeat(0.3 * final[:, None], 2, axis=1)
    now[:, :, 1] = 0.0
    with_voters = replace(drawn, voters_now=now, voters_final=final)
    found, mixed = with_voters.tables(), with_voters.tables(shuffled=4)
    order = [(name, "ascending") for name in ("epoch", "decision_window", "measure", "gauge_address")]
    columns = ["p10", "p50", "p90"]
    assert found[1].sort_by(order).select(columns).equals(mixed[1].sort_by(order).select(columns))
    extra = np.zeros((6, 1, 8))
    extra[-1] = 1e5
    more = replace(
        with_voters,
        voters_now=np.concatenate([np.repeat(extra[:, None], 2, axis=1), now], axis=2),
        voters_final=np.concatenate([extra, final], axis=1),
    ).tables()
    last = max(found[1]["epoch"].to_pylist())
    early = [row["epoch"] < last for row in found[1].to_pylist()]
    assert found[1].filter(early).select(columns).equals(more[1].filter(early).select(columns))
    assert not found[1].select(columns).equals(drawn.tables()[1].select(columns)), "the votes told apart count"
    assert sum(bool(row["large_voters"]) for row in seed_rows("forecast_candidates")) == 2


def test_a_conduit_that_finds_nothing_stays_where_it_is() -> None:
    voter = Conduit(0, 100.0, 2, 1.0, 1.0, "proportional", {})
    week = Week(
        np.arange(2), np.array([60.0, 40.0]), np.zeros(2), np.array([[50.0], [0.0]]), np.zeros(2), np.zeros((2, 1))
    )
    assert after(week, [voter], FLOOR).tolist() == [60.0, 40.0]
