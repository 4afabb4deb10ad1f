"""Rewards that come after a decision, beyond what quantiles say: late bribes are rare and large, no median knows them.

What votes earn is linear in rewards, so what counts is their mean. A gauge's own record of more than was expected is
added to it, shrunk by how short the record is; what then still comes to the exchange as a whole multiplies all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import fsum
from typing import Any

import numpy as np
import pyarrow as pa

from decide.columns import floats, integers, microseconds, runs
from decide.errors import DecisionError
from decide.quantiles import Codes, Floats

UNIT = ["protocol", "voter_id", "decision_window"]


class Record:
    """What came late to one exchange's gauges, for one voter and window, epoch after epoch as it became known.

    With `strength` k a gauge gets max(Σ (final − expected), 0) / (n + k) USD over its n known epochs. By how much all
    rewards outgrew what was then expected is the median over the known epochs, 1 below `least_epochs` of them: the same
    for all gauges of a decision, so it changes what is promised and never where votes go.
    """

    def __init__(self, gauges: Sequence[str], strength: float, least_epochs: float) -> None:
        self._places = {name: place for place, name in enumerate(gauges)}
        self._strength, self._least = strength, least_epochs
        self._total, self._count = np.zeros(len(gauges) + 1), np.zeros(len(gauges) + 1)  # the last: of no gauge
        self._waiting: list[tuple[int, Codes, Floats]] = []  # known from when, gauges, what came beyond
        self._ratios: list[tuple[int, float]] = []
        self._known_until = -1

    def at(self, gauges: Sequence[str], decision_at: int) -> tuple[Floats, float]:
        """USD (n,) that each gauge gets late, and the factor on all rewards, by what is known before a decision.

        Errors: DecisionError for a decision before what an earlier one has counted.
        """
        if decision_at <= self._known_until:
            raise DecisionError("decisions come in order of time: this one would know what came after it")
        for known_at, gauge, beyond in [each for each in self._waiting if each[0] < decision_at]:
            self._total[gauge] += beyond
            self._count[gauge] += 1
            self._known_until = max(self._known_until, known_at)
        self._waiting = [each for each in self._waiting if each[0] >= decision_at]
        mine = np.array([self._places.get(name, -1) for name in gauges], dtype=np.int64)
        past = [ratio for known, ratio in self._ratios if known < decision_at]
        factor = float(np.median(past)) if len(past) >= self._least and past else 1.0
        return np.maximum(self._total[mine], 0.0) / (self._count[mine] + self._strength), factor

    def learn(self, gauges: Sequence[str], finals: Floats, expected: Floats, late: Floats, known_at: int) -> None:
        """How an epoch ended (`finals` NaN where it is not known), known from a moment on (µs)."""
        ended = np.isfinite(finals)
        gauge = np.array([self._places[name] for name in gauges], dtype=np.int64)[ended]
        self._waiting.append((known_at, gauge, (finals - expected)[ended]))
        total = fsum((expected + late)[ended].tolist())
        if total > 0:
            self._ratios.append((known_at, fsum(finals[ended].tolist()) / total))


def late_rewards(
    rows: pa.Table, expected: Floats, record: Callable[[tuple[Any, ...], Sequence[str]], Record], *, ended: bool = True
) -> tuple[Floats, Floats]:
    """USD (N,) that come late to each row's gauge, and factors (N,) on its rewards; rows in order of `UNIT`, epoch and
    gauge. `record` gives the record of a unit for its gauges; it learns from epochs that have `ended`.
    """
    late, grown, finals = np.zeros(rows.num_rows), np.ones(rows.num_rows), floats(rows, "rewards_final_usd")
    names = rows["gauge_address"].to_pylist()
    for key, unit, parts in _decisions(rows, finals):
        mine = record(key, names[unit])
        for part, decision_at, known_at in parts:
            late[part], grown[part] = mine.at(names[part], decision_at)
            if ended and known_at is not None:
                mine.learn(names[part], finals[part], expected[part], late[part], known_at)
    return late, grown


def _decisions(
    rows: pa.Table, finals: Floats
) -> Iterator[tuple[tuple[Any, ...], slice, list[tuple[slice, int, int | None]]]]:
    """Per exchange, voter and window its rows, and its epochs in turn: rows, when it is decided, from when its labels
    are known.
    """
    decided, known, epoch = microseconds(rows, "decision_at"), microseconds(rows, "known_at"), integers(rows, "epoch")
    for key, unit in runs(rows, UNIT):
        yield key, unit, [_decision(part, decided, known, finals) for part in _epochs(unit, epoch)]


def _epochs(unit: slice, epoch: Codes) -> Iterator[slice]:
    ends = np.r_[np.flatnonzero(np.diff(epoch[unit])) + 1, unit.stop - unit.start] + unit.start
    for start, stop in zip(np.r_[unit.start, ends[:-1]], ends, strict=True):
        yield slice(int(start), int(stop))


def _decision(part: slice, decided: Codes, known: Codes, finals: Floats) -> tuple[slice, int, int | None]:
    labelled = np.isfinite(finals[part])
    return part, int(decided[part].min()), int(known[part][labelled].max()) if labelled.any() else None
