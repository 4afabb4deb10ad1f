"""Publication: what a build's stamp vouches for, exported wing by wing and swapped in for readers in one act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from operate.lock import building
from operate.shelf import (
    KEEP_DAYS,
    MARTS,
    Assembled,
    PublicationError,
    Published,
    Shelf,
    new_id,
    prune,
    put_up,
    quoted,
)
from operate.stamp import UNITS, Node, Stamp, absolute_url, read_stamp

STAGING = "main_staging"  # views over raw files: readers have no business there


@dataclass(frozen=True)
class Publication:
    """What came of publishing: the units readers have now, those that are new, and why others were kept back."""

    units: dict[str, Published]
    fresh: tuple[str, ...]
    held_back: dict[str, list[str]]


def publish(root: Path, build_file: Path, raw_url: str, keep_days: float = KEEP_DAYS) -> Publication:
    """Swap in every unit that the build's stamp vouches for; the others stay as readers have them. `keep_days`: how
    long a publication can still be asked after another took its place.

    Errors: PublicationError where the build file is bound to another raw zone or was never built; Busy while a build
    runs.
    """
    shelf = Shelf(root)
    with building(build_file.parent), _built(build_file) as connection:
        stamp = _bound_stamp(connection, build_file, raw_url)
        before = shelf.units()
        objections = {unit: stamp.objections(unit) for unit in UNITS if stamp.relations(unit)}
        sound = [unit for unit, why in objections.items() if not why]
        made = {unit: _unit(connection, shelf, stamp, unit, before.get(unit)) for unit in sound}
        after = {**before, **made}
        if after and (after != before or shelf.current_file() is None):
            put_up(shelf, after, _assembled(stamp))
        prune(shelf, keep_days)
        _note_considered(build_file)
    fresh = tuple(unit for unit in sound if unit not in before or before[unit].folder != made[unit].folder)
    return Publication(after, fresh, {unit: why for unit, why in objections.items() if why})


def is_considered(build_file: Path) -> bool:
    """Whether the build file is as the last publication found it: then there is nothing to ask its stamp."""
    try:
        return _considered(build_file).read_text() == _state(build_file)
    except OSError:
        return False


def _note_considered(build_file: Path) -> None:
    part = _considered(build_file).with_suffix(".part")
    part.write_text(_state(build_file))
    part.replace(_considered(build_file))


def _considered(build_file: Path) -> Path:
    return build_file.with_name("considered")


def _state(build_file: Path) -> str:
    """Inode, size and time of the file and of its log: DuckDB's commits touch one or the other."""
    files = (build_file, build_file.with_name(f"{build_file.name}.wal"))
    stats = [file.stat() if file.exists() else None for file in files]
    return " ".join("none" if stat is None else f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)


@contextmanager
def _built(build_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    if not build_file.exists():
        raise PublicationError(f"nothing was built at {build_file} yet: run `foreshore build`")
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        try:
            connection.execute(f"attach {quoted(build_file)} as built (read_only)")
        except duckdb.IOException as error:
            raise PublicationError(f"{build_file} is in use by another process: wait for it. {error}") from None
        yield connection


def _bound_stamp(connection: duckdb.DuckDBPyConnection, build_file: Path, raw_url: str) -> Stamp:
    stamp = read_stamp(connection, "built")
    if stamp is None:
        raise PublicationError(f"{build_file} has no stamp, so nothing says what was tested: run `foreshore build`")
    if stamp.raw_url != absolute_url(raw_url):
        raise PublicationError(
            f"{build_file} was built from {stamp.raw_url}, the configuration's raw zone is {absolute_url(raw_url)}: "
            "run `foreshore build` with this configuration"
        )
    return stamp


def _unit(
    connection: duckdb.DuckDBPyConnection, shelf: Shelf, stamp: Stamp, unit: str, before: Published | None
) -> Published:
    """The unit's parquet: the folder readers have where no row changed, else a new one."""
    number = stamp.built_in(unit)
    is_here = before is not None and (shelf.root / before.folder).is_dir()
    if before is not None and is_here and before.build_number == number and before.root == str(shelf.root):
        return before
    nodes = [node for node in stamp.relations(unit) if node.materialized == "table" or node.kind == "seed"]
    nodes = [node for node in nodes if node.schema != STAGING]
    fingerprint = _fingerprint(connection, nodes, stamp.is_simulated)
    made = Published(
        unit=unit,
        folder=str(Path("published", "wings", unit, new_id())),
        fingerprint=fingerprint,
        table_count=len(nodes),
        build_number=number,
        invocation_id=stamp.invocations[number],
        raw_fingerprint=stamp.raw_fingerprint,
        published_at=datetime.now(UTC),
        root=str(shelf.root),
        is_simulated=stamp.is_simulated,
    )
    if before is not None and is_here and before.fingerprint == fingerprint:
        return replace(made, folder=before.folder)
    (shelf.root / made.folder).mkdir(parents=True)
    for node in nodes:
        file = shelf.root / made.folder / _parquet(node)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = _exported(connection, node, stamp.is_simulated)
        connection.execute(f"copy ({rows}) to {quoted(file)} (format parquet, compression zstd)")
    return made


def _parquet(node: Node) -> Path:
    """Marts at the top, everything else in a folder named like its schema."""
    name = f"{node.name}.parquet"
    return Path(name) if node.schema == MARTS else Path(node.schema.removeprefix(f"{MARTS}_"), name)


def _fingerprint(connection: duckdb.DuckDBPyConnection, nodes: Sequence[Node], is_simulated: bool | None) -> str:
    """A digest of names, types and rows, whatever the order of the rows."""
    parts = [f"is_simulated {is_simulated}"]
    for node in nodes:
        columns = ", ".join(f"{name} {kind}" for name, kind in _columns(connection, node))
        name = _identifier(node)
        found = connection.execute(f"select count(*), sum(hash(rows)) from built.{name} as rows").fetchone()
        parts.append(f"{name} ({columns}) {found}")
    digest = connection.execute("select sha256(?)", ["\n".join(parts)]).fetchone()
    return str(digest[0]) if digest else ""


def _columns(connection: duckdb.DuckDBPyConnection, node: Node) -> list[tuple[str, str]]:
    return connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = 'built' "
        "and schema_name = ? and table_name = ? order by column_index",
        [node.schema, node.name],
    ).fetchall()


def _exported(connection: duckdb.DuckDBPyConnection, node: Node, is_simulated: bool | None) -> str:
    """The rows of a table; 128-bit integers, which parquet would round to doubles, as decimals.

    Every row of a model says whether it comes from the embedded world: one that left its store is still known for it.
    """
    names = [
        f'"{name}"::decimal(38, 0) as "{name}"' if kind in ("HUGEINT", "UHUGEINT") else f'"{name}"'
        for name, kind in _columns(connection, node)
    ]
    if node.kind != "seed" and '"is_simulated"' not in names:
        names.append(f"{'null' if is_simulated is None else str(is_simulated).lower()}::boolean as is_simulated")
    return f"select {', '.join(names)} from built.{_identifier(node)}"


def _assembled(stamp: Stamp) -> Assembled:
    """Views over tables of several units, and what each reads of whom."""
    return {
        _identifier(node): [(part.unit, _identifier(part)) for part in (stamp.nodes[name] for name in node.reads)]
        for node in stamp.nodes.values()
        if node.is_assembled
    }


def _identifier(node: Node) -> str:
    return f'"{node.schema}"."{node.name}"'
