"""A lake of its own per test, fed from the small world; dbt on it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

import simulate
from extract.config import Config, load_config
from extract.voting.plan import Request
from operate.voting.extraction import run_voting
from operate.worlds import world_config

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Line:
    """The voting line on one lake."""

    world: simulate.RunningWorld
    folder: Path
    project: Path = ROOT  # where dbt runs, with its seeds

    def configure(self, text: str | None = None, **replacements: str) -> Config:
        """Write foreshore.toml for the world (or `text`), with plain replacements, and load it."""
        made = text or world_config(self.world.info)
        for old, new in replacements.items():
            made = made.replace(REPLACEABLE[old](self.world), new)
        storage = f'[storage]\nroot = "{self.folder}"\nraw_url = "{self.folder}/raw"\nseeds = "{self.project}/seeds"\n'
        path = self.folder / "foreshore.toml"
        path.write_text(storage + made)
        return load_config(str(path))

    def extract(self, config: Config | None = None, **asked: Any) -> int:
        """Run an extraction in this process; its exit code."""
        return run_voting(config or self.configure(), Request(**{"epochs": 3, **asked}), as_json=True)

    def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own, as a user does."""
        return subprocess.run(
            [sys.executable, "-m", "operate.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        return {
            "FORESHORE_CONFIG": str(self.folder / "foreshore.toml"),
            "FORESHORE_RAW": str(self.folder / "raw"),
            "FORESHORE_BUILD": str(self.folder / "build" / "foreshore.duckdb"),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "dbt_logs"),
            "DO_NOT_TRACK": "1",
        }

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "build").mkdir(exist_ok=True)
        return subprocess.run(
            [str(Path(sys.executable).parent / "dbt"), *arguments],
            cwd=self.project,
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            check=False,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "build" / "foreshore.duckdb"), read_only=True) as built:
            return built.execute(sql).fetchall()


REPLACEABLE = {
    "rpc_url": lambda world: world.rpc_url,
    "chain_id": lambda world: f"chain_id = {world.info['chain_id']}",
    "hydrex_voter": lambda world: world.info["protocols"]["hydrex"]["voter"],
}


@pytest.fixture
def line(healthy_world: simulate.RunningWorld, tmp_path: Path) -> Line:
    """An empty lake in front of the small world."""
    return Line(healthy_world, tmp_path)


@pytest.fixture(scope="session")
def built_line(small_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A lake with everything extracted and built once; read it, do not change it."""
    made = Line(small_world, tmp_path_factory.mktemp("built"))
    assert made.extract() == 0
    done = made.dbt("build")
    assert done.returncode == 0, done.stdout[-4000:]
    return made
