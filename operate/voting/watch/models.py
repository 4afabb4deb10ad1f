"""The warehouse's own models on the open epoch at one block, in memory: dbt's SQL, word for word, on other rows.

dbt compiles the models once; each reads relations and raw files. Here the relations are tables in memory, the raw files
tables that hold what the raw zone has of the past, and for one block at a time what was read there. A model is computed
over that and nothing of it stays: the next block begins where this one did. History is not computed again: what closed
epochs taught (labels, forecasts) is taken from what is published.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from extract.ledger import LEDGER_TABLE, now
from extract.scratch import work_folder
from extract.voting.submissions import SUBMITTED_TABLE
from operate.rebuild import compiled_models
from operate.voting.watch.schedule import ranks, run_all
from operate.warehouse import Warehouse, read_tables

# Models that compare with the truth say nothing of an epoch that has none yet: they stay empty.
AFTER_THE_TRUTH = ("preboundary_leakage_checks", "int_reward_signatures")
WANTED = ("int_forecast_panel", "int_voter_windows", "int_decision_states")
PUBLISHED = (  # of closed epochs only, taken as they stand
    "main.preboundary_truth_labels",
    "main.gauges",
    "main_intermediate.int_submissions",
)
SEEDS = ("thresholds", "decision_windows", "voters", "voting_rules")
# What the models look at beyond the open epoch: states at the ends of epochs (what a voter ended with, what carries
# over), and events where votes carry over. Everything else is of the open epoch, and read at the block.
_ENDS = "decision_window = 'boundary'"
PAST = {
    "voting_epochs": "true",
    "voting_windows": _ENDS,
    "voting_gauges": _ENDS,
    "voting_voters": _ENDS,
    "voting_own_votes": _ENDS,
    "voting_events": "exists (select 1 from raw.voting_epochs as e where not e.votes_reset_each_epoch)",
}
WORKERS = 2  # models that are computed side by side
NOT_WORTH_IT = "join_order,join_filter_pushdown,statistics_propagation"  # a sixth of the time, where rows are few
LIVE_LOAD = "live"
_LIVE_FILE = f"{LIVE_LOAD}.0.parquet"
WHOLE = ("_dlt_loads", "_store")  # raw tables of the house itself
_SCHEMAS = ("raw", "main_staging", "main_intermediate", "main_seeds")


@dataclass(frozen=True)
class Model:
    """One of the warehouse's models as dbt compiled it. `sql` reads the tables of `raw`, and the models of `reads`."""

    name: str
    relation: str
    sql: str
    reads: Sequence[str] = ()
    raw: Sequence[str] = ()


@dataclass(frozen=True)
class Project:
    """The models that lead to a decision, each after those it reads; `sources`: how each raw table's files are read."""

    models: Sequence[Model]
    sources: Mapping[str, str]


def load_models(warehouse: Warehouse) -> Project:
    """The models, compiled once per version of the project.

    Errors: WarehouseError where there is no project, or dbt cannot compile it.
    """
    kept = warehouse.root / "cache" / f"live-models-{_project_version(warehouse.raw_url)}.json"
    if kept.exists():
        found = json.loads(kept.read_text())
        return Project([Model(**model) for model in found["models"]], found["sources"])
    made = _compile(warehouse)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps({"models": [asdict(model) for model in made.models], "sources": made.sources}))
    part.replace(kept)
    for old in set(kept.parent.glob("live-models-*.json")) - {kept}:  # of versions before this one
        old.unlink(missing_ok=True)
    return made


def _project_version(raw_url: str) -> str:
    found = hashlib.sha256(raw_url.encode() + Path(__file__).read_bytes())  # what is kept has this module's shape
    for path in sorted(p for folder in ("models", "macros", "seeds") for p in Path(folder).rglob("*") if p.is_file()):
        found.update(f"{path}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _compile(warehouse: Warehouse) -> Project:
    with work_folder() as folder:
        nodes = compiled_models(Warehouse(folder, warehouse.raw_url), [f"+{name}" for name in WANTED])
    raw = re.escape(warehouse.raw_url)
    source = re.compile(rf"read_(?:parquet|json)\('{raw}/([^/'.]+)[^']*'(?:[^()]|\([^()]*\))*?\)")
    found, sources = dict[str, Model](), dict[str, str]()
    for node in nodes:
        read = {match.group(1): match.group(0) for match in source.finditer(node.compiled_code)}
        sources |= read
        sql = source.sub(r"foreshore.raw.\1", node.compiled_code)
        reads = [name.split(".")[-1] for name in node.depends_on.nodes]
        found[node.name] = Model(node.name, node.relation_name, sql, reads, list(read))
    return Project(_ordered(found, WANTED), sources)


def _nothing() -> None:
    """A raw table that nothing arrives for."""


def _ordered(found: Mapping[str, Model], wanted: Sequence[str]) -> list[Model]:
    taken = {name.split(".")[-1] for name in PUBLISHED}
    done: dict[str, Model] = {}

    def visit(name: str) -> None:
        if name in done or name in taken or name not in found:
            return
        for other in found[name].reads:
            visit(other)
        done[name] = replace(found[name], reads=[other for other in found[name].reads if other in done])

    for name in wanted:
        visit(name)
    return list(done.values())


class LiveModels:
    """The models of one exchange's open epoch, in a DuckDB of their own in memory."""

    def __init__(self, warehouse: Warehouse, project: Project, protocol: str, epoch: int) -> None:
        self._connection, self._raw = duckdb.connect(), frozenset(project.sources)
        self._run("set TimeZone = 'UTC'")
        self._run("set threads = 1")  # small tables: models side by side are faster than threads within one
        self._run("set asof_loop_join_threshold = 0")  # as profiles.yml has it
        self._run(f"set disabled_optimizers = '{NOT_WORTH_IT}'")
        self._run("attach ':memory:' as foreshore")
        self._run("use foreshore")
        for schema in _SCHEMAS:
            self._run(f"create schema {schema}")
        self._take_published(warehouse, protocol, epoch)
        self._take_past(project.sources, protocol, epoch)
        seconds = dict[str, float]()
        for model in project.models:
            started = time.perf_counter()
            self._run(f"create or replace table {model.relation} as {model.sql}")
            seconds[model.name] = time.perf_counter() - started
        self._models = [model for model in project.models if model.name not in AFTER_THE_TRUTH]
        computed = {model.name for model in self._models}
        self._needs: dict[str, set[str]] = {name: set() for name in self._raw}
        self._needs |= {m.name: {*m.raw, *(computed & set(m.reads))} for m in self._models}
        self._ranks = ranks(self._needs, seconds)
        self._workers = ThreadPoolExecutor(WORKERS)
        self._clearing: Future[None] = self._workers.submit(self._clear)

    @contextmanager
    def at(self, tables: Mapping[str, pa.Table]) -> Iterator[LiveModels]:
        """The models computed over these raw tables beside the past; afterwards nothing of it is left.

        It is cleared away while the decision goes its way: the next block waits for that.
        """
        self._clearing.result()
        try:
            self._compute_all(tables)
            yield self
        finally:
            self._clearing = self._workers.submit(self._clear)

    def _compute_all(self, tables: Mapping[str, pa.Table]) -> None:
        """Each model once what it reads is there."""
        committed = {"load_id": [LIVE_LOAD], "schema_name": ["voting"], "status": [0], "inserted_at": [now()]}
        arrived = {**tables, "_dlt_loads": pa.table(committed)}
        tasks: dict[str, Callable[[], None]] = {
            name: partial(self._arrive, name, arrived[name]) if name in arrived else _nothing for name in self._raw
        }
        tasks |= {model.name: partial(self._compute, model) for model in self._models}
        run_all(self._workers, WORKERS, tasks, self._needs, self._ranks)

    def _arrive(self, name: str, table: pa.Table) -> None:
        """What was read at the block, beside a raw table's past."""
        with self._connection.cursor() as own:
            own.register("arrived", table)
            filename = "" if name in WHOLE else f", '{_LIVE_FILE}' as filename"
            own.execute(f"insert into foreshore.raw.{name} by name select *{filename} from arrived")

    def _compute(self, model: Model) -> None:
        with self._connection.cursor() as own:
            own.execute(f"insert into {model.relation} {model.sql}")

    def _clear(self) -> None:
        """Back to the past alone."""
        with self._connection.cursor() as own:
            for model in self._models:
                own.execute(f"truncate {model.relation}")
            for name in self._raw - set(WHOLE):
                own.execute(f"delete from foreshore.raw.{name} where filename = '{_LIVE_FILE}'")
            own.execute(f"delete from foreshore.raw._dlt_loads where load_id = '{LIVE_LOAD}'")

    def query(self, queries: Mapping[str, str]) -> dict[str, pa.Table]:
        """Answers to queries on the models, as `read_tables` gives those on what is published."""
        return {name: self._connection.sql(sql).to_arrow_table() for name, sql in queries.items()}

    def close(self) -> None:
        self._workers.shutdown()
        self._connection.close()

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)

    def _take_published(self, warehouse: Warehouse, protocol: str, epoch: int) -> None:
        """Seeds, and what closed epochs taught."""
        queries = {f"main_seeds.{name}": f"select * from main_seeds.{name}" for name in SEEDS}
        for name in PUBLISHED:
            closed = f" where protocol = '{protocol}' and epoch < {epoch}" if name.endswith("labels") else ""
            queries[name] = f"select * from {name}{closed}"
        for name, table in read_tables(warehouse, queries).items():
            self._connection.register("arrived", table)
            self._run(f"create table {name} as select * from arrived")
            self._connection.unregister("arrived")

    def _take_past(self, sources: Mapping[str, str], protocol: str, epoch: int) -> None:
        """Raw rows of closed epochs, with the ledger that says which of them count; of other raw tables the columns."""
        open_now = f"source = 'voting' and split_part(partition_key, '/', 2) = '{epoch}'"
        wanted = {
            **{
                name: f"protocol = '{protocol}' and epoch < {epoch} and {condition}" for name, condition in PAST.items()
            },
            SUBMITTED_TABLE: f"protocol = '{protocol}' and epoch = {epoch}",
            LEDGER_TABLE: f"source in ('voting', 'decisions') and not ({open_now})",
            **dict.fromkeys(WHOLE, "true"),
        }
        for name in sorted(sources, key=lambda name: name != "voting_epochs"):  # events ask it whether votes carry over
            self._run(f"create table raw.{name} as select * from {sources[name]} where {wanted.get(name, 'false')}")
