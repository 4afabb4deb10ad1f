"""From votes and USD to shares: the model that is solved, and whether anything fits it at all."""

from __future__ import annotations

import numpy as np

from decide.errors import DecisionError, Infeasible, NothingToGain
from decide.voting.optimum.checks import MOST_UNITS
from decide.voting.optimum.curve import Floats
from decide.voting.optimum.model import Model
from decide.voting.optimum.pieces import Risk


def units_of(power: float, unit: float) -> int:
    """How many whole units the power holds."""
    units = int(power / unit + 1e-9)
    if units < 1:
        raise Infeasible(f"power is {power:g} votes, under one unit of {unit:g}: nothing can be voted")
    if units > MOST_UNITS:
        raise DecisionError(
            f"power is {power / unit:g} units of {unit:g} votes, more than {MOST_UNITS} cannot be told apart: "
            "give votes and power in whole tokens, or a larger unit"
        )
    return units


def build(
    votes: Floats,
    rewards: Floats,
    units: int,
    unit: float,
    min_votes: float,
    k_max: int,
    risk: Risk,
    caps: Floats | None,
    previous: Floats | None,
    max_turnover: float | None,
) -> tuple[Model, float]:
    """The model of votes (N, S) and rewards (N, S), and its scale in USD. Raises where nothing fits."""
    power, least = units * unit, max(int(np.ceil(min_votes / unit - 1e-9)), 1)
    if least > units:
        raise Infeasible(f"min_votes is {min_votes:g}, more than the {power:g} votes there are: lower min_votes")
    most = np.full(len(votes), float(units))
    if caps is not None:
        most = np.floor(np.minimum(caps / unit + 1e-9, units))
    most = np.where(most < least, 0.0, most)
    count = min(k_max, units // least, int(np.count_nonzero(most)))
    alone = (rewards * (power / (votes + power)))[most > 0]  # of gauges that can be voted for
    scale = float(max((alone @ risk.weights).max(initial=0.0), alone.max(initial=0.0) * 1e-3))
    if scale <= 0 and not count:
        raise Infeasible("caps: no gauge may hold any votes: raise the caps")
    if scale <= 0:
        raise NothingToGain("rewards are zero for every gauge in every scenario: any vote is worth nothing")
    limited = max_turnover is not None and max_turnover < 1 and previous is not None and previous.any()
    model = Model(
        votes=np.ascontiguousarray(votes.T) / power,
        rewards=np.ascontiguousarray(rewards.T) / scale,
        low=np.full(len(votes), least / units),
        high=most / units,
        count=count,
        risk=risk,
        previous=previous / previous.sum() if limited and previous is not None else None,
        keep=1 - max_turnover if limited and max_turnover is not None else 0.0,
        grid=1 / units,
    )
    _check_caps(model, power, k_max)
    return model, scale


def _check_caps(model: Model, power: float, k_max: int) -> None:
    largest = float(np.sort(model.high)[::-1][: model.count].sum())
    if largest < 1 - 1e-12:
        raise Infeasible(
            f"caps: the {model.count} gauges that k_max = {k_max} and min_votes allow hold {largest * power:,.0f} "
            f"votes at most, the power is {power:,.0f}: raise the caps or k_max"
        )


def why_none(model: Model, power: float, nodes_used_up: bool) -> str:
    """Why no allocation was found."""
    if model.previous is not None:
        stays = np.sort(np.minimum(model.previous, model.high))[::-1][: model.count]
        least = 1 - float(stays.sum())
        if least > 1 - model.keep + 1e-12:
            return (
                f"max_turnover is {1 - model.keep:g}, but {model.count} gauges cannot keep more than "
                f"{1 - least:.6g} of the previous votes: raise max_turnover to {least:.6g} or more, or k_max"
            )
    if nodes_used_up:
        return "none was found within max_nodes, which proves nothing: raise max_nodes, or loosen caps or max_turnover"
    return (
        f"no choice of {model.count} gauges of {model.low[0] * power:g} votes or more satisfies caps and max_turnover "
        "together: loosen one of caps, max_turnover, min_votes, k_max"
    )
