"""Drift of others' votes and uplift of rewards until the truth: quantiles learned only from what was known.

Moves are log ratios with a floor, log((after + f) / (before + f)): additive where there was nothing, relative where
there was much. Every epoch is forecast in turn from labels known before its decision; competing forecasters are scored
on those forecasts, and the one with the least past pinball loss speaks next.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import fsum
from typing import Literal

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError
from decide.quantiles import (
    Codes,
    Floats,
    Ladder,
    Sample,
    Support,
    fallback_shares,
    ladder_quantiles,
    pinball_rows,
    pooled_shares,
    support,
)
from decide.voting.chasing import filled, usual_total
from decide.voting.conduits import Conduit, Held, Week, after, learn

LEVELS = np.array([0.10, 0.25, 0.50, 0.75, 0.90])
MEDIAN = 2  # its place in LEVELS: the one quantile that calibration leaves alone


@dataclass(frozen=True)
class Candidate:
    """A competing forecaster, one row of the `forecast_candidates` seed."""

    name: str
    pooling: Literal["fallback", "pooled"]
    strength: float  # k of n/(n+k), observations
    cluster_by: Literal["gap", "reward"]
    clusters: int
    half_life: float  # epochs; 0: no decay
    chase: float = 0.0  # share of the votes to come that go where a vote is paid most; moves are learned beside it
    large_voters: bool = False  # those to come of large voters, one by one; the moves of the rest are learned beside it


@dataclass(frozen=True)
class ForecastRules:
    """The forecaster's constants, from the `thresholds` and `forecast_candidates` seeds."""

    candidates: tuple[Candidate, ...]
    default: int  # place of the candidate used until losses are known
    drift_floor: float  # votes
    uplift_floor: float  # USD
    min_gauge_epochs: int
    min_cluster_epochs: int
    min_calibration_epochs: int

    def __post_init__(self) -> None:
        if not self.candidates or not 0 <= self.default < len(self.candidates):
            raise DecisionError("forecasting needs at least one candidate and a default among them")
        if min(self.drift_floor, self.uplift_floor) <= 0:
            raise DecisionError("drift_floor and uplift_floor must be positive: logarithms start there")


@dataclass(frozen=True)
class Panel:
    """N rows of one exchange, voter and window, one per epoch and gauge, sorted by epoch.

    `before` and `after` are votes or USD (`after` NaN where unknown); `votes`, `rewards` as visible at the decision;
    times in microseconds since 1970 UTC, `known_at` NEVER where there is no label.
    """

    epoch: Codes
    gauge: Codes
    votes: Floats
    rewards: Floats
    decision_at: Codes
    known_at: Codes


@dataclass(frozen=True)
class Forecast:
    """Quantiles (N, 5) of a measure's log ratio at LEVELS, and what each row rests on."""

    quantiles: Floats
    raw: Floats  # (N, C, 5): every candidate's, before calibration
    chosen: Codes  # place of the candidate
    cluster: Codes
    held: Support
    own_share: Floats
    cluster_share: Floats
    sample_rows: Codes
    sample_epochs: Codes  # epochs among them
    calibration_rows: Codes
    trained_until: Codes  # newest known_at among the labels used; -1 where none was

    def level(self, rules: ForecastRules) -> npt.NDArray[np.str_]:
        """`gauge`, `cluster`, `global` or `none`: the finest level with enough history."""
        conditions = [
            self.held.gauge_epochs >= rules.min_gauge_epochs,
            self.held.cluster_epochs >= rules.min_cluster_epochs,
            self.sample_rows > 0,
        ]
        return np.select(conditions, ["gauge", "cluster", "global"], "none")


def move(before: Floats, after: Floats, floor: float) -> Floats:
    """log((after + f) / (before + f)) of amounts ≥ 0 in one unit; NaN where either is."""
    return np.asarray(np.log((after + floor) / (before + floor)))


def apply_move(before: Floats, quantile: Floats, floor: float) -> Floats:
    """The amount after a move, never below 0: (before + f)·exp(z) − f."""
    return np.asarray(np.maximum((before + floor) * np.exp(quantile) - floor, 0.0))


def clusters(panel: Panel, by: str, count: int, rules: ForecastRules) -> Codes:
    """Cluster codes (N,) within each epoch's own cross-section: 0 no reward, 1 no votes, 2.. quantile bins.

    `gap`: log reward per vote, where late votes go; `reward`: size. A rank is taken among one epoch's rows, so nothing
    of another epoch, earlier or later, decides it.
    """
    score = np.log(panel.rewards + rules.uplift_floor)
    if by == "gap":
        score = score - np.log(panel.votes + rules.drift_floor)
    codes = np.where(panel.rewards <= 0, 0, np.where(panel.votes <= 0, 1, 2)).astype(np.int64)
    for epoch in np.unique(panel.epoch):
        rows = np.flatnonzero((panel.epoch == epoch) & (codes == 2))
        if len(rows):
            rank = np.argsort(np.argsort(score[rows], kind="stable"), kind="stable")
            codes[rows] = 2 + rank * count // len(rows)
    return codes


def _codes(panel: Panel, rules: ForecastRules) -> list[Codes]:
    """Cluster codes (N,) by candidate."""
    kinds = [(c.cluster_by, c.clusters) for c in rules.candidates]
    found = {kind: clusters(panel, *kind, rules) for kind in dict.fromkeys(kinds)}
    return [found[kind] for kind in kinds]


def walk_forward(panel: Panel, moves: Floats, rules: ForecastRules, held: Held | None = None) -> Forecast:
    """Forecast every epoch of a panel from the labels known before its decision; `moves` (N,) are the realised ones.

    `held`: the votes of single voters on the panel's rows, None where nobody is told apart.

    Source of the pooling and of the scores' use: docs/method-forecast.md. Deterministic.
    """
    race = Race(panel, moves, rules, held)
    for epoch in range(race.epochs):
        race.forecast(epoch)
    return race.result()


@dataclass(frozen=True)
class Past:
    """What an epoch's n rows were forecast with, if it need not be forecast again: enough for later epochs.

    `raw` (n, C, 5) are all candidates' forecasts before calibration, `chosen` (n,) which one spoke. An epoch without
    any history has no `raw` worth scoring: `has_history` is then false.
    """

    raw: Floats
    chosen: Codes
    has_history: bool


@dataclass
class Lessons:
    """What an epoch (its place) learns from the rows known before it: large voters, the usual sum of all votes, the
    moves that would have been foreseen in the epochs before, and ladders; the last two by what it is foreseen with.
    """

    epoch: int = -1
    known: Codes = field(default_factory=lambda: np.zeros(0, np.int64))
    voters: list[Conduit] | None = None
    total: float | None = None
    before: dict[tuple[float, bool], Floats] = field(default_factory=dict)
    ladders: dict[tuple[float, float, bool], Ladder] = field(default_factory=dict)

    def begin(self, epoch: int, known: Codes) -> None:
        """Forget all, unless it is the same that is to be learned."""
        if epoch != self.epoch or not np.array_equal(known, self.known):
            self.epoch, self.known, self.voters, self.total = epoch, known, None, None
            self.before.clear()
            self.ladders.clear()


class Race:
    """All candidates through all epochs; remembers forecasts, losses and residuals with the time they became known.

    Epochs are places 0.. in order of time. Each is forecast, or recalled from an earlier build, before the next; losses
    are counted only when somebody asks.
    """

    def __init__(self, panel: Panel, moves: Floats, rules: ForecastRules, held: Held | None = None) -> None:
        self.panel, self.moves, self.rules = panel, moves, rules
        nobody = np.zeros((len(moves), 0))
        self.held = held or Held(nobody, nobody)
        self.epoch = np.unique(panel.epoch, return_inverse=True)[1].astype(np.int64)
        self.starts = np.r_[np.flatnonzero(np.diff(self.epoch, prepend=-1)), len(self.epoch)]
        self.epochs = len(self.starts) - 1
        n, c = len(panel.epoch), len(rules.candidates)
        self.raw = np.zeros((c, n, len(LEVELS)))  # every candidate's forecast
        self.losses = np.full((c, n), np.nan)
        self.residuals = np.full((n, len(LEVELS)), np.nan)  # of the chosen one, before calibration
        self.final = np.zeros((n, len(LEVELS)))
        self.chosen = np.full(n, rules.default, np.int64)
        self.counts = {name: np.zeros(n, np.int64) for name in ("sample", "epochs", "calibration", "gauge", "cluster")}
        self.shares = np.zeros((4, n))  # own, cluster, own weight, cluster weight
        self.trained_until = np.full(n, -1, np.int64)
        self._scored = 0  # epochs whose losses are counted
        self._has_history = np.zeros(n, dtype=np.bool_)
        self._codes: list[Codes] | None = None
        self._lessons = Lessons()
        self._foreseen: dict[tuple[float, bool], Floats] = {}  # in the epoch in hand
        self._finals = apply_move(panel.votes, moves, rules.drift_floor)

    def joined(self, more: Panel, now: Floats) -> Race:
        """The race with one more epoch, of which no end is known: `more` its rows, `now` (n, M) who holds what there.

        What the epochs before taught is shared, not learned again: on a boundary night a block follows a block. The
        forecasts of the epochs before are not in it, only what was learned of them.
        """
        self._score(self.epochs)
        panel = Panel(*(np.r_[getattr(self.panel, f.name), getattr(more, f.name)] for f in fields(Panel)))
        held = Held(np.r_[self.held.now, now], np.r_[self.held.final, np.zeros_like(now)])
        made, n = Race(panel, np.r_[self.moves, np.full(len(more.epoch), np.nan)], self.rules, held), len(self.moves)
        made.losses[:, :n], made.residuals[:n] = self.losses, self.residuals
        made._has_history[:n], made._scored, made._lessons = self._has_history, self.epochs, self._lessons
        made._codes = [np.r_[mine, theirs] for mine, theirs in zip(self.codes, _codes(more, self.rules), strict=True)]
        return made

    @property
    def codes(self) -> list[Codes]:
        """Cluster codes (N,) by candidate."""
        if self._codes is None:
            self._codes = _codes(self.panel, self.rules)
        return self._codes

    def offset(self, candidate: Candidate, epoch: int, known: Codes) -> Floats:
        """The move (N,) of votes that a candidate foresees, in an epoch and in those known; what is left is learned.

        What it foresees with (how many votes are to come, what large voters do) is learned from the known rows; the
        same says where votes would have gone in each of the epochs learned from, so that what is learned beside it is
        what is forecast beside it.
        """
        key, lessons = (candidate.chase, candidate.large_voters), self._lessons
        found = np.zeros(len(self.moves))
        if not (candidate.large_voters or candidate.chase > 0):
            return found
        start, rows = self.starts[epoch], self.rows(epoch)
        if key not in lessons.before:
            for place in np.unique(self.epoch[known]):
                found[self.rows(place)] = self._foresee(candidate, place, known)
            lessons.before[key] = found[:start].copy()
        if key not in self._foreseen:
            self._foreseen[key] = self._foresee(candidate, epoch, known)
        found[:start], found[rows] = lessons.before[key], self._foreseen[key]
        return found

    def _foresee(self, candidate: Candidate, place: int, known: Codes) -> Floats:
        """The moves (n,) of an epoch's votes as a candidate foresees them with what is known."""
        lessons, floor = self._lessons, self.rules.drift_floor
        if not candidate.large_voters:
            if lessons.total is None:
                lessons.total = usual_total(self._finals[known], self.epoch[known])
            return self._chased(place, candidate.chase, lessons.total)
        if lessons.voters is None:
            lessons.voters = learn([self._week(each, known) for each in np.unique(self.epoch[known])], floor)
        week = self._week(place)
        if not lessons.voters:
            return np.zeros(len(week.votes))
        return move(week.votes, after(week, lessons.voters, floor), floor)

    def _chased(self, place: int, chase: float, total: float) -> Floats:
        panel, rows, floor = self.panel, self.rows(place), self.rules.drift_floor
        votes = panel.votes[rows]
        seen = fsum(votes.tolist())
        coming = max(total - seen, 0.0)
        spread = votes * (1 + (1 - chase) * coming / max(seen, floor))
        return move(votes, filled(spread, panel.rewards[rows], chase * coming), floor)

    def _week(self, place: int, known: Codes | None = None) -> Week:
        """An epoch as its large voters saw it; with `known` only those of its rows, and how they ended."""
        panel, rows = self.panel, self.rows(place)
        rows = rows if known is None else rows[np.isin(rows, known, assume_unique=True)]
        return Week(
            panel.gauge[rows],
            panel.votes[rows],
            panel.rewards[rows],
            self.held.now[rows],
            self._finals[rows],
            self.held.final[rows],
        )

    def rows(self, epoch: int) -> Codes:
        """The rows of an epoch."""
        return np.arange(self.starts[epoch], self.starts[epoch + 1])

    def recall(self, epoch: int, past: Past) -> None:
        """Take an epoch's forecasts as they were made; they train and calibrate later ones as if made now."""
        rows = self.rows(epoch)
        self.raw[:, rows] = np.moveaxis(past.raw, 1, 0)
        self.chosen[rows], self._has_history[rows] = past.chosen, past.has_history

    def forecast(self, epoch: int, is_last: bool = False) -> None:
        """One epoch: train, choose, calibrate. Where nothing is to be learned from it (`is_last`) the candidate that
        speaks is the only one asked; `raw` holds NaN of the others.
        """
        rows = self.rows(epoch)
        panel, decision_at = self.panel, int(self.panel.decision_at[rows].min())
        known = np.flatnonzero((panel.known_at < decision_at) & np.isfinite(self.moves))
        self._score(epoch)
        best = self._choose(known)
        self.chosen[rows] = best
        if len(known):
            self._has_history[rows] = True
            self.trained_until[rows] = panel.known_at[known].max()
            self.counts["sample"][rows] = len(known)
            self.counts["epochs"][rows] = len(np.unique(self.epoch[known]))
            self._lessons.begin(epoch, known)
            self._foreseen.clear()
            if is_last:
                self.raw[:, rows] = np.nan
            for place in [best] if is_last else range(len(self.rules.candidates)):
                self._predict(place, rows, known, keep=place == best)
        self.final[rows] = self._calibrated(rows, known, self.raw[best, rows])

    def _score(self, until: int) -> None:
        """Losses and residuals of the epochs before a place, where not counted yet; used only once they are known."""
        rows = np.arange(self.starts[self._scored], self.starts[until])
        rows = rows[np.isfinite(self.moves[rows]) & self._has_history[rows]]
        self._scored = until
        if not len(rows):
            return
        truth = self.moves[rows]
        for place in range(len(self.rules.candidates)):
            self.losses[place, rows] = pinball_rows(truth, self.raw[place, rows], LEVELS).mean(axis=1)
        self.residuals[rows] = truth[:, None] - self.raw[self.chosen[rows], rows]

    def _choose(self, known: Codes) -> int:
        scored = known[np.isfinite(self.losses[0, known])] if len(known) else known
        if not len(scored):
            return self.rules.default
        return int(np.argmin(self.losses[:, scored].mean(axis=1)))

    def _predict(self, place: int, rows: Codes, known: Codes, keep: bool) -> None:
        candidate, codes, panel = self.rules.candidates[place], self.codes[place], self.panel
        age = self.epoch[rows[0]] - self.epoch[known]
        weight = np.exp2(-age / candidate.half_life) if candidate.half_life else np.ones(len(known))
        offset = self.offset(candidate, int(self.epoch[rows[0]]), known)
        sample = Sample(self.moves[known] - offset[known], weight, panel.gauge[known], codes[known], self.epoch[known])
        held = support(sample, panel.gauge[rows], codes[rows])
        if candidate.pooling == "pooled":
            shares = pooled_shares(held, candidate.strength)
        else:
            shares = fallback_shares(held, self.rules.min_gauge_epochs, self.rules.min_cluster_epochs)
        key = candidate.half_life, candidate.chase, candidate.large_voters
        if key not in self._lessons.ladders:
            self._lessons.ladders[key] = Ladder.of(sample.value, weight, sample.gauge, panel.gauge[rows])
        ladder = replace(self._lessons.ladders[key], gauge=panel.gauge[rows])
        quantiles = ladder_quantiles(ladder, sample.cluster, codes[rows], shares, LEVELS)
        self.raw[place, rows] = quantiles + offset[rows][:, None]
        if keep:
            self.counts["gauge"][rows], self.counts["cluster"][rows] = held.gauge_epochs, held.cluster_epochs
            own, near = shares
            self.shares[:, rows] = own, (1 - own) * near, held.gauge_weight, held.cluster_weight

    def _calibrated(self, rows: Codes, known: Codes, quantiles: Floats) -> Floats:
        """One-sided conformal correction: each tail quantile moves so that past forecasts would have kept its level.

        Source: Romano, Patterson & Candès (2019), conformalized quantile regression; each side alone.
        """
        past = known[np.isfinite(self.residuals[known, 0])] if len(known) else known
        if not len(past) or len(np.unique(self.epoch[past])) < self.rules.min_calibration_epochs:
            return quantiles
        self.counts["calibration"][rows] = len(past)
        shifts = [
            0.0 if q == MEDIAN else float(np.quantile(self.residuals[past, q], level, method="inverted_cdf"))
            for q, level in enumerate(LEVELS)
        ]
        return np.asarray(np.sort(quantiles + np.array(shifts), axis=1))

    def result(self, since: int = 0) -> Forecast:
        """All rows from an epoch on; those of epochs that were recalled hold nothing but what `Past` gave."""
        start = int(self.starts[since])
        own, near, gauge_weight, cluster_weight = self.shares[:, start:]
        counts, chosen = {name: found[start:] for name, found in self.counts.items()}, self.chosen[start:]
        return Forecast(
            quantiles=self.final[start:],
            raw=np.moveaxis(self.raw[:, start:], 0, 1),
            chosen=chosen,
            cluster=np.stack([codes[start:] for codes in self.codes])[chosen, np.arange(len(chosen))],
            held=Support(counts["gauge"], counts["cluster"], gauge_weight, cluster_weight),
            own_share=own,
            cluster_share=near,
            sample_rows=counts["sample"],
            sample_epochs=counts["epochs"],
            calibration_rows=counts["calibration"],
            trained_until=self.trained_until[start:],
        )
