"""Several NFTs of one voter at one decision: their cases as one joint problem, and its answer as change sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decide.errors import DecisionError
from decide.quantiles import Floats
from decide.voting.decision_tables import Case
from decide.voting.joint import JointAllocation, JointProblem, Nft, solve_together
from decide.voting.revote import VotingRule
from decide.voting.situation import DECISION, RiskProfile, Situation


@dataclass(frozen=True)
class Change:
    """What one NFT votes on one gauge, and what that changes, in votes."""

    voter_id: str
    gauge_address: str
    votes: float
    previous_votes: float
    change_votes: float


def decide_together(
    cases: Sequence[Case], profile: RiskProfile, rule: VotingRule
) -> tuple[JointAllocation, tuple[Change, ...]]:
    """The joint allocation of one voter's NFTs, and each one's change set.

    `cases`: one per NFT, of one exchange, epoch and window. Errors: DecisionError where they are of several decisions;
    else as `decide.voting.joint.solve_together`.
    """
    problem, gauges = joint_problem(cases, profile, rule)
    made = solve_together(problem, DECISION)
    changes = []
    for nft, votes in zip(problem.nfts, made.votes, strict=True):
        before = np.zeros(len(gauges)) if nft.previous is None else nft.previous
        for i in np.flatnonzero((votes > 0) | (before > 0)):
            changes.append(Change(nft.name, gauges[i], float(votes[i]), float(before[i]), float(votes[i] - before[i])))
    return made, tuple(changes)


def joint_problem(
    cases: Sequence[Case], profile: RiskProfile, rule: VotingRule
) -> tuple[JointProblem, tuple[str, ...]]:
    """The problem of all NFTs on the gauges (N,) of any of them.

    A case's V leaves out its own NFT's votes only; here those of all are left out, in every scenario by the share that
    they are of what is visible now: others' votes drift, one's own do not.
    """
    if len({(case.key[0], *case.key[2:]) for case in cases}) != 1:
        raise DecisionError("the NFTs' cases are of several decisions: give those of one exchange, epoch and window")
    situations = [case.situations[profile.scenario_set] for case in cases]
    gauges = tuple(dict.fromkeys(gauge for situation in situations for gauge in situation.gauges))
    places = [{gauge: i for i, gauge in enumerate(situation.gauges)} for situation in situations]
    own = np.array([_aligned(gauges, place, s.standing) for place, s in zip(places, situations, strict=True)])
    votes, rewards = (np.zeros((len(gauges), len(situations[0].weights))) for _ in range(2))
    votable = np.zeros(len(gauges), dtype=np.bool_)
    for g, gauge in enumerate(gauges):
        n = next(n for n, place in enumerate(places) if gauge in place)
        i = places[n][gauge]
        now = float(cases[n].snapshot.votes[i, 0])
        theirs = max(now - float(own[:, g].sum() - own[n, g]), 0.0)
        votes[g] = situations[n].votes[i] * (theirs / now if now > 0 else 0.0)
        rewards[g] = situations[n].rewards[i]
        votable[g] = situations[n].votable[i]
    open_to = votable & profile.admits(gauges)
    nfts = tuple(
        _nft(case, situation, profile, rule, _aligned(gauges, place, situation.previous), stands, open_to)
        for case, situation, place, stands in zip(cases, situations, places, own, strict=True)
    )
    return JointProblem(
        votes, rewards, situations[0].weights, nfts, profile.risk, profile.risk_aversion, profile.alpha, rule.vote_unit
    ), gauges


def _nft(
    case: Case,
    situation: Situation,
    profile: RiskProfile,
    rule: VotingRule,
    previous: Floats,
    stands: Floats,
    open_to: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Nft:
    """An NFT under the profile's limits; one under the least votes puts all of its own on one gauge."""
    is_cast = rule.votes_per_epoch == 1 and case.standing.has_voted
    most = np.inf if profile.max_share is None else profile.max_share * situation.power
    count = len(open_to)
    return Nft(
        name=case.key[1],
        power=situation.power,
        min_votes=min(profile.min_votes, situation.power),
        k_max=max(min(profile.pools, rule.max_gauges or count, count), 1),
        max_turnover=profile.max_turnover,
        previous=stands if is_cast else previous,
        caps=np.where(open_to, most, 0.0),
        is_fixed=is_cast,
    )


def _aligned(gauges: Sequence[str], place: Mapping[str, int], values: Floats) -> Floats:
    """Values (n,) of a case's gauges on all gauges (N,); 0 where it has none."""
    return np.array([values[place[gauge]] if gauge in place else 0.0 for gauge in gauges])
