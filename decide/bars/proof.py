"""Is a strategy what it says? Proofs on any series of bars: replay, future, history, repetition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decide.bars.bars import Bars
from decide.bars.orders import Signal
from decide.bars.rules import Rules
from decide.bars.sessions import Ints, Sessions
from decide.bars.strategy import AnyRules, Known, OwnRules, at_close, bars_needed, find, replay

CUTS = 12  # moments at which the future is replaced


@dataclass(frozen=True)
class Proof:
    """One property: whether it holds, and the first close at which it does not."""

    name: str
    holds: bool
    detail: str = ""


def prove(rules: AnyRules, bars: Bars, sessions: Sessions, seed: int) -> list[Proof]:
    """Every property on `bars`; `seed` of the bars that take the future's place."""
    batch = find(rules, bars, sessions).signals
    return [
        _replayed(rules, bars, sessions, batch),
        _future(rules, bars, sessions, batch, seed),
        _history(rules, bars, sessions, batch),
        _repeated(rules, bars, sessions, batch),
    ]


def _difference(one: tuple[Signal, ...], other: tuple[Signal, ...]) -> str:
    pair = next((p for p in zip((*one, None), (*other, None), strict=False) if p[0] != p[1]), None)
    first = next((signal for signal in pair or () if signal is not None), None)
    return "" if first is None else f"first at the close {first.signal_at}: {pair}"[:600]


def _closes(bars: Bars, sessions: Sessions) -> Iterator[tuple[int, Sessions]]:
    """Rows of bars that lie in a session, with it."""
    place = np.searchsorted(sessions.opens, bars.labels, side="right") - 1
    for row in np.flatnonzero((place >= 0) & (bars.labels < sessions.closes[place])).tolist():
        some: Ints = np.array([place[row]])
        yield row, Sessions(sessions.opens[some], sessions.closes[some])


def _replayed(rules: AnyRules, bars: Bars, sessions: Sessions, batch: tuple[Signal, ...]) -> Proof:
    said = tuple(
        signal for row, session in _closes(bars, sessions) for signal in at_close(rules, bars[: row + 1], session)
    )
    return Proof("batch equals bar-by-bar replay", said == batch, _difference(batch, said))


def _future(rules: AnyRules, bars: Bars, sessions: Sessions, batch: tuple[Signal, ...], seed: int) -> Proof:
    """Bars after a moment become others, or are gone: what was said up to it stays."""
    chance = np.random.default_rng(seed)
    for cut in np.unique(np.linspace(1, max(len(bars) - 1, 1), CUTS).astype(int)).tolist():
        moment = int(bars.labels[cut - 1]) + rules.step
        known = tuple(signal for signal in batch if signal.signal_at <= moment)
        for changed in (_with_other_future(bars, cut, chance), bars[:cut]):
            found = find(rules, changed, sessions).signals
            now = tuple(signal for signal in found if signal.signal_at <= moment)
            if now != known:
                return Proof("changing the future changes nothing", False, _difference(known, now))
    return Proof("changing the future changes nothing", True)


def _with_other_future(bars: Bars, cut: int, chance: np.random.Generator) -> Bars:
    factor = np.ones(len(bars))
    factor[cut:] = np.exp(np.cumsum(chance.normal(0, 0.01, len(bars) - cut)))
    prices = [np.round(values * factor, 6) for values in (bars.open, bars.high, bars.low, bars.close)]
    return Bars(bars.labels, prices[0], prices[1], prices[2], prices[3], bars.volume)


def _history(rules: AnyRules, bars: Bars, sessions: Sessions, batch: tuple[Signal, ...]) -> Proof:
    """What is said with exactly the declared bars is what is said with all that there are."""
    name = "declared history suffices"
    if isinstance(rules, OwnRules):
        whole: list[Signal] = []

        def follow(known: Known, said: tuple[Signal, ...]) -> None:
            whole.extend(said)

        replay(rules, bars, sessions, follow, whole=True)
        return Proof(name, tuple(whole) == batch, _difference(batch, tuple(whole)))
    said = tuple(
        signal
        for row, session in _closes(bars, sessions)
        for signal in at_close(rules, _declared(rules, bars, row, int(session.opens[0])), session)
    )
    return Proof(name, said == batch, _difference(batch, said))


def _declared(rules: Rules, bars: Bars, row: int, opened: int) -> Bars:
    so_far = (int(bars.labels[row]) - opened) // rules.step + 1
    return bars[max(0, row + 1 - bars_needed(rules, so_far)) : row + 1]


def _repeated(rules: AnyRules, bars: Bars, sessions: Sessions, batch: tuple[Signal, ...]) -> Proof:
    """Asked again, and by a second copy of the file, it says the same bytes."""
    again = find(rules, bars, sessions).signals
    fresh = OwnRules.of(rules.source, rules.parameters) if isinstance(rules, OwnRules) else rules
    other = find(fresh, bars, sessions).signals
    same = repr(again) == repr(batch) and [s.entry_price for s in other] == [s.entry_price for s in batch]
    return Proof("same input, same bytes", same, _difference(batch, again) or _difference(batch, other))
