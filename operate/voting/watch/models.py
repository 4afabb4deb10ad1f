"""The warehouse's own models on the open epoch at one block, in memory: dbt's SQL, word for word, on other rows.

dbt compiles the models once; each reads relations and raw files. Here the raw files are tables that hold what the raw
zone has of the past, and for one block at a time what was read there; the models are queries that stand ready for it
(operate.voting.watch.standing), and nothing of a block stays. History is not computed again: what closed epochs taught
(labels, forecasts) is taken from what is published.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from extract.ledger import LEDGER_TABLE, now
from extract.scratch import work_folder
from extract.voting.submissions import SUBMITTED_TABLE
from operate.rebuild import compiled_models
from operate.voting.recommend import places_query
from operate.voting.watch.standing import Query, StandingQueries
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
    "voting_events": "exists (select 1 from raw_voting_epochs as e where not e.votes_reset_each_epoch)",
}
NOT_WORTH_IT = "join_order,join_filter_pushdown,statistics_propagation"  # a sixth of the time, where rows are few
LIVE_LOAD = "live"
_LIVE_FILE = f"{LIVE_LOAD}.0.parquet"
WHOLE = ("_dlt_loads", "_store")  # raw tables of the house itself
_SCHEMAS = ("main_intermediate", "main_seeds")
PLACES = "places"  # what recommendations are shown with, asked beside the models


@dataclass(frozen=True)
class Model:
    """One of the warehouse's models as dbt compiled it. `sql` names the models of `reads` without a schema, and the
    tables of `raw` as `raw_table` does.
    """

    name: str
    relation: str
    sql: str
    reads: Sequence[str] = ()
    raw: Sequence[str] = ()

    def renamed(self, others: Mapping[str, Model]) -> Model:
        """The model reading those of `others` by their bare names."""
        reads, sql = [name for name in self.reads if name in others], self.sql
        for name in reads:
            sql = sql.replace(others[name].relation, name)
        return replace(self, sql=sql, reads=reads)


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
        sql = source.sub(lambda match: raw_table(match.group(1)), node.compiled_code)
        reads = [name.split(".")[-1] for name in node.depends_on.nodes]
        found[node.name] = Model(node.name, node.relation_name, sql, reads, list(read))
    return Project(_ordered(found, WANTED), sources)


def raw_table(name: str) -> str:
    """What models call a raw table here."""
    return f"raw_{name}"


def _ordered(found: Mapping[str, Model], wanted: Sequence[str]) -> list[Model]:
    taken = {name.split(".")[-1] for name in PUBLISHED}
    done: dict[str, Model] = {}

    def visit(name: str) -> None:
        if name in done or name in taken or name not in found:
            return
        for other in found[name].reads:
            visit(other)
        done[name] = found[name].renamed(done)

    for name in wanted:
        visit(name)
    return list(done.values())


class LiveModels:
    """The models of one exchange's open epoch, in a DuckDB of their own in memory. While a block is waited for, what is
    computed over it is planned.
    """

    def __init__(self, warehouse: Warehouse, project: Project, protocol: str, epoch: int) -> None:
        self._connection = duckdb.connect()
        self._run("set global TimeZone = 'UTC'")
        self._run("set global asof_loop_join_threshold = 0")  # as profiles.yml has it
        self._run(f"set global disabled_optimizers = '{NOT_WORTH_IT}'")
        self._run("set threads = 1")  # small tables: models side by side are faster than threads within one
        self._run("attach ':memory:' as foreshore")
        self._run("use foreshore")
        for schema in _SCHEMAS:
            self._run(f"create schema {schema}")
        self._take_published(warehouse, protocol, epoch)
        self._past = self._take_past(project.sources, protocol, epoch)
        queries = [Query(m.name, m.sql, [*m.reads, *map(raw_table, m.raw)]) for m in project.models]
        queries.append(_places(protocol, epoch))
        made = self._compute_past(queries)
        self._still = {name: made[name] for name in AFTER_THE_TRUTH}
        moving = [query for query in queries if query.name not in AFTER_THE_TRUTH]
        self._standing = StandingQueries(self._connection, moving, {name: made[name].schema for name in made})
        self._standing.begin()

    @contextmanager
    def at(self, tables: Mapping[str, pa.Table]) -> Iterator[StandingQueries]:
        """The models computed over these raw tables beside the past; afterwards nothing of it is left."""
        committed = {"load_id": [LIVE_LOAD], "schema_name": ["voting"], "status": [0], "inserted_at": [now()]}
        arrived = {**tables, "_dlt_loads": pa.table(committed)}
        try:
            raw = {raw_table(name): _beside(name, past, arrived.get(name)) for name, past in self._past.items()}
            self._standing.give({**raw, **self._still})
            yield self._standing
        finally:
            self._standing.begin()

    def schema(self, name: str) -> pa.Schema:
        """Columns of a model."""
        return self._standing.schema(name)

    def close(self) -> None:
        self._standing.close()
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

    def _take_past(self, sources: Mapping[str, str], protocol: str, epoch: int) -> dict[str, pa.Table]:
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
        found = dict[str, pa.Table]()
        for name in sorted(sources, key=lambda name: name != "voting_epochs"):  # events ask it whether votes carry over
            sql = f"select * from {sources[name]} where {wanted.get(name, 'false')}"
            found[name] = self._connection.sql(sql).to_arrow_table()
            self._connection.register(raw_table(name), found[name])
        return found

    def _compute_past(self, queries: Sequence[Query]) -> dict[str, pa.Table]:
        """What raw tables and models say of the past alone, by the names that queries call them."""
        made = {raw_table(name): table for name, table in self._past.items()}
        for query in queries:
            made[query.name] = self._connection.sql(query.sql).to_arrow_table()
            self._connection.register(query.name, made[query.name])
        return made


def _places(protocol: str, epoch: int) -> Query:
    """What the open epoch's recommendations are shown with."""
    sql = places_query(f"where protocol = '{protocol}' and epoch = {epoch}")
    reads = ["int_gauge_windows", "int_rewards_valued"]
    for name in reads:
        sql = sql.replace(f"main_intermediate.{name}", name)
    return Query(PLACES, sql.replace("main.gauges", "foreshore.main.gauges"), reads)


def _beside(name: str, past: pa.Table, arrived: pa.Table | None) -> pa.Table:
    """A raw table's past and what was read at the block, as files of the raw zone are read: columns by name."""
    if arrived is None:
        return past
    if name not in WHOLE:
        arrived = arrived.append_column("filename", pa.repeat(_LIVE_FILE, arrived.num_rows))
    columns = [
        arrived[field.name].cast(field.type)
        if field.name in arrived.column_names
        else pa.nulls(arrived.num_rows, field.type)
        for field in past.schema
    ]
    return pa.concat_tables([past, pa.table(columns, schema=past.schema)])
