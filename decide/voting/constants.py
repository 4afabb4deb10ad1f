"""Seeds as typed constants: rows as they stand in the warehouse in, frozen dataclasses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decide.errors import DecisionError
from decide.thresholds import Rows
from decide.voting.forecast import LEVELS, Candidate, ForecastRules
from decide.voting.inclusion import Record, chances
from decide.voting.revote import Guardrails, Stage, VotingRule
from decide.voting.scenarios import Scenario, ScenarioSet
from decide.voting.situation import RiskProfile


def forecast_rules(candidates: Rows, values: Mapping[str, float]) -> ForecastRules:
    """The forecaster's constants from `forecast_candidates` and `thresholds`."""
    ordered = sorted(candidates, key=lambda row: int(row["position"]))
    return ForecastRules(
        candidates=tuple(
            Candidate(
                name=row["candidate"],
                pooling=row["pooling"],
                strength=float(row["pooling_strength"]),
                cluster_by=row["cluster_by"],
                clusters=int(row["clusters"]),
                half_life=float(row["half_life_epochs"]),
                # a store built before there were these has none
                chase=float(row.get("chase_share") or 0.0),
                large_voters=bool(row.get("large_voters")),
            )
            for row in ordered
        ),
        default=[bool(row["is_default"]) for row in ordered].index(True),
        drift_floor=values["drift_floor_votes"],
        uplift_floor=values["uplift_floor_usd"],
        min_gauge_epochs=int(values["min_gauge_epochs"]),
        min_cluster_epochs=int(values["min_cluster_epochs"]),
        min_calibration_epochs=int(values["min_calibration_epochs"]),
    )


def scenario_sets(rows: Rows) -> dict[str, ScenarioSet]:
    """The `scenario_weights` seed by set, worst scenario first; DecisionError where weights do not add up to 1."""
    grouped: dict[str, list[Scenario]] = {}
    for row in sorted(rows, key=lambda row: (row["scenario_set"], int(row["position"]))):
        scenario = Scenario(row["scenario"], float(row["weight"]), _level(row, "drift"), _level(row, "uplift"))
        grouped.setdefault(row["scenario_set"], []).append(scenario)
    return {name: ScenarioSet(name, tuple(scenarios)) for name, scenarios in grouped.items()}


def _level(row: Mapping[str, Any], measure: str) -> int:
    wanted = float(row[f"{measure}_quantile"])
    places = np.flatnonzero(np.isclose(LEVELS, wanted))
    if not len(places):
        raise DecisionError(
            f"scenario {row['scenario']}: {measure}_quantile {wanted} is not forecast; use one of {LEVELS}"
        )
    return int(places[0])


def risk_profiles(rows: Rows) -> dict[str, RiskProfile]:
    """The `risk_profiles` seed by name, in its order."""
    return {
        row["risk_profile"]: RiskProfile(
            name=row["risk_profile"],
            scenario_set=row["scenario_set"],
            risk=row["risk"],
            risk_aversion=float(row["risk_aversion"]),
            alpha=float(row["alpha"]),
            k_max=int(row["k_max"]),
            min_votes=float(row["min_votes"]),
            max_turnover=None if row["max_turnover"] is None else float(row["max_turnover"]),
            max_share=None if row["max_share"] is None else float(row["max_share"]),
            max_pools=None if row["max_pools"] is None else int(row["max_pools"]),
            allowed=_gauges(row["allowed_gauges"]),
            denied=_gauges(row["denied_gauges"]),
        )
        for row in sorted(rows, key=lambda row: int(row["position"]))
    }


def _gauges(listed: str | None) -> frozenset[str]:
    """Gauge addresses parted by spaces."""
    return frozenset((listed or "").lower().split())


def default_profile(rows: Rows) -> str:
    """Name of the profile used where none is named."""
    return next(str(row["risk_profile"]) for row in rows if row["is_default"])


def voting_rules(rows: Rows) -> dict[str, VotingRule]:
    """The `voting_rules` seed by exchange."""
    return {
        row["protocol"]: VotingRule(
            protocol=row["protocol"],
            votes_per_epoch=None if row["votes_per_epoch"] is None else int(row["votes_per_epoch"]),
            max_gauges=None if row["max_gauges"] is None else int(row["max_gauges"]),
            closed_seconds_before=int(row["closed_seconds_before"]),
            vote_unit=int(row["vote_unit"]),
            vote_delay_seconds=int(row.get("vote_delay_seconds") or 0),  # a store built before there was one has none
        )
        for row in rows
    }


def records(rows: Rows) -> tuple[Record, ...]:
    """Recorded submissions: rows of the `submission_counts` seed, or of a voter's own log in its shape."""
    names = ("seconds_before", "epochs", "landed", "reverted", "outages")
    return tuple(Record(**{name: int(row[name]) for name in names}, epoch=row.get("epoch") or None) for row in rows)


def stages(rows: Rows, recorded: Sequence[Record], values: Mapping[str, float]) -> tuple[Stage, ...]:
    """The decision windows of `decision_windows`, earliest first; the control is not one.

    A window without a stated chance gets the one that recorded submissions and `thresholds` give it.
    """
    late_seconds = int(values["late_window_seconds"])
    tries = int(values.get("early_vote_tries", 1))  # a store built before there was one tries once
    found = []
    for row in sorted(rows, key=lambda row: int(row["position"])):
        if row["role"] != "decision":
            continue
        estimated = chances(int(row["seconds_before"]), recorded, late_seconds, tries)
        landing, outage = row.get("landing_prob"), row.get("outage_prob")
        found.append(
            Stage(
                name=row["decision_window"],
                seconds_before=int(row["seconds_before"]),
                anchor=row["anchor"],
                landing_prob=estimated.landing if landing is None else float(landing),
                outage_prob=estimated.outage if outage is None else float(outage),
                value_share=float(row["value_share"]),
                scope=row["scope"],
            )
        )
    return tuple(found)


def guardrails(values: Mapping[str, float]) -> Guardrails:
    """The re-vote rules' constants from `thresholds`."""
    return Guardrails(
        uplift_bps=values["guard_uplift_bps"],
        gas_multiple=values["guard_gas_multiple"],
        low_risk=values["inclusion_low_risk"],
        medium_risk=values["inclusion_medium_risk"],
        gas_usd=values["gas_usd"],
        landing_seconds=values.get("vote_landing_seconds", 0.0),  # a store built before there was one has none
    )
