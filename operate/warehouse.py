"""Build with dbt, publish what its stamp vouches for, read what was published.

A DuckDB file has one process at a time, so dbt builds its own file under the storage root; readers get parquet behind a
small file of views, swapped in whole (`publish`).
"""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pyarrow as pa
from rich.markup import escape

from extract.config import Config
from extract.environment import environment
from extract.errors import Busy, ConfigError, ForeshoreError, RequestError, StorageError
from extract.store import is_remote
from operate import publish as publication
from operate.build_lines import QUIET, lines, say_failures
from operate.console import err, out
from operate.lock import building
from operate.publish import Publication, PublicationError, Shelf
from operate.shared import pull, push


class WarehouseError(ForeshoreError):
    """The warehouse is not there, is being built, or did not pass."""


@dataclass(frozen=True)
class Warehouse:
    """The files of one warehouse, all under one storage root."""

    root: Path
    raw_url: str  # what dbt reads: the raw zone, or the view of an object store's mirror
    store_url: str | None = None  # the object store behind such a view
    keep_days: float = publication.KEEP_DAYS  # that a publication can be asked after another took its place
    published_url: str | None = None  # where publications stand for other machines
    as_of: str | None = None  # which publication is read: its name, or a moment at which it stood; None: the present

    @classmethod
    def of(cls, config: Config, as_of: str | None = None) -> Warehouse:
        url, shared = config.raw_url, (_keep_days(config), config.published_url, as_of)
        if is_remote(url):
            from extract.lake import mirror_folder
            from extract.mirror import view_folder

            view = str(view_folder(mirror_folder(config.root, url)))
            return cls(config.root, view, url, *shared)
        return cls(config.root, url, None, *shared)

    @property
    def build_file(self) -> Path:
        """What dbt builds (profiles.yml has the same path for the default root)."""
        return self.root / "build" / "foreshore.duckdb"

    @property
    def published_file(self) -> Path:
        """What readers open: a link to the present publication's file of views."""
        return self.shelf.door

    @property
    def exports(self) -> Path:
        """Parquet of the present publication, a folder per wing."""
        return self.shelf.current

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.root)

    def environment(self) -> dict[str, str]:
        """Variables that point dbt at these files (profiles.yml and dbt_project.yml read them)."""
        ledger = os.environ.get("FORESHORE_LEDGER") or str(self.root / "ledger" / "markets.duckdb")
        return {
            "FORESHORE_RAW": self.raw_url,
            "FORESHORE_BUILD": str(self.build_file),
            "FORESHORE_LEDGER": ledger,
            "DO_NOT_TRACK": "1",
        }


def _keep_days(config: Config) -> float:
    """`[storage] keep_publications_days`. Errors: ConfigError where it is no number of days."""
    days = config.section("storage").get("keep_publications_days", publication.KEEP_DAYS)
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= 36_525:
        raise ConfigError(f"{config.path}: [storage] keep_publications_days = {days!r}: write a number of days, e.g. 8")
    return float(days)


def run_dbt(warehouse: Warehouse, *commands: Sequence[str]) -> bool:
    """Run dbt commands one after another in this process (each new process costs five seconds); stops at a failure.

    Errors: Busy names the process that builds there already.
    """
    from dbt.cli.main import dbtRunner

    with _dbt(warehouse):
        runner = dbtRunner()
        return all(_invoke(runner, command).success for command in commands)


def _build(warehouse: Warehouse, is_verbose: bool) -> bool:
    """dbt build: with dbt's own output, or with a line for each wing and what failed."""
    from dbt.cli.main import dbtRunner

    if is_verbose:
        return run_dbt(warehouse, ["build"])
    with _dbt(warehouse), lines() as listener:
        built = _invoke(dbtRunner(callbacks=[listener]), [*QUIET, "build"])
    say_failures(getattr(built.result, "results", ()))
    return bool(built.success)


def compiled_models(warehouse: Warehouse, selected: Sequence[str]) -> list[Any]:
    """dbt's SQL models that are selected, as nodes with their compiled code; nothing is read or built.

    `warehouse` names where raw rows would come from; its build file is not made.
    """
    from dbt.cli.main import dbtRunner

    command = [*QUIET, "compile", "--target-path", str(warehouse.root / "target"), "--select", *selected]
    with _dbt(warehouse), redirect_stdout(io.StringIO()):
        result = _invoke(dbtRunner(), command)
    if not result.success:
        raise WarehouseError("dbt could not compile the models: run `foreshore build --verbose` to see why")
    nodes = [found.node for found in result.result.results]
    return [node for node in nodes if node.resource_type == "model" and node.language == "sql"]


def _invoke(runner: Any, command: Sequence[str]) -> Any:
    """What dbt says of a command; one that could not run is an error, an interrupted one stays interrupted."""
    result = runner.invoke(list(command))
    if isinstance(result.exception, KeyboardInterrupt):
        raise KeyboardInterrupt
    if result.exception is not None:
        raise WarehouseError(f"dbt {command[-1]} could not run: {result.exception}")
    return result


@contextmanager
def _dbt(warehouse: Warehouse) -> Iterator[None]:
    """This process alone builds, with dbt pointed at these files; every connection of dbt's is closed at the end."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    if not Path("dbt_project.yml").exists():
        raise WarehouseError(
            f"{Path.cwd()} holds no dbt project: call from the project's folder, or lay one with `foreshore init`"
        )
    with building(warehouse.build_file.parent), environment(warehouse.environment()), _mute_when_interrupted():
        _fetch_store(warehouse)
        try:
            yield
        finally:
            opened = DuckDBConnectionManager._ENV
            DuckDBConnectionManager.close_all_connections()
            if opened is not None:
                opened.close()  # dbt only lets go of it: whatever else holds it (a frame, say) keeps the file open


def _fetch_store(warehouse: Warehouse) -> None:
    """Bring the view of an object store to this moment; a copy that went wrong on its way is fetched once more."""
    if warehouse.store_url is None:
        return
    from extract.integrity import audit  # what reads the raw zone takes longer to import than a reader takes to answer
    from extract.lake import Lake, mirror_folder

    store = Lake(warehouse.store_url, mirror=mirror_folder(warehouse.root, warehouse.store_url))
    assert store.mirror is not None
    damages = audit(store.for_reading())
    for damage in damages:
        for name in damage.files:
            store.mirror.drop(name)
    if damages:
        store.for_reading()


@contextmanager
def _mute_when_interrupted() -> Iterator[None]:
    """dbt answers an interrupt with its traceback (60 to 250 lines, measured): from then on it says nothing."""
    from dbt_common.events.event_manager_client import get_event_manager

    if threading.current_thread() is not threading.main_thread():  # only there can a signal be answered
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        get_event_manager().loggers.clear()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def rebuild(warehouse: Warehouse, is_verbose: bool = False) -> Publication:
    """dbt build, then publish what it vouches for: what failed keeps back its own wing only (`held_back` says why).

    It says a line for each wing on standard error, or, `is_verbose`, all that dbt prints.

    Errors: Busy, and PublicationError where the build ended before anything could be stamped.
    """
    with building(warehouse.build_file.parent):
        passed = _build(warehouse, is_verbose)
        made = publish(warehouse)
    if not passed and not made.held_back:  # what failed belongs to no wing: the mart that joins all of them
        return replace(made, held_back={"gate_verdicts": ["its own tests failed: see above"]})
    return made


def publish(warehouse: Warehouse) -> Publication:
    """Swap in what the newest build vouches for, also where others read; errors as in `operate.publish`, and
    StorageError where that place does not take it (here it stands).
    """
    made = publication.publish(warehouse.root, warehouse.build_file, warehouse.raw_url, warehouse.keep_days)
    if warehouse.published_url and made.units:
        push(warehouse.shelf, warehouse.published_url, warehouse.keep_days)
    return made


def show_publication(warehouse: Warehouse, made: Publication) -> int:
    """What was published and what was held back, for people; exit code 0 all, 1 nothing, 2 some of it."""
    sound = [unit for unit in made.units if unit not in made.held_back]
    if sound:
        tables = sum(made.units[unit].table_count for unit in sound)
        news = ", ".join(f"{unit} {'new' if unit in made.fresh else 'unchanged'}" for unit in sound)
        out.print(
            f"Published {tables} tables ({news}): {warehouse.published_file} and {warehouse.exports}/<wing>/*.parquet"
        )
    for unit, why in made.held_back.items():
        kept = "readers keep the last that passed" if unit in made.units else "readers have none yet"
        more = f" (and {len(why) - 3} more)" if len(why) > 3 else ""
        err.print(f"[red]held back[/red] {unit}: {escape('; '.join(why[:3]))}{more}; {kept}", soft_wrap=True)
    return (2 if sound else 1) if made.held_back else 0


def takes_from_others(warehouse: Warehouse) -> bool:
    """Whether this machine builds nothing and reads what others have published."""
    return warehouse.published_url is not None and not warehouse.build_file.exists()


def ensure_published(warehouse: Warehouse) -> None:
    """Publish what a bare `dbt build` left and its stamp vouches for; while it runs, readers keep what they have. Where
    nothing was built, take what others have published.
    """
    if takes_from_others(warehouse):
        try:
            pull(warehouse.shelf, str(warehouse.published_url))
        except StorageError as error:
            if warehouse.shelf.current_file() is None:
                raise
            err.print(f"{escape(str(error))}; this is what was taken last", soft_wrap=True)
    if warehouse.build_file.exists() and not publication.is_considered(warehouse.build_file):
        with suppress(Busy, PublicationError, PermissionError):
            publish(warehouse)


@dataclass(frozen=True)
class Answer:
    """What one statement said: names and rows, or an Arrow table."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    arrow: pa.Table | None = None


def ask(warehouse: Warehouse, text: str, as_arrow: bool = False) -> list[Answer]:
    """Answers to the read-only statements of a text, in order, all from the same publication.

    Errors: RequestError where there is no statement, or one fails or would write.
    """
    with open_published(warehouse) as published:
        try:
            statements = [s.query for s in published.extract_statements(text)]
            if not statements:
                raise RequestError('there is no statement: ask e.g. "select * from extract_ledger"')
            return [_answer(published, statement, as_arrow) for statement in statements]
        except duckdb.Error as error:
            raise RequestError(f"the query failed: {_said(error)}") from None


def _said(error: duckdb.Error) -> str:
    """DuckDB's words in one line; where in the statement it was does not fit there."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())


def _answer(published: duckdb.DuckDBPyConnection, statement: str, as_arrow: bool) -> Answer:
    _refuse_writing(published, statement)
    if as_arrow:
        found = published.sql(statement).to_arrow_table()
        return Answer(found.column_names, [], found)
    result = published.execute(statement)
    return Answer([column[0] for column in result.description or []], result.fetchall())


def query(warehouse: Warehouse, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one read-only statement over what was published."""
    (answer,) = ask(warehouse, sql)
    return answer.columns, answer.rows


def read_tables(warehouse: Warehouse, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    """Arrow tables of read-only queries over what was published, from one connection: all of the same publication.

    Errors: RequestError where a table or column is not published, which another version may not have had.
    """
    with open_published(warehouse) as published:
        try:
            return {name: published.sql(sql).to_arrow_table() for name, sql in queries.items()}
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            told = str(error).splitlines()[0]
            raise RequestError(
                f"what is published lacks something that this version reads ({told}): run `foreshore build`"
            ) from None


def open_published(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """A read-only connection that can reach the published parquet and nothing else."""
    shelf, file = warehouse.shelf, current_file(warehouse)
    published = duckdb.connect(str(file), read_only=True)
    if published.execute("select any_value(root) from publications").fetchone() != (str(shelf.root),):
        raise WarehouseError(f"{shelf.folder} was published under another path and moved here: run `foreshore build`")
    for setting in confinement(warehouse):
        published.execute(setting)
    return published


def current_file(warehouse: Warehouse) -> Path:
    """The file that readers open. Errors: WarehouseError where nothing is published, PublicationError where nothing
    was at the moment asked about.
    """
    if warehouse.as_of is not None:
        if takes_from_others(warehouse) and not publication.is_id(warehouse.as_of):
            pull(warehouse.shelf, str(warehouse.published_url), publication.moment_of(warehouse.as_of))
        return warehouse.shelf.at(warehouse.as_of)
    ensure_published(warehouse)
    file = warehouse.shelf.current_file()
    if file is None:
        raise WarehouseError(
            f"nothing is published at {warehouse.published_file} yet: run `foreshore extract all`, then "
            "`foreshore build` (or `foreshore demo run`)"
        )
    return file


def confinement(warehouse: Warehouse) -> Sequence[str]:
    """Settings of a reader, in order: UTC, the published parquet, no other file, no network, and no way back."""
    quoted = str(warehouse.shelf.wings).replace("'", "''")
    return (
        "set TimeZone = 'UTC'",
        f"set allowed_directories = ['{quoted}/']",
        "set enable_external_access = false",
        "set lock_configuration = true",
    )


def _refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """What may be read could be written too, by `copy` even within a `with`: only plans that read are run."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise RequestError(
            "the query failed: one `select` (or `describe`, `summarize`, `show`) is what may be asked here"
        )
    plan = connection.execute(f"explain (format json) {sql}").fetchall()
    writing = [name for name in _operators(json.loads(plan[0][1])) if "COPY" in name.upper()]
    if writing:
        raise RequestError(f"the query failed: it writes ({writing[0]}), and what was published is only read here")


def _operators(plan: Any) -> Iterator[str]:
    for node in plan if isinstance(plan, list) else [plan]:
        yield str(node.get("name", ""))
        yield from _operators(node.get("children", []))
