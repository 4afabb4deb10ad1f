"""A small warehouse with the real stamp, the real dbt and the real publication: two wings and a door, built in seconds.

Its raw zone is one CSV per wing; every row carries the version it was written as, and `is_bad` rows fail the wing's
test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from operate.lock import building
from operate.publish import Publication
from operate.rebuild import run_dbt
from operate.shelf import KEEP_DAYS
from operate.warehouse import Warehouse, publish

ROOT = Path(__file__).parents[1]
MACROS = ("audit.sql", "say.sql", "raw_url.sql")
WINGS = ("voting", "lending")
TABLES = ("votes", "powers")  # per wing, both of one version at any time
ROWS = 200

PROJECT = """
name: foreshore
version: "1.0"
profile: small
model-paths: [models]
macro-paths: [macros]
test-paths: [tests]
target-path: target
on-run-start: ["{{ begin_audit() }}"]
on-run-end: ["{{ end_audit(results) }}"]
models:
  foreshore:
    staging: {+materialized: view, +schema: staging}
    intermediate: {+materialized: table, +schema: intermediate}
    marts: {+materialized: table}
"""
PROFILE = """
small:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('FORESHORE_BUILD', 'data/build/foreshore.duckdb') }}"
      threads: 2
      module_paths: ["ROOT"]
      plugins:
        - module: operate.dbt_build
          config:
            raw: "{{ env_var('FORESHORE_RAW', 'data/raw') }}"
            file: "{{ env_var('FORESHORE_BUILD', 'data/build/foreshore.duckdb') }}"
"""
YML = """
version: 2
models:
  - name: WING_TABLE
    data_tests: [{no_bad_rows: {arguments: {column: is_bad}}}]
unit_tests:
  - name: WING_TABLE_counts
    model: WING_TABLE
    given: [{input: ref('int_WING_TABLE'), format: sql, rows: "select 1 as version, 2::bigint as n, false as is_bad"}]
    expect: {format: sql, rows: "select 1 as version, 2::bigint as n, false as is_bad"}
"""
TEST = "{% test no_bad_rows(model, column) %} select * from {{ model }} where {{ column }} {% endtest %}"


@dataclass(frozen=True)
class Small:
    """The project's folder and the storage root it builds into."""

    folder: Path
    root: Path
    keep_days: float = KEEP_DAYS

    @classmethod
    def of(cls, folder: str, root: str) -> Small:
        return cls(Path(folder), Path(root))

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.root, f"{self.root}/raw", keep_days=self.keep_days)

    def land(self, version: int, bad: tuple[str, ...] = ()) -> None:
        """Every wing's raw rows in a new version."""
        for wing in WINGS:
            target = self.root / "raw" / f"{wing}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{version},{n},{wing in bad and n == 7}" for n in range(ROWS)]
            part = target.with_suffix(".part")
            part.write_text("\n".join(["version,n,is_bad", *lines]) + "\n")
            part.replace(target)

    def environment(self) -> dict[str, str]:
        """The variables that point dbt at this root."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORESHORE_", "DBT_"))}
        return kept | self.warehouse.environment() | {"PYTHONPATH": str(ROOT), "DBT_TARGET_PATH": f"{self.root}/target"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A Python module or script with arguments, in the project's folder."""
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )

    def dbt(self, *arguments: str) -> bool:
        """A dbt command in this process (its imports cost seconds); whether it passed."""
        with chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_TARGET_PATH", f"{self.root}/target")
            return run_dbt(self.warehouse, ["--quiet", *arguments])

    def build(self, *arguments: str) -> Publication:
        """dbt build and publication."""
        with building(self.warehouse.build_file.parent):
            self.dbt("build", *arguments)
            return publish(self.warehouse)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = self.root / "foreshore.toml"
        config.write_text(f'[storage]\nroot = "{self.root}"\nraw_url = "{self.root}/raw"\n')
        return self.run("-m", "operate.cli", *arguments, "--config", str(config))

    def readable(self) -> dict[str, set[tuple[int, int, int]]]:
        """What readers of the file and of the parquet see per wing: (version, rows, bad rows) of each table."""
        found: dict[str, set[tuple[int, int, int]]] = {}
        file = self.root / "foreshore.duckdb"
        if not file.exists():
            return found
        with duckdb.connect(str(file), read_only=True) as reader:
            units = {row[0] for row in reader.execute("select unit from publications").fetchall()}
            for wing in sorted(units & set(WINGS)):
                parquet = self.root / "published" / "current" / wing
                places = [
                    name for table in TABLES for name in (f"{wing}_{table}", f"main_intermediate.int_{wing}_{table}")
                ]
                places += [f"'{parquet}/{wing}_{table}.parquet'" for table in TABLES]
                counted = "min(version), max(version), count(*), count(*) filter (where is_bad)"
                rows = [reader.execute(f"select {counted} from {place}").fetchone() for place in places]
                found[wing] = {(row[0] if row[0] == row[1] else -1, *row[2:]) for row in rows if row}
        return found


def project(folder: Path) -> Path:
    """Write the small project; returns its folder."""
    for name in ("macros", "tests/generic", "models/staging/extract"):
        (folder / name).mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILE.replace("ROOT", str(ROOT)))
    (folder / "tests" / "generic" / "no_bad_rows.sql").write_text(TEST)
    for macro in MACROS:
        shutil.copy(ROOT / "macros" / macro, folder / "macros" / macro)
    door = "select distinct 'load-' || version as load_id from read_csv('{{ raw_url() }}/*.csv')"
    (folder / "models/staging/extract/stg_extract__ledger.sql").write_text(
        "{{ config(materialized='table') }}\n-- what is landed\n" + door
    )
    for wing in WINGS:
        for layer in ("staging", "intermediate", "marts"):
            (folder / "models" / layer / wing).mkdir(parents=True)
        (folder / f"models/staging/{wing}/stg_{wing}.sql").write_text(
            f"select * from read_csv('{{{{ raw_url() }}}}/{wing}.csv') -- {{{{ ref('stg_extract__ledger') }}}}"
        )
        for table in TABLES:
            inner, mart = f"int_{wing}_{table}", f"{wing}_{table}"
            (folder / f"models/intermediate/{wing}/{inner}.sql").write_text(
                f"select * from {{{{ ref('stg_{wing}') }}}}"
            )
            (folder / f"models/marts/{wing}/{mart}.sql").write_text(f"select * from {{{{ ref('{inner}') }}}}")
            (folder / f"models/marts/{wing}/{mart}.yml").write_text(YML.replace("WING_TABLE", mart))
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """The small project with an empty root."""
    return Small(project(tmp_path / "project"), tmp_path / "data")
