"""A warehouse's files, and reading what was published of them.

A DuckDB file has one process at a time, so dbt builds its own file under the storage root; readers get parquet behind a
small file of views, swapped in whole (`publish`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from rich.markup import escape

from extract.config import Config
from extract.errors import Busy, ConfigError, ForeshoreError, RequestError, StorageError
from extract.store import is_remote
from operate import publish as publication
from operate.console import err
from operate.publish import Publication
from operate.shared import pull, push
from operate.shelf import KEEP_DAYS, PublicationError, Shelf, is_id, moment_of


class WarehouseError(ForeshoreError):
    """The warehouse is not there, is being built, or did not pass."""


@dataclass(frozen=True)
class Warehouse:
    """The files of one warehouse, all under one storage root."""

    root: Path
    raw_url: str  # what dbt reads: the raw zone, or the view of an object store's mirror
    store_url: str | None = None  # the object store behind such a view
    keep_days: float = KEEP_DAYS  # that a publication can be asked after another took its place
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
    days = config.section("storage").get("keep_publications_days", KEEP_DAYS)
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= 36_525:
        raise ConfigError(f"{config.path}: [storage] keep_publications_days = {days!r}: write a number of days, e.g. 8")
    return float(days)


def publish(warehouse: Warehouse) -> Publication:
    """Swap in what the newest build vouches for, also where others read; errors as in `operate.publish`, and
    StorageError where that place does not take it (here it stands).
    """
    made = publication.publish(warehouse.root, warehouse.build_file, warehouse.raw_url, warehouse.keep_days)
    if warehouse.published_url and made.units:
        push(warehouse.shelf, warehouse.published_url, warehouse.keep_days)
    return made


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


Reader = Callable[[Mapping[str, str]], dict[str, pa.Table]]


@contextmanager
def reading(warehouse: Warehouse) -> Iterator[Reader]:
    """Read-only queries over what was published to Arrow tables by name; whatever is asked within is of the same
    publication, opened once.

    Errors: RequestError where a table or column is not published, which another version may not have had.
    """
    with open_published(warehouse) as published:

        def read(queries: Mapping[str, str]) -> dict[str, pa.Table]:
            try:
                return {name: published.sql(sql).to_arrow_table() for name, sql in queries.items()}
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                told = str(error).splitlines()[0]
                raise RequestError(
                    f"what is published lacks something that this version reads ({told}): run `foreshore build`"
                ) from None

        yield read


def read_tables(warehouse: Warehouse, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    """Answers to some queries at once; as `reading`."""
    with reading(warehouse) as read:
        return read(queries)


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
        if takes_from_others(warehouse) and not is_id(warehouse.as_of):
            pull(warehouse.shelf, str(warehouse.published_url), moment_of(warehouse.as_of))
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
