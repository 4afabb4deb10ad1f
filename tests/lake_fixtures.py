"""Machines that build one lake: its catalog in the session's PostgreSQL, its files in a folder or an object store."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.line_fixtures import ROOT
from tests.postgres_fixtures import Postgres

psycopg = pytest.importorskip("psycopg", reason="the postgres extra is not installed")
PYTHON = ROOT / ".venv-lake" / "bin" / "python"
NEWEST = """
import sys
from operate.lake.catalog import attached
print(attached(read_only=True).execute(sys.argv[1]).fetchone()[0])
"""


@dataclass
class Builder:
    """A machine with a folder of its own; catalog, raw zone and the lake's files are what all see."""

    folder: Path
    catalog: str
    shared: Path
    files: str
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> str:
        return str(self.shared / "raw")

    @property
    def stamp(self) -> Path:
        return self.folder / "lake" / "build.duckdb"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.keys,
            "FORESHORE_LAKE": self.catalog,
            "FORESHORE_LAKE_DATA": self.files,
            "FORESHORE_LAKE_BUILD": str(self.stamp),
            "FORESHORE_RAW": self.raw,
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "dbt_logs"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [str(PYTHON), "-m", "operate.lake", *arguments]
        # in a session of its own: a kill is one of dbt, too
        return subprocess.Popen(command, cwd=ROOT, env=self.environ, text=True, start_new_session=True, **pipes)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, errors = process.communicate(timeout=900)
        assert process.returncode == code, said[-3_000:] + errors[-2_000:]
        return said if code == 0 else said + errors

    def rows(self, text: str, *options: str) -> list[dict[str, Any]]:
        """What was published says."""
        return [json.loads(line) for line in self.run("sql", text, *options).splitlines()]

    def newest(self, text: str) -> Any:
        """A value as the lake's tables stand, published or not."""
        command = [str(PYTHON), "-c", NEWEST, text]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def in_catalog(self, text: str) -> Any:
        """A value that PostgreSQL knows."""
        with psycopg.connect(self.catalog.removeprefix("postgres:"), autocommit=True) as connection:
            row = connection.execute(text).fetchone()
        return row[0] if row else None


def two_builders(postgres: Postgres, folder: Path, files: str = "", **keys: str) -> tuple[Builder, Builder]:
    """Two machines, one catalog, one raw zone, nothing landed and nothing built; `files`: where the lake's data go."""
    done = subprocess.run(["make", "--silent", "lake"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    name = f"lake_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    user = postgres.user or os.environ.get("USER", "postgres")
    catalog, shared = f"postgres:dbname={name} host={postgres.folder} user={user}", folder / "shared"
    shared.mkdir()
    one, other = (Builder(folder / who, catalog, shared, files or f"{shared}/files", keys) for who in ("one", "other"))
    return one, other
