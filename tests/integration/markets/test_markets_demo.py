"""The demo's history of runs: complete, not done twice, and never in a ledger that somebody works with."""

from __future__ import annotations

from pathlib import Path

import pytest

from extract.config import Config
from operate.markets.demo import run_history
from operate.markets.settings import MarketSettings
from operate.markets.store import Store
from tests.market_run_fixtures import DAY, ROOT


@pytest.mark.long
def test_the_history_is_written_once_and_not_among_real_runs(tmp_path: Path) -> None:
    storage = {"root": str(tmp_path), "raw_url": f"{tmp_path}/raw", "seeds": str(ROOT / "seeds")}
    config = Config(tmp_path / "foreshore.toml", {"storage": storage}, {})
    first = run_history(config, runs=3, markets=15)
    assert [s.status for s in first] == ["complete"] * 3 and all(s.processed > 5 for s in first)
    store = Store.open(MarketSettings.of(config, {}))
    known = store.history()
    assert len(known) > 15 and len(store.unresolved(400)) < 15
    assert [s.kind for s in run_history(config, runs=3, markets=15)] == ["done"] * 3
    assert store.history() == known
    mine = store.claim(DAY, 3, force=False, facts={"code_version": "t", "config_sha256": "t"}, owner="h/1/x")
    store.finish(mine, "complete")
    assert run_history(config, runs=3, markets=15) == []
    store.close()
