"""A history of daily runs on simulated markets, scored: every step over the network and through the ledger, as in life.

The simulated source has a clock of its own, which is moved from run to run; what a run knows is what had resolved then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from extract.config import Config
from extract.errors import ForeshoreError
from operate.console import out, table
from operate.log import DurableLog
from operate.markets.daily import DailyRun, Request, Summary
from operate.markets.report import leave
from operate.markets.resolve import Spans, resolve
from operate.markets.rows import run_id_of
from operate.markets.settings import LEDGER_FILE, MarketSettings
from operate.markets.sources import Polymarket
from operate.markets.store import Store
from operate.warehouse import Warehouse, query

FIRST_END = date(2026, 1, 5)  # the first day on which simulated markets end
WINDOW = 7
RUNS = 6
STEP_DAYS = 4
MARKETS_PER_DAY = 110
START_SECONDS = 60.0


class MarketsDemoError(ForeshoreError):
    """The simulated markets did not start."""


@contextmanager
def simulated_markets(folder: Path, days: int, markets: int) -> Iterator[str]:
    """The URL of a markets' server in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "polymarket.json"
    facts.unlink(missing_ok=True)
    sizes = [f"--start={FIRST_END}", f"--days={days}", f"--markets={markets}"]
    command = [sys.executable, "-m", "simulate", "markets", "--port=0", f"--out={folder}", *sizes]
    with (folder / "markets.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not facts.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MarketsDemoError(f"the simulated markets did not start: see {folder / 'markets.log'}")
            time.sleep(0.05)
        yield str(json.loads(facts.read_text())["url"])
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def set_clock(url: str, moment: datetime) -> None:
    """Move the simulated source to a moment."""
    body = json.dumps({"now": moment.isoformat()}).encode()
    request = urllib.request.Request(f"{url}/_clock", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10):
        pass


def run_history(config: Config, runs: int = RUNS, markets: int = MARKETS_PER_DAY) -> list[Summary]:
    """Daily runs some days apart, each after asking for ends; at last every end. What is complete is not done again."""
    file = {LEDGER_FILE: os.environ[LEDGER_FILE]} if os.environ.get(LEDGER_FILE) else {}
    settings = replace(MarketSettings.of(config, file), concurrency=1)  # never the production ledger
    days = [FIRST_END - timedelta(days=WINDOW) + timedelta(days=STEP_DAYS * number) for number in range(runs)]
    if _has_runs_of_its_own(settings, days):
        out.print("The run ledger holds runs that are not the demo's: no simulated ones are added to it.")
        return []
    with simulated_markets(config.root / "world", (runs - 1) * STEP_DAYS + 1, markets) as url:
        pointed = {**config.raw, "polymarket": {**config.section("polymarket"), "gamma_url": url, "clob_url": url}}
        source = Polymarket(replace(config, raw=pointed))
        store = Store.open(settings)
        try:
            made = []
            for number, day in enumerate(days):
                if number * STEP_DAYS > WINDOW:  # before, nothing has ended
                    _ask_ends(url, store, source, settings, datetime.combine(day, clock_time(6), UTC))
                made.append(_one_day(url, store, source, settings, day))
            _ask_ends(url, store, source, settings, datetime.combine(days[-1], clock_time(6), UTC) + timedelta(days=40))
            return made
        finally:
            store.close()


def _has_runs_of_its_own(settings: MarketSettings, days: list[date]) -> bool:
    """Whether somebody works with this ledger: simulated markets must not end up in real scores."""
    if not settings.ledger_file.exists():
        return False
    store = Store.open(settings)
    try:
        return bool({run["run_id"] for run in store.runs()} - {run_id_of(day, WINDOW) for day in days})
    finally:
        store.close()


def _one_day(url: str, store: Store, source: Polymarket, settings: MarketSettings, day: date) -> Summary:
    set_clock(url, datetime.combine(day, clock_time(7, 17), UTC))
    log = DurableLog(settings.log_file, run_id=run_id_of(day, WINDOW))
    summary = DailyRun(settings, source, store, log, Request(day, WINDOW)).execute()
    log.close()
    if summary.kind in ("new", "resumed"):
        leave(settings, summary)
    return summary


def _ask_ends(url: str, store: Store, source: Polymarket, settings: MarketSettings, moment: datetime) -> None:
    set_clock(url, moment)
    log = DurableLog(settings.log_file, run_id=f"resolve-{moment:%Y%m%d}")
    resolve(store, source, Spans(400), log, f"resolve-{moment:%Y%m%d}")
    log.close()


SCORES = """
    select
        experiment, experiment_version, forecast_count, event_count, skip_count, brier, skill_share, brier_difference,
        difference_low, difference_high, verdict
    from experiment_scores
    where horizon_kind = 'all' and forecast_count > 0
    order by brier_difference nulls last, experiment
"""


def show_scores(warehouse: Warehouse) -> None:
    """Which experiment beats the market, with what uncertainty."""
    columns, rows = query(warehouse, SCORES)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    if not found:
        return
    heads = ["experiment", "n", "events", "Brier", "skill", "difference to market", "90 % interval", "verdict"]
    out.print()
    shown = [_score_row(row) for row in found]
    out.print(
        table(
            "Which experiment beats the market price, on the same markets",
            heads,
            shown,
            right=heads[1:6],
            drop=["events", "skill"],
        )
    )
    out.print("Less is better; the interval resamples events. Simulated markets are a little under-confident.")


def _score_row(row: dict[str, Any]) -> list[str]:
    style = {"better": "green", "worse": "red"}.get(row["verdict"])
    is_judged = row["difference_low"] is not None and row["experiment"] != "market_price"
    return [
        f"{row['experiment']}@{row['experiment_version']}",
        f"{row['forecast_count']}",
        f"{row['event_count']}",
        "too few" if row["brier"] is None else f"{row['brier']:.4f}",
        f"{row['skill_share']:+.1%}" if is_judged else "",
        f"{_rounded(row['brier_difference']):+.4f}" if is_judged else "",
        f"{_rounded(row['difference_low']):+.4f} to {_rounded(row['difference_high']):+.4f}" if is_judged else "",
        f"[{style}]{row['verdict']}[/{style}]" if style else row["verdict"].replace("not_judged", "the reference"),
    ]


def _rounded(value: float) -> float:
    """To four places, and never minus zero."""
    return round(value, 4) + 0.0
