"""`foreshore backtest --sweep`: the same decisions replayed with other parameters, a part kept as it comes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from multiprocessing import get_context
from typing import Any

import pyarrow as pa

from decide.once import RowBytes
from decide.voting.backtest import replay
from decide.voting.backtest_tables import replayable
from decide.voting.recommend_tables import Settings
from decide.voting.situation import RiskProfile
from decide.voting.strategies import Strategy
from extract.errors import RequestError
from extract.where import HERE, Where
from operate.console import err, out, print_json, table
from operate.parts import Parts
from operate.spread import spread
from operate.voting.backtest import share, usd
from operate.voting.recommend import seed_queries, settings_of
from operate.warehouse import Warehouse, read_tables

MOST_SETS_PER_PART = 50  # what a kill costs at most, for each worker
PARTS = 64  # at least so many where there are as many sets: as many workers have something to do
PANEL_TABLES = ("int_forecast_panel", "forecast_quantiles", "forecast_scenarios", "int_voter_windows")
Rows = list[dict[str, Any]]


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


def sweep(
    warehouse: Warehouse,
    grid: Grid,
    protocol: str | None,
    workers: int,
    where: Where = HERE,
    shown: Callable[[Rows], None] = lambda _: None,
) -> Rows:
    """Replay every combination of a grid in `workers` processes, or by a cluster's workers; a row per exchange,
    combination and window. What a killed sweep replayed is not replayed again; it is forgotten once the rows were
    `shown`. Errors: RequestError, ClusterError.
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
    size = max(1, min(MOST_SETS_PER_PART, ceil(len(profiles) / PARTS)))  # whoever works: what is kept is found again
    asked = [profiles[start : start + size] for start in range(0, len(profiles), size)]
    hashes = {name: RowBytes(rows).digest("", slice(0, rows.num_rows)) for name, rows in tables.items()}
    parts: Parts[list[Rows]] = Parts(warehouse.root, hashes, asked, lambda made: (made, {}), lambda told, _: told)
    replayed = 0

    def done(_: int, made: list[Rows]) -> None:
        nonlocal replayed
        replayed += len(made)
        if err.is_terminal:
            err.print(f"[dim]{replayed:,} of {len(profiles):,} replayed[/dim]")

    def work(open_: Sequence[int]) -> Iterator[tuple[int, list[Rows]]]:
        wanted = [asked[number] for number in open_]
        if where.is_cluster:
            return spread(where, workers, replay_all, [(tables, part) for part in wanted], err.print)
        return _here(tables, wanted, workers)

    made = parts.of(work, done)
    found = [row for part in made for rows in part for row in rows if protocol in (None, row["protocol"])]
    shown(found)
    parts.forget()
    return found


def _here(
    tables: dict[str, pa.Table], parts: Sequence[Sequence[RiskProfile]], workers: int
) -> Iterator[tuple[int, list[Rows]]]:
    """Place and rows of each part as they come, by processes of this machine, which read the tables once."""
    context = get_context("spawn")  # forked workers would inherit DuckDB's threads half alive
    with ProcessPoolExecutor(workers, context, initializer=_load, initargs=(tables,)) as pool:
        futures = {pool.submit(_replay_part, part): place for place, part in enumerate(parts)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:  # who stops here waits for what runs, not for what is left
            pool.shutdown(cancel_futures=True)


def replay_all(tables: dict[str, pa.Table], profiles: Sequence[RiskProfile]) -> list[Rows]:
    """Rows of each profile: what a worker of a cluster does."""
    _load(tables)
    return _replay_part(profiles)


def _replay_part(profiles: Sequence[RiskProfile]) -> list[Rows]:
    return [_replay(profile) for profile in profiles]


_worker: dict[str, Any] = {}  # what a worker process reads once, not once per combination


def _load(tables: dict[str, pa.Table]) -> None:
    settings = settings_of(tables)
    _worker["settings"] = settings
    _worker["cases"] = list(replayable(*(tables[name] for name in PANEL_TABLES), settings))


def _replay(profile: RiskProfile) -> Rows:
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
            usd(r["mean_realised_usd"]),
            share(r["mean_hindsight_share"]),
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
