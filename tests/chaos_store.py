"""A store of one epoch, CSU, symbol and day of markets, its sources beside it, and what of it must be the same at last.

`Sources` serve as providers do. `Chaos` is the store in front of them: it runs verbs in a process that can be killed
at any step, keeps copies of itself to go back to, and tells its tables by hash.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from extract.config import Config, load_config
from extract.integrity import audit
from extract.lake import Lake, load_id_of
from extract.ledger import Ledger
from operate.markets.demo import simulated_markets
from operate.tables import RAW_TABLES
from operate.warehouse import Warehouse
from operate.worlds import lending_config, world_config
from simulate import bars as stock_market
from simulate import lending as lending_world
from simulate import voting as voting_world
from tests.kill_points import Killer
from tests.line_fixtures import ROOT

# of an attempt, not of what it brought
ACCIDENTAL = {"load_id", "fetched_at", "run_id", "landed_at", "committed_at", "checked_at", "written_at", "recorded_at"}
ACCIDENTAL |= {"attempt"}
LEDGER_ACCIDENTAL = ACCIDENTAL - {"run_id"} | {"owner", "lease_until", "claimed_at", "started_at", "finished_at"}
LEDGER_ACCIDENTAL |= {"code_version", "failed_at", "known_at"}
TIME = re.compile(rb"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?|\d+\.\d+ s\b")
SEAL = re.compile(rb'"promotion_sha256": "[0-9a-f]{64}"')  # over a manifest with the moment of its run in it


@dataclass(frozen=True)
class Sources:
    """Everything that is asked over the network, and what a configuration and an environment say of it."""

    configuration: str
    environment: Mapping[str, str]
    csu: str
    day: str


@contextmanager
def sources(folder: Path, with_chains: bool) -> Iterator[Sources]:
    """A stock market, a markets' server and two chains, each in a process of its own, as small as they come."""
    with ExitStack() as stack:
        stocks = stack.enter_context(stock_market.running(folder / "bars", now="2026-03-09T13:25:00Z"))
        url = stack.enter_context(simulated_markets(folder / "markets", 1, 6))
        text, csu, day = stocks.config("eodhd"), "", ""
        text += f'[polymarket]\ngamma_url = "{url}"\nclob_url = "{url}"\ngamma_requests_per_second = 1000.0\n'
        if with_chains:
            votes = stack.enter_context(voting_world.running(folder / "voting", epochs=1, gauges=8, voters=4))
            loans = stack.enter_context(lending_world.running(folder / "lending", days=3, small=True))
            csu, day = loans.info["csus"][0]["csu_id"], loans.info["days"][1]["date"]
            text += world_config(votes.info) + lending_config(loans.info)
        yield Sources(text, stocks.environ, csu, day)


@dataclass
class Chaos:
    """One store and what it is asked; `copies` are states of it to go back to."""

    folder: Path
    sources: Sources
    killer: Killer
    copies: Path = field(init=False)

    def __post_init__(self) -> None:
        self.copies = self.folder.with_name(f"{self.folder.name}-copies")
        self.folder.mkdir(parents=True)
        self.copies.mkdir(parents=True)
        storage = f'[storage]\nroot = "{self.folder}"\nraw_url = "{self.folder}/raw"\nseeds = "{ROOT}/seeds"\n'
        storage += "is_simulated = true\n"
        (self.folder / "foreshore.toml").write_text(storage + self.sources.configuration)

    @property
    def config(self) -> Config:
        return load_config(str(self.folder / "foreshore.toml"))

    @property
    def lake(self) -> Lake:
        return Lake.of(self.config)

    def environment(self) -> dict[str, str]:
        return {
            **self.sources.environment,
            "FORESHORE_CONFIG": str(self.folder / "foreshore.toml"),
            "HOME": str(self.folder / "home"),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "dbt_logs"),
            "FORESHORE_LEDGER": str(self.folder / "ledger" / "markets.duckdb"),
        }

    def run(self, *arguments: str, **how: Any) -> dict[str, Any]:
        """A verb, whole or killed (`step`, `during`, `seconds`)."""
        filled = [text.replace("ROOT", str(self.folder)) for text in arguments]
        said = str(self.folder / "said.txt")
        return self.killer.run(arguments=filled, environment=self.environment(), said=said, **how)

    def whole(self, *arguments: str, allowed: tuple[int, ...] = (0, 3)) -> dict[str, Any]:
        """A verb that nobody kills. AssertionError with what it said where it does not end well."""
        done = self.run(*arguments)
        said = (self.folder / "said.txt").read_text()
        assert not done["hung"] and done["code"] in allowed, (arguments, done, said[-3000:])
        return done

    def keep(self, name: str) -> None:
        """Remember the store as it is."""
        shutil.rmtree(self.copies / name, ignore_errors=True)
        shutil.copytree(self.folder, self.copies / name, symlinks=True)

    def back_to(self, name: str) -> None:
        """The store as it was: nothing in it is newer."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.copies / name, self.folder, symlinks=True)

    # -- what must be the same

    def raw(self, *tables: str) -> dict[str, str]:
        """A hash of each partition's newest rows, of all tables or of some."""
        return newest_rows(self.lake, *tables)

    def published(self) -> dict[str, str]:
        """A hash of each published table, to the last bit of every number."""
        wings = Warehouse.of(self.config).shelf.units()
        found = {}
        with duckdb.connect() as connection:
            for unit, made in wings.items():
                for file in sorted((self.folder / made.folder).rglob("*.parquet")):
                    rows = connection.execute(f"select count(*), sum(hash(made)) from '{file}' as made").fetchall()
                    found[f"{unit}/{file.stem}"] = repr(rows)
        return found

    def ledger(self) -> dict[str, str]:
        """A hash of each table of the run ledger."""
        found = {}
        with duckdb.connect(str(self.folder / "ledger" / "markets.duckdb"), read_only=True) as connection:
            for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall():
                rows = connection.sql(f"from {name}").to_arrow_table().to_pylist()
                if name != "ledger_migrations":
                    found[name] = digest(sorted(told(row, LEDGER_ACCIDENTAL) for row in rows))
        return found

    def files(self, *places: str) -> dict[str, str]:
        """A hash of each file below some folders, moments and seconds in it left out."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(
                SEAL.sub(b"", TIME.sub(b"", path.read_bytes()))
            ).hexdigest()
            for place in places
            for path in sorted((self.folder / place).rglob("*"))
            if path.is_file()
        }

    def loose(self) -> list[str]:
        """What a kill left lying: damaged or unfinished files, loads of nobody, folders that were being made."""
        lake = self.lake
        committed = {*lake.committed_loads(), "0"}
        found = [damage.spoken() for damage in audit(lake)]
        found += [p.name for p in Path(lake.path).glob("[a-z]*/*.parquet") if load_id_of(p.name) not in committed]
        left = [*self.folder.rglob("*.part"), *self.folder.rglob("*.old"), *self.folder.glob("**/.report-*")]
        return found + [str(path.relative_to(self.folder)) for path in left]

    def damage(self, chance: random.Random) -> None:
        """Cut the end off one committed file of bars."""
        committed = set(self.lake.committed_loads())
        files = [p for p in sorted(Path(self.lake.path, "bars").glob("*.parquet")) if load_id_of(p.name) in committed]
        if files:  # a repair that was killed may have put all of them aside
            victim = chance.choice(files)
            victim.write_bytes(victim.read_bytes()[:-8])


def newest_rows(lake: Lake, *tables: str) -> dict[str, str]:
    """A hash of each complete partition's newest rows, of all tables or of some, less what is an attempt's."""
    states = Ledger.read(lake).states
    loads = {name: state.complete["load_id"] for name, state in states.items() if state.complete}
    lines: dict[str, list[str]] = {name: [] for name in loads}
    for table, schema in RAW_TABLES.items():
        if table == "polymarket_pages" or (tables and table not in tables):  # prune takes pages
            continue
        for row in lake.read_committed(table, schema).to_pylist():
            if loads.get(row["partition_id"]) == row["load_id"]:
                lines[row["partition_id"]].append(table + told(row, ACCIDENTAL))
    return {name: digest(sorted(of)) for name, of in lines.items()}


def told(row: Mapping[str, Any], accidental: set[str]) -> str:
    return repr(sorted((key, value) for key, value in row.items() if key not in accidental))


def digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
