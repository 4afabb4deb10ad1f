"""Recommendations for every decision of the warehouse's tables, as rows with their allocations nested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from decide.once import Answers, Kept, digest
from decide.thresholds import Rows, thresholds
from decide.voting import constants
from decide.voting.decision_tables import WINDOW_KEYS, Case, cases
from decide.voting.limits import LIMITS
from decide.voting.recommend import (
    Recommendation,
    Setting,
    change_set,
    confidence,
    recommend,
    turnover_share,
    worst_level,
)
from decide.voting.revote import Guardrails, Stage, VotingRule
from decide.voting.scenarios import ScenarioSet
from decide.voting.situation import Answer, RiskProfile, returns


@dataclass(frozen=True)
class Seeds:
    """The seeds a decision reads, as rows of the warehouse."""

    thresholds: Rows
    scenario_weights: Rows
    risk_profiles: Rows
    voting_rules: Rows
    decision_windows: Rows


@dataclass(frozen=True)
class Settings:
    """The seeds as typed constants."""

    sets: Mapping[str, ScenarioSet]
    profiles: Mapping[str, RiskProfile]
    default_profile: str
    rules: Mapping[str, VotingRule]
    stages: tuple[Stage, ...]
    guard: Guardrails

    @classmethod
    def of(cls, seeds: Seeds) -> Settings:
        values = thresholds(seeds.thresholds)
        return cls(
            sets=constants.scenario_sets(seeds.scenario_weights),
            profiles=constants.risk_profiles(seeds.risk_profiles),
            default_profile=constants.default_profile(seeds.risk_profiles),
            rules=constants.voting_rules(seeds.voting_rules),
            stages=constants.stages(seeds.decision_windows),
            guard=constants.guardrails(values),
        )

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def fixed(self, protocol: str, profile: str) -> tuple[Any, ...]:
        """All constants that a decision of an exchange under a profile may read."""
        return self.stages, self.rules.get(protocol), self.guard, self.profiles[profile]

    def setting(self, protocol: str, profile: str) -> Setting | None:
        """What is fixed for an exchange, None where `voting_rules` has no line for it."""
        rule = self.rules.get(protocol)
        return None if rule is None else Setting(self.stages, rule, self.guard, self.profiles[profile])


def recommend_tables(
    panel: pa.Table,
    quantiles: pa.Table,
    forecasts: pa.Table,
    voter_windows: pa.Table,
    seeds: Seeds,
    kept: pa.Table | None = None,
    code: str = "",
) -> pa.Table:
    """One row per decision under the default profile, its votes nested (SCHEMA, sealed).

    `kept` is this table as an earlier build left it, `code` the version of what decides: a decision that rests on the
    same rows, constants and code is taken over as it stands. The truth is no input of a decision.
    """
    settings = Settings.of(seeds)
    profile = settings.default_profile
    answers = Answers(Kept(kept, SCHEMA, WINDOW_KEYS), SCHEMA)
    wanted, fixed = [settings.profiles[profile].scenario_set], dict[str, str]()
    for case in cases(panel, quantiles, forecasts, voter_windows, settings.sets):
        protocol = case.key[0]
        if protocol not in fixed:
            fixed[protocol] = digest(code, settings.fixed(protocol, profile))
        inputs = digest(fixed[protocol], case.seen(wanted))
        where = answers.kept.find(case.key, inputs)
        if where is not None:
            answers.keep(where)
        else:
            row = recommendation_row(case, settings, profile)
            answers.add(pa.Table.from_pylist([row], schema=SCHEMA), inputs)
    return answers.table()


def recommendation_row(case: Case, settings: Settings, profile: str) -> dict[str, Any]:
    """A case decided under a profile, as a row of SCHEMA."""
    made = recommend_case(case, settings, profile)
    situation = case.situations[settings.profiles[profile].scenario_set]
    allocation, decision, last = made.allocation, made.decision, len(made.new) - 1
    stage = settings.stage(case.key[3])
    row: dict[str, Any] = dict(zip(WINDOW_KEYS, case.key, strict=True)) | {
        "risk_profile": profile,
        "outcome": made.answer.outcome,
        "action": decision.action,
        "reason": decision.reason,
        "inclusion_risk": decision.inclusion_risk,
        "inclusion_prob": stage.inclusion_prob,
        "forecast_level": worst_level(case.levels[made.votes > 0].tolist()),
        "voting_power": _known(situation.power),
        "candidate_count": len(situation.gauges),
        "gauges_used": int((made.votes > 0).sum()),
        "standing_usd": decision.standing_usd,
        "decision_block": case.window["decision_block"],
        "decision_at": case.window["decision_at"],
    }
    if allocation is None:
        return row | {"votes": []}
    return row | {
        "confidence": confidence(made.votes, case.confidence),
        "expected_usd": decision.new_usd,
        "conservative_usd": float(made.new[0]),
        "base_usd": float(made.new[len(made.new) // 2]),
        "aggressive_usd": float(made.new[last]),
        "downside_usd": float(allocation.downside),
        "objective_usd": float(allocation.objective),
        "bound_usd": float(allocation.bound),
        "optimality_gap": float(allocation.gap),
        "uplift_usd": decision.uplift_usd,
        "uplift_bps": decision.uplift_bps,
        "value_if_submitted_usd": decision.value_if_submitted_usd,
        "value_if_kept_usd": decision.value_if_kept_usd,
        "unlimited_usd": _known(made.unlimited_usd),
        "limits_cost_share": _known(made.limits_cost_share),
        **{f"{name}_cost_usd": made.limit_costs.get(name) for name in LIMITS},
        "turnover_share": turnover_share(made.votes, situation.previous),
        "votes": _vote_rows(case, made, situation.previous, situation.votes, situation.rewards, situation.weights),
    }


def recommend_case(case: Case, settings: Settings, profile: str) -> Recommendation:
    """The recommendation for a case; named outcomes where the exchange has no rule or own votes are not known."""
    situation = case.situations[settings.profiles[profile].scenario_set]
    setting = settings.setting(case.key[0], profile)
    blocked = _blocked(case, setting)
    if setting is None:
        setting = Setting(settings.stages, _ANY_RULE, settings.guard, settings.profiles[profile])
    return recommend(situation, setting, settings.stage(case.key[3]), case.standing, blocked)


_ANY_RULE = VotingRule("", None, None, 0, 1)  # never decided with: a case without a rule is blocked


def _blocked(case: Case, setting: Setting | None) -> Answer | None:
    if setting is None:
        return Answer(
            "no_rule", f"seeds/voting/voting_rules.csv has no line for {case.key[0]}: add how often and late it votes"
        )
    if case.window["failed_gates"]:
        return Answer("gate_failed", f"what was read is not to be trusted: {case.window['failed_gates']}")
    if case.window["own_votes_status"] == "unknown":
        return Answer(
            "own_votes_unknown",
            "events up to the decision block are not landed, so own votes cannot be taken out: extract again",
        )
    return None


def _vote_rows(case: Case, made: Recommendation, previous: Any, votes: Any, rewards: Any, weights: Any) -> list[Any]:
    """A row per gauge that is voted for or was: votes, change, returns per scenario."""
    change = change_set(made.votes, previous)
    gauges = next(iter(case.situations.values())).gauges
    return [
        {
            "gauge_address": gauges[i],
            "votes": float(made.votes[i]),
            "previous_votes": float(previous[i]),
            "change_votes": float(change[i]),
            "expected_usd": float(weights @ (each := returns(votes[[i]], rewards[[i]], made.votes[[i]]))),
            "conservative_usd": float(each[0]),
            "base_usd": float(each[len(each) // 2]),
            "aggressive_usd": float(each[-1]),
            "base_other_votes": float(votes[i, len(each) // 2]),
            "base_rewards_usd": float(rewards[i, len(each) // 2]),
            "confidence": float(case.confidence[i]),
            "forecast_level": str(case.levels[i]),
        }
        for i in np.flatnonzero((made.votes > 0) | (previous > 0))
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _fields(kind: pa.DataType, names: Sequence[str]) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


VOTE = pa.struct(
    _fields(pa.string(), ["gauge_address", "forecast_level"])
    + _fields(
        pa.float64(),
        [
            "votes",
            "previous_votes",
            "change_votes",
            "expected_usd",
            "conservative_usd",
            "base_usd",
            "aggressive_usd",
            "base_other_votes",
            "base_rewards_usd",
            "confidence",
        ],
    )
)
SCHEMA = pa.schema(
    _fields(pa.string(), ["protocol", "voter_id"])
    + _fields(pa.int64(), ["epoch"])
    + _fields(
        pa.string(),
        ["decision_window", "risk_profile", "outcome", "action", "reason", "inclusion_risk", "forecast_level"],
    )
    + _fields(pa.float64(), ["inclusion_prob", "voting_power"])
    + _fields(pa.int64(), ["candidate_count", "gauges_used", "decision_block"])
    + _fields(
        pa.float64(),
        [
            "confidence",
            "standing_usd",
            "expected_usd",
            "conservative_usd",
            "base_usd",
            "aggressive_usd",
            "downside_usd",
            "objective_usd",
            "bound_usd",
            "optimality_gap",
            "uplift_usd",
            "uplift_bps",
            "value_if_submitted_usd",
            "value_if_kept_usd",
            "unlimited_usd",
            "limits_cost_share",
            "turnover_share",
            *(f"{name}_cost_usd" for name in LIMITS),
        ],
    )
    + [pa.field("decision_at", pa.timestamp("us", "UTC")), pa.field("votes", pa.list_(VOTE))]
)
