"""The worked examples of docs/examples: each is run by a test, and what the guides show of one is that file."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from extract.bars.config import bar_source
from extract.config import Config
from operate.bars.commands import strategy
from operate.project import ROOT

EXAMPLES = ROOT / "docs" / "examples"
RUN_BY = {
    "your_csu.toml": "tests/integration/lending/test_lending_line.py",
    "your_exchange.toml": "tests/integration/voting/test_voting_line.py",
    "your_bars.toml": "tests/unit/test_examples.py",
    "two_up.py": "tests/unit/test_examples.py",
    "fade_the_favourite.py": "tests/integration/markets/test_market_runs.py",
    "bribes_page.py": "tests/e2e/test_report_site.py",
    "local_sender.py": "tests/integration/voting/test_local_sender.py",
}


def test_every_example_is_listed_and_run_by_a_test() -> None:
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert there == set(RUN_BY)
    for name, test in RUN_BY.items():
        assert f"({name})" in (EXAMPLES / "README.md").read_text()
        assert name in (ROOT / test).read_text()


def test_the_guides_strategy_is_the_examples() -> None:
    code = (EXAMPLES / "two_up.py").read_text().split("\n\n", 1)[1]
    assert f"```python\n{code}```" in (ROOT / "docs" / "bars" / "guide.md").read_text()


def test_the_strategy_proves_itself() -> None:
    done = CliRunner().invoke(strategy, ["check", str(EXAMPLES / "two_up.py")])
    assert done.exit_code == 0 and "does not hold" not in done.output, done.output


@pytest.mark.parametrize(("text", "minute"), [("07/01/2026 09:35", 30), ("07/01/2026 15:00", 55)])
def test_the_provider_reads_its_folder(tmp_path: Path, text: str, minute: int) -> None:
    """Close labels in New York, the day first: what was closed at 9:35 opened at 14:30 UTC."""
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "FORE_5min.csv").write_text(f"datetime,open,high,low,close,volume\n{text},1,3,0.5,2,9\n")
    config = Config(tmp_path / "foreshore.toml", tomllib.loads((EXAMPLES / "your_bars.toml").read_text()), {})
    source = bar_source(config)
    (bar,) = asyncio.run(source.open().fetch(["FORE"], "M5", 0, 2**40)).bars["FORE"]
    assert source.feed == "yours" and (bar.close, bar.ts % 3600 // 60) == (2.0, minute)
