"""`foreshore init`: a project that stands alone, configured for what was asked, written over nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from extract.errors import RequestError
from operate.initial import WINGS, configuration, init
from operate.project import ROOT, project_files

WHOLE = (ROOT / "foreshore.toml").read_text(encoding="utf-8")


def test_everything_asked_for_is_the_whole_file() -> None:
    chains = tomllib.loads(WHOLE)["chains"]
    assert configuration(WHOLE, WINGS, chains) == WHOLE.rstrip("\n") + "\n"


@pytest.mark.parametrize("wing", WINGS)
def test_one_wing_keeps_its_tables_as_they_are_and_no_other(wing: str) -> None:
    whole, part = tomllib.loads(WHOLE), tomllib.loads(configuration(WHOLE, [wing], ["base"]))
    own = {"voting": "chains voting", "lending": "chains", "bars": "bars", "markets": "polymarket markets"}
    assert part.keys() == {"storage", *own[wing].split()}
    for name in part.keys() - {"chains"}:
        assert part[name] == whole[name]
    assert part.get("chains", {}).keys() <= {"base"}


def test_comments_go_with_the_table_they_are_of() -> None:
    of_markets, of_bars = (configuration(WHOLE, [wing], ["base"]) for wing in ("markets", "bars"))
    assert "# Polymarket: markets that close" in of_markets and "date_order" not in of_markets
    assert "date_order" in of_bars and "Polymarket" not in of_bars


def test_an_unknown_chain_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"no chain bse: there are .*base"):
        configuration(WHOLE, WINGS, ["bse"])


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    mine = tmp_path / "seeds" / "thresholds.csv"
    mine.write_text("mine")
    result = CliRunner().invoke(init, [str(tmp_path)])
    assert isinstance(result.exception, RequestError) and "thresholds.csv is there already" in str(result.exception)
    assert mine.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["seeds"]


def test_a_laid_project_is_what_was_asked_and_the_next_steps_name_its_keys(tmp_path: Path) -> None:
    result = CliRunner().invoke(init, [str(tmp_path / "p"), "--wing", "voting"])
    assert result.exit_code == 0, result.output
    assert "export BASE_RPC_URL=" in result.output and "extract voting --epochs 12 --plan" in result.output
    for name in project_files(ROOT):
        laid = (tmp_path / "p" / name).read_bytes()
        assert laid == (ROOT / name).read_bytes() or str(name) == "foreshore.toml"


def test_a_wheel_lays_the_same_project_outside_the_checkout(tmp_path: Path) -> None:
    """The wheel alone, unpacked away from the checkout, and called from an empty folder."""
    source, installed, empty = (tmp_path / name for name in ("source", "installed", "empty"))
    for room in ("extract", "decide", "operate", "simulate"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in [*project_files(ROOT), Path("setup.py"), Path("pyproject.toml"), Path("README.md")]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORESHORE_")}

    def called(*arguments: str) -> subprocess.CompletedProcess[str]:
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from operate.cli import main; main()"
        command = [sys.executable, "-P", "-c", start, str(installed), *arguments]
        return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)

    before = called("build")
    assert before.returncode == 1 and "foreshore init" in before.stderr, before.stderr
    laid = called("init", "mine")
    assert laid.returncode == 0, laid.stderr
    for name in project_files(ROOT):
        assert (empty / "mine" / name).exists(), name
    nothing = called("tables", "--config", "mine/foreshore.toml")
    assert nothing.returncode == 1 and "nothing is published" in nothing.stderr
