"""The trader's part of the demo: extract the world's stock market, promote a backtest, replay a session with a fault.

The market is a process of its own, reached over HTTP and a websocket only, exactly like a real provider.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from extract.bars.run import BarRequest
from extract.config import Config
from extract.errors import ForeshoreError
from operate.bars import backtest as bar_backtest
from operate.bars.extraction import run_bars
from operate.bars.pre_paper import landing
from operate.bars.pre_paper import run as running
from operate.bars.pre_paper.folder import CHECKS, SIGNALS, read_lines
from operate.bars.pre_paper.moment import parse_moment
from operate.console import out, table
from operate.rebuild import run_dbt
from operate.warehouse import Warehouse, publish, query

SYMBOLS = ("FORE", "TIDE", "REEF")
FIRST, LAST_TESTED, REPLAYED = date(2026, 1, 5), date(2026, 3, 6), date(2026, 3, 9)
OPENS, AFTER = "2026-03-09T13:25:00Z", "2026-03-09T21:30:00Z"  # clocks changed on the 8th: the open moved in UTC
CUT_AT, CUT_MINUTES = "2026-03-09T14:12:00Z", 12
START_SECONDS = 30


class MarketError(ForeshoreError):
    """The embedded stock market did not start."""


@contextmanager
def market(folder: Path, now: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """The stock market for the duration: what it says of itself, and the variables that hold its keys."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "bars.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "simulate", "bars", "--port=0", f"--out={folder}", f"--now={now}"]
    with (folder / "bars.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MarketError(f"the embedded stock market did not start; see {folder / 'bars.log'}")
            time.sleep(0.02)
        told = dict(json.loads(ready.read_text()))
        yield told, {"WORLD_BARS_KEY": told["key"], "WORLD_BARS_SECRET": told["secret"]}
    finally:
        process.terminate()
        process.wait(15)


def with_market(config: Config, told: dict[str, Any], keys: dict[str, str]) -> Config:
    """The configuration with the market as its only bar provider."""
    text = f"""
        [[bars.providers]]
        name = "world"
        kind = "alpaca"
        feed = "{told["feed"]}"
        url = "{told["alpaca_url"]}"
        stream_url = "{told["stream_url"]}"
        key_env = "WORLD_BARS_KEY"
        secret_env = "WORLD_BARS_SECRET"
    """
    return replace(config, raw={**config.raw, **tomllib.loads(text)}, environ={**config.environ, **keys})


def extract(config: Config) -> int:
    """Land two months of the market's bars, and the session that is replayed later; the exit code."""
    with market(config.root / "world", AFTER) as (told, keys):
        request = BarRequest(SYMBOLS, FIRST, REPLAYED, "world", True, 2)
        return run_bars(with_market(config, told, keys), request, as_json=False)


def show(config: Config, warehouse: Warehouse) -> int:
    """Promote a backtest, replay the next session with its socket cut for a while, compare; 0 when all is equal."""
    asked = bar_backtest.Asked(SYMBOLS[0], "M5", FIRST.replace(day=7), LAST_TESTED)
    with market(config.root / "world", OPENS) as (told, keys):
        made = with_market(config, told, keys)
        folder, manifest = bar_backtest.run(made, asked)
        metrics = json.loads((folder / "metrics.json").read_bytes())
        out.print()
        code = bar_backtest.show(folder, manifest, metrics, as_json=False)
        out.print("[dim]A rehearsal runs all the same; --require-promotable refuses it.[/dim]")
        _cut(str(told["url"]))
        wanted = running.Asked(folder / "run_manifest.json", "world", None, SYMBOLS, parse_moment(OPENS))
        planned, run_folder, _ = running.execute(made, wanted, None)
    equal = _compare(warehouse, run_folder, planned.facts)
    landing.land_runs(config, run_folder.name, as_json=False)
    return code or _parity(warehouse, run_folder.name) or (0 if equal else 1)


def _parity(warehouse: Warehouse, run_id: str) -> int:
    """Build the wing again with what was landed, and say what `pre_paper_parity` then holds; the exit code."""
    command = ["--quiet", "build", "--select", "+tag:bars", "--indirect-selection", "buildable"]
    if not run_dbt(warehouse, command):
        return 1
    publish(warehouse)
    _, rows = query(warehouse, f"select parity, count(*) from pre_paper_parity where run_id = '{run_id}' group by all")
    told = ", ".join(f"{count} {parity}" for parity, count in sorted(rows))
    out.print(f"pre_paper_parity of this run: {told or 'no signal on either side'}")
    return 0 if rows else 1


def _cut(url: str) -> None:
    moment = parse_moment(CUT_AT)
    fault = {
        "kind": "disconnect",
        "value": CUT_MINUTES,
        "channel": "stream",
        "first": moment,
        "last": moment,
        "count": 1,
    }
    body = json.dumps(fault).encode()
    request = urllib.request.Request(f"{url}_control", body, {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


_EXPECTED = f"""
    select symbol, strftime(signal_at, '%Y-%m-%dT%H:%M:%SZ') as signal_at, side, entry_price
    from inside_bar_signals
    where cast(timezone('America/New_York', signal_at) as date) = date '{REPLAYED}' and symbol in {SYMBOLS}
"""


def _compare(warehouse: Warehouse, folder: Path, facts: dict[str, Any]) -> bool:
    """The session's signals, live beside the warehouse's backtest, and every episode without signals."""
    series = f"and feed = '{facts['feed']}' and rules_hash = '{facts['rules_hash']}'"
    _, rows = query(warehouse, _EXPECTED + series)
    expected = {(symbol, at): (side, price) for symbol, at, side, price in rows}
    live = {(r["symbol"], r["signal_at"]): (r["side"], r["entry_price"]) for r in read_lines(folder / SIGNALS)}
    refused = {(r["symbol"], r["close"]) for r in read_lines(folder / CHECKS) if r["decision"] == "NO-SIGNALS"}
    lines, is_equal = [], True
    for key in sorted({*expected, *live}, key=lambda k: (k[1], k[0])):
        said, tested = live.get(key), expected.get(key)
        same = said is not None and tested is not None and said[0] == tested[0] and abs(said[1] - tested[1]) < 0.01
        is_equal &= same or key in refused
        verdict = "[green]equal[/green]" if same else "refused" if key in refused else "[red]differs[/red]"
        lines.append([key[0], key[1][11:16], *_shown(said), *_shown(tested), verdict])
    heads = ["symbol", "close UTC", "live", "level", "backtest", "level", "verdict"]
    out.print()
    out.print(table(f"Pre-paper, {REPLAYED} replayed on {len(SYMBOLS)} symbols", heads, lines, right=["level"]))
    _explain(folder)
    return is_equal


def _explain(folder: Path) -> None:
    """What was refused, why, and since when history is whole again."""
    out.print(f"\nThe socket was cut at {CUT_AT[11:16]} for {CUT_MINUTES} minutes, on purpose:")
    for line in running.no_signals(folder):
        out.print(f"  [yellow]NO-SIGNALS[/yellow] {line}", soft_wrap=True)
    checks = read_lines(folder / CHECKS)
    last = max((row["close"] for row in checks if row["decision"] == "NO-SIGNALS"), default="")
    later = [row for row in checks if row["close"] > last]
    if last and later:
        first = min(later, key=lambda row: str(row["close"]))
        out.print(
            f"  What was missed was fetched on rejoining; at {first['close'][11:16]} all {first['required']} required "
            "bars were there and decisions went on. A close that has passed is not made up for.",
            soft_wrap=True,
        )


def _shown(signal: tuple[str, float] | None) -> list[str]:
    return ["", ""] if signal is None else [signal[0], f"{signal[1]:.2f}"]
