"""Pre-paper as a process against the simulated stock market: killed, cut off, lied to; never a signal too many."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decide.bars.bars import Bars
from decide.bars.inside_bar import find_signals
from decide.bars.rules import trade_windows
from decide.bars.run import run_bar_backtest, span_of
from decide.bars.sessions import Sessions
from extract.config import Config, load_config
from extract.errors import ForeshoreError
from extract.seeds import read_seed
from operate.bars.manifest import Promotion
from operate.bars.pre_paper import run as running
from operate.bars.pre_paper.folder import CHECKS, SIGNALS, read_lines
from simulate import bars as stock_market
from simulate.bars import RunningBars
from simulate.bars.market import Market, read_sessions, roll
from tests.bar_fixtures import ROOT, as_columns
from tests.kills import kill_when
from tests.pre_paper_fixtures import HOW, busy, iso, promoted_folder

SYMBOLS = ("FORE", "TIDE")
DAY = date(2025, 11, 28)  # the day after Thanksgiving: a half day of 42 bars
OPEN, CLOSE = "2025-11-28T14:25:00Z", "2025-11-28T18:00:00Z"
CALENDAR = Sessions.of(read_seed(ROOT / "seeds", "bars/sessions"))
STRATEGY = busy()


def world_bars(symbol: str) -> Bars:
    """The market's bars of that session and the one before it, from its own generator."""
    market = Market(read_sessions(ROOT / "seeds" / "bars" / "sessions.csv"), SYMBOLS, 7)
    sessions = [s for s in market.sessions if date(2025, 11, 26) <= s.day <= DAY]
    found = [bar for s in sessions for bar in roll(market.between(symbol, s.open, s.close - 1), 300)]
    return Bars.from_rows([{**vars(bar), "label": bar.ts} for bar in found])


EXPECTED = {
    symbol: [
        (iso(s.trigger_at), s.side, s.entry_price)
        for s in find_signals(world_bars(symbol), STRATEGY.rules, trade_windows(CALENDAR, STRATEGY.rules)).signals
        if iso(s.trigger_at) >= OPEN
    ]
    for symbol in SYMBOLS
}


@dataclass
class Site:
    """A market and a folder with a promoted manifest."""

    market: RunningBars
    folder: Path
    manifest: Path

    def asked(self, moment: str | None = None, feed: str | None = None) -> running.Asked:
        now = int(self.market.clock()["now"]) if moment is None else _seconds(moment)
        return running.Asked(self.manifest, None, feed, SYMBOLS, now)

    @property
    def config(self) -> Config:
        return replace(load_config(str(self.folder / "foreshore.toml")), environ=self.market.environ)

    def run(self) -> int:
        """A run in this process; its exit code."""
        return running.run(self.config, self.asked(), as_json=True)

    def start(self) -> subprocess.Popen[str]:
        """A run in a process of its own."""
        run = [sys.executable, "-m", "operate.cli", "pre-paper", "run", f"--manifest={self.manifest}"]
        run += [f"--symbols={','.join(SYMBOLS)}", f"--replay-from={iso(int(self.market.clock()['now']))}"]
        environ = {**os.environ, **self.market.environ, "FORESHORE_CONFIG": str(self.folder / "foreshore.toml")}
        cwd = self.folder / "cwd"
        cwd.mkdir(exist_ok=True)
        with (self.folder / "out.txt").open("a") as log:
            return subprocess.Popen(run, cwd=cwd, env=environ, stdout=log, stderr=log, text=True)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [row for path in sorted(self.folder.glob(f"artifacts/pre_paper/*/{name}")) for row in read_lines(path)]

    def said(self, symbol: str) -> list[tuple[str, str, float]]:
        return [(r["trigger_at"], r["side"], r["entry_price"]) for r in self.lines(SIGNALS) if r["symbol"] == symbol]

    def refused(self, symbol: str) -> dict[str, str]:
        return {
            r["close"]: r["reason"]
            for r in self.lines(CHECKS)
            if r["symbol"] == symbol and r["decision"] == "NO-SIGNALS"
        }

    def outside(self, symbol: str) -> list[tuple[str, str, float]]:
        gone = self.refused(symbol)
        return [s for s in EXPECTED[symbol] if iso(_seconds(s[0]) + 300) not in gone]

    def check_invariants(self) -> None:
        """Each close decided once, each signal once, and said = expected wherever history was whole."""
        keys = [(r["symbol"], r["close"]) for r in self.lines(CHECKS)]
        assert len(keys) == len(set(keys)) == 42 * len(SYMBOLS)
        names = [r["key"] for r in self.lines(SIGNALS)]
        assert len(names) == len(set(names))
        whole = {(r["symbol"], r["close"]) for r in self.lines(CHECKS) if r["status"] == "SUFFICIENT"}
        assert {(r["symbol"], r["signal_at"]) for r in self.lines(SIGNALS)} <= whole
        for symbol in SYMBOLS:
            assert self.said(symbol) == self.outside(symbol)


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def promoted(folder: Path, feed: str = "sip") -> Path:
    """A manifest of the session before, with its artifacts beside it."""
    columns = as_columns(world_bars("FORE"))
    span = span_of(DAY, DAY, "America/New_York")
    result = run_bar_backtest(columns, CALENDAR, STRATEGY, span, HOW)
    return promoted_folder(folder / "promoted", Promotion(STRATEGY, "FORE", feed, DAY, DAY, {}), result)


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    speed = getattr(request, "param", 0)
    with stock_market.running(tmp_path / "world", now=OPEN, speed=speed, symbols=",".join(SYMBOLS)) as market:
        storage = f'[storage]\nroot = "{tmp_path}/data"\nseeds = "{ROOT}/seeds"\n'
        (tmp_path / "foreshore.toml").write_text(storage + market.config())
        yield Site(market, tmp_path, promoted(tmp_path))


def test_a_replayed_half_day_equals_the_backtest_and_writes_nowhere_else(site: Site) -> None:
    inputs = {path: path.read_bytes() for path in (site.folder / "promoted").iterdir()}
    assert site.start().wait(60) == 0, (site.folder / "out.txt").read_text()
    site.check_invariants()
    assert (site.folder / "out.txt").read_text().startswith("PROMOTABLE\n")  # before anything else
    assert sum(map(len, EXPECTED.values())) > 4 and site.refused("FORE") == {}
    made = {path.relative_to(site.folder).parts[:2] for path in site.folder.rglob("*") if path.is_file()}
    made = {parts for parts in made if parts[0] not in ("world", "promoted", "foreshore.toml", "out.txt")}
    assert made == {("data", "pre_paper"), ("artifacts", "pre_paper")}
    assert inputs == {path: path.read_bytes() for path in (site.folder / "promoted").iterdir()}
    assert list((site.folder / "cwd").iterdir()) == []  # where it was started


@pytest.mark.parametrize("site", [1800], indirect=True)
def test_killed_at_any_moment_it_says_nothing_twice_and_nothing_false(site: Site) -> None:
    """kill -9 three times after some decisions; what the market did meanwhile is refused by name. Its clock stands
    while nobody listens, so a busy machine kills at the same places.
    """
    chance = random.Random(5)
    end = _seconds(CLOSE)
    for _ in range(3):
        assert kill_when(site.start(), lambda: len(site.lines(CHECKS)), chance.randrange(1, 16)), "it ended by itself"
        stood = int(site.market.clock(run=False)["now"])
        site.market.clock(now=stood + chance.randrange(600, 1_200), run=False)
    assert int(site.market.clock()["now"]) < end, "the session was over before the last start"
    assert site.run() in (0, 2)
    site.check_invariants()
    reasons = {*site.refused("FORE").values(), *site.refused("TIDE").values()}
    assert "runner_down" in reasons <= {"runner_down", "feed_disconnected", "backfill_running", "stale", "gap"}
    results = [json.loads(p.read_text()) for p in site.folder.glob("artifacts/pre_paper/*/run_result.json")]
    assert [r["status"] for r in results] == ["FINISHED"]


STREAM = {"channel": "stream"}
CUT = {"value": 12, "first": 1764345600, "last": 1764345600, "count": 1}  # 16:00 UTC


@pytest.mark.parametrize(
    "faults",
    [
        [{"kind": "duplicate", **STREAM}, {"kind": "late", "value": 2, "count": 20, **STREAM}],
        [{"kind": "revised", "count": 30, **STREAM}, {"kind": "out_of_order", "count": 40, **STREAM}],
        [{"kind": "missing", "symbol": "FORE", "count": 12, **STREAM}, {"kind": "malformed", "count": 3, **STREAM}],
        [{"kind": "disconnect", **CUT, **STREAM}, {"kind": "slow", "channel": "rest", "value": 0.3}],
        [{"kind": "wrong_symbol", "symbol": "FORE", "count": 20, **STREAM}],
    ],
    ids=lambda faults: "+".join(f["kind"] for f in faults),
)
def test_faults_cost_closes_never_truth(site: Site, faults: list[dict[str, Any]]) -> None:
    for fault in faults:
        site.market.control(**fault)
    assert site.run() in (0, 2)
    keys = [(r["symbol"], r["close"]) for r in site.lines(CHECKS)]
    assert len(keys) == len(set(keys)) == 42 * len(SYMBOLS)
    wrong = [s for symbol in SYMBOLS for s in site.said(symbol) if s not in EXPECTED[symbol]]
    if any(fault["kind"] == "revised" for fault in faults):
        # what was said on a first version stands; the correction is in the cache's revisions
        assert len(wrong) <= 2
    else:
        assert wrong == []
        for symbol in SYMBOLS:
            assert site.said(symbol) == site.outside(symbol)
    assert sum(len(site.refused(symbol)) for symbol in SYMBOLS) <= 12


def test_with_a_lying_past_not_one_signal(site: Site) -> None:
    site.market.control("wrong_symbol", channel="rest")
    assert site.run() == 2
    assert site.lines(SIGNALS) == []
    assert {r["decision"] for r in site.lines(CHECKS)} == {"NO-SIGNALS"}


def test_what_is_refused_before_any_connection(site: Site, tmp_path: Path) -> None:
    def refusal(**asked: Any) -> str:
        with pytest.raises(ForeshoreError) as refused:
            running.execute(site.config, site.asked(**asked), None)
        return str(refused.value)

    assert "feed_mismatch" in refusal(feed="iex")
    site.manifest = promoted(tmp_path / "other", feed="iex")
    assert "feed_mismatch" in refusal()
    site.manifest = promoted(tmp_path / "far")
    assert "calendar_out_of_range" in refusal(moment="2031-01-02T15:00:00+00:00")
    manifest = json.loads(site.manifest.read_text())
    manifest["params"]["rules"]["atr_period"] = 3
    site.manifest.write_text(json.dumps(manifest))
    assert "changed after its run" in refusal()
    assert not (site.folder / "data").exists()


def test_sessions_of_the_seed_are_what_the_market_keeps() -> None:
    opened = int(CALENDAR.opens[np.searchsorted(CALENDAR.opens, _seconds(OPEN))])
    assert iso(opened) == "2025-11-28T14:30:00Z" and CALENDAR.session_of(opened)[1] == _seconds(CLOSE)
