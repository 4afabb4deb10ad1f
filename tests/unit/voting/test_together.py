"""Several NFTs of one voter decided from their cases: nobody's own votes dilute twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from decide.errors import DecisionError
from decide.voting.decision_tables import Case, Truth
from decide.voting.recommend import Setting, recommend
from decide.voting.revote import Guardrails, Stage, VotingRule
from decide.voting.situation import RiskProfile, Situation
from decide.voting.together import Part, joint_problem, recommend_together

EPOCH = 1_700_092_800
PROFILE = RiskProfile("p", "one", "none", 0.0, 0.25, 5, 0.0, None)
ANY, ONCE = VotingRule("x", None, None, 0, 1), VotingRule("x", 1, 30, 0, 1)
STAGE = Stage("T-1", 60, "boundary", 1.0)
GUARD = Guardrails(0.0, 0.0, 0.9, 0.5, 0.0)
OTHERS = {"a": 1000.0, "b": 500.0, "c": 100.0}  # of everybody but our NFTs
REWARDS = {"a": 100.0, "b": 80.0, "c": 5.0}


def case(voter: str, power: float, own: dict[str, float], all_own: dict[str, float], drift: float = 1.0) -> Case:
    """What an NFT sees: everybody's votes but its own, those of its sisters among them."""
    gauges = tuple(OTHERS)
    now = np.array([[OTHERS[g] + all_own.get(g, 0.0) - own.get(g, 0.0)] for g in gauges])
    stands = np.array([own.get(g, 0.0) for g in gauges])
    rewards = np.array([[REWARDS[g]] for g in gauges])
    snapshot = Situation(gauges, now, rewards, np.ones(1), stands, stands, power)
    window = {
        "voted_at": datetime.fromtimestamp(EPOCH + 5, UTC) if own else None,
        "decision_at": datetime.fromtimestamp(EPOCH + 604_740, UTC),
        "is_exempt": False,
    }
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


def earned(votes: np.ndarray) -> float:
    """USD of votes (3,) among everybody else's."""
    others, rewards = np.array(list(OTHERS.values())), np.array(list(REWARDS.values()))
    return float((rewards * votes / (others + votes)).sum())


def together(cases: list[Case], profile: RiskProfile = PROFILE, rule: VotingRule = ANY) -> list[Part]:
    return recommend_together(cases, Setting((STAGE,), rule, GUARD, profile), STAGE)


def test_one_decision_and_a_recommendation_per_nft() -> None:
    parts = together(two())
    x = np.sum([part.made.votes for part in parts], axis=0)
    assert [part.made.votes.sum() for part in parts] == [300.0, 200.0]
    best = max(earned(np.array([a, 500 - a, 0.0])) for a in range(501))
    assert parts[0].made.allocation is not None and best <= parts[0].made.allocation.bound * (1 + 1e-12)
    assert earned(x) >= best * (1 - 1e-3)
    assert parts[0].joint_expected_usd == pytest.approx(earned(x))
    assert sum(float(part.made.new[0]) for part in parts) == pytest.approx(earned(x))
    stands = np.array([300.0, 200.0, 0.0])
    assert parts[1].joint_standing_usd == pytest.approx(earned(stands))
    assert sum(part.made.decision.standing_usd for part in parts) == pytest.approx(earned(stands))
    assert len({part.made.decision.action for part in parts}) == 1
    for part in parts:
        assert part.situation.returns(part.made.votes) == pytest.approx(part.made.new)
        assert "together with 1 more of the same holder" in part.made.decision.reason


def test_one_by_one_they_are_promised_what_they_do_not_earn() -> None:
    """Two NFTs that each see the other's votes gone elsewhere crowd the best gauge."""
    cases = [case(str(n), 2_000.0, {}, {}) for n in range(4)]
    setting = Setting((STAGE,), ANY, GUARD, PROFILE)
    alone = [recommend(c.situations["one"], setting, STAGE, c.standing) for c in cases]
    promised = sum(float(one.new[0]) for one in alone)
    got = earned(np.sum([one.votes for one in alone], axis=0))
    parts = together(cases)
    assert promised > 1.5 * got
    assert parts[0].joint_expected_usd is not None
    assert parts[0].joint_expected_usd >= got
    assert parts[0].joint_expected_usd == pytest.approx(earned(np.sum([part.made.votes for part in parts], axis=0)))


def test_gas_is_paid_by_every_nft() -> None:
    """A gain that is worth one transaction is not worth two."""
    first, second = {"a": 300.0}, {"b": 200.0}
    gain = together(two())[0]
    assert gain.joint_expected_usd is not None and gain.joint_standing_usd is not None
    worth = gain.joint_expected_usd - gain.joint_standing_usd
    dear = Guardrails(0.0, 1.0, 0.9, 0.5, worth * 0.75)
    both = first | second
    parts = recommend_together(
        [case("1", 300.0, first, both), case("2", 200.0, second, both)], Setting((STAGE,), ANY, dear, PROFILE), STAGE
    )
    assert {part.made.decision.action for part in parts} == {"keep"}


def test_an_nft_whose_vote_is_cast_stays_where_one_vote_counts() -> None:
    cases = [case("1", 300.0, {"a": 300.0}, {"a": 300.0}), case("2", 200.0, {}, {"a": 300.0})]
    first, second = together(cases, rule=ONCE)
    assert first.made.votes.tolist() == [300.0, 0.0, 0.0] and second.made.votes.sum() == 200.0
    assert first.made.decision.action == "keep" and "one vote of this epoch is cast" in first.made.decision.reason
    assert second.made.decision.action == "submit"


def test_an_nft_that_voted_within_the_contracts_delay_stays() -> None:
    """Its sister is decided with what it holds; where all must wait, all keep and say why."""
    slow = replace(ANY, vote_delay_seconds=604_736)  # the votes at hand are 604,735 s old
    first, second = together(
        [case("1", 300.0, {"a": 300.0}, {"a": 300.0}), case("2", 200.0, {}, {"a": 300.0})], rule=slow
    )
    assert first.made.votes.tolist() == [300.0, 0.0, 0.0] and "VoteDelayNotMet" in first.made.decision.reason
    assert first.made.decision.action == "keep" and second.made.decision.action == "submit"
    both = together(two(), rule=slow)
    assert {part.made.decision.action for part in both} == {"keep"}
    assert all("VoteDelayNotMet" in part.made.decision.reason for part in both)
    assert {p.made.decision.action for p in together(two(), rule=replace(slow, vote_delay_seconds=604_735))} == {
        "submit"
    }


def test_lists_and_shares_hold_for_each_nft() -> None:
    parts = together(two(), replace(PROFILE, denied=frozenset({"a"}), max_share=0.75))
    votes = np.array([part.made.votes for part in parts])
    assert votes[:, 0].tolist() == [0.0, 0.0]
    assert (votes <= 0.75 * np.array([[300.0], [200.0]])).all()


def test_what_cannot_be_decided_is_an_outcome_for_all() -> None:
    parts = together(two(), replace(PROFILE, denied=frozenset(OTHERS)))
    assert {part.made.answer.outcome for part in parts} <= {"infeasible", "nothing_to_gain"}
    assert all(part.joint_expected_usd is None and part.made.decision.action == "keep" for part in parts)


def test_cases_of_several_decisions_are_refused() -> None:
    first, second = two()
    with pytest.raises(DecisionError, match="one exchange, epoch and window"):
        together([first, replace(second, key=("x", "2", EPOCH, "T-0"))])


def test_limits_cost_all_of_them_together() -> None:
    """One gauge an NFT keeps both from a third gauge; what it costs is the difference of the two decisions."""
    cases = two()
    narrow, wide = together(cases, replace(PROFILE, k_max=1)), together(cases)
    made, free = narrow[0].made, wide[0].made
    assert narrow[0].joint_expected_usd is not None and wide[0].joint_expected_usd is not None
    lost = wide[0].joint_expected_usd - narrow[0].joint_expected_usd
    assert made.limit_costs["k_max"] == pytest.approx(max(lost, 0.0), abs=1e-9) and made.limit_costs["k_max"] > 0
    assert made.limit_costs["min_votes"] == 0.0 and made.limit_costs["max_turnover"] is None
    assert made.unlimited_usd == pytest.approx(wide[0].joint_expected_usd, rel=1e-3)
    assert made.limits_cost_share == pytest.approx(1 - narrow[0].joint_expected_usd / made.unlimited_usd)
    assert free.limit_costs["k_max"] == 0.0 and free.limits_cost_share == pytest.approx(0.0, abs=1e-3)
    assert narrow[1].made.limit_costs == made.limit_costs, "the same of each NFT"
