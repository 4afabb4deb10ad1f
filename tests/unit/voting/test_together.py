"""Several NFTs of one voter decided from their cases: nobody's own votes dilute twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from decide.errors import DecisionError
from decide.voting.decision_tables import Case, Truth
from decide.voting.revote import VotingRule
from decide.voting.situation import RiskProfile, Situation
from decide.voting.together import decide_together, joint_problem

EPOCH = 1_700_092_800
PROFILE = RiskProfile("p", "one", "none", 0.0, 0.25, 5, 0.0, None)
ANY, ONCE = VotingRule("x", None, None, 0, 1), VotingRule("x", 1, 30, 0, 1)
OTHERS = {"a": 1000.0, "b": 500.0, "c": 100.0}  # of everybody but our NFTs
REWARDS = {"a": 100.0, "b": 80.0, "c": 5.0}


def case(voter: str, power: float, own: dict[str, float], all_own: dict[str, float], drift: float = 1.0) -> Case:
    """What an NFT sees: everybody's votes but its own, those of its sisters among them."""
    gauges = tuple(OTHERS)
    now = np.array([[OTHERS[g] + all_own.get(g, 0.0) - own.get(g, 0.0)] for g in gauges])
    stands = np.array([own.get(g, 0.0) for g in gauges])
    rewards = np.array([[REWARDS[g]] for g in gauges])
    snapshot = Situation(gauges, now, rewards, np.ones(1), stands, stands, power)
    window = {"voted_at": datetime.fromtimestamp(EPOCH + 5, UTC) if own else None, "is_exempt": False}
    situations = {"one": replace(snapshot, votes=now * drift)}
    nothing = np.full(3, np.nan)
    return Case(
        ("x", voter, EPOCH, "T-1"), window, situations, snapshot, np.ones(3), np.array(["gauge"] * 3),
        Truth(nothing, nothing),
    )  # fmt: skip


def two(drift: float = 1.0) -> list[Case]:
    first, second = {"a": 300.0}, {"b": 200.0}
    both = first | second
    return [case("1", 300.0, first, both, drift), case("2", 200.0, second, both, drift)]


@pytest.mark.parametrize("drift", [1.0, 1.5])
def test_no_votes_of_the_voter_are_left_in_what_others_vote(drift: float) -> None:
    problem, gauges = joint_problem(two(drift), PROFILE, ANY)
    assert gauges == ("a", "b", "c")
    assert problem.votes[:, 0] == pytest.approx([drift * OTHERS[g] for g in gauges])
    assert [nft.power for nft in problem.nfts] == [300.0, 200.0]


def test_one_recommendation_and_a_change_set_per_nft() -> None:
    made, changes = decide_together(two(), PROFILE, ANY)
    x = made.votes.sum(axis=0)
    others, rewards = np.array(list(OTHERS.values())), np.array(list(REWARDS.values()))
    assert made.objective == pytest.approx(float((rewards * x / (others + x)).sum()))
    best = max(float((rewards * y / (others + y)).sum()) for a in range(501) for y in [np.array([a, 500 - a, 0.0])])
    assert best <= made.bound * (1 + 1e-12) and made.objective >= best * (1 - 1e-3)
    for nft, row in zip(("1", "2"), made.votes, strict=True):
        mine = [change for change in changes if change.voter_id == nft]
        assert sum(change.votes for change in mine) == row.sum()
        assert all(change.change_votes == change.votes - change.previous_votes for change in mine)
    assert {c.gauge_address for c in changes if c.voter_id == "1" and c.previous_votes} == {"a"}


def test_an_nft_whose_vote_is_cast_stays_where_one_vote_counts() -> None:
    cases = [case("1", 300.0, {"a": 300.0}, {"a": 300.0}), case("2", 200.0, {}, {"a": 300.0})]
    made, changes = decide_together(cases, PROFILE, ONCE)
    assert made.votes[0].tolist() == [300.0, 0.0, 0.0] and made.votes[1].sum() == 200.0
    assert [c.change_votes for c in changes if c.voter_id == "1"] == [0.0]


def test_lists_and_shares_hold_for_each_nft() -> None:
    profile = replace(PROFILE, denied=frozenset({"a"}), max_share=0.75)
    made, _ = decide_together(two(), profile, ANY)
    assert made.votes[:, 0].tolist() == [0.0, 0.0]
    assert (made.votes <= 0.75 * np.array([[300.0], [200.0]])).all()


def test_cases_of_several_decisions_are_refused() -> None:
    first, second = two()
    with pytest.raises(DecisionError, match="one exchange, epoch and window"):
        decide_together([first, replace(second, key=("x", "2", EPOCH, "T-0"))], PROFILE, ANY)
