"""The lending line on a lake of its own, in front of the lending world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import simulate
from extract.config import Config
from extract.lake import Lake
from extract.ledger import LEDGER_SCHEMA
from extract.lending.plan import Request
from extract.lending.tables import LENDING_TABLES
from operate.lending.commands import run
from operate.worlds import lending_config
from tests.line_fixtures import Line

MODELS = ("thresholds", "csu_registry", "lending_assets", "+csu_daily_panel", "+csu_snapshot_blocks")
ACCIDENTAL = ("partition_id", "load_id", "fetched_at", "provider", "confirmation")  # of an attempt, not of the chain


class LendingLine(Line):
    """Extraction, raw rows and panel of the lending world."""

    def configure(self, text: str | None = None, **replacements: str) -> Config:
        """foreshore.toml for the lending world; `replacements` swap whole texts, e.g. the endpoint's URL."""
        made = text or lending_config(self.world.info)
        for old, new in replacements.items():
            made = made.replace({"rpc_url": self.world.rpc_url}[old], new)
        return super().configure(made)

    def extract(self, config: Config | None = None, **asked: Any) -> int:
        return run(config or self.configure(), Request(**asked), plan=False, as_json=True)

    def build(self, *select: str) -> None:
        done = self.dbt("build", "--select", *(select or MODELS), "--exclude-resource-type", "test", "unit_test")
        assert done.returncode == 0, done.stdout[-4000:]

    def real_config(self, source: dict[str, str] | None = None) -> Config:
        """The configuration of a real protocol's line, with a price source or without."""
        text = (self.folder / "real.toml").read_text()
        if source:
            table = (
                f'[[chains.real.price_sources]]\nname = "{source["name"]}"\nchain_key = "x"\nurl = "{source["url"]}"\n'
            )
            text = text.replace("[lending]\n", f"{table}[lending]\n")
        return Line.configure(self, text)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Committed rows of the newest attempt of each partition, without what is accidental, in a fixed order."""
        lake = Lake(str(self.folder / "raw"))
        ledger = lake.read_committed("extract_ledger", LEDGER_SCHEMA).to_pylist()
        newest = {row["partition_id"]: row["load_id"] for row in ledger if row["status"] == "complete"}
        rows = lake.read_committed(table, LENDING_TABLES[table]).to_pylist()
        kept = [r for r in rows if newest.get(r["partition_id"]) == r["load_id"]]
        plain = [{k: v for k, v in r.items() if k not in ACCIDENTAL} for r in kept]
        return sorted(plain, key=repr)

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        return {name: self.rows(name) for name in LENDING_TABLES}


def real_line(folder: Path, rpc_url: str, chain_id: int, days: Sequence[str], csu: str) -> LendingLine:
    """A lake in front of a real protocol on a node of its own; `csu` is the rest of its registry row."""
    folder.mkdir(exist_ok=True)
    made = LendingLine(None, folder)  # type: ignore[arg-type]  # no world of ours stands behind it
    (folder / "real.toml").write_text(
        f'''
[chains.real]
chain_id = {chain_id}
finality_depth = 0
[[chains.real.providers]]
name = "real"
url = "{rpc_url}"
[lending]
since = "{days[0]}"
until = "{days[-1]}"
[[lending.csus]]
csu_id = "real"
chain = "real"
chain_id = {chain_id}
{csu}'''
    )
    return made


@pytest.fixture
def lending_line(healthy_lending_world: simulate.RunningWorld, tmp_path: Path) -> LendingLine:
    """An empty lake in front of the lending world."""
    return LendingLine(healthy_lending_world, tmp_path)


@pytest.fixture(scope="session")
def built_lending_line(lending_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory) -> LendingLine:
    """A lake with every CSU and day extracted and built once; read it, do not change it."""
    made = LendingLine(lending_world, tmp_path_factory.mktemp("built_lending"))
    assert made.extract() == 0
    done = made.dbt("build", "--select", *MODELS, "--indirect-selection", "cautious")
    assert done.returncode == 0, done.stdout[-4000:]
    return made
