"""The shelf of publications: which there are, what stood when, how one is put up in one act and when it goes.

Under `<root>/published`:

    wings/<unit>/<id>/...   parquet of one unit, written once and never changed
    <id>/foreshore.duckdb   a small file of views over the parquet of every unit, with the table `publications`
    <id>/<unit>             links to the units' folders
    current                 a link to the publication readers get; replacing it is the whole swap

`<root>/foreshore.duckdb` links through `current`, so file and parquet change together or not at all. A reader that has
the file open keeps the file and the parquet it began with: an old publication is deleted only when no process holds its
file and it has stood aside for as long as publications are kept. Until then it can be asked what was known (`at`). One
that holds the same parquet as the one before it goes sooner: the one before it answers for its time, and for its name.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from extract.errors import ForeshoreError

MARTS = "main"
FILE = "foreshore.duckdb"
READABLE_FROM = "v1.2.0"  # of DuckDB: command lines and other tools are older than the library that builds
ASSEMBLED = "assembled.json"  # beside it: which views stand over several units, and what they read
Assembled = Mapping[str, list[tuple[str, str]]]  # view -> (unit, table of it); quoted names
KEEP_SECONDS = 3600.0  # at least, for readers that no lock shows: this process's own, and those of other machines
KEEP_DAYS = 8.0  # "what did we know on Monday"; what did not change between two publications is there once
SAME_SECONDS = 300.0  # how long one stands aside that holds what the one before it holds: builds may come by the minute


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
            stood = [name for name in names if name <= wanted <= names[-1]]
            if not stood:
                raise PublicationError(f"there is no publication {wanted} (any more): {_spoken(names)}")
            return self.folder / stood[-1] / FILE
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
    name = name or new_id()
    folder = shelf.folder / name
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left of the same one
    folder.mkdir(parents=True)
    for unit, published in units.items():
        (folder / unit).symlink_to(Path("..") / Path(published.folder).relative_to("published"))
    (folder / ASSEMBLED).write_text(json.dumps(assembled))
    part = folder / f"{FILE}.part"
    with duckdb.connect(str(part), config={"storage_compatibility_version": READABLE_FROM}) as connection:
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
        yield f'create view "{schema}"."{file.stem}" as from read_parquet({quoted(file)})'


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
    before: dict[str, str] = {}  # what the newest one kept so far holds
    for name, successor in zip(names, [*names[1:], None], strict=True):
        folder, units = shelf.folder / name, _units(shelf.folder / name)
        days = min(keep_days, SAME_SECONDS / 86_400) if units == before else max(KEEP_SECONDS / 86_400, keep_days)
        if name == current or _may_be_read(folder, successor, is_past=name < current, keep_days=days):
            before = units
        else:
            shutil.rmtree(folder)
    used = {link.resolve() for link in shelf.folder.glob("*/*") if link.is_symlink()}
    for folder in shelf.wings.glob("*/*"):
        if folder.resolve() not in used:
            shutil.rmtree(folder)


def _units(folder: Path) -> dict[str, str]:
    """Whose parquet a publication holds, by unit."""
    return {link.name: str(link.readlink()) for link in folder.iterdir() if link.is_symlink()}


def _may_be_read(folder: Path, successor: str | None, is_past: bool, keep_days: float) -> bool:
    """Whether a publication other than the current one may still be asked; what a kill left unfinished is not."""
    if not is_past or successor is None or not (folder / FILE).exists():
        return False
    if publication_age_days(successor) < keep_days:
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


def new_id() -> str:
    """A name that sorts by time."""
    return f"{datetime.now(UTC):{_STAMP}%f}-{uuid.uuid4().hex[:6]}"


def is_id(name: str) -> bool:
    """Whether it is a publication's name."""
    return _ID.fullmatch(name) is not None


def quoted(text: Path | str) -> str:
    """A path or another text as a literal of SQL."""
    return "'" + str(text).replace("'", "''") + "'"
