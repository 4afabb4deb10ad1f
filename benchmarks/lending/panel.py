"""The CSU panel from raw rows: 43 CSUs x 365 days of synthetic reserves, prices and liquidations, built by dbt.

    python -m benchmarks.lending.panel [--csus 43] [--days 365] [--json]

Seconds are of the models alone, and of the whole dbt command with its start-up; peak memory is of that process. The
numbers are drawn, not hand-picked: the panel of a sample is checked against numpy.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.common import arguments
from benchmarks.voting.line import measured
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, declare, ledger_table
from extract.lending.tables import LENDING_TABLES, LIQUIDATIONS, PRICES, RESERVES, SNAPSHOTS

RESERVES_EACH, LIQUIDATIONS_EACH = 20, 10  # a large Aave lists 60 reserves, a Comet 5; 10 liquidations are a busy day
BLOCKS = 7_200
FIRST = date(2024, 1, 1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = "thresholds csu_registry lending_assets +csu_daily_panel +csu_snapshot_blocks"


def lake(folder: Path, csus: int, days: int) -> dict[tuple[str, str], float]:
    """Land the synthetic rows a month a package; returns the net TVL that each panel row must show."""
    made = Lake(str(folder / "raw"))
    declare(made, LENDING_TABLES)
    chance = np.random.default_rng(7)
    net: dict[tuple[str, str], float] = {}
    for start in range(0, days, 30):
        parts: dict[str, list[pa.Table]] = {name: [] for name in LENDING_TABLES}
        rows: list[LedgerRow] = []
        for n in range(start, min(start + 30, days)):
            for csu in range(csus):
                _csu_day(chance, f"csu_{csu:02}", FIRST + timedelta(days=n), n, parts, rows, net)
        tables = {name: pa.concat_tables(of) for name, of in parts.items() if of}
        land(made, "lending", {**tables, LEDGER_TABLE: ledger_table(rows)})
    return net


def _csu_day(
    chance: np.random.Generator, csu: str, day: date, n: int, parts: dict[str, list[pa.Table]], rows: list[LedgerRow],
    net: dict[tuple[str, str], float],
) -> None:  # fmt: skip
    block = (n + 1) * BLOCKS
    at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=29)
    kinds = {kind: Partition("lending", kind, csu, day.isoformat()) for kind in ("snapshot", "liquidations", "prices")}
    supplied = chance.lognormal(14, 2, RESERVES_EACH)
    share, prices = chance.uniform(0, 0.9, RESERVES_EACH), chance.lognormal(3, 2, RESERVES_EACH)
    supplied_raw = [int(x * 1e6) * 10**12 for x in supplied]
    borrowed_raw = [int(x * s * 1e6) * 10**12 for x, s in zip(supplied, share, strict=True)]
    net[csu, day.isoformat()] = float(
        sum((a - b) / 1e18 * p for a, b, p in zip(supplied_raw, borrowed_raw, prices, strict=True))
    )
    common = {"chain_id": 1, "day": day, "csu_id": csu, "provider": "synthetic", "fetched_at": NOW}
    observed = {"observed_block": block, "observed_at": at}
    head = {"family": "aave_v3", "chain": "ethereum", "registry_address": f"0x{csu[-2:]:0>40}", "status": "ok",
            "confirmation": "proven"}  # fmt: skip
    parts["lending_snapshots"].append(
        _table([common | observed | head | {"reserve_count": RESERVES_EACH}], SNAPSHOTS, kinds["snapshot"])
    )
    reserves = [
        common
        | observed
        | {"reserve_id": _asset(i), "asset_address": _asset(i), "asset_symbol": f"T{i}", "asset_decimals": 18}
        | {"role": "lent", "read_status": "ok", "borrowed_stable_raw": "0", "available_raw": str(a - b)}
        | {"minted_raw": "0", "deficit_raw": "0", "absorbed_raw": "0", "accrual": "at_block"}
        | {"supplied_raw": str(a), "borrowed_variable_raw": str(b)}
        for i, (a, b) in enumerate(zip(supplied_raw, borrowed_raw, strict=True))
    ]
    parts["lending_reserves"].append(_table(reserves, RESERVES, kinds["snapshot"]))
    blocks = np.sort(chance.integers(block - BLOCKS + 1, block, LIQUIDATIONS_EACH)).tolist()
    pairs = chance.integers(0, RESERVES_EACH, (LIQUIDATIONS_EACH, 2)).tolist()
    liquidations = [
        common
        | {"block_number": b, "block_at": at, "transaction_hash": f"0x{csu}{b:x}", "log_index": k, "topics": []}
        | {"emitter_address": _asset(0), "event_kind": "liquidation", "borrower": _asset(k), "decode_status": "ok"}
        | {"debt_asset": _asset(i), "debt_raw": str(10**20), "debt_decimals": 18, "data": "0x"}
        | {"collateral_asset": _asset(j), "collateral_raw": str(10**20), "collateral_decimals": 18}
        for k, (b, (i, j)) in enumerate(zip(blocks, pairs, strict=True))
    ]
    parts["lending_liquidations"].append(_table(liquidations, LIQUIDATIONS, kinds["liquidations"]))
    wanted = {(i, block) for i in range(RESERVES_EACH)} | {
        (i, b) for b, pair in zip(blocks, pairs, strict=True) for i in pair
    }
    priced = [
        common
        | {"asset_address": _asset(i), "block_number": b, "block_at": at, "price_status": "ok", "tried": "oracle: ok"}
        | {"price_source": "oracle", "price_control": "protocol", "price_usd": float(prices[i])}
        | {"is_asked": True, "oracle_status": "ok"}
        for i, b in sorted(wanted)
    ]
    parts["lending_prices"].append(_table(priced, PRICES, kinds["prices"]))
    rows += [
        LedgerRow(p, COMPLETE, "synthetic", "bench", NOW, NOW, from_block=block - BLOCKS + 1, to_block=block)
        for p in kinds.values()
    ]


def _table(rows: list[dict[str, Any]], schema: pa.Schema, partition: Partition) -> pa.Table:
    return pa.Table.from_pylist([row | {"partition_id": partition.partition_id} for row in rows], schema=schema)


def _asset(i: int) -> str:
    return f"0x{i:040x}"


def build(folder: Path) -> dict[str, Any]:
    """dbt over the lake: seconds and memory of the command, seconds of its models."""
    (folder / "build").mkdir()
    environment = {
        "FORESHORE_RAW": str(folder / "raw"),
        "FORESHORE_BUILD": str(folder / "build" / "foreshore.duckdb"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "dbt_logs"),
    }
    command = [str(Path(sys.executable).parent / "dbt"), "build", "--select", *MODELS.split()]
    seconds, peak = measured([*command, "--exclude-resource-type", "test", "unit_test"], environment)
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    models = sum(r["execution_time"] for r in results)
    return {"command_seconds": round(seconds, 1), "model_seconds": round(models, 1), "peak_mb": round(peak)}


def check(folder: Path, net: dict[tuple[str, str], float]) -> int:
    """Every row of the panel against numpy; returns the rows."""
    with duckdb.connect(str(folder / "build" / "foreshore.duckdb"), read_only=True) as built:
        rows = built.execute("select csu_id, day::varchar, net_tvl_usd, panel_status from csu_daily_panel").fetchall()
    assert len(rows) == len(net), f"{len(rows)} rows for {len(net)} CSU-days"
    for csu, day, found, status in rows:
        assert status == "complete" and abs(found / net[csu, day] - 1) < 1e-9, (csu, day, found, net[csu, day])
    return len(rows)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=1)
    parser.add_argument("--csus", type=int, default=43)
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreshore-bench-") as name:
        folder = Path(name)
        net = lake(folder, asked.csus, asked.days)
        found = build(folder)
        raw = sum(f.stat().st_size for f in (folder / "raw").rglob("*.parquet")) / 2**20
        found |= {"panel_rows": check(folder, net), "raw_mb": round(raw), "cores": os.cpu_count()}
    if asked.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['panel_rows']:,} CSU-days from {found['raw_mb']} MB of raw parquet: models "
            f"{found['model_seconds']} s, whole dbt command {found['command_seconds']} s, peak {found['peak_mb']} MB"
        )


if __name__ == "__main__":
    main()
