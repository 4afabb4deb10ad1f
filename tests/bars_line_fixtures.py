"""A line of bars in front of a simulated market of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulate import bars as stock_market
from simulate.bars import RunningBars
from tests.line_fixtures import Line

SPAN = ["--from", "2025-11-01", "--to", "2026-01-30"]  # the day after Thanksgiving, Christmas, new year
SYMBOLS = ["--symbol", "FORE", "--symbol", "TIDE"]


@pytest.fixture(scope="module")
def bars_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBars]:
    """A stock market with its own clock."""
    with stock_market.running(tmp_path_factory.mktemp("market"), now="2026-03-09T13:25:00Z") as running:
        yield running


@pytest.fixture
def bars_line(bars_market: RunningBars, tmp_path: Path) -> Iterator[Line]:
    """An empty lake; the market healthy again afterwards."""
    made = Line(None, tmp_path)  # type: ignore[arg-type]
    made.configure(bars_market.config("eodhd"))
    yield made
    bars_market.heal()


def extract(line: Line, market: RunningBars, *arguments: str) -> subprocess.CompletedProcess[str]:
    return line.cli("extract", "bars", *SYMBOLS, *SPAN, *arguments, **market.environ)
