"""Publications that others read: put into a store by who builds, taken by who only asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from extract.errors import StorageError
from operate import shared
from operate import shelf as shelves
from operate.shelf import PublicationError, Shelf
from operate.warehouse import Warehouse, query
from tests.object_store import SECRET, ObjectStore, running
from tests.publication_fixtures import WINGS, Small, project

URL = "s3://lake/foreshore/published"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("shared")
    made = Small(project(folder / "project"), folder / "data")
    made.land(1)
    made.build()
    return made


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with running() as made:
        for name, value in made.environ.items():
            monkeypatch.setenv(name, value)
        yield made


def reader(folder: Path, url: str = URL) -> Warehouse:
    """A machine that builds nothing."""
    folder.mkdir(exist_ok=True)
    return Warehouse(folder, f"{folder}/raw", published_url=url)


def versions(of: Warehouse) -> dict[str, int]:
    """The one version that each wing's tables are of."""
    found = {}
    for wing in WINGS:
        rows = query(of, f"select distinct version from {wing}_votes union select version from {wing}_powers")[1]
        assert len(rows) == 1, rows
        found[wing] = rows[0][0]
    return found


@pytest.mark.slow
def test_one_machine_builds_and_another_reads(template: Small, store: ObjectStore, tmp_path: Path) -> None:
    shelf, other = template.warehouse.shelf, reader(tmp_path / "other")
    with pytest.raises(Exception, match="nothing is published"):
        query(other, "select 1")
    assert shared.push(shelf, URL, 8) > 4 and shared.push(shelf, URL, 8) == 0
    assert versions(other) == dict.fromkeys(WINGS, 1)
    gets = store.faults.seen["GET"]
    assert versions(other) == dict.fromkeys(WINGS, 1) and store.faults.seen["GET"] - gets < 8  # records, and no row
    template.land(2, bad=("lending",))
    template.build()
    assert shared.push(shelf, URL, 8) > 0
    assert versions(other) == {"voting": 2, "lending": 1}
    first, second = (shelves.published_at(name) for name in shelf.kept()[-2:])
    assert versions(replace(other, as_of=first.isoformat())) == dict.fromkeys(WINGS, 1)
    newcomer = reader(tmp_path / "newcomer")
    assert versions(replace(newcomer, as_of=first.isoformat())) == dict.fromkeys(WINGS, 1)
    assert versions(replace(newcomer, as_of=second.isoformat())) == {"voting": 2, "lending": 1}
    with pytest.raises(PublicationError, match="no publication stood"):
        versions(replace(newcomer, as_of=(first - timedelta(days=1)).isoformat()))
    store.faults.throttled = 1.0
    assert versions(other) == {"voting": 2, "lending": 1}  # out of reach: what was taken last, and a word about it
    store.faults.heal()
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and SECRET.encode() in f.read_bytes()]


def test_machines_that_build_different_wings_do_not_meet(template: Small, tmp_path: Path) -> None:
    url = f"{tmp_path}/shared"
    shelf = template.warehouse.shelf
    units, assembled = shelf.units(), shelf.assembled()
    for wing in WINGS:  # each of them has the door and one wing
        alone = Shelf(tmp_path / wing)
        mine = {u: replace(p, root=str(alone.root)) for u, p in units.items() if u in (wing, "door")}
        for one in mine.values():
            (alone.root / one.folder).parent.mkdir(parents=True)
            (alone.root / one.folder).symlink_to(shelf.root / one.folder)
        shelves.put_up(alone, mine, assembled)
        shared.push(alone, url, 8)
    found = versions(reader(tmp_path / "reader", url))
    assert set(found) == set(WINGS)


def test_a_file_that_was_changed_there_is_not_taken(template: Small, tmp_path: Path) -> None:
    url = f"{tmp_path}/shared"
    shared.push(template.warehouse.shelf, url, 8)
    other = reader(tmp_path / "reader", url)
    file = sorted((tmp_path / "shared" / "wings" / "voting").rglob("voting_votes.parquet"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StorageError, match="is not as it was published"):
        query(other, "select 1")
    assert other.shelf.current_file() is None
    file.write_bytes(whole)
    assert set(versions(other)) == set(WINGS)


def test_old_records_go_and_what_they_alone_used(template: Small, tmp_path: Path) -> None:
    url = f"{tmp_path}/shared"
    shelf = template.warehouse.shelf
    shared.push(shelf, url, 8)
    before = sorted((tmp_path / "shared" / "wings" / "voting").iterdir())
    template.land(5)
    template.build()
    shared.push(shelf, url, 8)
    assert len(list((tmp_path / "shared" / "wings" / "voting").iterdir())) == 2
    template.land(6)
    template.build()
    shared.push(shelf, url, 0)
    left = sorted((tmp_path / "shared" / "wings" / "voting").iterdir())
    assert len(left) == 1 and before[0] not in left
    assert versions(reader(tmp_path / "reader", url)) == dict.fromkeys(WINGS, 6)
