"""What a voter might do with what is visible: our exact optimum, and the simple rules it must beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from decide.errors import DecisionError, NothingToGain
from decide.quantiles import Floats
from decide.voting.decision_tables import Case
from decide.voting.joint import solve_together
from decide.voting.recommend import Setting
from decide.voting.situation import DECISION, Answer, RiskProfile, Situation, answer
from decide.voting.together import joint, nft

Kind = Literal["forecast", "snapshot", "proportional", "equal", "hold", "hindsight"]


@dataclass(frozen=True)
class Strategy:
    """One row of the `backtest_variants` seed."""

    name: str
    kind: Kind
    profile: RiskProfile


@dataclass(frozen=True)
class Choice:
    """What a strategy votes (N,), what it expected per scenario (S,; None where it forecasts nothing), or why not."""

    votes: Floats
    expected: Floats | None
    weights: Floats
    gap: float
    outcome: str


def choose(strategy: Strategy, case: Case, setting: Setting, previous: Floats, held: Floats) -> Choice:
    """The votes of a strategy at a case.

    `previous` is its own last allocation on these gauges (zeros: a first vote), the base of its turnover; `held` the
    allocation that `hold` keeps. Only `hindsight` looks at the case's truth.
    """
    situation = case.situations[strategy.profile.scenario_set] if strategy.kind == "forecast" else case.snapshot
    situation = replace(situation, previous=previous)
    if strategy.kind == "hindsight":
        return hindsight(case, strategy.profile, setting, limited=False)
    if strategy.kind in ("forecast", "snapshot"):
        return _solved(situation, strategy.profile, setting, powers=case.powers)
    is_hold = strategy.kind == "hold"
    wanted = (
        _held(held, situation, case, strategy.profile.min_votes)
        if is_hold
        else _simple(strategy.kind, situation, strategy)
    )
    votes = None if wanted is None else _whole(wanted, setting.rule.vote_unit)
    if votes is None or not votes.any():
        return _nothing(situation, "nothing_to_hold" if is_hold else "nothing_to_vote_for")
    return Choice(votes, situation.returns(votes), situation.weights, 0.0, "ok")


def _solved(
    situation: Situation,
    profile: RiskProfile,
    setting: Setting,
    limited: bool = True,
    powers: tuple[float, ...] = (),
) -> Choice:
    if len(powers) > 1:
        return _solved_together(situation, profile, setting, powers)
    found: Answer = answer(situation, profile, setting.rule, limited)
    if found.allocation is None:
        return _nothing(situation, found.outcome)
    votes = np.asarray(found.allocation.votes, dtype=np.float64)
    return Choice(votes, situation.returns(votes), situation.weights, float(found.allocation.gap), "ok")


def _solved_together(situation: Situation, profile: RiskProfile, setting: Setting, powers: tuple[float, ...]) -> Choice:
    """What several NFTs vote together; each had its part of the last allocation by its power."""
    open_to = situation.votable & profile.admits(situation.gauges)
    nfts = tuple(
        nft(str(n), power, profile, setting.rule, situation.previous * (power / sum(powers)), open_to)
        for n, power in enumerate(powers)
    )
    try:
        made = solve_together(joint(situation, nfts, profile, setting.rule), DECISION)
    except NothingToGain:
        return _nothing(situation, "nothing_to_gain")
    except DecisionError:
        return _nothing(situation, "infeasible")
    votes = made.votes.sum(axis=0)
    return Choice(votes, situation.returns(votes), situation.weights, float(made.gap), "ok")


def hindsight(case: Case, profile: RiskProfile, setting: Setting, limited: bool) -> Choice:
    """The optimum on the case's truth under the exchange's own limits: what everything is measured against.

    `limited`: under the profile's limits too. No turnover cap in either: regret is then never negative. Of several NFTs
    it is the optimum of one with all their power and the sum of their pools: whatever they vote, it could.
    """
    count = max(len(case.powers), 1)
    rule = replace(
        setting.rule, max_gauges=None if setting.rule.max_gauges is None else count * setting.rule.max_gauges
    )
    setting, profile = replace(setting, rule=rule), replace(profile, k_max=count * profile.k_max)
    if count > 1:
        least, pools = min(profile.min_votes, *case.powers), profile.max_pools
        profile = replace(profile, min_votes=least, max_pools=None if pools is None else count * pools)
    truth = case.truth
    known = np.isfinite(truth.votes) & np.isfinite(truth.rewards)
    after = replace(
        case.snapshot,
        votes=np.where(known, truth.votes, 0.0)[:, None],
        rewards=np.where(known, truth.rewards, 0.0)[:, None],
        weights=np.ones(1),
        previous=np.zeros(len(known)),
    )
    return _solved(after, replace(profile, risk="none", risk_aversion=0.0, max_turnover=None), setting, limited)


def _simple(kind: str, situation: Situation, strategy: Strategy) -> Floats | None:
    """The best gauges by reward per vote after a minimal stake, R/(V + m): in proportion to it, or in equal parts.

    Every chosen gauge gets min_votes first, so the rules obey the same limits as the optimum.
    """
    power, least = situation.power, strategy.profile.min_votes
    if not np.isfinite(power) or power <= 0 or not situation.votable.any():
        return None
    count = min(
        strategy.profile.k_max,
        int(situation.votable.sum()),
        int(power // least) if least > 0 else strategy.profile.k_max,
    )
    score = situation.rewards[:, 0] / (situation.votes[:, 0] + max(least, 1.0))
    score = np.where(situation.votable, score, 0.0)
    chosen = np.argsort(-score, kind="stable")[:count]
    if not count or not score[chosen].sum() > 0:
        return None
    share = score[chosen] / score[chosen].sum() if kind == "proportional" else np.full(count, 1 / count)
    votes = np.zeros(len(situation.gauges))
    votes[chosen] = least + (power - count * least) * share
    return votes


def _held(held: Floats, situation: Situation, case: Case, least: float) -> Floats | None:
    """Where votes carry over, what stands is kept, on dead gauges too; else it is cast again on living ones."""
    if not case.window["votes_reset_each_epoch"]:
        total = held.sum()
        return held * min(situation.power / total, 1.0) if total > 0 and np.isfinite(situation.power) else None
    return _hold(np.where(situation.votable, held, 0.0), situation.power, least)


def _hold(held: Floats, power: float, least: float) -> Floats | None:
    """The last allocation rescaled to today's power; gauges that are no candidates any more lose theirs to the rest.

    So do, smallest first, those that the rescaling brings under `least` votes: holding obeys the optimum's limits.
    """
    kept = np.array(held, dtype=np.float64)
    while kept.any() and np.isfinite(power):
        votes: Floats = kept * (power / kept.sum())
        smallest = int(np.argmin(np.where(kept > 0, kept, np.inf)))
        if votes[smallest] >= least * (1 - 1e-12):
            return votes
        kept[smallest] = 0.0
    return None


def _whole(votes: Floats, unit: int) -> Floats:
    """Votes in whole units, by largest remainder; a fraction of a unit in all is left unused, as by the optimum."""
    units = np.floor(votes / unit)
    left = int(votes.sum() / unit + 1e-9) - int(units.sum())
    units[np.argsort(-(votes / unit - units), kind="stable")[:left]] += 1
    return np.asarray(units * unit)


def _nothing(situation: Situation, outcome: str) -> Choice:
    return Choice(np.zeros(len(situation.gauges)), None, situation.weights, np.nan, outcome)
