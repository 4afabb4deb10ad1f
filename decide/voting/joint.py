"""One voter's votes over several NFTs: what they earn together, each under its own power, limits and last votes.

    maximize E − λ·D of Ret_s = Σ_i R_is·X_i/(V_is + X_i),  X = Σ_n x_n,   x_n within the limits of NFT n

NFTs of one voter dilute each other, so they are decided together. V is what everybody else votes. The bound is the
optimum of one NFT that has all the power, the sum of all K, the least minimum and the turnover of all: whatever the
NFTs vote, it could vote too. The votes are found by turns: each NFT gets its exact optimum given the others' votes,
which never loses, from several starts, until nothing changes; then two at a time are dealt anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from decide.errors import DecisionError, Infeasible, NothingToGain
from decide.quantiles import Floats
from decide.voting.allocate import PROOF, Allocation, Problem, Status, gauge_returns, solve
from decide.voting.optimum.branch import LITTLE, Effort
from decide.voting.optimum.curve import Flags
from decide.voting.optimum.pieces import Risk

SAME = 1e-7  # gain of a turn, relative, that ends them
ANSWERS = 3  # optima of one NFT given the others at most, times the NFTs: twice as many found nothing better
QUICK = Effort(max_nodes=3, settle_nodes=1)  # for each of these: the proof is the bound's, and 40 nodes find no more


@dataclass(frozen=True)
class Nft:
    """One NFT of the voter: power in votes; previous votes and caps (N,) in votes; limits as in `Problem`.

    A fixed one cannot vote now (its vote of the epoch is cast, or its lock does not vote): `previous` is what stands.
    """

    name: str
    power: float
    min_votes: float
    k_max: int
    max_turnover: float | None = None
    previous: Floats | None = None
    caps: Floats | None = None
    is_fixed: bool = False


@dataclass(frozen=True)
class JointProblem:
    """M NFTs, N gauges, S scenarios: votes and rewards (N, S), weights (S,) and risk as in `Problem`."""

    votes: Floats
    rewards: Floats
    weights: Floats
    nfts: tuple[Nft, ...]
    risk: str = "none"
    risk_aversion: float = 0.0
    alpha: float = 0.25
    unit: float = 1


@dataclass(frozen=True)
class JointAllocation:
    """Votes of each NFT (M, N) in whole units, what they earn together, and a bound that no others can exceed.

    `gap` = (bound − objective)/objective. It is `optimal` within the effort's tolerance, else `feasible`: several NFTs
    share their gauges worse than one would, so a part of the gap is the bound's.
    """

    votes: Floats
    objective: float
    bound: float
    gap: float
    status: Status
    expected_return: float
    scenario_returns: Floats  # (S,) USD, of fixed NFTs too
    gauge_returns: Floats  # (N, S) USD of all NFTs together
    turnover: Floats  # (M,) votes that moved, against previous votes rescaled to the power
    nodes: int


def solve_together(problem: JointProblem, effort: Effort = PROOF) -> JointAllocation:
    """The votes of all NFTs, and the bound of what they can earn.

    Errors: DecisionError for inputs that cannot be used; Infeasible where an NFT has no allocation within its limits,
    which it names; NothingToGain where nothing pays.
    """
    _check(problem)
    if all(nft.is_fixed for nft in problem.nfts):
        raise Infeasible("every NFT is fixed: there is nothing to decide")
    if problem.risk == "regret":
        return _least_regret(problem, effort)
    made = _Turns(_without_risk(problem), effort, None).run()
    return replace(made, expected_return=float(problem.weights @ made.scenario_returns))


def _without_risk(problem: JointProblem) -> JointProblem:
    """The same as an expectation where every vote pays more from scenario to scenario: risk only re-weights them."""
    risk = Risk(problem.risk, problem.weights, problem.risk_aversion, problem.alpha)
    power = sum(nft.power for nft in problem.nfts)
    mixes, _, is_whole = risk.pieces(np.asarray(problem.votes).T / power, np.asarray(problem.rewards).T)
    if not is_whole or len(mixes) > 1:
        return problem
    return replace(problem, risk="none", risk_aversion=0.0, weights=mixes[0])


def _least_regret(problem: JointProblem, effort: Effort) -> JointAllocation:
    """Regret against the bound of each scenario alone: nobody can do better there."""
    alone = [replace(problem, risk="none", weights=only) for only in np.eye(len(problem.weights))]
    return _Turns(problem, effort, np.array([_Turns(p, effort, None).pooled().bound for p in alone])).run()


class _Turns:
    """One run: the votes (M, N) as they are, and their worth."""

    def __init__(self, problem: JointProblem, effort: Effort, best: Floats | None) -> None:
        self.problem, self.effort, self.best, self.nodes = problem, effort, best, 0
        self.left = ANSWERS * len(problem.nfts)
        self.live = np.ones(len(problem.votes), dtype=np.bool_)
        self.risk = Risk(problem.risk, problem.weights, problem.risk_aversion, problem.alpha, best)
        self.free = [n for n, nft in enumerate(problem.nfts) if not nft.is_fixed]
        self.fixed = np.zeros((len(problem.nfts), len(problem.votes)))
        for n, nft in enumerate(problem.nfts):
            if nft.is_fixed and nft.previous is not None:
                self.fixed[n] = nft.previous

    def run(self) -> JointAllocation:
        """Every start by turns, the best of them dealt anew, and the bound."""
        pooled = self.pooled()
        self.live = self._promising(pooled.votes)
        worth, votes = -np.inf, self.fixed
        for start in self._starts(pooled.votes):
            found, made = self._by_turns(start)
            if found > worth:
                worth, votes = found, made
            if self._is_enough(worth, pooled.bound) or self.left <= 0:
                break
        if not self._is_enough(worth, pooled.bound):
            votes = self._dealt_anew(worth, votes, pooled.bound)
        return self._described(votes, pooled.bound)

    def pooled(self) -> Allocation:
        """The optimum of one NFT with the power and the limits of all: its bound is one of all of them."""
        nfts = [self.problem.nfts[n] for n in self.free]
        limited = [nft for nft in nfts if nft.max_turnover is not None and nft.previous is not None]
        held = [_rescaled(nft) for nft in limited if nft.previous is not None and nft.previous.any()]
        power = sum(_usable(nft.power, self.problem.unit) for nft in nfts)
        moves = sum(nft.power * (nft.max_turnover or 0.0) for nft in limited) / power if power else 0.0
        everywhere = np.full(len(self.problem.votes), np.inf)
        one = Nft(
            "all together",
            power,
            min(nft.min_votes for nft in nfts),
            min(sum(nft.k_max for nft in nfts), len(self.problem.votes)),
            moves if len(held) == len(nfts) else None,
            np.sum(held, axis=0) if len(held) == len(nfts) else None,
            np.sum([np.minimum(everywhere if n.caps is None else n.caps, n.power) for n in nfts], axis=0),
        )
        made = solve(self._problem(self.fixed.sum(axis=0), one), self.effort)
        self.nodes += made.nodes
        return made

    def _promising(self, pooled: Floats) -> Flags:
        """The gauges that an answer looks at: pooled or held ones, those that pay most for few or for many votes."""
        given = self.problem
        nfts = [given.nfts[n] for n in self.free]
        live = pooled > 0
        for nft in nfts:
            if nft.previous is not None:
                live |= nft.previous > 0
        seats, power = sum(nft.k_max for nft in nfts), sum(nft.power for nft in nfts)
        for stake in (min(max(nft.min_votes, given.unit) for nft in nfts), power / seats, power):
            worth = (given.rewards * (stake / (given.votes + stake))) @ given.weights
            live[np.argsort(-worth, kind="stable")[: 2 * seats]] = True
        return live

    def _starts(self, pooled: Floats) -> Iterator[Floats]:
        """The pooled votes dealt out; nothing at all, the largest NFT first; what stood."""
        yield self._deal(pooled, self.free, self.fixed)
        yield self.fixed.copy()
        stood = self.fixed.copy()
        for n in self.free:
            nft = self.problem.nfts[n]
            if nft.previous is not None and nft.previous.any():
                stood[n] = _rescaled(nft)
        if stood[self.free].any():
            yield stood

    def _deal(self, wanted: Floats, nfts: Sequence[int], votes: Floats) -> Floats:
        """Votes per gauge dealt to some NFTs: the largest pile to whom has most power left, and a seat."""
        votes = votes.copy()
        left = {n: self.problem.nfts[n].power for n in nfts}
        seats = {n: self.problem.nfts[n].k_max for n in nfts}
        votes[list(nfts)] = 0.0
        for i in np.argsort(-wanted, kind="stable"):
            rest = float(wanted[i])
            while rest > 0 and any(seats.values()):
                n = max((m for m in nfts if seats[m]), key=lambda m: left[m])
                part = min(rest, left[n])
                if part <= 0:
                    break
                votes[n, i] += part
                left[n], seats[n], rest = left[n] - part, seats[n] - 1, rest - part
        return votes

    def _by_turns(self, votes: Floats) -> tuple[float, Floats]:
        """Each NFT in turn to its optimum given the others, largest first, until a turn of all gains nothing."""
        votes, decided, worth = votes.copy(), set[int](), -np.inf
        order = sorted(self.free, key=lambda n: -self.problem.nfts[n].power)
        while self.left > 0 or len(decided) < len(order):
            before = worth
            for n in order:
                made = self._response(votes, n)
                if n in decided and self._worth_with(votes, n, made) <= self._worth(votes):
                    continue
                votes[n] = made
                decided.add(n)
            worth = self._worth(votes)
            if worth - before <= SAME * abs(worth):
                break
        return worth, votes

    def _dealt_anew(self, worth: float, votes: Floats, bound: float) -> Floats:
        """Two NFTs at a time: what both would vote as one, dealt to them, then turns again; kept where it gains."""
        for pair in combinations(self.free, 2):
            others = votes.sum(axis=0) - votes[list(pair)].sum(axis=0)
            one, two = (self.problem.nfts[n] for n in pair)
            both = Nft("both", one.power + two.power, min(one.min_votes, two.min_votes), one.k_max + two.k_max)
            try:
                wanted = self._answer(self._problem(others, both))
            except (Infeasible, NothingToGain):
                continue
            found, made = self._by_turns(self._deal(wanted, pair, votes))
            if found > worth:
                worth, votes = found, made
            if self._is_enough(worth, bound) or self.left <= 0:
                break
        return votes

    def _response(self, votes: Floats, n: int) -> Floats:
        """The optimum of one NFT given the votes of the others; where nothing is left to gain, what it has."""
        others = votes.sum(axis=0) - votes[n]
        try:
            return self._answer(self._problem(others, self.problem.nfts[n]))
        except NothingToGain:
            return self._anything(votes, n)
        except Infeasible as error:
            raise Infeasible(f"NFT {self.problem.nfts[n].name}: {error}") from error

    def _anything(self, votes: Floats, n: int) -> Floats:
        """Votes of an NFT that can gain nothing: they must go somewhere within its limits."""
        problem = self._problem(votes.sum(axis=0) - votes[n], self.problem.nfts[n])
        return self._answer(replace(problem, rewards=np.ones_like(problem.rewards)))

    def _problem(self, others: Floats, nft: Nft) -> Problem:
        """The problem of one NFT beside fixed votes c of the same voter.

        R(x + c)/(V + c + x) = R·c/(V + c) + [R·V/(V + c)]·x/(V + c + x): the first part is earned anyway.
        """
        given, c = self.problem, others[:, None]
        total = given.votes + c
        kept = np.divide(given.votes, total, out=np.ones_like(total), where=total > 0)
        return Problem(
            votes=total,
            rewards=given.rewards * kept,
            power=nft.power,
            weights=given.weights,
            min_votes=nft.min_votes,
            k_max=nft.k_max,
            risk=given.risk,
            risk_aversion=given.risk_aversion,
            alpha=given.alpha,
            max_turnover=nft.max_turnover,
            previous=nft.previous,
            caps=nft.caps,
            unit=given.unit,
            base=(given.rewards * (1 - kept)).sum(axis=0),
            best=self.best,
        )

    def _answer(self, problem: Problem) -> Floats:
        """The optimum (N,) of one NFT on the promising gauges."""
        self.left -= 1
        caps = np.full(len(self.live), np.inf) if problem.caps is None else problem.caps
        made = solve(replace(problem, caps=np.where(self.live, caps, 0.0)), QUICK)
        self.nodes += made.nodes
        return np.asarray(made.votes)

    def _worth(self, votes: Floats) -> float:
        returns = gauge_returns(self.problem.votes, self.problem.rewards, votes.sum(axis=0)).sum(axis=0)
        return self.risk.worst_piece(returns)[0]

    def _worth_with(self, votes: Floats, n: int, made: Floats) -> float:
        changed = votes.copy()
        changed[n] = made
        return self._worth(changed)

    def _is_enough(self, worth: float, bound: float) -> bool:
        return bound - worth <= self.effort.tolerance * max(abs(worth), LITTLE * abs(bound))

    def _described(self, votes: Floats, bound: float) -> JointAllocation:
        each = gauge_returns(self.problem.votes, self.problem.rewards, votes.sum(axis=0))
        returns = each.sum(axis=0)
        objective = self.risk.worst_piece(returns)[0]
        bound = max(bound, objective)
        gap = (bound - objective) / max(abs(objective), LITTLE * abs(bound), 1e-300)
        moved = [
            0.0 if nft.previous is None or not nft.previous.any() else float(np.maximum(x - _rescaled(nft), 0.0).sum())
            for nft, x in zip(self.problem.nfts, votes, strict=True)
        ]
        return JointAllocation(
            votes=votes,
            objective=objective,
            bound=bound,
            gap=gap,
            status="optimal" if gap <= self.effort.tolerance else "feasible",
            expected_return=float(self.problem.weights @ returns),
            scenario_returns=returns,
            gauge_returns=each,
            turnover=np.array(moved),
            nodes=self.nodes,
        )


def _usable(power: float, unit: float) -> float:
    """Votes in whole units."""
    return int(power / unit + 1e-9) * unit


def _rescaled(nft: Nft) -> Floats:
    """Previous votes rescaled to the power, as a turnover limit reads them; as they are where votes are fixed."""
    assert nft.previous is not None
    total = float(nft.previous.sum())
    return nft.previous if nft.is_fixed or total <= 0 else np.asarray(nft.previous * (nft.power / total))


def _check(problem: JointProblem) -> None:
    if not problem.nfts:
        raise DecisionError("nfts is empty: give one NFT at least")
    names = [nft.name for nft in problem.nfts]
    for name in names:
        if names.count(name) > 1:
            raise DecisionError(f"nfts has {name} twice: give each NFT once")
