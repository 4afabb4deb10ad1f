"""Pre-paper reads what a backtest stands on and writes its cache and its run folder, and nothing else."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decide.bars.history import Requirement
from decide.bars.sessions import M5, Sessions
from extract.bars.provider import BarProviderError
from operate.bars.pre_paper.cache import BarCache, Source
from operate.bars.pre_paper.history import ensure_history
from operate.bars.pre_paper.segregation import SegregationError, confined
from operate.bars.pre_paper.warehouse_bars import WarehouseBars

SESSIONS = Sessions.of(list(csv.DictReader((Path(__file__).parents[3] / "seeds" / "bars" / "sessions.csv").open())))
NOW = 1_773_149_400 + 30 * M5
NEEDED = Requirement(M5, lookback_bars=50, pattern_age_bars=12, margin_bars=1, warmup_bars=15)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Published bars of two days, a raw zone and a backtest's artifacts, beside an empty cache and run folder."""
    labels = SESSIONS.between(M5, NOW - 4 * 86_400, NOW - M5).tolist()
    rows = [
        {"symbol": "X", "feed": feed, "bar_at": datetime.fromtimestamp(ts, UTC), "volume": 5.0}
        | {"open": 10.0, "high": 11.0, "low": 9.0, "close": price}
        for feed, price in (("sip", 10.0), ("iex", 9.5))
        for ts in labels
    ]
    for folder in ("published", "raw/bars", "artifacts/backtests/run1", "cache", "run"):
        (tmp_path / folder).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "published" / "bars_m5.parquet")
    (tmp_path / "raw/bars/1.parquet").write_bytes(b"raw")
    (tmp_path / "artifacts/backtests/run1/run_manifest.json").write_text("{}")
    return tmp_path


def picture(house: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of change of every file outside the cache and the run folder."""
    return {
        str(path.relative_to(house)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(house.rglob("*"))
        if path.is_file() and path.relative_to(house).parts[0] not in ("cache", "run")
    }


def test_history_from_the_warehouse_changes_nothing_there(house: Path) -> None:
    before, parquet = picture(house), house / "published" / "bars_m5.parquet"
    with confined(house / "cache", house / "run"), BarCache(house / "cache" / "b.sqlite", "sip", SESSIONS) as cache:
        found = asyncio.run(ensure_history(cache, WarehouseBars(parquet, "sip"), ["X", "Y"], NEEDED, NOW))
        assert found["X"].is_sufficient and not found["Y"].is_sufficient
        assert set(cache.bars("X", 0, 2**40).close.tolist()) == {10.0}  # the other feed's bars are another series
        (house / "run" / "signals.jsonl").write_text("{}\n")
    assert picture(house) == before and len(before) == 3
    assert {path.relative_to(house).parts[0] for path in house.rglob("*") if path.name.startswith("b.sqlite")} == {
        "cache"
    }


def test_there_is_no_warehouse_yet(house: Path) -> None:
    provider = WarehouseBars(house / "gone.parquet", "sip")
    with pytest.raises(BarProviderError, match="foreshore build"):
        asyncio.run(provider.fetch(["X"], "M5", 0, 1))


WRITES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda h: (h / "new.txt").write_text("x"),
    "the parquet": lambda h: (h / "published" / "bars_m5.parquet").open("r+b"),
    "the manifest, appended": lambda h: (h / "artifacts/backtests/run1/run_manifest.json").open("a"),
    "by descriptor": lambda h: os.open(h / "published" / "x", os.O_CREAT | os.O_WRONLY),
    "removal": lambda h: (h / "raw/bars/1.parquet").unlink(),
    "renaming away": lambda h: (h / "raw/bars/1.parquet").rename(h / "run" / "1.parquet"),
    "renaming over": lambda h: (h / "run" / "mine").replace(h / "raw/bars/1.parquet"),
    "a folder": lambda h: (h / "more").mkdir(),
    "a tree": lambda h: shutil.rmtree(h / "artifacts"),
    "another database": lambda h: sqlite3.connect(h / "raw" / "x.sqlite"),
    "out of the run folder": lambda h: (h / "run" / ".." / "new.txt").write_text("x"),
    "through a link": lambda h: (h / "run" / "link" / "new.txt").write_text("x"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_anywhere_else_is_refused(house: Path, what: str) -> None:
    (house / "run" / "mine").write_text("mine")
    (house / "run" / "link").symlink_to(house / "published")
    before = picture(house)
    with confined(house / "cache", house / "run"), pytest.raises(SegregationError, match="only its cache and its run"):
        WRITES[what](house)
    assert picture(house) == before
    (house / "new.txt").write_text("outside of the confinement everything is as it was")


def test_reading_and_its_own_folders_stay_open(house: Path) -> None:
    with confined(house / "cache", house / "run"):
        assert (house / "raw/bars/1.parquet").read_bytes() == b"raw"
        (house / "run" / "deep").mkdir()
        (house / "run" / "deep" / "a").write_text("a")
        (house / "run" / "deep" / "a").replace(house / "run" / "b")
        with BarCache(house / "cache" / "b.sqlite", "sip", SESSIONS) as cache:
            cache.put([], Source.FINAL)
        with Path(os.devnull).open("w") as nowhere:
            nowhere.write("x")
