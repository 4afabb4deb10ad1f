"""An honest replay: every epoch and window decided with what was known then, scored with what came after.

Each window is replayed as if its vote alone stood; the row `staged` replays the whole plan of an epoch, with the chance
of each submission to land. Own votes are in the denominator of what is realised, and out of everything before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decide.quantiles import Floats
from decide.voting.decision_tables import WINDOW_KEYS, Case
from decide.voting.recommend import Setting, turnover_share
from decide.voting.revote import Stage, decide_stage
from decide.voting.situation import RiskProfile, returns
from decide.voting.strategies import Choice, Strategy, choose

ROUNDING = 1e-9  # where nothing moved, scenarios and truth differ by the rounding of logarithms
STAGED = "staged"  # the decision_window of rows that replay a whole epoch


@dataclass
class _Memory:
    """Allocations by strategy and window, by gauge: what each strategy would stand with, were it alone."""

    last: dict[tuple[str, str], Mapping[str, float]]

    def recall(self, strategy: str, window: str, gauges: Sequence[str]) -> Floats:
        held = self.last.get((strategy, window), {})
        return np.array([held.get(gauge, 0.0) for gauge in gauges])

    def keep(self, strategy: str, window: str, gauges: Sequence[str], votes: Floats) -> None:
        self.last[strategy, window] = {g: float(v) for g, v in zip(gauges, votes, strict=True) if v > 0}


def replay(
    epochs: Sequence[Sequence[Case]], strategies: Sequence[Strategy], setting: Setting
) -> Iterator[dict[str, Any]]:
    """Rows of one exchange and voter: `epochs` in order of time, the cases of each in order of its windows.

    The first strategy is ours: `hold` keeps what it voted an epoch ago, the staged rows follow it. Epochs without a
    known truth are left out.
    """
    memory = _Memory({})
    carries = not _restarts(epochs)
    for cases in epochs:
        if not any(np.isfinite(case.truth.rewards).any() for case in cases):
            continue
        for case in cases:
            yield from _window(case, strategies, setting, memory)
        yield from _staged(cases, strategies[0], setting, memory, carries)


def _restarts(epochs: Sequence[Sequence[Case]]) -> bool:
    return bool(epochs) and bool(epochs[0]) and bool(epochs[0][0].window["votes_reset_each_epoch"])


def _window(case: Case, strategies: Sequence[Strategy], setting: Setting, memory: _Memory) -> list[dict[str, Any]]:
    window, gauges = case.key[3], case.snapshot.gauges
    held = memory.recall(strategies[0].name, window, gauges)
    is_open = setting.rule.is_open(_stage(setting, window), case.standing.is_exempt)
    best = _Hindsight(case, setting)
    rows = []
    for strategy in strategies:
        previous = memory.recall(strategy.name, window, gauges)
        choice = choose(strategy, case, setting, previous, held)
        if choice.outcome == "ok":
            memory.keep(strategy.name, window, gauges, choice.votes)
        rows.append(_row(case, strategy, choice, previous, best, is_open))
    return rows


class _Hindsight:
    """The most that could be earned at a case, by limits: what a strategy is held against obeys the same ones."""

    def __init__(self, case: Case, setting: Setting) -> None:
        self.case, self.setting = case, setting
        self._found: dict[tuple[int, float], float] = {}

    def under(self, profile: RiskProfile) -> float:
        """USD under the profile's k_max and min_votes; NaN where no allocation exists."""
        limits = profile.k_max, profile.min_votes
        if limits not in self._found:
            nothing = np.zeros(len(self.case.snapshot.gauges))
            strategy = Strategy("hindsight", "hindsight", profile)
            choice = choose(strategy, self.case, self.setting, nothing, nothing)
            self._found[limits] = realised(self.case, choice.votes) if choice.outcome == "ok" else np.nan
        return self._found[limits]


def realised(case: Case, votes: Floats) -> float:
    """USD that votes (N,) earned at the truth, own votes in the denominator; gauges without a label earn nothing."""
    known = np.isfinite(case.truth.votes) & np.isfinite(case.truth.rewards)
    others, rewards = np.where(known, case.truth.votes, 0.0), np.where(known, case.truth.rewards, 0.0)
    return float(returns(others[:, None], rewards[:, None], votes)[0])


def _row(
    case: Case, strategy: Strategy, choice: Choice, previous: Floats, hindsight: _Hindsight, is_open: bool
) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(WINDOW_KEYS, case.key, strict=True)) | {
        "strategy": strategy.name,
        "kind": strategy.kind,
        "outcome": choice.outcome,
        "is_votable": is_open,
        "voting_power": None if np.isnan(case.snapshot.power) else case.snapshot.power,
        "decision_at": case.window["decision_at"],
        "votes": [],
    }
    if choice.outcome != "ok" or choice.expected is None:
        return row
    earned = realised(case, choice.votes)
    best = earned if strategy.kind == "hindsight" else hindsight.under(strategy.profile)
    covered = len(choice.expected) > 1
    low, high = float(choice.expected.min()), float(choice.expected.max())
    slack = ROUNDING * earned
    return row | {
        "expected_usd": float(choice.weights @ choice.expected),
        "conservative_usd": low if covered else None,
        "aggressive_usd": high if covered else None,
        "realised_usd": earned,
        "hindsight_usd": None if np.isnan(best) else best,
        "turnover_share": turnover_share(choice.votes, previous),
        "gauges_used": int((choice.votes > 0).sum()),
        "optimality_gap": choice.gap,
        "unlabelled_share": float(choice.votes[~np.isfinite(case.truth.rewards)].sum() / choice.votes.sum()),
        "is_covered": low - slack <= earned <= high + slack if covered else None,
        "submissions": 1.0,
        "votes": _vote_rows(case, choice, strategy),
    }


def _vote_rows(case: Case, choice: Choice, strategy: Strategy) -> list[dict[str, Any]]:
    """Per gauge: what was expected of it in the middle scenario, what it became. Only for what forecasts."""
    if strategy.kind != "forecast":
        return []
    situation = case.situations[strategy.profile.scenario_set]
    middle, truth = len(choice.weights) // 2, case.truth
    rows = []
    for i in np.flatnonzero(choice.votes > 0):
        x = float(choice.votes[i])
        rows.append(
            {
                "gauge_address": situation.gauges[i],
                "votes": x,
                "votes_now": float(case.snapshot.votes[i, 0]),
                "votes_expected": float(situation.votes[i, middle]),
                "votes_final": _finite(truth.votes[i]),
                "rewards_now_usd": float(case.snapshot.rewards[i, 0]),
                "rewards_expected_usd": float(situation.rewards[i, middle]),
                "rewards_final_usd": _finite(truth.rewards[i]),
                "confidence": float(case.confidence[i]),
            }
        )
    return rows


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _staged(
    cases: Sequence[Case],
    strategy: Strategy,
    setting: Setting,
    memory: _Memory,
    carries: bool,
) -> list[dict[str, Any]]:
    """The plan of an epoch: at each window submit or not, given what stands; every submission lands with its p.

    All outcomes are followed with their probabilities, so the row is an expectation over landing, not a draw.
    """
    if not cases:
        return []
    key = (strategy.name, STAGED)
    start = memory.last.get(key, {})
    standing = _within(start, cases[0].snapshot.power) if carries else {}
    outage = max((stage.outage_prob for stage in setting.stages), default=0.0)
    branches = [_Branch(1 - outage, outage, standing)]
    previous, submissions, last = start, 0.0, None
    for case in cases:
        gauges = case.snapshot.gauges
        base = np.array([previous.get(g, 0.0) for g in gauges])
        choice = choose(strategy, case, setting, base, base)
        if choice.outcome != "ok":
            continue
        last = case
        branches, sent, previous = _stage_branches(case, choice, strategy, setting, branches, previous)
        submissions += sent
    if last is None:
        return []
    memory.last[key] = max(branches, key=lambda branch: branch.probability).votes
    earned = sum(b.probability * realised(last, _aligned(b.votes, last.snapshot.gauges)) for b in branches)
    best = _Hindsight(last, setting).under(strategy.profile)
    return [_staged_row(last, strategy, earned, submissions, best)]


@dataclass(frozen=True)
class _Branch:
    """One course of an epoch: its probability without and with an outage, what stands, and what failed to land."""

    clear: float
    outage: float
    votes: Mapping[str, float]
    has_voted: bool = False
    failed: tuple[Stage, ...] = ()

    @property
    def probability(self) -> float:
        return self.clear + self.outage

    def sent(self, stage: Stage, new: Mapping[str, float]) -> list[_Branch]:
        """The courses after a vote sent at `stage`: an outage takes every late one."""
        p, p_out = stage.landing_prob, 0.0 if stage.outage_prob > 0 else stage.landing_prob
        landed = _Branch(p * self.clear, p_out * self.outage, new, True)
        missed = replace(
            self, clear=(1 - p) * self.clear, outage=(1 - p_out) * self.outage, failed=(*self.failed, stage)
        )
        return [branch for branch in (landed, missed) if branch.probability > 0]


def _within(votes: Mapping[str, float], power: float) -> Mapping[str, float]:
    """Votes that carry over, scaled down to today's power: a lock that decayed is poked."""
    total = sum(votes.values())
    return {gauge: amount * (power / total) for gauge, amount in votes.items()} if total > power else votes


def _stage_branches(
    case: Case,
    choice: Choice,
    strategy: Strategy,
    setting: Setting,
    branches: Sequence[_Branch],
    previous: Mapping[str, float],
) -> tuple[list[_Branch], float, Mapping[str, float]]:
    """The branches after a window, the expected submissions, and the allocation last sent."""
    situation, stage = case.situations[strategy.profile.scenario_set], _stage(setting, case.key[3])
    new = {g: float(v) for g, v in zip(situation.gauges, choice.votes, strict=True) if v > 0}
    new_usd = float(situation.weights @ situation.returns(choice.votes))
    after: list[_Branch] = []
    sent = 0.0
    for branch in branches:
        decision = decide_stage(
            stage,
            setting.stages,
            setting.rule,
            setting.guard,
            float(situation.weights @ situation.returns(_aligned(branch.votes, situation.gauges))),
            new_usd,
            has_voted=branch.has_voted,
            is_exempt=case.standing.is_exempt,
            failed=branch.failed,
        )
        if decision.action != "submit":
            after.append(branch)
            continue
        sent += branch.probability
        previous = new
        after += branch.sent(stage, new)
    return after, sent, previous


def _staged_row(case: Case, strategy: Strategy, earned: float, submissions: float, best: float) -> dict[str, Any]:
    protocol, voter, epoch, _ = case.key
    return {
        "protocol": protocol,
        "voter_id": voter,
        "epoch": epoch,
        "decision_window": STAGED,
        "strategy": strategy.name,
        "kind": STAGED,
        "outcome": "ok",
        "is_votable": True,
        "voting_power": case.snapshot.power,
        "realised_usd": earned,
        "hindsight_usd": None if np.isnan(best) else best,
        "submissions": submissions,
        "decision_at": case.window["decision_at"],
        "votes": [],
    }


def _stage(setting: Setting, name: str) -> Stage:
    return next(stage for stage in setting.stages if stage.name == name)


def _aligned(votes: Mapping[str, float], gauges: Sequence[str]) -> Floats:
    return np.array([votes.get(gauge, 0.0) for gauge in gauges])
