"""The README's four paths: what stands below a command is what it prints on the demo's store, line by line.

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
