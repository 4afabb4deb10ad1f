"""Publication: what a build's stamp vouches for, wing by wing, swapped in for readers in one act.

Under `<root>/published`:

    wings/<unit>/<id>/...   parquet of one unit, written once and never changed
    <id>/foreshore.duckdb   a small file of views over the parquet of every unit, with the table `publications`
    <id>/<unit>             links to the units' folders
    current                 a link to the publication readers get; replacing it is the whole swap

`<root>/foreshore.duckdb` links through `current`, so file and parquet change together or not at all. A reader that has
the file open keeps the file and the parquet it began with: an old publication is deleted only when no process holds its
file and it has stood aside for as long as publications are kept. Until then it can be asked what was known (`at`).
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from extract.errors import ForeshoreError
from operate.lock import building
from operate.stamp import UNITS, Node, Stamp, absolute_url, read_stamp

STAGING = "main_staging"  # views over raw files: readers have no business there
MARTS = "main"
FILE = "foreshore.duckdb"
ASSEMBLED = "assembled.json"  # beside it: which views stand over several units, and what they read
Assembled = Mapping[str, list[tuple[str, str]]]  # view -> (unit, table of it); quoted names
KEEP_SECONDS = 3600.0  # at least, for readers that no lock shows: this process's own, and those of other machines
KEEP_DAYS = 8.0  # "what did we know on Monday"; what did not change between two publications is there once


class PublicationError(ForeshoreError):
    """A build cannot be published: the message says why, unit by unit."""


@dataclass(frozen=True)
class Published:
    """One unit of a publication; the columns of `publications`."""

    unit: str
    folder: str
    fingerprint: str
    table_count: int
    build_number: int
    invocation_id: str
    raw_fingerprint: str | None
    published_at: datetime
    root: str
    is_simulated: bool | None


@dataclass(frozen=True)
class Publication:
    """What came of publishing: the units readers have now, those that are new, and why others were kept back."""

    units: dict[str, Published]
    fresh: tuple[str, ...]
    held_back: dict[str, list[str]]


class Shelf:
    """The folder of publications under a storage root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.folder = self.root / "published"
        self.wings = self.folder / "wings"
        self.current = self.folder / "current"
        self.door = self.root / FILE

    def current_file(self) -> Path | None:
        """The read file of the present publication by its own name, or None where nothing is published."""
        try:
            found = self.folder / self.current.readlink() / FILE
        except OSError:
            return None
        return found if found.exists() else None

    def kept(self) -> list[str]:
        """Names of the publications that are there whole, oldest first; they begin with the moment of publication."""
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if is_id(p.name) and (p / FILE).exists())

    def at(self, wanted: str) -> Path:
        """The read file of a publication by name, or of the one that stood at a moment (ISO 8601, UTC unless it says
        otherwise; a day means its end). Errors: PublicationError names the oldest one that is kept.
        """
        current = self.current_file()  # what is newer was never turned to: a kill left it
        names = [name for name in self.kept() if current is None or name <= current.parent.name]
        if is_id(wanted):
            if wanted not in names:
                raise PublicationError(f"there is no publication {wanted} (any more): {_spoken(names)}")
            return self.folder / wanted / FILE
        moment = moment_of(wanted)
        before = [name for name in names if published_at(name) <= moment]
        if not before:
            raise PublicationError(f"no publication stood at {moment:%Y-%m-%d %H:%M:%S} UTC: {_spoken(names)}")
        return self.folder / before[-1] / FILE

    def assembled(self) -> Assembled:
        """Views of the present publication over several units."""
        file = self.current_file()
        told = file.with_name(ASSEMBLED) if file is not None else None
        if told is None or not told.exists():
            return {}
        found = json.loads(told.read_text())
        return {view: [(unit, table) for unit, table in parts] for view, parts in found.items()}

    def units(self) -> dict[str, Published]:
        """What readers have, unit by unit."""
        file = self.current_file()
        if file is None:
            return {}
        with duckdb.connect(str(file), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            found = connection.execute("from publications")
            names = [column[0] for column in found.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        # a publication of an earlier release knows less of itself
        return {row["unit"]: Published(**{name: row.get(name) for name in _COLUMNS}) for row in rows}


_COLUMNS = tuple(Published.__dataclass_fields__)


def published_at(name: str) -> datetime:
    """The moment (UTC) in a publication's name."""
    return datetime.strptime(name[:21], f"{_STAMP}%f").replace(tzinfo=UTC)


def publication_age_days(name: str) -> float:
    """Days since the moment in a publication's name."""
    return (datetime.now(UTC) - published_at(name)).total_seconds() / 86_400


def moment_of(text: str) -> datetime:
    """A moment as people write one; a day means its end. Errors: PublicationError."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise PublicationError(
            f"{text!r} is no moment: write 2026-11-23, 2026-11-23T18:00, or a publication's name"
        ) from None
    if len(text.strip()) <= len("2026-11-23"):
        found += timedelta(days=1) - timedelta(microseconds=1)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _spoken(names: Sequence[str]) -> str:
    if not names:
        return "nothing is published yet: run `foreshore build`"
    return (
        f"the oldest one kept is {names[0]}; [storage] keep_publications_days in foreshore.toml says how long they are "
        "kept"
    )


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
            connection.execute(f"attach {_quoted(build_file)} as built (read_only)")
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
        folder=str(Path("published", "wings", unit, _new_id())),
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
        connection.execute(f"copy ({rows}) to {_quoted(file)} (format parquet, compression zstd)")
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


def put_up(
    shelf: Shelf,
    units: Mapping[str, Published],
    assembled: Assembled,
    name: str | None = None,
    is_current: bool = True,
) -> Path:
    """Make a publication of units whose folders are here, and turn `current` to it; its file. `name`: of one that comes
    from elsewhere.
    """
    name = name or _new_id()
    folder = shelf.folder / name
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left of the same one
    folder.mkdir(parents=True)
    for unit, published in units.items():
        (folder / unit).symlink_to(Path("..") / Path(published.folder).relative_to("published"))
    (folder / ASSEMBLED).write_text(json.dumps(assembled))
    part = folder / f"{FILE}.part"
    with duckdb.connect(str(part)) as connection:
        for published in units.values():
            for statement in _views(shelf.root / published.folder):
                connection.execute(statement)
        for view, parts in assembled.items():
            if rows := " union all by name ".join(f"from {table}" for unit, table in parts if unit in units):
                connection.execute(f"create view {view} as {rows}")
        connection.execute(_PUBLICATIONS)
        connection.executemany(
            f"insert into publications values ({', '.join('?' for _ in _COLUMNS)})",
            [list(vars(published).values()) for published in units.values()],
        )
    part.rename(folder / FILE)
    if is_current:
        _point(shelf.current, Path(name))
        if not shelf.door.is_symlink():
            _point(shelf.door, Path("published") / "current" / FILE)
    return folder / FILE


_PUBLICATIONS = """
    create table publications (
        unit varchar, folder varchar, fingerprint varchar, table_count bigint, build_number bigint,
        invocation_id varchar, raw_fingerprint varchar, published_at timestamptz, root varchar,
        is_simulated boolean
    )
"""


def _views(folder: Path) -> Iterator[str]:
    """A view over every parquet file of a unit, in the schema its folder names."""
    for file in sorted(folder.rglob("*.parquet")):
        inner = file.parent.relative_to(folder)
        schema = MARTS if inner == Path() else f"{MARTS}_{inner}"
        yield f'create schema if not exists "{schema}"'
        yield f'create view "{schema}"."{file.stem}" as from read_parquet({_quoted(file)})'


def _point(link: Path, target: Path) -> None:
    """Make `link` lead to `target`, in one step for whoever follows it."""
    part = link.with_name(f"{link.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(link)


def prune(shelf: Shelf, keep_days: float = KEEP_DAYS) -> None:
    """Delete publications that are old and that no reader may hold, and units' folders that no other one uses."""
    try:
        current = shelf.current.readlink().name
    except OSError:
        return
    names = sorted(path.name for path in shelf.folder.iterdir() if is_id(path.name))
    for name, successor in zip(names, [*names[1:], None], strict=True):
        if name != current and not _may_be_read(
            shelf.folder / name, successor, is_past=name < current, keep_days=keep_days
        ):
            shutil.rmtree(shelf.folder / name)
    used = {link.resolve() for link in shelf.folder.glob("*/*") if link.is_symlink()}
    for folder in shelf.wings.glob("*/*"):
        if folder.resolve() not in used:
            shutil.rmtree(folder)


def _may_be_read(folder: Path, successor: str | None, is_past: bool, keep_days: float) -> bool:
    """Whether a publication other than the current one may still be asked; what a kill left unfinished is not."""
    if not is_past or successor is None or not (folder / FILE).exists():
        return False
    if publication_age_days(successor) < max(KEEP_SECONDS / 86_400, keep_days):
        return True
    return _is_held(folder / FILE)


def _is_held(file: Path) -> bool:
    """Whether another process has a database file open: DuckDB keeps a read lock on it for as long."""
    try:
        with file.open("r+b") as handle:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


_STAMP = "%Y%m%dT%H%M%S"
_ID = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{6}")


def _new_id() -> str:
    """A name that sorts by time."""
    return f"{datetime.now(UTC):{_STAMP}%f}-{uuid.uuid4().hex[:6]}"


def is_id(name: str) -> bool:
    """Whether it is a publication's name."""
    return _ID.fullmatch(name) is not None


def _identifier(node: Node) -> str:
    return f'"{node.schema}"."{node.name}"'


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
