"""Situations from the warehouse's tables: the one way from panel and scenario rows to what a decision is made on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from decide.columns import floats, in_order, runs
from decide.quantiles import Floats
from decide.voting.forecast_tables import KEYS
from decide.voting.recommend import Standing
from decide.voting.revote import VotingRule
from decide.voting.scenarios import ScenarioSet
from decide.voting.situation import Situation

Key = tuple[str, str, int, str]  # protocol, voter_id, epoch, decision_window
WINDOW_KEYS = ["protocol", "voter_id", "epoch", "decision_window"]


@dataclass(frozen=True)
class Truth:
    """What N gauges turned into: others' votes and rewards in USD; NaN where it is not known."""

    votes: Floats
    rewards: Floats
    own: Floats = field(default_factory=lambda: np.zeros(0))  # votes that the voter itself ended with


@dataclass(frozen=True)
class Case:
    """A situation per scenario set at one window, with what it rests on and (for a backtest only) what it became."""

    key: Key
    window: Mapping[str, Any]  # row of int_voter_windows
    situations: Mapping[str, Situation]
    snapshot: Situation  # one scenario: as it stood
    confidence: Floats
    levels: npt.NDArray[np.str_]
    truth: Truth
    powers: tuple[float, ...] = ()  # of the NFTs of a holder who is decided as one voter; empty for one alone

    def seen(self, scenario_sets: Collection[str]) -> Case:
        """What a decision on these scenario sets may rest on: everything but the other sets and the truth."""
        nothing = np.zeros(0)
        wanted = {name: found for name, found in self.situations.items() if name in scenario_sets}
        return replace(self, situations=wanted, truth=Truth(nothing, nothing))

    @property
    def holder(self) -> str | None:
        """Whose voter it is, where the votes of several are decided together."""
        return self.window.get("holder")

    @property
    def standing(self) -> Standing:
        voted_at = self.window["voted_at"]
        voted = voted_at is not None and voted_at.timestamp() >= self.key[2]
        since = None if voted_at is None else (self.window["decision_at"] - voted_at).total_seconds()
        return Standing(has_voted=voted, is_exempt=bool(self.window["is_exempt"]), since_vote=since)

    def ruled(self, rule: VotingRule) -> VotingRule:
        """An exchange's rule with the delay between two votes that its contract states at the block, where it does."""
        delay = self.window.get("vote_delay_seconds")
        return rule if delay is None else replace(rule, vote_delay_seconds=int(delay))


NUMBERS = [
    "other_votes_now",
    "rewards_now_usd",
    "own_votes_now",
    "previous_votes",
    "data_confidence",
    "other_votes_final",
    "rewards_final_usd",
    "own_votes_final",
]
PANEL_COLUMNS = [*KEYS, "is_candidate", *NUMBERS]  # of a panel's that a case rests on; the forecaster reads more
QUANTILE_COLUMNS = [*KEYS, "measure", "level", "confidence"]


def cases(
    panel: pa.Table, quantiles: pa.Table, forecasts: pa.Table, voter_windows: pa.Table, sets: Mapping[str, ScenarioSet]
) -> Iterator[Case]:
    """Every decision of `voter_windows` (the control aside), in order of exchange, voter, epoch and time."""
    rows = in_order(panel, KEYS)
    drift = in_order(quantiles.filter(pc.equal(quantiles["measure"], "drift")), KEYS)
    columns = {name: floats(rows, name) for name in NUMBERS}
    basis = np.minimum(columns["data_confidence"], floats(drift, "confidence"))
    levels = np.asarray(drift["level"].to_pylist(), dtype=str)
    votable = np.asarray(rows["is_candidate"].to_pylist(), dtype=np.bool_)
    gauges = np.asarray(rows["gauge_address"].to_pylist(), dtype=object)
    matrices = {name: _matrices(forecasts, wanted) for name, wanted in sets.items()}
    places = dict(runs(rows, WINDOW_KEYS))
    for window in _decisions(voter_windows):
        key = tuple(window[k] for k in WINDOW_KEYS)
        part = places.get(key, slice(0, 0))
        power = np.nan if window["voting_power"] is None else float(window["voting_power"])
        snapshot = Situation(
            gauges=tuple(gauges[part]),
            votes=columns["other_votes_now"][part][:, None],
            rewards=columns["rewards_now_usd"][part][:, None],
            weights=np.ones(1),
            standing=columns["own_votes_now"][part],
            previous=columns["previous_votes"][part],
            power=power,
            is_votable=None if votable[part].all() else votable[part],
        )
        yield Case(
            key=key,
            window=window,
            situations={
                name: replace(snapshot, votes=v[part], rewards=r[part], weights=sets[name].weights)
                for name, (v, r) in matrices.items()
            },
            snapshot=snapshot,
            confidence=basis[part],
            levels=levels[part],
            truth=Truth(
                columns["other_votes_final"][part],
                columns["rewards_final_usd"][part],
                columns["own_votes_final"][part],
            ),
        )


def _decisions(voter_windows: pa.Table) -> list[dict[str, Any]]:
    order = [
        ("protocol", "ascending"),
        ("voter_id", "ascending"),
        ("epoch", "ascending"),
        ("window_position", "ascending"),
    ]
    return [row for row in voter_windows.sort_by(order).to_pylist() if not row["is_control"]]


def _matrices(forecasts: pa.Table, wanted: ScenarioSet) -> tuple[Floats, Floats]:
    """Others' votes and rewards (N, S) of a scenario set, in the order of KEYS."""
    rows = forecasts.filter(pc.equal(forecasts["scenario_set"], wanted.name))
    rows = in_order(rows, [*KEYS, "scenario_position"])
    width = len(wanted.scenarios)
    return floats(rows, "other_votes").reshape(-1, width), floats(rows, "rewards_usd").reshape(-1, width)
