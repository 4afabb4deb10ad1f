"""An honest replay: every epoch and window decided with what was known then, scored with what came after.

Each window is replayed as if its vote alone stood; the row `staged` replays the whole plan of an epoch, with the chance
of each submission to land. Own votes are in the denominator of what is realised, and out of everything before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from decide.once import digest
from decide.quantiles import Floats
from decide.voting.decision_tables import WINDOW_KEYS, Case
from decide.voting.recommend import Setting, turnover_share
from decide.voting.revote import Stage, decide_stage
from decide.voting.situation import RiskProfile, returns
from decide.voting.strategies import Choice, Strategy, choose, hindsight

ROUNDING = 1e-9  # where nothing moved, scenarios and truth differ by the rounding of logarithms
STAGED = "staged"  # the decision_window of rows that replay a whole epoch


Key = tuple[str, str, int, str, str]  # protocol, voter_id, epoch, decision_window, strategy


class Held:
    """An allocation by gauge, votes above 0, with a hash of it; one of an earlier build is read only if asked for.

    `voted_at`: when the newest vote behind it was decided, of whatever epoch; followed for the whole plan alone.
    """

    def __init__(self, mark: str, read: Callable[[], Mapping[str, float]], voted_at: datetime | None = None) -> None:
        self.mark, self._read, self.voted_at = mark, read, voted_at
        self._votes: Mapping[str, float] | None = None

    @classmethod
    def of(cls, votes: Mapping[str, float], voted_at: datetime | None = None) -> Held:
        return cls(digest(votes), lambda: votes, voted_at)

    @property
    def votes(self) -> Mapping[str, float]:
        if self._votes is None:
            self._votes = self._read()
        return self._votes

    def on(self, gauges: Sequence[str]) -> Floats:
        """Votes (N,) on these gauges."""
        votes = self.votes
        return np.array([votes.get(gauge, 0.0) for gauge in gauges])


NOTHING = Held.of({})


class Answered(Protocol):
    """The rows of an earlier replay."""

    def find(self, key: Key, inputs: str) -> slice | None:
        """Where a row lies that was replayed on these inputs and is as it was written; None where there is none."""

    def allocation(self, where: slice) -> Held:
        """What the row's strategy stood with afterwards."""


@dataclass(frozen=True)
class Unit:
    """One row of a replay: new, or where it lies in an earlier one."""

    key: Key
    inputs: str
    row: dict[str, Any] | None
    where: slice | None = None


def replay(
    epochs: Sequence[Sequence[Case]], strategies: Sequence[Strategy], setting: Setting
) -> Iterator[dict[str, Any]]:
    """Rows of one exchange and voter: `epochs` in order of time, the cases of each in order of its windows.

    The first strategy is ours: `hold` keeps what it voted an epoch ago, the staged rows follow it. Epochs without a
    known truth are left out.
    """
    replayer = Replayer(strategies, setting)
    for cases in epochs:
        for unit in replayer.epoch(cases):
            if unit.row is not None:
                yield unit.row


class Replayer:
    """One voter's epochs replayed in turn; rows of an earlier replay that rest on the same inputs are taken over.

    What a row rests on: its case and truth, its strategy, the setting, what the strategy stood with an epoch ago, and
    `code`, the version of what computes. So a changed row recomputes its own epoch, and later ones only as far as
    allocations differ.
    """

    def __init__(self, strategies: Sequence[Strategy], setting: Setting, code: str = "") -> None:
        self._replay = _Replay(strategies, setting, code)
        self._carries: bool | None = None

    def epoch(self, cases: Sequence[Case], answered: Answered | None = None) -> Iterator[Unit]:
        """The rows of the next epoch, whose cases come in order of its windows; none without a known truth."""
        if self._carries is None:
            self._carries = not _restarts([cases])
        if not any(np.isfinite(case.truth.rewards).any() for case in cases):
            return
        self._replay.answered = answered
        seen = []
        for case in cases:
            window = self._replay.at(case)
            seen.append(window.inputs(self._replay.strategies[0]))
            yield from self._replay.window(window)
        yield self._replay.staged(cases, seen, self._carries)


class Best:
    """One voter's epochs in turn for strategies that look at the truth alone; rows are taken over as by `Replayer`."""

    def __init__(self, best: Sequence[Strategy], setting: Setting, code: str = "") -> None:
        self._replay = _Replay(best, setting, code)

    def epoch(self, cases: Sequence[Case], answered: Answered | None = None) -> Iterator[Unit]:
        """The rows of the next epoch."""
        self._replay.answered = answered
        for case in cases if self._replay.strategies else ():
            if np.isfinite(case.truth.rewards).any():
                yield from self._replay.window(self._replay.at(case))


def _restarts(epochs: Sequence[Sequence[Case]]) -> bool:
    return bool(epochs) and bool(epochs[0]) and bool(epochs[0][0].window["votes_reset_each_epoch"])


class _Replay:
    """Epochs in turn; remembers what each strategy stands with at each window, were it alone."""

    def __init__(self, strategies: Sequence[Strategy], setting: Setting, code: str) -> None:
        self.strategies, self.setting = strategies, setting
        self.answered: Answered | None = None  # the earlier replay of the epochs in hand
        self.marks = [digest(code, setting, strategy) for strategy in strategies]
        self.last: dict[tuple[str, str], Held] = {}

    def at(self, case: Case) -> _Window:
        """A case, with what the first strategy stands with there."""
        return _Window(case, self.setting, self.last.get((self.strategies[0].name, case.key[3])))

    def window(self, replayed: _Window) -> Iterator[Unit]:
        """A row per strategy."""
        case, ours = replayed.case, replayed.ours
        for strategy, mark in zip(self.strategies, self.marks, strict=True):
            name = strategy.name, case.key[3]
            previous = self.last.get(name, NOTHING)
            kept = (None if ours is None else ours.mark) if strategy.kind == "hold" else ""
            inputs = digest(mark, replayed.inputs(strategy), previous.mark, kept)
            key: Key = (*case.key, strategy.name)
            where = self.answered.find(key, inputs) if self.answered is not None else None
            if where is None or self.answered is None:
                row, held = replayed.row(strategy, previous)
                unit = Unit(key, inputs, row)
            else:
                unit, held = Unit(key, inputs, None, where), self.answered.allocation(where)
            if held is not None and held.mark != NOTHING.mark:
                self.last[name] = held
            yield unit

    def staged(self, cases: Sequence[Case], seen: Sequence[str], carries: bool) -> Unit:
        """The row of an epoch's whole plan, of the first strategy; `seen`: hashes of what it sees at each window."""
        strategy = self.strategies[0]
        name = strategy.name, STAGED
        start = self.last.get(name, NOTHING)
        inputs = digest(self.marks[0], seen, start.mark, str(start.voted_at), carries)
        protocol, voter, epoch, _ = cases[0].key
        key: Key = (protocol, voter, epoch, STAGED, strategy.name)
        where = self.answered.find(key, inputs) if self.answered is not None else None
        if where is not None and self.answered is not None:
            self.last[name] = self.answered.allocation(where)
            return Unit(key, inputs, None, where)
        row, self.last[name] = _staged(cases, strategy, self.setting, start, carries)
        return Unit(key, inputs, row)


class _Window:
    """One case replayed by one strategy after the other."""

    def __init__(self, case: Case, setting: Setting, ours: Held | None) -> None:
        self.case, self.setting, self.ours = case, setting, ours
        self.is_open = setting.rule.is_open(_stage(setting, case.key[3]), case.standing.is_exempt)
        self.best = _Hindsight(case, setting)
        self._inputs: dict[str, str] = {}

    def inputs(self, strategy: Strategy) -> str:
        """Hash of what a strategy sees of the case, and of the truth it is scored with."""
        wanted = strategy.profile.scenario_set if strategy.kind == "forecast" else ""
        if wanted not in self._inputs:
            seen = self.case.seen([wanted])
            if not wanted:
                seen = replace(seen, confidence=np.zeros(0), levels=np.array([], dtype=str))
            self._inputs[wanted] = digest(seen, self.case.truth)
        return self._inputs[wanted]

    def row(self, strategy: Strategy, previous: Held) -> tuple[dict[str, Any], Held | None]:
        """The row, and what the strategy stands with if it votes."""
        gauges = self.case.snapshot.gauges
        before = previous.on(gauges)
        held = np.zeros(len(gauges)) if self.ours is None else self.ours.on(gauges)
        choice = choose(strategy, self.case, self.setting, before, held)
        if choice.outcome == "nothing_to_hold" and self.ours is not None:
            choice = replace(choice, outcome="nothing_left_to_hold")
        stands = None
        if choice.outcome == "ok":
            stands = Held.of({g: float(v) for g, v in zip(gauges, choice.votes, strict=True) if v > 0})
        return _row(self.case, strategy, choice, before, self.best, self.is_open) | _allocation(stands), stands


def _allocation(held: Held | None) -> dict[str, Any]:
    """The columns that a later replay takes up from."""
    stands = held or NOTHING
    rows = [{"gauge_address": gauge, "votes": votes} for gauge, votes in stands.votes.items()]
    return {"allocation": rows, "allocation_hash": stands.mark, "voted_at": stands.voted_at}


class _Hindsight:
    """The most that could be earned at a case: under the exchange's own limits, and under a profile's too."""

    def __init__(self, case: Case, setting: Setting) -> None:
        self.case, self.setting = case, setting
        self._found: dict[str, float] = {}

    def usd(self, profile: RiskProfile, limited: bool) -> float:
        """USD without a turnover cap; `limited`: under the profile's limits. NaN where no allocation exists."""
        limits = profile.name if limited else ""
        if limits not in self._found:
            choice = hindsight(self.case, profile, self.setting, limited)
            self._found[limits] = realised(self.case, choice.votes) if choice.outcome == "ok" else np.nan
        return self._found[limits]


def realised(case: Case, votes: Floats) -> float:
    """USD that votes (N,) earned at the truth, own votes in the denominator; gauges without a label earn nothing."""
    known = np.isfinite(case.truth.votes) & np.isfinite(case.truth.rewards)
    others, rewards = np.where(known, case.truth.votes, 0.0), np.where(known, case.truth.rewards, 0.0)
    return float(returns(others[:, None], rewards[:, None], votes)[0])


def _row(
    case: Case, strategy: Strategy, choice: Choice, previous: Floats, best: _Hindsight, is_open: bool
) -> dict[str, Any]:
    """A strategy that casts no vote earns 0 USD; one that holds has no outcome before there was anything to hold."""
    row: dict[str, Any] = dict(zip(WINDOW_KEYS, case.key, strict=True)) | {
        "strategy": strategy.name,
        "kind": strategy.kind,
        "outcome": choice.outcome,
        "is_votable": is_open,
        "voting_power": None if np.isnan(case.snapshot.power) else case.snapshot.power,
        "decision_at": case.window["decision_at"],
        "hindsight_usd": _finite(best.usd(strategy.profile, limited=False)),
        "profile_hindsight_usd": _finite(best.usd(strategy.profile, limited=True)),
        "votes": [],
    }
    if choice.outcome != "ok" or choice.expected is None:
        return row | {"realised_usd": None if choice.outcome == "nothing_to_hold" else 0.0}
    earned = realised(case, choice.votes)
    covered = len(choice.expected) > 1
    low, high = float(choice.expected.min()), float(choice.expected.max())
    slack = ROUNDING * earned
    return row | {
        "expected_usd": float(choice.weights @ choice.expected),
        "conservative_usd": low if covered else None,
        "aggressive_usd": high if covered else None,
        "realised_usd": earned,
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
    cases: Sequence[Case], strategy: Strategy, setting: Setting, start: Held, carries: bool
) -> tuple[dict[str, Any], Held]:
    """The plan of an epoch: at each window submit or not, given what stands; every submission lands with its p.

    All outcomes are followed with their probabilities, so the row is an expectation over landing, not a draw. `start`
    and the returned are what the likeliest outcome of an epoch stands with, and when it voted last. An epoch in which
    no window has an allocation earns what stands.
    """
    standing = _within(start.votes, cases[0].snapshot.power) if carries else {}
    outage = max((stage.outage_prob for stage in setting.stages), default=0.0)
    branches = [_Branch(1 - outage, outage, standing, start.voted_at)]
    previous, submissions, last = start.votes, 0.0, None
    for case in cases:
        gauges = case.snapshot.gauges
        base = np.array([previous.get(g, 0.0) for g in gauges])
        choice = choose(strategy, case, setting, base, base)
        if choice.outcome != "ok":
            continue
        last = case
        branches, sent, previous = _stage_branches(case, choice, strategy, setting, branches, previous)
        submissions += sent
    outcome, last = ("ok", last) if last is not None else ("no_allocation", cases[-1])
    likeliest = max(branches, key=lambda branch: branch.probability)
    stands = Held.of(likeliest.votes, likeliest.voted_at)
    earned = sum(b.probability * realised(last, _aligned(b.votes, last.snapshot.gauges)) for b in branches)
    best = _Hindsight(last, setting)
    row = _staged_row(last, strategy, outcome, earned, submissions)
    for column, limited in (("hindsight_usd", False), ("profile_hindsight_usd", True)):
        row[column] = _finite(best.usd(strategy.profile, limited))
    return row | _allocation(stands), stands


@dataclass(frozen=True)
class _Branch:
    """One course of an epoch: its probability without and with an outage, what stands, and what failed to land."""

    clear: float
    outage: float
    votes: Mapping[str, float]
    voted_at: datetime | None = None  # when the newest vote that landed was decided, of whatever epoch
    failed: tuple[Stage, ...] = ()

    def has_voted(self, case: Case) -> bool:
        """Whether a vote of the case's epoch is cast."""
        return self.voted_at is not None and self.voted_at.timestamp() >= case.key[2]

    def since_vote(self, case: Case, landing_seconds: float) -> float | None:
        """Seconds at a case since the last vote landed, which may have taken so many."""
        if self.voted_at is None:
            return None
        return float((case.window["decision_at"] - self.voted_at).total_seconds()) - landing_seconds

    @property
    def probability(self) -> float:
        return self.clear + self.outage

    def sent(self, stage: Stage, new: Mapping[str, float], decided_at: datetime) -> list[_Branch]:
        """The courses after a vote sent at `stage`: an outage takes every late one."""
        p, p_out = stage.landing_prob, 0.0 if stage.outage_prob > 0 else stage.landing_prob
        landed = _Branch(p * self.clear, p_out * self.outage, new, decided_at)
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
            case.ruled(setting.rule),
            setting.guard,
            float(situation.weights @ situation.returns(_aligned(branch.votes, situation.gauges))),
            new_usd,
            has_voted=branch.has_voted(case),
            is_exempt=case.standing.is_exempt,
            failed=branch.failed,
            since_vote=branch.since_vote(case, setting.guard.landing_seconds),
        )
        if decision.action != "submit":
            after.append(branch)
            continue
        sent += branch.probability
        previous = new
        after += branch.sent(stage, new, case.window["decision_at"])
    return after, sent, previous


def _staged_row(case: Case, strategy: Strategy, outcome: str, earned: float, submissions: float) -> dict[str, Any]:
    protocol, voter, epoch, _ = case.key
    return {
        "protocol": protocol,
        "voter_id": voter,
        "epoch": epoch,
        "decision_window": STAGED,
        "strategy": strategy.name,
        "kind": STAGED,
        "outcome": outcome,
        "is_votable": True,
        "voting_power": case.snapshot.power,
        "realised_usd": earned,
        "submissions": submissions,
        "decision_at": case.window["decision_at"],
        "votes": [],
    }


def _stage(setting: Setting, name: str) -> Stage:
    return next(stage for stage in setting.stages if stage.name == name)


def _aligned(votes: Mapping[str, float], gauges: Sequence[str]) -> Floats:
    return np.array([votes.get(gauge, 0.0) for gauge in gauges])
