"""Several NFTs of one voter: within every limit of each, their worth by definition, never above the bound."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.errors import DecisionError, Infeasible
from decide.voting.allocate import Problem, solve
from decide.voting.joint import JointProblem, Nft, solve_together
from tests.oracles.instances import FAMILIES, family

W3 = np.array([0.25, 0.5, 0.25])


def worth(problem: JointProblem, votes: np.ndarray, best: np.ndarray | None = None) -> float:
    """E − λD of votes (M, N), from the definitions."""
    x = votes.sum(axis=0)[:, None]
    total = problem.votes + x
    got = (problem.rewards * np.where(total > 0, x / np.where(total > 0, total, 1), 0)).sum(axis=0)
    mean = float(problem.weights @ got)
    down = mean - got.min() if problem.risk == "worst" else 0.0
    if problem.risk == "semidev":
        down = float(problem.weights @ np.maximum(mean - got, 0))
    return mean - problem.risk_aversion * down


def excess(nft: Nft, x: np.ndarray) -> float:
    """How far an NFT's votes break its limits, in votes."""
    if nft.is_fixed:
        return float(np.abs(x - (0 if nft.previous is None else nft.previous)).max())
    used = x > 0
    broken = [abs(x.sum() - nft.power), float(used.sum() - nft.k_max) * nft.power, nft.min_votes - x[used].min()]
    if nft.caps is not None:
        broken.append(float((x - nft.caps).max()))
    if nft.max_turnover is not None and nft.previous is not None and nft.previous.any():
        stood = nft.previous * nft.power / nft.previous.sum()
        broken.append(float(np.maximum(x - stood, 0).sum()) - nft.max_turnover * nft.power)
    return float(max(broken))


def vectors(nft: Nft, gauges: int) -> list[np.ndarray]:
    """Every vector of whole votes an NFT may cast."""
    units, found = int(nft.power), []
    if nft.is_fixed:
        return [np.zeros(gauges) if nft.previous is None else nft.previous]
    for size in range(1, nft.k_max + 1):
        for chosen in combinations(range(gauges), size):
            for head in product(range(1, units + 1), repeat=size - 1):
                x = np.zeros(gauges)
                x[list(chosen)] = [*head, units - sum(head)]
                if x[list(chosen)].min() >= max(nft.min_votes, 1) and excess(nft, x) <= 1e-9:
                    found.append(x)
    return found


def small(seed: int, risk: str, limited: bool, fixed: bool) -> JointProblem:
    rng = np.random.default_rng(seed)
    gauges = 4
    votes = np.round(rng.lognormal(1.5, 1, (gauges, 3)))
    rewards = rng.lognormal(3, 1, (gauges, 3))
    nfts = [Nft("a", 6.0, float(rng.integers(1, 3)), 2), Nft("b", 4.0, 1.0, int(rng.integers(1, 3)))]
    if limited:
        nfts[0] = replace(nfts[0], max_turnover=0.5, previous=np.array([3.0, 3.0, 0.0, 0.0]))
    if fixed:
        nfts.append(Nft("c", 5.0, 1.0, 2, previous=np.array([0.0, 5.0, 0.0, 0.0]), is_fixed=True))
    return JointProblem(votes, rewards, W3, tuple(nfts), risk, 0.3 if risk != "none" else 0.0)


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("risk", ["none", "worst", "semidev"])
def test_against_all_votes_of_all_nfts(risk: str, fixed: bool, limited: bool) -> None:
    """The bound holds against every pair of whole votes; what is found is the best of them or nearly."""
    exact, lost = 0, 0.0
    for seed in range(6):
        problem = small(seed, risk, limited, fixed)
        every = [vectors(nft, 4) for nft in problem.nfts]
        truth = max(worth(problem, np.array(chosen)) for chosen in product(*every))
        made = solve_together(problem)
        assert made.objective == pytest.approx(worth(problem, made.votes), rel=1e-12)
        assert made.objective <= truth * (1 + 1e-12) and truth <= made.bound * (1 + 1e-12)
        assert all(excess(nft, x) <= 1e-9 for nft, x in zip(problem.nfts, made.votes, strict=True))
        exact += made.objective >= truth * (1 - 1e-9)
        lost = max(lost, 1 - made.objective / truth)
    assert exact >= 3 and lost <= 0.03


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(FAMILIES), st.integers(1, 4), st.sampled_from(["none", "worst", "cvar"]))
def test_together_is_never_worse_than_one_by_one(seed: int, name: str, count: int, risk: str) -> None:
    """Each NFT advised alone ignores the others; what they then earn together is no more than the joint answer."""
    rng = np.random.default_rng(seed)
    votes, rewards = family(name, 25, 3, rng)
    powers = np.round(rng.dirichlet(np.ones(count)) * 1e6) + 10_000
    nfts = tuple(Nft(str(n), float(power), 1000.0, int(rng.integers(1, 6))) for n, power in enumerate(powers))
    problem = JointProblem(votes, rewards, W3, nfts, risk, 0.2 if risk != "none" else 0.0)
    made = solve_together(problem)
    alone = [
        solve(Problem(votes, rewards, nft.power, W3, nft.min_votes, nft.k_max, risk, problem.risk_aversion))
        for nft in nfts
    ]
    assert all(excess(nft, x) <= 1e-6 for nft, x in zip(nfts, made.votes, strict=True))
    if risk == "none":  # with several pieces worst cases of NFTs may even each other out
        assert sum(one.objective for one in alone) >= made.objective * (1 - 1e-6)  # promised one by one: too much
        assert made.objective >= worth(problem, np.array([one.votes for one in alone])) * (1 - 1e-4)
    if count == 1:
        assert made.objective == pytest.approx(alone[0].objective, rel=1e-6)
        assert made.status == "optimal"


def test_a_fixed_nft_keeps_its_votes_and_dilutes_the_others() -> None:
    """Its votes are the voter's own: where they stand, another vote gains less."""
    votes, rewards = np.full((3, 1), 100.0), np.array([[10.0], [9.0], [1.0]])
    stands = Nft("cast", 1000.0, 0.0, 1, previous=np.array([1000.0, 0.0, 0.0]), is_fixed=True)
    free = Nft("free", 100.0, 0.0, 1)
    made = solve_together(JointProblem(votes, rewards, np.ones(1), (stands, free)))
    assert made.votes.tolist() == [[1000.0, 0.0, 0.0], [0.0, 100.0, 0.0]]
    assert made.objective == pytest.approx(10 * 1000 / 1100 + 9 * 100 / 200)
    assert made.gap <= 1e-6


@pytest.mark.parametrize("turnover", [None, 0.8])
def test_four_nfts_on_three_hundred_gauges_come_with_a_bound(turnover: float | None) -> None:
    rng = np.random.default_rng(2)
    votes, rewards = family("epoch", 300, 3, rng)
    nfts = []
    for n, power in enumerate((900_000.0, 500_000.0, 300_000.0, 70_000.0)):
        previous = np.zeros(300)
        previous[rng.choice(300, 20, replace=False)] = rng.dirichlet(np.ones(20)) * power
        nfts.append(Nft(str(n), power, 1000.0, 20, turnover, None if turnover is None else previous))
    made = solve_together(JointProblem(votes, rewards, W3, tuple(nfts), "worst", 0.2))
    assert all(excess(nft, x) <= 20 for nft, x in zip(nfts, made.votes, strict=True))  # a vote a gauge: rounding
    assert made.gap <= (3e-3 if turnover is None else 0.03)


def test_what_cannot_be_names_the_nft() -> None:
    votes, rewards = np.full((3, 1), 100.0), np.ones((3, 1))
    short = (Nft("rich", 100.0, 0.0, 1), Nft("poor", 10.0, 50.0, 1))
    with pytest.raises(Infeasible, match="NFT poor"):
        solve_together(JointProblem(votes, rewards, np.ones(1), short))
    with pytest.raises(DecisionError, match="twice"):
        solve_together(JointProblem(votes, rewards, np.ones(1), (short[0], short[0])))
    with pytest.raises(Infeasible, match="every NFT is fixed"):
        solve_together(JointProblem(votes, rewards, np.ones(1), (replace(short[0], is_fixed=True),)))
