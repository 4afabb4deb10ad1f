"""Large voters one by one: what each holds, whether it is still to act, and where it will put its votes.

A few conduits vote for most of the locks, late, and in ways that their past shows: in proportion to what a gauge pays
for a vote, as the best answer to what is seen, by the size of the reward, or where they always have. Each is learned
from the ends of known epochs alone; those that are still to act then act in turn, the largest first, each on what the
ones before it left. Everybody else's moves are drift (decide.voting.forecast), learned beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from decide.quantiles import Codes, Floats

Style = Literal["proportional", "answer", "size", "habit"]
STYLES: tuple[Style, ...] = ("proportional", "answer", "size", "habit")
RECENT = 8  # epochs: enough to see what one of eight does, and habits change
LEAST_SHARE = 0.02  # of all votes: who holds less is drift; eleven conduits with two thirds of the locks hold 6 % each
LEAST_EPOCHS = 1  # that a voter has been seen to end
MOST = 24  # voters modelled
BETWEEN = (0.0, 0.5, 1.0)  # of the way from what is visible to the end: what others had when one voted
MOVED = 0.01  # of its votes: less is a poke


@dataclass(frozen=True)
class Held:
    """Of all others' votes on N rows of a panel those of M single voters, as visible and as they ended."""

    now: Floats  # (N, M)
    final: Floats  # (N, M)


@dataclass(frozen=True)
class Conduit:
    """One large voter as its past shows it: `first` is the chance that it votes after a moment at which it has none
    standing, `again` that it votes anew where it has; `habit` is its mean share by gauge code.
    """

    place: int  # its column
    power: float
    breadth: int  # gauges in a vote
    first: float
    again: float
    style: Style
    habit: dict[int, float]

    def shares(self, gauge: Codes, votes: Floats, rewards: Floats, floor: float) -> Floats:
        """Shares (n,) of its power, given others' votes and USD of rewards; zeros where there is nothing for it."""
        if self.style == "habit":
            return _normal(np.array([self.habit.get(int(g), 0.0) for g in gauge]))
        return chosen(self.style, votes, rewards, self.power, self.breadth, floor)


def chosen(style: Style, votes: Floats, rewards: Floats, power: float, breadth: int, floor: float) -> Floats:
    """Shares (n,) of a power that go to each gauge by a style other than habit, to at most `breadth` gauges.

    proportional: R/(V + f); size: R; answer: x = √(R(V + f)/μ) − (V + f) where positive, which earns Σ R·x/(V + f + x)
    most. f, in votes, keeps an empty gauge finite.
    """
    base = votes + floor
    worth = rewards if style == "size" else rewards / base
    best = np.argsort(-worth, kind="stable")[:breadth]
    best = best[rewards[best] > 0]
    found = np.zeros(len(votes))
    if len(best):
        found[best] = _answer(base[best], rewards[best], power) if style == "answer" else worth[best]
    return _normal(found)


def _answer(votes: Floats, rewards: Floats, power: float) -> Floats:
    """Votes (n,) that earn most, gauges in order of reward per vote: the longest head all of which get some."""
    root = np.sqrt(rewards * votes)
    price = (power + np.cumsum(votes)) / np.cumsum(root)  # 1/√μ if the head up to here is voted for
    count = int(np.flatnonzero(root * price > votes)[-1]) + 1
    found = np.zeros(len(votes))
    found[:count] = np.maximum(root[:count] * price[count - 1] - votes[:count], 0.0)
    return found


def _normal(shares: Floats) -> Floats:
    total = shares.sum()
    return np.asarray(shares / total) if total > 0 else shares


@dataclass(frozen=True)
class Week:
    """One epoch's n gauges: codes, others' votes at the moment and at the end, rewards visible, and who held what."""

    gauge: Codes
    votes: Floats  # (n,)
    rewards: Floats  # (n,)
    now: Floats  # (n, M)
    votes_end: Floats  # (n,), NaN where not known
    final: Floats  # (n, M), NaN where not known


def learn(weeks: Sequence[Week], floor: float) -> list[Conduit]:
    """The large voters of known epochs (oldest first), the largest first; of each only what those weeks say."""
    weeks = [week for week in weeks if week.final.any()][-RECENT:]  # of others it is not known who voted
    if len(weeks) < LEAST_EPOCHS:
        return []
    total = float(np.median([week.votes_end.sum() for week in weeks]))
    ends = np.stack([week.final.sum(axis=0) for week in weeks])  # (E, M)
    seen = ends > 0
    power = np.array([np.median(e[s]) if s.any() else 0.0 for e, s in zip(ends.T, seen.T, strict=True)])
    able = (seen.sum(axis=0) >= LEAST_EPOCHS) & (power >= LEAST_SHARE * total) & (power > 0)
    order = np.flatnonzero(able)
    order = order[np.argsort(-power[order], kind="stable")][:MOST]
    acted = np.stack([_acted(int(m), weeks) for m in order]) if len(order) else np.zeros((0, 2, 2))
    came, tries = acted.sum(axis=0)
    usual = (came + 0.5) / (tries + 1)  # of all of them: what one is taken for until its own weeks say more
    return [_one(int(m), float(power[m]), weeks, floor, a, usual) for m, a in zip(order, acted, strict=True)]


def _acted(place: int, weeks: Sequence[Week]) -> Floats:
    """In how many weeks a voter (0) acted after the moment, (1) could have: with nothing standing, with something."""
    found = np.zeros((2, 2))
    for week in weeks:
        now, final = week.now[:, place], week.final[:, place]
        has = int(now.sum() > 0)
        found[1, has] += 1
        found[0, has] += np.abs(final - now).sum() > MOVED * max(final.sum(), now.sum())
    return found


def _one(place: int, power: float, weeks: Sequence[Week], floor: float, acted: Floats, usual: Floats) -> Conduit:
    ended = [(week, _normal(final)) for week in weeks if (final := week.final[:, place]).sum() > 0]
    breadth = int(np.median([np.count_nonzero(shares) for _, shares in ended]))
    first, again = (acted[0] + usual) / (acted[1] + 1)
    habits = [dict(zip(week.gauge.tolist(), shares.tolist(), strict=True)) for week, shares in ended]
    found = [Conduit(place, power, breadth, float(first), float(again), style, {}) for style in STYLES]
    losses = [_loss(each, ended, habits, floor) for each in found]
    best = found[int(np.argmin(losses))]
    return best if best.style != "habit" else replace(best, habit=_mean(habits))


def _loss(
    voter: Conduit, ended: Sequence[tuple[Week, Floats]], habits: Sequence[dict[int, float]], floor: float
) -> float:
    """Mean share of votes that a style would have put elsewhere; a habit is that of the other epochs.

    What others had when it voted lies between what was visible and how it ended, nobody knows where: the nearest of
    `BETWEEN` counts.
    """
    missed = []
    for n, (week, shares) in enumerate(ended):
        guess = voter
        if voter.style == "habit":
            guess = replace(voter, habit=_mean([*habits[:n], *habits[n + 1 :]]))
        seen, last = week.votes - week.now[:, voter.place], week.votes_end - week.final[:, voter.place]
        found = []
        for way in BETWEEN if voter.style in ("proportional", "answer") else (0.0,):
            others = np.maximum((1 - way) * seen + way * last, 0.0)
            found.append(0.5 * np.abs(guess.shares(week.gauge, others, week.rewards, floor) - shares).sum())
        missed.append(min(found))
    return float(np.mean(missed))


def _mean(habits: Sequence[dict[int, float]]) -> dict[int, float]:
    found: dict[int, float] = {}
    for habit in habits:
        for gauge, share in habit.items():
            found[gauge] = found.get(gauge, 0.0) + share / len(habits)
    return found


def after(week: Week, voters: Sequence[Conduit], floor: float) -> Floats:
    """All others' votes (n,) once every large voter has acted as it is expected to.

    Each leaves (1 − q) of what it has and puts q of its power where its style says, on what those before it left; q is
    its chance to act. Where it has a vote and its style finds nothing, it stays.
    """
    votes = np.array(week.votes, dtype=np.float64)
    for voter in voters:
        now = week.now[:, voter.place]
        q = voter.again if now.sum() > 0 else voter.first
        others = np.maximum(votes - now, 0.0)
        shares = voter.shares(week.gauge, others, week.rewards, floor)
        if shares.any():
            votes = others + (1 - q) * now + q * voter.power * shares
    return votes
