"""`foreshore backtest`: what the published replay says, or a sweep of other parameters over the same decisions."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from multiprocessing import get_context
from typing import Any

import pyarrow as pa
from rich.markup import escape

from decide.voting.backtest import replay
from decide.voting.backtest_tables import replayable
from decide.voting.recommend_tables import Settings
from decide.voting.situation import RiskProfile
from decide.voting.strategies import Strategy
from extract.errors import RequestError
from extract.where import HERE, Where
from operate.console import err, out, print_json, table
from operate.spread import spread
from operate.voting.recommend import seed_queries, settings_of
from operate.warehouse import Warehouse, query, read_tables

PARTS_PER_WORKER = 4
PANEL_TABLES = ("int_forecast_panel", "forecast_quantiles", "forecast_scenarios", "int_voter_windows")


@dataclass(frozen=True)
class Grid:
    """Values to try; an empty one keeps the profile's own."""

    risk_profile: str | None
    k_max: Sequence[int] = ()
    min_votes: Sequence[float] = ()
    risk_aversion: Sequence[float] = ()
    scenario_set: Sequence[str] = ()
    max_turnover: Sequence[float] = ()

    def profiles(self, base: RiskProfile) -> Iterator[RiskProfile]:
        """Every combination, named by what differs from the base."""
        names = ("k_max", "min_votes", "risk_aversion", "scenario_set", "max_turnover")
        tried = [tuple(getattr(self, name)) or (getattr(base, name),) for name in names]
        for values in product(*tried):
            changes = dict(zip(names, values, strict=True))
            label = ", ".join(f"{k} {v:g}" if not isinstance(v, str) else v for k, v in changes.items())
            yield replace(base, name=label, **changes)


def summary(warehouse: Warehouse, protocol: str | None) -> list[dict[str, Any]]:
    """Rows of preboundary_backtest_summary in the order people read them."""
    columns, rows = query(warehouse, _SUMMARY)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    kept = [row for row in found if protocol in (None, row["protocol"])]
    if not kept:
        raise RequestError(
            f"no backtest of {protocol or 'any exchange'} is published: extract ended epochs, then build"
        )
    return kept


_SUMMARY = """
    with criteria as (
        select protocol, voter_id, decision_window, 'foreshore' as strategy,
            list({
                'criterion': compared_with, 'verdict': if(is_passed is null, 'open', 'fail'), 'explanation': explanation
            } order by is_passed nulls last, compared_with) as not_passed
        from preboundary_backtest_statistics
        where metric = 'criterion' and is_passed is not true
        group by all
    )

    select * exclude (position, is_simulated, not_passed), coalesce(not_passed, []) as criteria_not_passed
    from preboundary_backtest_summary
    left join (select strategy, position from main_seeds.backtest_variants) using (strategy)
    left join criteria using (protocol, voter_id, decision_window, strategy)
    order by protocol, voter_id, window_position, position
"""


def show_summary(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table per exchange: what each strategy earned at each window, and how much more ours did."""
    for protocol in sorted({row["protocol"] for row in rows}):
        mine = [row for row in rows if row["protocol"] == protocol]
        heads = [
            "window",
            "strategy",
            "epochs",
            "mean USD",
            "P10 USD",
            "of hindsight",
            "ours above it",
            "won",
            "verdict",
        ]
        title = f"Backtest of {protocol}, voter {mine[0]['voter_id']}: decided with what was known then"
        out.print()
        least_telling = ["P10 USD", "won", "epochs", "mean USD", "ours above it", "verdict"]
        lines = [_summary_line(row) for row in mine]
        out.print(table(title, heads, lines, right=heads[2:8], drop=least_telling))
        _show_criteria(mine)
    out.print(f"\n[dim]{_LEGEND}[/dim]")


_STYLES = {"pass": "green", "fail": "red", "open": "yellow"}
_LEGEND = """of hindsight: of the most that could be earned under the exchange's own limits.
ours above: mean over epochs, in points of hindsight, with its 90 % interval (none while withheld);
an epoch that earned nothing counts as 0. closed: the exchange takes no votes then.
verdict: acceptance criteria passed, in full with
foreshore sql "select * from preboundary_backtest_statistics where metric = 'criterion'\""""


def _show_criteria(rows: Sequence[Mapping[str, Any]]) -> None:
    """Which criteria keep a window from passing, and what was found; a criterion that says the same is said once."""
    told: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        for one in row["criteria_not_passed"]:
            windows = told.setdefault((one["verdict"], one["criterion"], one["explanation"]), [])
            windows += [row["decision_window"]] if row["decision_window"] not in windows else []
    for (verdict, criterion, explanation), windows in told.items():
        style = _STYLES[verdict]
        out.print(f"[{style}]{verdict}[/{style}] {', '.join(windows)}, {criterion}: {escape(explanation)}")


def show_verdicts(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per exchange and window: what ours earned, how far above each baseline, and the verdict."""
    against = ("proportional", "hold", "snapshot")
    heads = [
        "protocol",
        "window",
        "epochs",
        "mean USD",
        "of hindsight",
        *(f"above {name}" for name in against),
        "verdict",
    ]
    lines = []
    for row in rows:
        if row["strategy"] == "foreshore":
            same = [r for r in rows if all(r[k] == row[k] for k in ("protocol", "voter_id", "decision_window"))]
            gains = {r["strategy"]: _gain(r) for r in same}
            lines.append(
                [
                    row["protocol"],
                    row["decision_window"] + ("" if row["is_votable"] else " (closed)"),
                    str(row["voted_count"]),
                    _usd(row["mean_realised_usd"]),
                    _share(row["mean_hindsight_share"]),
                    *(gains.get(name, "") for name in against),
                    _verdict(row),
                ]
            )
    out.print()
    out.print(table("Backtest: decided with what was known then", heads, lines, right=heads[2:8], drop=heads[5:8]))
    out.print(f"\n[dim]{_LEGEND}[/dim]")


def _summary_line(row: Mapping[str, Any]) -> list[str]:
    return [
        row["decision_window"] + ("" if row["is_votable"] else " (closed)"),
        row["strategy"],
        str(row["voted_count"]),
        _usd(row["mean_realised_usd"]),
        _usd(row["p10_realised_usd"]),
        _share(row["mean_hindsight_share"]),
        _gain(row),
        _share(row["win_share"]),
        _verdict(row),
    ]


def _verdict(row: Mapping[str, Any]) -> str:
    style = _STYLES.get(row["acceptance"])
    if style is None:
        return ""
    passed, judged = row["criteria_passed"], row["criteria_passed"] + row["criteria_failed"] + row["criteria_open"]
    return f"[{style}]{row['acceptance']}[/{style}] {passed}/{judged}"


def _gain(row: Mapping[str, Any]) -> str:
    if row["mean_gain_share"] is None:
        return ""
    if row["gain_low_share"] is None:
        return _signed(row["mean_gain_share"])
    low, high = _signed(row["gain_low_share"]), _signed(row["gain_high_share"])
    return f"{_signed(row['mean_gain_share'])} ({low} to {high})"


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.1%}"  # + 0.0: a rounded -0.0 is no loss


def _usd(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def sweep(
    warehouse: Warehouse, grid: Grid, protocol: str | None, workers: int, where: Where = HERE
) -> list[dict[str, Any]]:
    """Replay every combination of a grid in `workers` processes, or by a cluster's workers; a row per exchange,
    combination and window. Errors: RequestError, ClusterError.
    """
    tables = read_tables(warehouse, seed_queries())
    tables |= read_tables(warehouse, {name: f"select * from main_intermediate.{name}" for name in PANEL_TABLES})
    settings = settings_of(tables)
    name = grid.risk_profile or settings.default_profile
    if name not in settings.profiles:
        raise RequestError(f"risk profile {name!r} is unknown: use one of {list(settings.profiles)}")
    unknown = sorted(set(grid.scenario_set) - set(settings.sets))
    if unknown:
        raise RequestError(f"scenario set {unknown[0]!r} is unknown: use one of {list(settings.sets)}")
    profiles = list(grid.profiles(settings.profiles[name]))
    replayed = _spread(tables, profiles, where, workers) if where.is_cluster else _here(tables, profiles, workers)
    found: list[dict[str, Any]] = []
    for number, rows in enumerate(replayed, 1):
        found += [row for row in rows if protocol in (None, row["protocol"])]
        if err.is_terminal:
            err.print(f"[dim]{number} of {len(profiles)} replayed[/dim]")
    return found


def _here(tables: dict[str, pa.Table], profiles: Sequence[RiskProfile], workers: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of each profile, in order, by processes of this machine."""
    context = get_context("spawn")  # forked workers would inherit DuckDB's threads half alive
    with ProcessPoolExecutor(workers, context, initializer=_load, initargs=(tables,)) as pool:
        yield from pool.map(_replay, profiles)


def _spread(
    tables: dict[str, pa.Table], profiles: Sequence[RiskProfile], where: Where, workers: int
) -> Iterator[list[dict[str, Any]]]:
    """The same by the workers of a cluster. A part carries the tables (megabytes), so it holds several profiles."""
    size = max(1, ceil(len(profiles) / (PARTS_PER_WORKER * workers)))
    parts = [(tables, profiles[start : start + size]) for start in range(0, len(profiles), size)]
    made = dict(spread(where, workers, replay_all, parts, err.print))
    for place in range(len(parts)):
        yield from made[place]


def replay_all(tables: dict[str, pa.Table], profiles: Sequence[RiskProfile]) -> list[list[dict[str, Any]]]:
    """Rows of each profile: what a worker of a cluster does."""
    _load(tables)
    return [_replay(profile) for profile in profiles]


_worker: dict[str, Any] = {}  # what a worker process reads once, not once per combination


def _load(tables: dict[str, pa.Table]) -> None:
    settings = settings_of(tables)
    _worker["settings"] = settings
    _worker["cases"] = list(replayable(*(tables[name] for name in PANEL_TABLES), settings))


def _replay(profile: RiskProfile) -> list[dict[str, Any]]:
    settings: Settings = _worker["settings"]
    strategies = [Strategy("foreshore", "forecast", profile), Strategy("snapshot", "snapshot", profile)]
    rows: list[dict[str, Any]] = []
    for protocol, epochs in _worker["cases"]:
        setting = settings.setting(protocol, settings.default_profile)
        if setting is not None:
            rows += _sums(profile.name, protocol, list(replay(epochs, strategies, setting)))
    return rows


def _sums(label: str, protocol: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for window in dict.fromkeys(row["decision_window"] for row in rows):
        mine = [r for r in rows if r["decision_window"] == window and r.get("realised_usd") is not None]
        ours = {r["epoch"]: r for r in mine if r["strategy"] == "foreshore"}
        plain = {r["epoch"]: r for r in mine if r["strategy"] == "snapshot"}
        gains = [
            (row["realised_usd"] - plain[e]["realised_usd"]) / row["hindsight_usd"]
            for e, row in ours.items()
            if e in plain and row["hindsight_usd"]
        ]
        if ours:
            found.append(
                {
                    "protocol": protocol,
                    "decision_window": window,
                    "parameters": label,
                    "epochs": len(ours),
                    "mean_realised_usd": statistics.fmean(r["realised_usd"] for r in ours.values()),
                    "mean_hindsight_share": statistics.fmean(
                        r["realised_usd"] / r["hindsight_usd"] for r in ours.values() if r["hindsight_usd"]
                    ),
                    "gain_over_snapshot": statistics.fmean(gains) if gains else None,
                }
            )
    return found


def show_sweep(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """The combinations, best mean first within each exchange and window."""
    if as_json:
        print_json(rows)
        return
    heads = ["protocol", "window", "parameters", "epochs", "mean USD", "of hindsight", "above snapshot"]
    ordered = sorted(rows, key=lambda r: (r["protocol"], r["decision_window"], -r["mean_realised_usd"]))
    lines = [
        [
            r["protocol"],
            r["decision_window"],
            r["parameters"],
            str(r["epochs"]),
            _usd(r["mean_realised_usd"]),
            _share(r["mean_hindsight_share"]),
            "" if r["gain_over_snapshot"] is None else f"{r['gain_over_snapshot']:+.2%}",
        ]
        for r in ordered
    ]
    out.print(
        table(
            "Replays, in shares of the hindsight optimum under the exchange's own limits", heads, lines, right=heads[3:]
        )
    )
    out.print(
        f"[dim]{len({r['parameters'] for r in rows})} combinations were tried: the best of many is no proof; "
        "the published backtest tests its variants against that.[/dim]"
    )
