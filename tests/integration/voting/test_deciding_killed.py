"""The deciding models killed while they run: answers kept, half kept or lost, the next build has the same ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from benchmarks.voting.raw_voting import land_voting
from tests.kills import kill_when

ROOT = Path(__file__).parents[3]
DECIDING = ("forecast_quantiles", "vote_recommendations", "vote_backtest")
BUILD = [
    "build",
    *("--resource-type", "model", "--resource-type", "seed"),
    *("--select", *(f"+{name}" for name in DECIDING)),
]


class Build:
    """dbt builds of the deciding models over one lake."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "build" / "foreshore.duckdb"

    def start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "FORESHORE_RAW": str(self.folder / "raw"),
            "FORESHORE_BUILD": str(self.file),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
        }
        command = [str(Path(sys.executable).parent / "dbt"), *BUILD]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def finish(self) -> None:
        with self.start() as process:
            said, _ = process.communicate()
            assert process.returncode == 0, said.decode()[-2000:]

    def moments(self) -> int:
        """How often dbt has begun or ended one of the deciding models."""
        log = self.folder / "logs" / "dbt.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return sum("python table model" in line and any(f".{name} " in line for name in DECIDING) for line in lines)

    def answers(self) -> dict[str, list[tuple[object, ...]]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            return {
                name: connection.execute(f"from main_intermediate.{name} order by all").fetchall() for name in DECIDING
            }


@pytest.mark.long
def test_killed_at_every_moment_of_deciding_the_answers_are_those_of_a_first_build(tmp_path: Path) -> None:
    first, killed = Build(tmp_path / "first"), Build(tmp_path / "killed")
    land_voting(str(first.folder / "raw"), 3, 6, 10)
    killed.folder.mkdir()
    (killed.folder / "raw").symlink_to(first.folder / "raw")
    first.finish()
    whole, moments = first.answers(), first.moments()
    assert moments == 2 * len(DECIDING) and all(whole.values())
    for moment in range(1, moments + 1):
        with killed.start() as process:
            assert kill_when(process, killed.moments, moment), "killed while it decides"
    killed.finish()
    assert killed.answers() == whole
    # and what was kept through all of it is used, and is what deciding anew gives
    killed.finish()
    assert killed.answers() == whole
