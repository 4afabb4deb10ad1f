"""What the documents show is what happens on the demo's store: the README's outputs line by line, the guides' commands
by running.

FORESHORE_DEMO names a folder in which `make demo` has run already; without it the demo runs in a project of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from operate.project import ROOT
from tests.unit.test_shown_commands import DOCUMENTS, shown

pytestmark = [pytest.mark.long, pytest.mark.node]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^```sh\n((?:(?!^```).*\n)+)```\n```text\n((?:(?!^```).*\n)+)```$", README, re.MULTILINE)
AS_A_TERMINAL = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "100"}
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def foreshore(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FORESHORE_", "DBT_"))}
    return subprocess.run(
        [sys.executable, "-P", "-m", "operate.cli", *arguments],
        cwd=folder, env=environment | AS_A_TERMINAL | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if ready := os.environ.get("FORESHORE_DEMO"):
        yield Path(ready)
        return
    folder = tmp_path_factory.mktemp("demo") / "project"
    for arguments in (["init", str(folder)], ["demo", "run"]):
        made = foreshore(folder if folder.exists() else ROOT, *arguments)
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    yield folder
    foreshore(folder, "demo", "down")


def test_every_path_has_its_output() -> None:
    assert len(SHOWN) == 7 and all(shlex.split(command, comments=True)[0] == "foreshore" for command, _ in SHOWN)


@pytest.mark.parametrize(("command", "wanted"), SHOWN, ids=[command.split(" --")[0][:40] for command, _ in SHOWN])
def test_a_command_prints_what_the_readme_shows(demo: Path, command: str, wanted: str) -> None:
    shutil.rmtree(demo / "november", ignore_errors=True)
    done = foreshore(demo, *shlex.split(command, comments=True)[1:])
    assert done.returncode == 0, done.stderr
    told = [line.rstrip() for line in _STYLE.sub("", done.stdout + done.stderr).splitlines()]
    lines = iter(told)
    for line in wanted.splitlines():  # each after the one before it
        assert line == "..." or line in lines, (line, told)


READS = ("backtest", "describe", "export", "recommend", "report", "review", "sql", "status", "tables")
NAMES = {"hydrex": "hydrex_world", "HOOD": "FORE", "2025-06-02": "2026-01-07"}  # of the demo, for a reader's own
NEEDS = {"--live", "--open", "--engine", "--scheduler", "--hosts"}  # a chain, a browser, a cluster


def _runnable(command: str) -> list[str] | None:
    """The words of a guide's command that reads what is published, in the demo's names; None for others."""
    words = shlex.split(command, comments=True)[1:]
    for stop in ("|", "&&", ">"):
        words = words[: words.index(stop)] if stop in words else words
    if not words or words[0] not in READS or NEEDS & set(words):
        return None
    return [NAMES.get(word, word) for word in words]


GUIDED = [
    pytest.param(words, id=f"{document.stem}: {command[:50]}")
    for document in DOCUMENTS
    if document.name not in ("README.md", "verbs.md")
    for command in dict.fromkeys(shown(document))
    if command.startswith("foreshore ") and (words := _runnable(command)) is not None
]


@pytest.mark.parametrize("words", GUIDED)
def test_a_guides_command_runs_on_the_demos_store(demo: Path, words: list[str]) -> None:
    for folder in ("november", "december"):
        shutil.rmtree(demo / folder, ignore_errors=True)
    done = foreshore(demo, *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_there_are_guides_to_follow() -> None:
    assert len(GUIDED) >= 10
