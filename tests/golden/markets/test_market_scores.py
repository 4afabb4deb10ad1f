"""The dbt models reproduce what is known of 975 recorded forecasts: market price 0.0825, always the base rate 0.196."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy import special

from decide.markets.experiments.evaluate import Known
from decide.markets.experiments.protocol import Snapshot, resolved_until, settings_of
from decide.markets.scores import brier_rows, clustered_mean, log_rows, murphy, time_weighted, wilson
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, declare, ledger_table
from extract.markets.tables import POLYMARKET_TABLES, RESOLUTIONS
from extract.seeds import read_seed
from operate.markets.daily import market_row
from operate.markets.engines import DuckDbEngine
from operate.markets.registry import load_experiments
from operate.markets.rows import OutcomeRow
from operate.markets.settings import SHIPPED
from operate.markets.store import Store
from operate.markets.worker import Inputs, Task, evaluate_market

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.golden


@dataclass(frozen=True)
class Scored:
    """The recorded rows, and the warehouse built from them."""

    rows: list[dict[str, Any]]
    file: Path

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as built:
            return built.execute(sql).fetchall()

    def score(self, experiment: str) -> dict[str, Any]:
        with duckdb.connect(str(self.file), read_only=True) as built:
            found = built.execute(
                "select * from experiment_scores where experiment = ? and horizon_kind = 'all'", [experiment]
            )
            return dict(zip([c[0] for c in found.description], found.fetchall()[0], strict=True))


def moment(day: str, hour: int = 0) -> datetime:
    return datetime.fromisoformat(day[:10]).replace(hour=hour, tzinfo=UTC)


def ended_at(row: dict[str, Any]) -> datetime:
    return moment(row["resolution_date"], 12)


def land_ends(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Ends as the extractor lands them, one per market."""
    partition = Partition("markets", "resolutions", "golden", "all")
    ends = [
        {
            "partition_id": partition.partition_id,
            "market_id": row["id"],
            "status": "resolved",
            "reason": "one_hot",
            "label": int(row["resolved_to"]),
            "is_closed": True,
            "uma_status": "resolved",
            "resolved_at": ended_at(row),
            "end_at": datetime.fromisoformat(row["close"]),
            "body": "",
            "observed_at": ended_at(row) + timedelta(hours=1),
            "fetched_at": ended_at(row) + timedelta(hours=1),
        }
        for row in {row["id"]: row for row in rows}.values()
    ]
    table = pa.Table.from_pylist(ends, schema=RESOLUTIONS)
    at = moment("2026-11-01")
    row = LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint="golden",
        run_id="golden",
        started_at=at,
        finished_at=at,
        rows=len(ends),
    )
    lake = Lake(str(folder / "raw"))
    with lake.lock():
        declare(lake, POLYMARKET_TABLES)
        land(lake, "markets", {"polymarket_resolutions": table, LEDGER_TABLE: ledger_table([row])})


def write_runs(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A run per question set at its freeze, every shipped experiment walked forward over it."""
    store = Store(DuckDbEngine(folder / "ledger" / "markets.duckdb", 10))
    store.migrate()
    experiments = load_experiments(SHIPPED)
    settings = settings_of(read_seed(ROOT / "seeds", "markets/experiment_settings"))
    for freeze, group in groupby(sorted(rows, key=lambda r: (r["freeze"], r["id"])), key=lambda r: r["freeze"]):
        at, here = datetime.fromisoformat(freeze), list(group)
        claim = store.claim(at.date(), 10, force=False, facts={"code_version": "golden", "config_sha256": "golden"})
        known = Known(settings, resolved_until(store.history(), at))
        snapshots = [
            Snapshot(
                r["id"],
                r["question"],
                at,
                at,
                price=r["price"],
                best_bid=r["price"],
                best_ask=r["price"],
                end_at=datetime.fromisoformat(r["close"]),
            )
            for r in here
        ]
        made = [evaluate_market(experiments, known, Task(0, (s,), (0,), Inputs()), 0) for s in snapshots]
        store.write(claim, [market_row(s, m, {}) for s, m in zip(snapshots, made, strict=True)], [])
        store.finish(claim, "complete")
        ends = {r["id"]: ended_at(r) for r in here}
        label = {r["id"]: int(r["resolved_to"]) for r in here}
        hour = timedelta(hours=1)
        store.record_outcomes([OutcomeRow(m, "resolved", label[m], end, end + hour) for m, end in ends.items()])
    store.close()


@pytest.fixture(scope="module")
def scored(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """975 usable forecasts through the ledger and dbt."""
    path = golden / "polymarket" / "forecastbench" / "polymarket_price_vs_resolution.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    usable = [row for row in rows if row["resolved_to"] in (0.0, 1.0) and row["price"] is not None]
    folder = tmp_path_factory.mktemp("golden-markets")
    (folder / "build").mkdir()
    land_ends(folder, usable)
    write_runs(folder, usable)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORESHORE_")} | {
        "FORESHORE_RAW": str(folder / "raw"),
        "FORESHORE_BUILD": str(folder / "build" / "f.duckdb"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DO_NOT_TRACK": "1",
    }
    models = ["+experiment_scores", "+calibration_bins", "+experiment_results", "+processing_runs", "+experiment_runs"]
    models += ["processed_markets", "processed_contracts", "experiments", "stg_ledger__outcomes"]
    dbt = [
        str(Path(sys.executable).parent / "dbt"),
        "--quiet",
        "build",
        "--indirect-selection",
        "cautious",
        "-s",
        *models,
    ]
    done = subprocess.run(dbt, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    return Scored(usable, folder / "build" / "f.duckdb")


def test_the_market_price_scores_0_0825_and_the_base_rate_0_196(scored: Scored) -> None:
    market = scored.score("market_price")
    assert (market["forecast_count"], market["market_count"]) == (975, 723)
    assert round(market["brier"], 4) == 0.0825
    assert round(market["uncertainty"], 3) == 0.196 and round(market["base_rate"], 3) == 0.267
    assert round(market["log_score"], 3) == 0.265
    assert (round(market["reliability"], 3), round(market["resolution"], 3)) == (0.002, 0.115)


def test_sql_and_numpy_agree_on_every_score(scored: Scored) -> None:
    market = scored.score("market_price")
    p, y = ([row[name] for row in scored.rows] for name in ("price", "resolved_to"))
    parts = murphy(p, y, 10)
    assert market["brier"] == pytest.approx(float(brier_rows(p, y).mean()), abs=1e-12)
    assert market["log_score"] == pytest.approx(float(log_rows(p, y, 0.001).mean()), abs=1e-12)
    for name in ("reliability", "resolution", "uncertainty"):
        assert market[name] == pytest.approx(getattr(parts, name), abs=1e-12)
    by_market: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(scored.rows, key=lambda r: r["freeze"]):
        by_market.setdefault(row["id"], []).append(row)
    stood, losses, names = [], [], []
    for name, mine in by_market.items():
        until = [datetime.fromisoformat(r["freeze"]) for r in mine[1:]] + [ended_at(mine[-1])]
        for row, end in zip(mine, until, strict=True):
            stood.append((end - datetime.fromisoformat(row["freeze"])).total_seconds())
            losses.append((row["price"] - row["resolved_to"]) ** 2)
            names.append(name)
    assert market["time_weighted_brier"] == pytest.approx(time_weighted(losses, names, stood), abs=1e-9)
    bins = scored.query(
        "select forecast_count, happened_share, happened_low, happened_high from calibration_bins "
        "where experiment = 'market_price' order by bin"
    )
    count, share, low, high = (np.array(column) for column in zip(*bins, strict=True))
    below, above = wilson(np.round(count * share), count, float(2 * special.ndtr(1.959964) - 1))
    assert low == pytest.approx(below, abs=1e-9) and high == pytest.approx(above, abs=1e-9)


def test_differences_from_the_market_are_on_the_same_markets_with_events_resampled(scored: Scored) -> None:
    challenger, floor = scored.score("longshot_corrected"), scored.score("base_rate")
    assert challenger["verdict"] == "undecided", "on record a fitted correction gains nothing"
    assert 600 < challenger["paired_count"] == challenger["forecast_count"] < 975
    assert floor["verdict"] == "worse" and floor["skill_share"] < -1
    rows = scored.query(
        "select brier - market_brier, event_cluster from main_intermediate.int_forecasts_scored "
        "where experiment = 'longshot_corrected'"
    )
    values, events = zip(*rows, strict=True)
    own = clustered_mean(values, events, level=0.9, draws=2000, seed=20260219, least_clusters=10)
    shown = (challenger["brier_difference"], challenger["difference_low"], challenger["difference_high"])
    assert shown == pytest.approx((own.estimate, own.low, own.high), abs=1e-12)
    assert own.low < 0 < own.high and abs(own.estimate) < 0.004


def test_no_score_is_shown_below_thirty(scored: Scored) -> None:
    thin = scored.query("select brier, log_score, brier_difference from experiment_scores where forecast_count < 30")
    assert thin and all(value is None for row in thin for value in row)
    shown = scored.query("select count(*) from experiment_scores where brier is not null and forecast_count >= 30")
    assert shown[0][0] > 5


def test_horizons_split_every_forecast_once(scored: Scored) -> None:
    counts = scored.query(
        "select horizon_kind, sum(forecast_count) from experiment_scores where experiment = 'market_price' group by 1"
    )
    assert dict(counts) == {"all": 975, "to_resolution": 975, "to_end": 975}
