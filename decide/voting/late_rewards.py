"""Rewards that come after a decision, beyond what quantiles say: late bribes are rare and large, no median knows them.

What votes earn is linear in rewards, so what counts is their mean. A gauge's own record of more than was expected is
added to it, shrunk by how short the record is; what then still comes to the exchange as a whole multiplies all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum

import numpy as np
import pyarrow as pa

from decide.columns import codes, floats, integers, microseconds, runs
from decide.quantiles import Codes, Floats

UNIT = ["protocol", "voter_id", "decision_window"]


def surprises(rows: pa.Table, expected: Floats, strength: float) -> Floats:
    """USD (N,) that a gauge gets late beyond what is `expected` (N,): Σ (final − expected) / (n + k) over its n epochs
    known before the decision, never below 0. Rows in order of `UNIT`, epoch and gauge.
    """
    found, finals = np.zeros(rows.num_rows), floats(rows, "rewards_final_usd")
    gauge, names = codes(rows, "gauge_address")
    for parts in _decisions(rows, finals):
        total, count = np.zeros(len(names)), np.zeros(len(names))
        waiting: list[tuple[int, slice]] = []
        for part, decision_at, known_at in parts:
            for _, past in [each for each in waiting if each[0] < decision_at]:
                is_known = np.isfinite(finals[past])
                total[gauge[past][is_known]] += (finals[past] - expected[past])[is_known]
                count[gauge[past][is_known]] += 1
            waiting = [each for each in waiting if each[0] >= decision_at]
            mine = gauge[part]
            found[part] = np.maximum(total[mine], 0.0) / (count[mine] + strength)
            if known_at is not None:
                waiting.append((known_at, part))
    return found


def growth(rows: pa.Table, expected: Floats, least_epochs: float) -> Floats:
    """By how much all rewards of an exchange outgrew the sum of what was `expected` (N,): rows as for `surprises`.

    The median over the epochs known before a decision, 1 below `least_epochs` of them. It is the same for all gauges of
    a decision, so it changes what is promised and never where votes go.
    """
    found, finals = np.ones(rows.num_rows), floats(rows, "rewards_final_usd")
    for parts in _decisions(rows, finals):
        ratios: list[tuple[int, float]] = []  # known from when, and how much
        for part, decision_at, known_at in parts:
            past = [ratio for known, ratio in ratios if known < decision_at]
            if len(past) >= least_epochs:
                found[part] = np.median(past)
            labelled = np.isfinite(finals[part])
            total = fsum(expected[part][labelled].tolist())
            if total > 0 and known_at is not None:
                ratios.append((known_at, fsum(finals[part][labelled].tolist()) / total))
    return found


def _decisions(rows: pa.Table, finals: Floats) -> Iterator[list[tuple[slice, int, int | None]]]:
    """Per exchange, voter and window its epochs in turn: rows, when it is decided, from when its labels are known."""
    decided, known, epoch = microseconds(rows, "decision_at"), microseconds(rows, "known_at"), integers(rows, "epoch")
    for _, unit in runs(rows, UNIT):
        yield [_decision(part, decided, known, finals) for part in _epochs(unit, epoch)]


def _epochs(unit: slice, epoch: Codes) -> Iterator[slice]:
    ends = np.r_[np.flatnonzero(np.diff(epoch[unit])) + 1, unit.stop - unit.start] + unit.start
    for start, stop in zip(np.r_[unit.start, ends[:-1]], ends, strict=True):
        yield slice(int(start), int(stop))


def _decision(part: slice, decided: Codes, known: Codes, finals: Floats) -> tuple[slice, int, int | None]:
    labelled = np.isfinite(finals[part])
    return part, int(decided[part].min()), int(known[part][labelled].max()) if labelled.any() else None
