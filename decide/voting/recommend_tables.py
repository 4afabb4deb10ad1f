"""Recommendations for every decision of the warehouse's tables, as rows with their allocations nested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from decide.voting.together import Part, recommend_together


@dataclass(frozen=True)
class Seeds:
    """The seeds a decision reads, as rows of the warehouse."""

    thresholds: Rows
    scenario_weights: Rows
    risk_profiles: Rows
    voting_rules: Rows
    decision_windows: Rows
    submission_counts: Rows  # of others, and with `voter_id` and `known_at` a voter's own


@dataclass(frozen=True)
class Settings:
    """The seeds as typed constants."""

    sets: Mapping[str, ScenarioSet]
    profiles: Mapping[str, RiskProfile]
    default_profile: str
    rules: Mapping[str, VotingRule]
    stages: tuple[Stage, ...]  # with the chances that others' recorded submissions give
    guard: Guardrails
    thresholds: Mapping[str, float]
    windows: Rows
    submissions: Rows

    @classmethod
    def of(cls, seeds: Seeds) -> Settings:
        values = thresholds(seeds.thresholds)
        return cls(
            sets=constants.scenario_sets(seeds.scenario_weights),
            profiles=constants.risk_profiles(seeds.risk_profiles),
            default_profile=constants.default_profile(seeds.risk_profiles),
            rules=constants.voting_rules(seeds.voting_rules),
            stages=_stages(seeds.decision_windows, _recorded(seeds.submission_counts), values),
            guard=constants.guardrails(values),
            thresholds=values,
            windows=seeds.decision_windows,
            submissions=seeds.submission_counts,
        )

    @property
    def default_set(self) -> str:
        """The scenario set that the default profile decides with."""
        return self.profiles[self.default_profile].scenario_set

    def stages_known(self, case: Case) -> tuple[Stage, ...]:
        """The stages with what the voter's own submissions had shown before the decision, beside the others'."""
        own = _recorded(self.submissions, case)
        return self.stages if not own else _stages(self.windows, [*_recorded(self.submissions), *own], self.thresholds)

    def fixed(self, protocol: str, profile: str) -> tuple[Any, ...]:
        """All constants that a decision of an exchange under a profile may read, but `stages_known`."""
        return self.rules.get(protocol), self.guard, self.profiles[profile]

    def setting(self, protocol: str, profile: str) -> Setting | None:
        """What is fixed for an exchange, None where `voting_rules` has no line for it."""
        rule = self.rules.get(protocol)
        return None if rule is None else Setting(rule.stages(self.stages), rule, self.guard, self.profiles[profile])

    def setting_of(self, case: Case, profile: str) -> Setting | None:
        """The same with what was known at a case: the voter's own submissions, the contract's delay between votes."""
        fixed = self.setting(case.key[0], profile)
        if fixed is None:
            return None
        return replace(fixed, stages=fixed.rule.stages(self.stages_known(case)), rule=case.ruled(fixed.rule))


def _stages(windows: Rows, recorded: Rows, values: Mapping[str, float]) -> tuple[Stage, ...]:
    return constants.stages(windows, constants.records(recorded), values)


def _recorded(rows: Rows, case: Case | None = None) -> list[Mapping[str, Any]]:
    """Others' submissions, or those of a case's voter that were known before its decision."""
    if case is None:
        return [row for row in rows if not row.get("voter_id")]
    mine = [row for row in rows if (row.get("protocol"), row.get("voter_id")) == case.key[:2]]
    return [row for row in mine if row["known_at"] < case.window["decision_at"]]


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
    for group in _together(cases(panel, quantiles, forecasts, voter_windows, settings.sets)):
        protocol = group[0].key[0]
        if protocol not in fixed:
            fixed[protocol] = digest(code, settings.fixed(protocol, profile))
        _answer(answers, group, settings, profile, fixed[protocol], wanted)
    return answers.table()


def recommend_now(
    panel: pa.Table, quantiles: pa.Table, forecasts: pa.Table, voter_windows: pa.Table, settings: Settings
) -> pa.Table:
    """The rows of `recommend_tables` without seals: of decisions that are made now, and that nobody keeps. `forecasts`
    need only the default profile's scenario set.
    """
    wanted = {settings.default_set: settings.sets[settings.default_set]}
    groups = _together(cases(panel, quantiles, forecasts, voter_windows, wanted))
    rows = [row for group in groups for row in recommendation_rows(group, settings, settings.default_profile)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _together(found: Iterable[Case]) -> Iterator[list[Case]]:
    """The cases that are decided together: those of one holder at one decision, after all that are alone."""
    shared: dict[tuple[Any, ...], list[Case]] = {}
    for case in found:
        if case.holder is None:
            yield [case]
        else:
            shared.setdefault((case.key[0], case.holder, *case.key[2:]), []).append(case)
    yield from shared.values()


def _answer(
    answers: Answers, group: Sequence[Case], settings: Settings, profile: str, fixed: str, wanted: Sequence[str]
) -> None:
    """Take over what is kept of cases that are decided together, or decide them."""
    seen = [(settings.stages_known(case), case.seen(wanted)) for case in group]
    inputs = digest(fixed, *seen[0]) if len(group) == 1 else digest(fixed, seen)
    places = [answers.kept.find(case.key, inputs) for case in group]
    if all(where is not None for where in places):
        for where in places:
            answers.keep(where)  # type: ignore[arg-type]
        return
    for row in recommendation_rows(group, settings, profile):
        answers.add(pa.Table.from_pylist([row], schema=SCHEMA), inputs)


def recommendation_rows(group: Sequence[Case], settings: Settings, profile: str) -> list[dict[str, Any]]:
    """The cases of one holder at one decision, decided together, as rows of SCHEMA; one alone as it is.

    What is blocked, or has no power, is decided by itself: what it has standing counts as others' votes.
    """
    first = group[0]
    setting = settings.setting_of(first, profile)
    able = [case for case in group if _blocked(case, setting) is None and case.snapshot.power > 0]
    if setting is None or len(able) < 2:
        return [recommendation_row(case, settings, profile) for case in group]
    parts = {part.case.key: part for part in recommend_together(able, setting, _stage(settings, first))}
    return [
        _row(case, parts[case.key], settings, profile)
        if case.key in parts
        else recommendation_row(case, settings, profile)
        for case in group
    ]


def recommendation_row(case: Case, settings: Settings, profile: str) -> dict[str, Any]:
    """A case decided under a profile by itself, as a row of SCHEMA."""
    situation = case.situations[settings.profiles[profile].scenario_set]
    return _row(case, Part(case, situation, recommend_case(case, settings, profile)), settings, profile)


def _row(case: Case, part: Part, settings: Settings, profile: str) -> dict[str, Any]:
    made, situation = part.made, part.situation
    allocation, decision, last = made.allocation, made.decision, len(made.new) - 1
    stage = _stage(settings, case)
    row: dict[str, Any] = dict(zip(WINDOW_KEYS, case.key, strict=True)) | {
        "risk_profile": profile,
        "outcome": made.answer.outcome,
        "action": decision.action,
        "reason": decision.reason,
        "inclusion_risk": decision.inclusion_risk,
        "inclusion_prob": stage.inclusion_prob,
        "forecast_level": worst_level(case.levels[made.votes > 0].tolist()),
        "holder": case.holder,
        "joint_expected_usd": part.joint_expected_usd,
        "joint_standing_usd": part.joint_standing_usd,
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
    setting = settings.setting_of(case, profile)
    blocked = _blocked(case, setting)
    if setting is None:
        setting = Setting(settings.stages, _ANY_RULE, settings.guard, settings.profiles[profile])
    return recommend(situation, setting, _stage(settings, case), case.standing, blocked)


def _stage(settings: Settings, case: Case) -> Stage:
    return next(stage for stage in settings.stages_known(case) if stage.name == case.key[3])


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
            "the contracts did not say what this voter has standing at the decision block, so it cannot be taken out: "
            "extract again",
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
        [
            "decision_window",
            "holder",
            "risk_profile",
            "outcome",
            "action",
            "reason",
            "inclusion_risk",
            "forecast_level",
        ],
    )
    + _fields(pa.float64(), ["inclusion_prob", "voting_power"])
    + _fields(pa.int64(), ["candidate_count", "gauges_used", "decision_block"])
    + _fields(
        pa.float64(),
        [
            "confidence",
            "joint_expected_usd",
            "joint_standing_usd",
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
