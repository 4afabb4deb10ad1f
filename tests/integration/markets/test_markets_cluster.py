"""Prediction markets on a cluster: a day fetched by a worker, experiments run by workers; the same as here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from extract.lake import Lake
from extract.markets.tables import POLYMARKET_TABLES
from extract.where import HERE, Where
from operate.cli import cli
from operate.log import DurableLog
from operate.markets.backfill import backfill
from operate.markets.daily import DailyRun, Request
from operate.markets.replay import replay
from operate.markets.settings import SHIPPED
from tests.market_run_fixtures import DAY, HandMade, Room, a_snapshot, settings_in
from tests.polymarket_fixtures import MarketLine

pytestmark = pytest.mark.long
DASK = Where("dask")
OF_THE_MOMENT = ("load_id", "fetched_at", "observed_at", "snapshot_at", "response_sha256", "partition_id")


def test_experiments_come_to_the_same_results(tmp_path: Path) -> None:
    source = HandMade([a_snapshot(n) for n in range(1, 301)])
    found = []
    for name, where in (("here", HERE), ("there", DASK)):
        settings = settings_in(tmp_path / name, concurrency=2)
        room = Room(settings)
        store = room.store()
        try:
            summary = DailyRun(settings, source, store, None, Request(DAY, 7, where=where)).execute()
            rows = {row.market_id: json.dumps(row.payload, sort_keys=True) for row in store.payloads(summary.run_id)}
        finally:
            store.close()
        assert (summary.status, summary.processed) == ("complete", 300), summary
        found.append(rows)
    assert found[0] == found[1] and len(found[0]) == 300


def test_a_backfill_and_a_replay_come_to_the_same_results(tmp_path: Path) -> None:
    source = HandMade([a_snapshot(n) for n in range(1, 41)])
    found = []
    for name, where in (("here", HERE), ("there", DASK)):
        settings = settings_in(tmp_path / name, concurrency=2)
        room = Room(settings)
        run_id = room.run(source, experiments=SHIPPED[:2]).run_id
        store, said = room.store(), list[str]()
        try:
            log = DurableLog(tmp_path / f"{name}.jsonl")
            assert (backfill(settings, store, log, where=where).amended, backfill(settings, store, log).amended) == (
                40,
                0,
            )
            again = replay(settings, store, run_id, where, said.append)
            assert (again.counts, bool(said)) == ({"same": 40 * len(SHIPPED)}, where.is_cluster)
            found.append({row.market_id: json.dumps(row.payload, sort_keys=True) for row in store.payloads(run_id)})
        finally:
            store.close()
    assert found[0] == found[1] and len(found[0]) == 40


def test_a_day_is_fetched_and_landed_by_a_worker(market_line: MarketLine, tmp_path: Path) -> None:
    found = []
    for name, engine in (("here", []), ("there", ["--engine", "dask"])):
        line = replace(market_line, folder=tmp_path / name)
        line.folder.mkdir()
        urls = f'gamma_url = "{line.server.url}"\nclob_url = "{line.server.url}"\n'
        config = line.folder / "foreshore.toml"
        config.write_text(f'[storage]\nroot = "{line.folder}"\n\n[polymarket]\n{urls}')
        asked = ["extract", "markets", "--run-date", "2026-01-05", "--config", str(config), "--json", *engine]
        done = CliRunner().invoke(cli, asked)
        assert done.exit_code == 0, done.output
        again = CliRunner().invoke(cli, asked)
        assert again.exit_code == 3
        lake = Lake(str(line.folder / "raw"))
        rows = lake.read_committed("polymarket_markets", POLYMARKET_TABLES["polymarket_markets"]).to_pylist()
        found.append(sorted(repr({k: v for k, v in r.items() if k not in OF_THE_MOMENT}) for r in rows))
    assert found[0] == found[1] and len(found[0]) == len(market_line.wanted())
