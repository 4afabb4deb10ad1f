"""`foreshore recommend`: from what is published, an allocation with its reasons, saved. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from decide.voting.decision_tables import PANEL_COLUMNS, QUANTILE_COLUMNS, Case, cases
from decide.voting.recommend_tables import Seeds, Settings, recommendation_rows
from decide.voting.situation import Situation
from extract.errors import RequestError
from operate.console import to_json
from operate.voting.clock import by_the_clock
from operate.warehouse import Reader, Warehouse, reading

SEED_TABLES = {  # field of Seeds -> where it is published; a voter's own submissions are beside those of others
    **{
        name: f"main_seeds.{name}"
        for name in ("thresholds", "scenario_weights", "risk_profiles", "voting_rules", "decision_windows")
    },
    "submission_counts": "main_intermediate.int_submissions",
}


@dataclass(frozen=True)
class Asked:
    """What is asked for; None is the default: the newest window, every exchange, its first voter, newest epoch, the
    seed's profile.
    """

    window: str | None = None
    protocol: str | None = None
    voter: str | None = None
    voting_power: float | None = None
    risk_profile: str | None = None
    epoch: int | None = None


def recommendations(warehouse: Warehouse, asked: Asked, now: datetime | None = None) -> list[dict[str, Any]]:
    """A row per exchange asked for, and per voter of the same holder; RequestError names what is not there and what
    is.

    With `now` (UTC) and no window or epoch asked for, a row whose window the clock has passed says so (`clock`).
    """
    with reading(warehouse) as read:
        return _recommendations(warehouse, read, asked, now)


def _recommendations(warehouse: Warehouse, read: Reader, asked: Asked, now: datetime | None) -> list[dict[str, Any]]:
    tables = read({**seed_queries(), "windows": _WINDOWS})
    try:
        settings = settings_of(tables)
    except (KeyError, TypeError) as error:  # a constant that this version reads and that one did not have
        built = ", ".join(f"{unit.published_at:%Y-%m-%d %H:%M} UTC" for unit in warehouse.shelf.units().values())
        raise RequestError(
            f"what is published ({built}) was built by another version of Foreshore, whose seeds lack {error}: "
            "run `foreshore build`"
        ) from None
    _check(asked, settings)
    wanted = _decisions(tables["windows"].to_pylist(), asked)
    profile = asked.risk_profile or settings.default_profile
    is_open_ended = now is not None and asked.window is None and asked.epoch is None
    return [
        made | {"clock": by_the_clock(group[0], settings.stages, now) if is_open_ended and now else None}
        for group in wanted
        for made in _decide(read, group, asked, settings, profile)
    ]


def seed_queries() -> dict[str, str]:
    """Queries for what a decision's constants are read from."""
    return {name: f"select * from {where}" for name, where in SEED_TABLES.items()}


def settings_of(tables: Mapping[str, pa.Table]) -> Settings:
    """The constants of a decision out of what `seed_queries` read."""
    return Settings.of(Seeds(**{name: tables[name].to_pylist() for name in SEED_TABLES}))


def _check(asked: Asked, settings: Settings) -> None:
    windows = [stage.name for stage in settings.stages]
    if asked.window == "boundary":
        raise RequestError(f"boundary is the control: it holds final state and is never decided on. Use {windows}")
    if asked.window is not None and asked.window not in windows:
        raise RequestError(f"window {asked.window!r} is not in seeds/voting/decision_windows.csv: use one of {windows}")
    if asked.risk_profile and asked.risk_profile not in settings.profiles:
        raise RequestError(f"risk profile {asked.risk_profile!r} is unknown: use one of {list(settings.profiles)}")
    if asked.voting_power is not None and not asked.voting_power > 0:
        raise RequestError(f"--voting-power {asked.voting_power:g} cannot vote: it must be above 0")


def _decisions(rows: Sequence[dict[str, Any]], asked: Asked) -> list[list[dict[str, Any]]]:
    """Of the rows of int_voter_windows those to decide: per exchange the voter asked for or its first, at the newest
    epoch, and behind it those that are decided together with it.
    """
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
    at_window = [r for r in mine if asked.window in (None, r["decision_window"])]
    chosen = []
    for protocol in sorted({r["protocol"] for r in mine}):
        epochs = [r for r in at_window if r["protocol"] == protocol and asked.epoch in (None, r["epoch"])]
        if not epochs:
            when = f"epoch {asked.epoch}" if asked.epoch else "any epoch"
            which = asked.window or "window"
            raise RequestError(f"{protocol} has no {which} of {when}: extract it first (foreshore status)")
        first = max(epochs, key=lambda r: (r["epoch"], r["window_position"]))
        same = ("protocol", "holder", "epoch", "decision_window")
        sisters = [r for r in rows if first["holder"] and r is not first and all(r[k] == first[k] for k in same)]
        if sisters and asked.voting_power is not None:
            raise RequestError(
                f"voter {first['voter_id']} is decided together with {len(sisters)} more of {first['holder']}: "
                "--voting-power asks about one by itself (empty its holder in seeds/voting/voters.csv)"
            )
        chosen.append([first, *sorted(sisters, key=lambda r: r["voter_position"])])
    return chosen


_WINDOWS = """
    select windows.*, voters.sender, boundaries.boundary_at
    from main_intermediate.int_voter_windows as windows
    left join main_seeds.voters as voters using (protocol, voter_id)
    left join epoch_boundaries as boundaries using (protocol, epoch)
    where not is_control
"""


def _decide(
    read: Reader, group: Sequence[dict[str, Any]], asked: Asked, settings: Settings, profile: str
) -> list[dict[str, Any]]:
    queries = {"places": places_query("where " + _condition(group[0], ("protocol", "epoch", "decision_window")))}
    for n, window in enumerate(group):
        queries |= {f"{name} {n}": query for name, query in _case_queries(window).items()}
    tables = read(queries)
    found = [next(cases(*(tables[f"{name} {n}"] for name in _CASE), settings.sets)) for n in range(len(group))]
    if asked.voting_power is not None:
        found = [with_power(case, asked.voting_power) for case in found]
    places = {row.pop("gauge_address"): row for row in tables["places"].to_pylist()}
    rows = recommendation_rows(found, settings, profile)
    is_what_if = asked.voting_power is not None
    return [placed(row, window, places, is_what_if) for row, window in zip(rows, group, strict=True)]


def placed(
    row: dict[str, Any], window: Mapping[str, Any], places: Mapping[str, dict[str, Any]], is_what_if: bool
) -> dict[str, Any]:
    """A decision with the pools and reward tokens of its gauges, and who votes."""
    votes = [vote | places.get(vote["gauge_address"], _NOWHERE) for vote in row["votes"]]
    return row | {
        "votes": votes,
        "allocation": {v["gauge_address"]: int(v["votes"]) for v in votes if v["votes"] > 0},
        "is_what_if": is_what_if,
        "reward_share": window["reward_share"],
        "voter": {name: to_json(window[name]) for name in VOTER_COLUMNS},
    }


VOTER_COLUMNS = (  # of int_voter_windows: who votes with what
    "chain_id",
    "voter_kind",
    "account_address",
    "token_id",
    "owner_address",
    "sender",
    "is_approved",
    "power_raw",
    "power_source",
    "own_votes_status",
    "voted_at",
)


_NOWHERE = {"pool_address": None, "gauge_name": None, "reward_tokens": []}


def places_query(where: str) -> str:
    """A row per gauge of one decision window: its pool, its name, the symbols of its reward tokens."""
    return f"""
        select gauges.gauge_address, gauges.pool_address, names.gauge_name,
            coalesce(list(distinct coalesce(rewards.token_symbol, rewards.token_address)
                order by coalesce(rewards.token_symbol, rewards.token_address))
                filter (where rewards.value_status not in ('zero', 'unread')), []) as reward_tokens
        from (select * from main_intermediate.int_gauge_windows {where}) as gauges
        left join main.gauges as names using (protocol, gauge_address)
        left join (select * from main_intermediate.int_rewards_valued {where}) as rewards
            using (gauge_address)
        group by all
    """


def _condition(window: Mapping[str, Any], keys: Sequence[str]) -> str:
    return " and ".join(f"{k} = {window[k]}" if k == "epoch" else f"{k} = '{window[k]}'" for k in keys)


_CASE = {  # what `cases` takes, in its order: where it is published, and which columns (wide lists take long to read)
    "panel": ("int_forecast_panel", ", ".join(PANEL_COLUMNS)),
    "quantiles": ("forecast_quantiles", ", ".join(QUANTILE_COLUMNS)),
    "forecasts": ("forecast_scenarios", "*"),
    "windows": ("int_voter_windows", "*"),
}


def _case_queries(window: Mapping[str, Any]) -> dict[str, str]:
    condition = _condition(window, ("protocol", "voter_id", "epoch", "decision_window"))
    return {
        key: f"select {what} from main_intermediate.{name} where {condition}" for key, (name, what) in _CASE.items()
    }


def with_power(case: Case, power: float) -> Case:
    """The same case for a voter of other power: what stands and what was voted before is as much more or less."""
    known = case.snapshot.power
    scale = power / known if np.isfinite(known) and known > 0 else 1.0

    def scaled(situation: Situation) -> Situation:
        held = {"standing": situation.standing * scale, "previous": situation.previous * scale}
        return replace(situation, power=power, **held)

    return replace(
        case,
        situations={name: scaled(situation) for name, situation in case.situations.items()},
        snapshot=scaled(case.snapshot),
    )


def save(root: Path, row: dict[str, Any]) -> Path:
    """Write a recommendation where `foreshore submitted --file` finds it; whole or not at all."""
    if row["is_what_if"]:
        raise RequestError("a what-if answer is no recommendation: it is not saved")
    folder = root / "recommendations" / row["protocol"] / str(row["epoch"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{row['decision_window']}-{row['voter_id']}-{row['risk_profile']}.json"
    part = target.with_suffix(".part")
    part.write_text(json.dumps(to_json(row), indent=1))
    part.replace(target)
    return target
