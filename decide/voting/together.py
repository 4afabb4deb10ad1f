"""Several NFTs of one holder at one decision: decided as one, with a recommendation and a change set for each.

NFTs of one holder dilute each other: each of them decided alone takes its sisters' votes for somebody else's. Whether a
vote is sent is asked once, of what all earn together; each NFT's own figures count its sisters' votes among others'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decide.errors import DecisionError, NothingToGain
from decide.quantiles import Floats
from decide.voting.allocate import Allocation
from decide.voting.decision_tables import Case, Truth
from decide.voting.joint import JointAllocation, JointProblem, Nft, solve_together
from decide.voting.limits import costs
from decide.voting.recommend import Recommendation, Setting, recommend
from decide.voting.revote import Stage, StageDecision, VotingRule, decide_stage, in_bps, landing
from decide.voting.situation import DECISION, Answer, RiskProfile, Situation, returns

NO_LIMITS: dict[str, Any] = {
    "max_turnover": None,
    "max_share": None,
    "max_pools": None,
    "allowed": frozenset(),
    "denied": frozenset(),
}


@dataclass(frozen=True)
class Part:
    """One NFT's part of a joint decision. `situation`: others' votes as they would be with its sisters' new ones.

    `joint_expected_usd` and `joint_standing_usd` are of all NFTs; None where there is no allocation. So are `made`'s
    `unlimited_usd`, `limits_cost_share` and `limit_costs`: limits of one NFT are made up for by another.
    """

    case: Case
    situation: Situation
    made: Recommendation
    joint_expected_usd: float | None = None
    joint_standing_usd: float | None = None


def recommend_together(cases: Sequence[Case], setting: Setting, stage: Stage) -> list[Part]:
    """What each NFT of one holder votes, and whether to send it; in the order of `cases`.

    `cases`: one per NFT, of one exchange, epoch and window, each with power of its own. Errors: DecisionError where
    they are of several decisions; what cannot be decided is an outcome.
    """
    _check(cases)
    try:
        problem, gauges = joint_problem(cases, setting.profile, setting.rule)
        if all(nft.is_fixed for nft in problem.nfts):
            return _undecided(cases, setting, stage, _cannot_vote(cases[0], setting, stage))
        made = solve_together(problem, DECISION)
    except NothingToGain as error:
        return _undecided(cases, setting, stage, Answer("nothing_to_gain", str(error)))
    except DecisionError as error:
        return _undecided(cases, setting, stage, Answer("infeasible", str(error)))
    return _Shared(cases, setting, stage, problem, gauges, made).parts()


def _cannot_vote(case: Case, setting: Setting, stage: Stage) -> Answer:
    standing = case.standing
    why = decide_stage(
        stage,
        setting.stages,
        setting.rule,
        setting.guard,
        0.0,
        0.0,
        has_voted=standing.has_voted,
        since_vote=standing.since_vote,
    )
    return Answer("infeasible", f"none of them can vote now: {why.reason}")


def _undecided(cases: Sequence[Case], setting: Setting, stage: Stage, why: Answer) -> list[Part]:
    name = setting.profile.scenario_set
    return [
        Part(case, case.situations[name], recommend(case.situations[name], setting, stage, case.standing, why))
        for case in cases
    ]


@dataclass(frozen=True)
class _Shared:
    """A joint answer, dealt out to its NFTs (M) on all gauges (N) under all scenarios (S)."""

    cases: Sequence[Case]
    setting: Setting
    stage: Stage
    problem: JointProblem
    gauges: tuple[str, ...]
    made: JointAllocation

    def parts(self) -> list[Part]:
        places = [self._place(case) for case in self.cases]
        stands = np.zeros_like(self.made.votes)
        for row, case, place in zip(stands, self.cases, places, strict=True):
            row[place] = case.snapshot.standing
        new, old = self._dealt(self.made.votes), self._dealt(stands)
        weights = self.problem.weights
        totals = float(weights @ new.sum(axis=0)), float(weights @ old.sum(axis=0))
        together = self._decision(*totals)
        unlimited, costs = self._without_limits(totals[0])
        cost = max(1 - totals[0] / unlimited, 0.0) if unlimited > 0 else np.nan
        found = []
        for n, (case, place) in enumerate(zip(self.cases, places, strict=True)):
            theirs = self.problem.votes + (self.made.votes.sum(axis=0) - self.made.votes[n])[:, None]
            situation = replace(case.situations[self.setting.profile.scenario_set], votes=theirs[place])
            votes = self.made.votes[n][place]
            decision = self._own(n, together, float(weights @ new[n]), float(weights @ old[n]))
            answer = Answer("ok", "", self._allocation(n, votes, situation))
            own = Recommendation(answer, decision, votes, new[n], old[n], unlimited, cost, costs)
            found.append(Part(case, situation, own, *totals))
        return found

    def _place(self, case: Case) -> list[int]:
        at = {gauge: i for i, gauge in enumerate(self.gauges)}
        return [at[gauge] for gauge in case.snapshot.gauges]

    def _dealt(self, votes: Floats) -> Floats:
        """USD (M, S) that each NFT's votes (M, N) earn where all of them are cast."""
        total = self.problem.votes + votes.sum(axis=0)[:, None]
        paid = np.divide(self.problem.rewards, total, out=np.zeros_like(total), where=total > 0)
        return np.asarray(votes @ paid)

    def _decision(self, new_usd: float, standing_usd: float) -> StageDecision:
        """Whether to send, asked of all together: every NFT that votes pays gas."""
        setting, free = self.setting, [nft.name for nft in self.problem.nfts if not nft.is_fixed]
        guard = replace(setting.guard, gas_usd=setting.guard.gas_usd * len(free))
        standing = [case.standing for case in self.cases if case.key[1] in free]
        since = [s.since_vote for s in standing if s.since_vote is not None]
        return decide_stage(
            self.stage,
            setting.stages,
            setting.rule,
            guard,
            standing_usd,
            new_usd,
            is_exempt=all(s.is_exempt for s in standing),
            since_vote=min(since, default=None),
        )

    def _own(self, n: int, together: StageDecision, new_usd: float, standing_usd: float) -> StageDecision:
        nft, setting = self.problem.nfts[n], self.setting
        if nft.is_fixed:
            return decide_stage(
                self.stage,
                setting.stages,
                setting.rule,
                setting.guard,
                standing_usd,
                new_usd,
                has_voted=True,
                since_vote=self.cases[n].standing.since_vote,
            )
        p, uplift = landing(self.stage), new_usd - standing_usd
        return replace(
            together,
            reason=f"together with {len(self.cases) - 1} more of the same holder: {together.reason}",
            standing_usd=standing_usd,
            new_usd=new_usd,
            uplift_usd=uplift,
            uplift_bps=in_bps(uplift, standing_usd),
            value_if_submitted_usd=p * new_usd + (1 - p) * standing_usd - setting.guard.gas_usd,
            value_if_kept_usd=standing_usd,
        )

    def _without_limits(self, expected_usd: float) -> tuple[float, dict[str, float | None]]:
        """USD that all could expect under the exchange's own limits alone, and what each limit costs all of them."""
        profile, rule = self.setting.profile, self.setting.rule

        def without(other: RiskProfile) -> float | None:
            try:
                return solve_together(joint_problem(self.cases, other, rule)[0], DECISION).expected_return
            except DecisionError:
                return None

        free = replace(profile, min_votes=float(rule.vote_unit), k_max=len(self.gauges), **NO_LIMITS)
        unlimited = without(free)
        able = [n for n, nft in enumerate(self.problem.nfts) if not nft.is_fixed]
        votes = self.made.votes[able]
        moves = [
            self.made.turnover[n] >= most - self.problem.nfts[n].k_max
            for n in able
            if (most := (self.problem.nfts[n].max_turnover or np.inf) * self.problem.nfts[n].power) < np.inf
        ]
        touched = {
            "pools": int((votes > 0).sum(axis=1).max(initial=0)),
            "moves": any(moves),
            "share": float((votes.max(axis=1) / np.maximum(votes.sum(axis=1), 1.0)).max(initial=0.0)),
        }
        each = costs(profile, rule, len(self.gauges), expected_usd, touched, without)
        return np.nan if unlimited is None else unlimited, each

    def _allocation(self, n: int, votes: Floats, situation: Situation) -> Allocation:
        """An NFT's votes with the proof of all: objective, bound, gap and downside are of the joint allocation."""
        made, aversion = self.made, self.setting.profile.risk_aversion
        risk_term = max(made.expected_return - made.objective, 0.0)
        earned = np.array(
            [returns(situation.votes[[i]], situation.rewards[[i]], votes[[i]]) for i in range(len(votes))]
        )
        total = float(votes.sum())
        return Allocation(
            votes=votes,
            objective=made.objective,
            bound=made.bound,
            gap=made.gap,
            status=made.status,
            continuous=votes,
            continuous_objective=made.objective,
            continuous_bound=made.bound,
            continuous_gap=made.gap,
            expected_return=float(situation.weights @ earned.sum(axis=0)),
            downside=risk_term / aversion if aversion > 0 else 0.0,
            risk_term=risk_term,
            scenario_returns=earned.sum(axis=0),
            gauge_returns=earned,
            gauge_expected=earned @ situation.weights,
            marginal=np.full(len(votes), np.nan),
            share=votes / total if total > 0 else np.zeros(len(votes)),
            gauges_used=int((votes > 0).sum()),
            turnover=float(made.turnover[n]),
            turnover_share=float(made.turnover[n]) / total if total > 0 else 0.0,
            turnover_limit=None,
            nodes=made.nodes,
        )


def _check(cases: Sequence[Case]) -> None:
    if len({(case.key[0], *case.key[2:]) for case in cases}) != 1:
        raise DecisionError("the NFTs' cases are of several decisions: give those of one exchange, epoch and window")


def joint_problem(
    cases: Sequence[Case], profile: RiskProfile, rule: VotingRule
) -> tuple[JointProblem, tuple[str, ...]]:
    """The problem of all NFTs on the gauges (N,) of any of them.

    A case's V leaves out its own NFT's votes only; here those of all are left out, in every scenario by the share that
    they are of what is visible now: others' votes drift, one's own do not.
    """
    _check(cases)
    market = as_one([case.situations[profile.scenario_set] for case in cases], [case.snapshot for case in cases])
    open_to = market.votable & profile.admits(market.gauges)
    nfts = []
    for case in cases:
        place = {gauge: i for i, gauge in enumerate(case.snapshot.gauges)}
        previous, stands = (
            _aligned(market.gauges, place, votes) for votes in (case.snapshot.previous, case.snapshot.standing)
        )
        is_cast = rule.votes_per_epoch == 1 and case.standing.has_voted
        is_fixed = is_cast or not rule.lets(case.standing.since_vote)
        made = nft(case.key[1], case.snapshot.power, profile, rule, stands if is_fixed else previous, open_to)
        nfts.append(replace(made, is_fixed=is_fixed))
    return joint(market, tuple(nfts), profile, rule), market.gauges


def joint(market: Situation, nfts: tuple[Nft, ...], profile: RiskProfile, rule: VotingRule) -> JointProblem:
    """The problem of several NFTs in a situation of all of them, under a profile's risk."""
    return JointProblem(
        market.votes,
        market.rewards,
        market.weights,
        nfts,
        profile.risk,
        profile.risk_aversion,
        profile.alpha,
        rule.vote_unit,
    )


def as_one(situations: Sequence[Situation], snapshots: Sequence[Situation]) -> Situation:
    """The situation of all NFTs of a holder as of one voter, on the gauges of any of them (see `joint_problem`)."""
    gauges = tuple(dict.fromkeys(gauge for situation in situations for gauge in situation.gauges))
    places = [{gauge: i for i, gauge in enumerate(situation.gauges)} for situation in situations]
    own = np.array([_aligned(gauges, place, s.standing) for place, s in zip(places, situations, strict=True)])
    previous = [_aligned(gauges, place, s.previous) for place, s in zip(places, situations, strict=True)]
    votes, rewards = (np.zeros((len(gauges), len(situations[0].weights))) for _ in range(2))
    votable = np.zeros(len(gauges), dtype=np.bool_)
    for g, gauge in enumerate(gauges):
        n = next(n for n, place in enumerate(places) if gauge in place)
        i = places[n][gauge]
        now = float(snapshots[n].votes[i, 0])
        theirs = max(now - float(own[:, g].sum() - own[n, g]), 0.0)
        votes[g] = situations[n].votes[i] * (theirs / now if now > 0 else 0.0)
        rewards[g] = situations[n].rewards[i]
        votable[g] = situations[n].votable[i]
    return Situation(
        gauges,
        votes,
        rewards,
        situations[0].weights,
        own.sum(axis=0),
        np.sum(previous, axis=0),
        sum(s.power for s in situations),
        votable,
    )


def pooled(cases: Sequence[Case], holder: str) -> Case:
    """The cases of a holder's NFTs at one decision as one voter's, named after the holder; for a replay."""
    _check(cases)
    first, snapshots = cases[0], [case.snapshot for case in cases]
    snapshot = as_one(snapshots, snapshots)
    places = [{gauge: i for i, gauge in enumerate(s.gauges)} for s in snapshots]
    own = np.array([_aligned(snapshot.gauges, place, c.truth.own) for place, c in zip(places, cases, strict=True)])
    columns: dict[str, list[Any]] = {name: [] for name in ("votes", "rewards", "confidence", "levels")}
    for g, gauge in enumerate(snapshot.gauges):
        n = next(n for n, place in enumerate(places) if gauge in place)
        case, i = cases[n], places[n][gauge]
        columns["votes"].append(max(case.truth.votes[i] - (own[:, g].sum() - own[n, g]), 0.0))
        columns["rewards"].append(case.truth.rewards[i])
        columns["confidence"].append(case.confidence[i])
        columns["levels"].append(case.levels[i])
    return Case(
        key=(first.key[0], holder, *first.key[2:]),
        window={**first.window, "is_exempt": all(case.standing.is_exempt for case in cases)},
        situations={name: as_one([case.situations[name] for case in cases], snapshots) for name in first.situations},
        snapshot=snapshot,
        confidence=np.array(columns["confidence"]),
        levels=np.array(columns["levels"], dtype=str),
        truth=Truth(np.array(columns["votes"]), np.array(columns["rewards"]), own.sum(axis=0)),
        powers=tuple(s.power for s in snapshots),
    )


def nft(
    name: str,
    power: float,
    profile: RiskProfile,
    rule: VotingRule,
    previous: Floats,
    open_to: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Nft:
    """An NFT under the profile's limits; one under the least votes puts all of its own on one gauge."""
    most = np.inf if profile.max_share is None else profile.max_share * power
    count = len(open_to)
    return Nft(
        name=name,
        power=power,
        min_votes=min(profile.min_votes, power),
        k_max=max(min(profile.pools, rule.max_gauges or count, count), 1),
        max_turnover=profile.max_turnover,
        previous=previous,
        caps=np.where(open_to, most, 0.0),
    )


def _aligned(gauges: Sequence[str], place: Mapping[str, int], values: Floats) -> Floats:
    """Values (n,) of a case's gauges on all gauges (N,); 0 where it has none."""
    return np.array([values[place[gauge]] if gauge in place else 0.0 for gauge in gauges])
