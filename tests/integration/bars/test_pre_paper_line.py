"""The trader's whole line on the simulated market: bars, marts, a promotion, a replayed session, parity as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from decide.bars.run import strategy_of
from decide.bars.tables import rules_hash
from extract.bars.pre_paper import RunLines, land_pre_paper
from extract.config import Config, load_config
from extract.lake import Lake
from operate.bars.artifacts import artifacts_root, read_json
from operate.bars.pre_paper import demo
from operate.bars.pre_paper.folder import CHECKS, MANIFEST, SIGNALS, read_lines
from operate.bars.pre_paper.landing import FACTS, land_folder
from operate.warehouse import Warehouse, publish, query
from tests.bar_fixtures import ROOT

FORGED_GATE = """
    select verdict, problem_count from main_intermediate.int_bars_gates
    where gate = 'live_equals_backtest' and period = 'forged'
"""


@dataclass
class Trader:
    folder: Path
    config: Config
    patch: pytest.MonkeyPatch

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse.of(self.config)

    def build(self) -> str:
        """dbt build of the trader's wing, published; what dbt printed."""
        command = [
            str(Path(sys.executable).parent / "dbt"),
            "build",
            "--select",
            "+tag:bars",
            "--indirect-selection",
            "buildable",
        ]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:]
        assert "bars" not in publish(self.warehouse).held_back
        return done.stdout

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return query(self.warehouse, sql)[1]


@pytest.fixture(scope="module")
def trader(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("trader")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "FORESHORE_RAW": f"{folder}/data/raw",
            "FORESHORE_BUILD": f"{folder}/data/build/foreshore.duckdb",
            "DBT_TARGET_PATH": f"{folder}/target",
            "DBT_LOG_PATH": f"{folder}/dbt_logs",
            "DO_NOT_TRACK": "1",
        }.items():
            patch.setenv(name, value)
        (folder / "foreshore.toml").write_text(f'[storage]\nroot = "{folder}/data"\nseeds = "{ROOT}/seeds"\n')
        made = Trader(folder, load_config(str(folder / "foreshore.toml")), patch)
        assert demo.extract(made.config) == 0
        made.build()
        yield made


def test_marts_stand_before_any_pre_paper_run(trader: Trader) -> None:
    assert trader.rows("select count(*) from pre_paper_parity") == [(0,)]
    runs = trader.rows(
        "select strategy_key, symbol, run_status, signal_count, trades, coverage_share from inside_bar_backtest"
    )
    shipped = ("insidebar_intraday", "insidebar_m15", "insidebar_two_leg")
    wanted = [(key, symbol, "SUCCESS", 1.0) for key in shipped for symbol in sorted(demo.SYMBOLS)]
    assert sorted((r[0], r[1], r[2], r[5]) for r in runs) == wanted
    counts = trader.rows("select strategy_key, symbol, count(*), count(fill_at) from inside_bar_signals group by all")
    assert sorted(counts) == sorted((r[0], r[1], r[3], r[4]) for r in runs) and all(
        c[2] > 20 for c in counts if c[0] != "insidebar_m15"
    )


def test_the_command_and_the_mart_are_one_backtest(trader: Trader) -> None:
    """A promoted manifest and the dbt model share the function: same trades, same net profit, over the same range."""
    from operate.bars import backtest as bar_backtest

    asked = bar_backtest.Asked("FORE", "M5", demo.FIRST.replace(day=6), demo.REPLAYED)
    folder, manifest = bar_backtest.run(trader.config, asked)
    assert manifest["result"]["run_status"] == "SUCCESS"
    trades = json.loads((folder / "trades.json").read_text())
    mart = trader.rows(
        "select strftime(trigger_at, '%Y-%m-%dT%H:%M:%SZ'), outcome, net_usd from inside_bar_signals "
        "where symbol = 'FORE' and strategy_key = 'insidebar_intraday' order by trigger_at"
    )
    assert [(t["trigger_at"], t["outcome"]) for t in trades] == [row[:2] for row in mart]
    assert sum(t["net_usd"] for t in trades) == pytest.approx(sum(row[2] for row in mart))


def test_the_demo_replays_a_session_and_parity_says_equal(trader: Trader) -> None:
    assert demo.show(trader.config, trader.warehouse) == 0
    folder = next((artifacts_root(trader.config) / "pre_paper").iterdir())
    refused = [row for row in read_lines(folder / CHECKS) if row["decision"] == "NO-SIGNALS"]
    assert {row["reason"] for row in refused} == {"feed_disconnected"} and len(refused) == 2 * len(demo.SYMBOLS)
    said = read_lines(folder / SIGNALS)
    trader.build()
    verdicts = trader.rows(
        "select symbol, parity, live_side, backtest_side from pre_paper_parity order by close_at, symbol"
    )
    assert len(said) >= 3
    assert [v[1] for v in verdicts if v[1] != "no_signals"] == ["equal"] * len(said)
    assert land_folder(Lake(trader.config.raw_url), folder) is None  # as it stands it was landed


def test_parity_sees_what_differs(trader: Trader) -> None:
    """The same run with a lie in it: another side, a signal too many, one too few. The warning fires."""
    folder = next((artifacts_root(trader.config) / "pre_paper").iterdir())
    signals, checks = read_lines(folder / SIGNALS), read_lines(folder / CHECKS)
    run = {name: signals[0][name] for name in FACTS} | {"run_id": "forged"}
    params = read_json(folder / MANIFEST)["promoted"]["params"]
    forged = [{**row, "run_id": "forged"} for row in signals]
    forged[0]["side"] = "BUY" if forged[0]["side"] == "SELL" else "SELL"
    dropped = forged.pop(1)
    quiet = next(row for row in checks if row["decision"] == "quiet" and row["symbol"] == "FORE")
    forged.append({**forged[0], "symbol": "FORE", "signal_at": quiet["close"]})
    changed = {(quiet["symbol"], quiet["close"]): "signal", (dropped["symbol"], dropped["signal_at"]): "quiet"}
    told = [{**row, "decision": changed.get((row["symbol"], row["close"]), row["decision"])} for row in checks]
    lines = RunLines(forged, told, (), demo.SYMBOLS, params)
    assert land_pre_paper(Lake(trader.config.raw_url), run, lines) == len(forged) + len(told)
    trader.build()
    found = dict(trader.rows("select parity, count(*) from pre_paper_parity where run_id = 'forged' group by all"))
    assert {name: found.get(name) for name in ("differs", "live_only", "backtest_only")} == dict.fromkeys(
        ("differs", "live_only", "backtest_only"), 1
    )
    with duckdb.connect(str(trader.warehouse.build_file), read_only=True) as built:
        verdicts = built.execute(FORGED_GATE).fetchall()
    assert verdicts == [("warn", 1)] * 3  # a series each
    with duckdb.connect(str(trader.warehouse.published_file), read_only=True) as published:
        assert published.execute("select count(*) from pre_paper_parity where run_id <> 'forged'").fetchone() != (0,)


def test_parity_has_a_row_for_every_live_signal_whatever_rules_it_ran(trader: Trader) -> None:
    """Changed parameters are run by the warehouse too; rules it cannot read, and bars that failed, are named."""
    folder = next((artifacts_root(trader.config) / "pre_paper").iterdir())
    signals, checks = read_lines(folder / SIGNALS), read_lines(folder / CHECKS)
    params = read_json(folder / MANIFEST)["promoted"]["params"]
    lake = Lake(trader.config.raw_url)

    def land(run_id: str, made: Any, **changes: Any) -> None:
        run = {name: signals[0][name] for name in FACTS} | {"run_id": run_id, **changes}
        said = [{**row, **run} for row in signals]
        land_pre_paper(lake, run, RunLines(said, [{**row, **run} for row in checks], (), demo.SYMBOLS, made))

    changed = {**params, "rules": {**params["rules"], "atr_period": 9}}
    key, version = signals[0]["strategy_key"], signals[0]["impl_version"]
    land("changed", changed, rules_hash=rules_hash(strategy_of(key, version, changed)))
    land("unread", {"rules": {"of": "another age"}}, rules_hash="0" * 64)
    land("elsewhere", params, feed="other")
    trader.build()
    found = trader.rows(
        "select run_id, parity = 'not_compared', parity_reason, count(live_side) from pre_paper_parity "
        "where run_id in ('changed', 'unread', 'elsewhere') and decision = 'signal' group by all order by all"
    )
    named = {run_id: (is_open, reason, count) for run_id, is_open, reason, count in found}
    assert named["unread"] == named["elsewhere"] == (True, "unknown_rules", len(signals))
    assert named["changed"] == (False, None, len(signals))
