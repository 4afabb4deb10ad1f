"""`foreshore recommend`: from what is published, an allocation with its reasons, shown and saved. Nothing is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.markup import escape

from decide.voting.decision_tables import Case, cases
from decide.voting.limits import LIMITS
from decide.voting.recommend_tables import Seeds, Settings, recommendation_row
from extract.errors import RequestError
from extract.voting.epochs import utc
from operate.console import out, table, to_json
from operate.warehouse import Warehouse, read_tables

SEED_TABLES = ("thresholds", "scenario_weights", "risk_profiles", "voting_rules", "decision_windows")
ACTION_STYLE = {"submit": "green", "wait": "yellow", "keep": "cyan", "closed": "magenta"}


@dataclass(frozen=True)
class Asked:
    """What is asked for; None is the default: every exchange, its first voter, newest epoch, the seed's profile."""

    window: str
    protocol: str | None = None
    voter: str | None = None
    voting_power: float | None = None
    risk_profile: str | None = None
    epoch: int | None = None


def recommendations(warehouse: Warehouse, asked: Asked) -> list[dict[str, Any]]:
    """A row per exchange asked for; RequestError names what is not there and what is."""
    tables = read_tables(warehouse, {name: f"select * from main_seeds.{name}" for name in SEED_TABLES})
    settings = Settings.of(Seeds(**{name: tables[name].to_pylist() for name in SEED_TABLES}))
    _check(asked, settings)
    wanted = _decisions(warehouse, asked)
    profile = asked.risk_profile or settings.default_profile
    return [_decide(warehouse, row, asked, settings, profile) for row in wanted]


def _check(asked: Asked, settings: Settings) -> None:
    windows = [stage.name for stage in settings.stages]
    if asked.window == "boundary":
        raise RequestError(f"boundary is the control: it holds final state and is never decided on. Use {windows}")
    if asked.window not in windows:
        raise RequestError(f"window {asked.window!r} is not in seeds/voting/decision_windows.csv: use one of {windows}")
    if asked.risk_profile and asked.risk_profile not in settings.profiles:
        raise RequestError(f"risk profile {asked.risk_profile!r} is unknown: use one of {list(settings.profiles)}")
    if asked.voting_power is not None and not asked.voting_power > 0:
        raise RequestError(f"--voting-power {asked.voting_power:g} cannot vote: it must be above 0")


def _decisions(warehouse: Warehouse, asked: Asked) -> list[dict[str, Any]]:
    """Rows of int_voter_windows to decide: per exchange the voter asked for or its first, at the newest epoch."""
    rows = read_tables(warehouse, {"windows": _WINDOWS})["windows"].to_pylist()
    protocols = sorted({row["protocol"] for row in rows})
    if asked.protocol and asked.protocol not in protocols:
        raise RequestError(f"exchange {asked.protocol!r} has no data: there is {', '.join(protocols)}")
    mine = [r for r in rows if asked.protocol in (None, r["protocol"])]
    voters = sorted({f"{r['protocol']} {r['voter_id']}" for r in mine})
    wanted = asked.voter.lower() if asked.voter else None
    mine = [r for r in mine if r["voter_id"] == wanted or (wanted is None and r["voter_position"] == 1)]
    if not mine:
        raise RequestError(
            f"voter {asked.voter} is not planned for: add it to seeds/voting/voters.csv and build again. "
            f"There is: {', '.join(voters)}"
        )
    at_window = [r for r in mine if r["decision_window"] == asked.window]
    chosen = []
    for protocol in sorted({r["protocol"] for r in mine}):
        epochs = [r for r in at_window if r["protocol"] == protocol and asked.epoch in (None, r["epoch"])]
        if not epochs:
            when = f"epoch {asked.epoch}" if asked.epoch else "any epoch"
            raise RequestError(f"{protocol} has no {asked.window} of {when}: extract it first (foreshore status)")
        chosen.append(max(epochs, key=lambda r: r["epoch"]))
    return chosen


_WINDOWS = "select * from main_intermediate.int_voter_windows where not is_control"


def _decide(
    warehouse: Warehouse, window: dict[str, Any], asked: Asked, settings: Settings, profile: str
) -> dict[str, Any]:
    case = _case(warehouse, window, settings)
    if asked.voting_power is not None:
        case = with_power(case, asked.voting_power)
    row = recommendation_row(case, settings, profile)
    return row | {"allocation": {v["gauge_address"]: int(v["votes"]) for v in row["votes"] if v["votes"] > 0}}


def _case(warehouse: Warehouse, window: dict[str, Any], settings: Settings) -> Case:
    condition = " and ".join(
        f"{key} = {value}" if key == "epoch" else f"{key} = '{value}'"
        for key, value in ((k, window[k]) for k in ("protocol", "voter_id", "epoch", "decision_window"))
    )
    names = {
        "panel": "int_forecast_panel",
        "quantiles": "forecast_quantiles",
        "forecasts": "forecast_scenarios",
        "windows": "int_voter_windows",
    }
    queries = {key: f"select * from main_intermediate.{name} where {condition}" for key, name in names.items()}
    tables: dict[str, pa.Table] = read_tables(warehouse, queries)
    return next(cases(tables["panel"], tables["quantiles"], tables["forecasts"], tables["windows"], settings.sets))


def with_power(case: Case, power: float) -> Case:
    """The same case for a voter of other power."""
    return replace(
        case,
        situations={name: replace(situation, power=power) for name, situation in case.situations.items()},
        snapshot=replace(case.snapshot, power=power),
    )


def save(root: Path, row: dict[str, Any]) -> Path:
    """Write a recommendation where `foreshore submitted --file` finds it; whole or not at all."""
    folder = root / "recommendations" / row["protocol"] / str(row["epoch"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{row['decision_window']}-{row['voter_id']}-{row['risk_profile']}.json"
    part = target.with_suffix(".part")
    part.write_text(json.dumps(to_json(row), indent=1))
    part.replace(target)
    return target


def show(row: dict[str, Any]) -> None:
    """A recommendation as people read it: what to do and why, the votes, what they are worth and how sure that is."""
    style = ACTION_STYLE[row["action"]]
    out.print(
        f"\n[bold]{row['protocol']}[/bold] voter {row['voter_id']}, epoch {utc(row['epoch']):%a %Y-%m-%d}, window "
        f"[bold]{row['decision_window']}[/bold] (block {row['decision_block']:,}, "
        f"{row['decision_at']:%Y-%m-%d %H:%M:%S} UTC)"
    )
    out.print(f"[bold {style}]{row['action'].upper()}[/bold {style}]  {escape(row['reason'])}")
    if row["outcome"] != "ok":
        out.print(f"outcome {row['outcome']}; what stands is expected to earn {row['standing_usd']:,.2f} USD")
        return
    heads = [
        "gauge",
        "votes",
        "last",
        "change",
        "expected USD",
        "worst",
        "best",
        "others' votes",
        "rewards USD",
        "history",
    ]
    votes = sorted(row["votes"], key=lambda v: -v["votes"])
    lines = [
        [
            v["gauge_address"],
            f"{v['votes']:,.0f}",
            f"{v['previous_votes']:,.0f}",
            f"{v['change_votes']:+,.0f}",
            f"{v['expected_usd']:,.2f}",
            f"{v['conservative_usd']:,.2f}",
            f"{v['aggressive_usd']:,.2f}",
            f"{v['base_other_votes']:,.0f}",
            f"{v['base_rewards_usd']:,.2f}",
            v["forecast_level"],
        ]
        for v in votes
    ]
    out.print(table("", heads, lines, right=heads[1:9]))
    for line in _sums(row):
        out.print(line)


def _sums(row: dict[str, Any]) -> list[str]:
    unlimited, cost = row["unlimited_usd"], row["limits_cost_share"]
    return [
        f"expected {row['expected_usd']:,.2f} USD ({row['conservative_usd']:,.2f} to {row['aggressive_usd']:,.2f}); "
        f"what stands {row['standing_usd']:,.2f}; downside {row['downside_usd']:,.2f}; inclusion risk "
        f"{row['inclusion_risk']} ({row['inclusion_prob']:.0%}); confidence {row['confidence']:.2f}",
        f"sent now it is worth {row['value_if_submitted_usd']:,.2f} USD, not sent {row['value_if_kept_usd']:,.2f}; "
        f"{row['turnover_share']:.0%} of {row['voting_power']:,.0f} votes move; optimal within "
        f"{row['optimality_gap']:.0e}",
        f"the limits of profile {row['risk_profile']} cost {cost:.1%} of the {unlimited:,.2f} USD that the exchange's "
        f"own limits allow{_limit_costs(row)}",
    ]


def _limit_costs(row: dict[str, Any]) -> str:
    """What each limit that binds costs alone."""
    costs = [(name, row[f"{name}_cost_usd"]) for name in LIMITS]
    named = [f"{name} {usd:,.2f}" for name, usd in costs if usd]
    return f"; USD each takes alone: {', '.join(named)}" if named else ""
