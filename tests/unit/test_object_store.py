"""A raw zone in an S3-compatible store: landed, read, audited and mended as in a folder, whatever the store does."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest

from extract import integrity, land, mirror
from extract.config import read_config
from extract.errors import Busy, ConfigError, StorageError
from extract.integrity import audit, prepare, put_aside
from extract.lake import Lake, mirror_folder
from extract.ledger import Ledger
from extract.store import file_system
from operate.dbt_build import BuildInUse, Plugin
from operate.failing import spoken
from operate.rebuild import _fetch_store
from operate.warehouse import Warehouse
from tests.object_store import KEY, SECRET, ObjectStore, running
from tests.unit.test_integrity import SCHEMA, landed, partition

pytestmark = pytest.mark.long

URL = "s3://lake/foreshore/raw"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(integrity, "LISTING_PATIENCE", (0.1, 0.1))
    yield server
    server.faults.heal()
    for key in server.stored():
        server.client().delete_object(Bucket="lake", Key=key)


@pytest.fixture
def lake(store: ObjectStore, tmp_path: Path) -> Lake:
    made = Lake(URL, False, tmp_path / "mirror")
    with made.lock():
        prepare(made, {"things": SCHEMA})
    return made


def again(lake: Lake) -> Lake:
    """The same store as another process sees it, with the same mirror."""
    assert lake.mirror is not None
    return Lake(lake.url, False, lake.mirror.folder)


def values(lake: Lake) -> dict[str, int]:
    return {row["partition_id"]: row["value"] for row in lake.read_committed("things", SCHEMA).to_pylist()}


def key_of(store: ObjectStore, table: str, load: str) -> str:
    (found,) = (key for key in store.stored() if f"/{table}/{load}" in key)
    return found


def test_what_lands_is_read_by_another_and_crosses_the_network_once(lake: Lake, store: ObjectStore) -> None:
    load = landed(lake, "a", "b")
    other = again(lake)
    assert other.committed_loads() == [load] and values(other) == {
        partition("a").partition_id: 1,
        partition("b").partition_id: 1,
    }
    assert set(Ledger.read(other).states) == set(values(other)) and audit(other) == []
    before = store.faults.seen["GET"]
    values(again(lake)), Ledger.read(again(lake))
    assert store.faults.seen["GET"] == before, "what stands in the mirror is not fetched again"


def test_one_extraction_a_machine(lake: Lake) -> None:
    with lake.lock(), pytest.raises(Busy, match="another extraction"), again(lake).lock():
        pass


def test_a_damaged_object_is_found_put_aside_and_its_partition_due_again(lake: Lake, store: ObjectStore) -> None:
    first, second = landed(lake, "a"), landed(lake, "b")
    key = key_of(store, "things", first)
    store.write(key, store.read(key)[:-9])  # half an object
    (damage,) = audit(again(lake))
    assert damage.load_id == first and damage.partitions == (partition("a").partition_id,)
    healing = again(lake)
    with healing.lock():
        put_aside(healing, [damage])
    assert audit(again(lake)) == [] and set(values(again(lake))) == {partition("b").partition_id}
    state = Ledger.read(again(lake)).state(partition("a"))
    assert state is not None and state.complete is None and state.was_damaged
    assert f"foreshore/raw/_damaged/{first}/things.parquet" in store.stored()
    assert second in again(lake).committed_loads()


def test_a_deleted_object_is_missed_after_a_second_look(lake: Lake, store: ObjectStore) -> None:
    load = landed(lake, "a")
    store.client().delete_object(Bucket="lake", Key=key_of(store, "things", load))
    (damage,) = audit(again(lake))
    assert damage.lacks_files and "was deleted" in damage.reasons[0]


def test_a_listing_that_lags_is_waited_for(lake: Lake, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit record is listed already, the rows are not yet: nothing is damaged, nothing is swept."""
    load = landed(lake, "a")
    record = next(key for key in store.stored() if load in key and "_dlt_loads" in key)
    store.faults.lag_seconds = 2.5
    store.faults._put_at = {key: at for key, at in store.faults._put_at.items() if unquote(key) != record}
    monkeypatch.setattr(integrity, "LISTING_PATIENCE", (1.0, 2.0, 3.0))
    other = again(lake)
    assert audit(other) == [] and store.faults.seen["hidden"] > 0
    assert set(values(other)) == {partition("a").partition_id}


def test_a_lagging_record_sweeps_nothing(lake: Lake, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    load = landed(lake, "a")
    record = next(key for key in store.stored() if load in key and "_dlt_loads" in key)
    body = store.read(record)
    store.client().delete_object(Bucket="lake", Key=record)  # as a listing without it looks
    assert again(lake).sweep() == 0
    store.write(record, body)
    assert set(values(again(lake))) == {partition("a").partition_id}
    store.client().delete_object(Bucket="lake", Key=record)
    monkeypatch.setattr(land, "ORPHAN_SECONDS", -1.0)  # a day later it is an orphan
    assert again(lake).sweep() == 3


@pytest.mark.long
def test_throttling_and_broken_bodies_lose_nothing(
    lake: Lake, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_PAUSES", (0.01,) * 8)
    store.faults.throttled, store.faults.cut = 0.12, 0.3
    for n in range(4):
        landed(lake, f"k{n}", value=n)
    assert values(again(lake)) == {partition(f"k{n}").partition_id: n for n in range(4)}
    assert store.faults.seen["throttled"] > 5 and store.faults.seen["cut"] > 0
    assert audit(again(lake)) == []


@pytest.mark.long
def test_a_store_that_only_throttles_ends_in_one_line(
    lake: Lake, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    store.faults.throttled = 1.0
    with pytest.raises(Exception) as refused:
        landed(lake, "a")
    assert "\n" not in spoken(refused.value) and "throttling" in spoken(refused.value), spoken(refused.value)


def test_the_view_for_dbt_holds_what_is_committed_and_follows(lake: Lake, store: ObjectStore, tmp_path: Path) -> None:
    first, second = landed(lake, "a", value=1), landed(lake, "a", value=2)
    orphan = key_of(store, "things", first).replace(first, "1700000000.5")
    store.write(orphan, store.read(key_of(store, "things", first)))
    shown = again(lake).for_reading()
    assert shown.is_local and shown.committed_loads() == [first, second] and audit(shown) == []
    assert not list(Path(shown.path).rglob("1700000000.5*"))
    other = again(lake)
    with other.lock():
        put_aside(other, [damage_of(other, store, first)])
    assert again(lake).for_reading().committed_loads()[0] == second
    assert audit(Lake(shown.path)) == []


def damage_of(lake: Lake, store: ObjectStore, load: str) -> Any:
    key = key_of(store, "things", load)
    store.write(key, b"PAR1")
    (damage,) = audit(lake)
    return damage


def test_a_copy_that_went_wrong_is_fetched_once_more(lake: Lake, store: ObjectStore, tmp_path: Path) -> None:
    load = landed(lake, "a")
    root = tmp_path / "root"
    config = tmp_path / "foreshore.toml"
    config.write_text(f'[storage]\nroot = "{root}"\nraw_url = "{URL}"\n')
    warehouse = Warehouse.of(read_config(config))
    assert warehouse.raw_url != URL and str(root) in warehouse.raw_url
    Lake(URL, False, mirror_folder(root, URL)).for_reading()
    (copy,) = (mirror_folder(root, URL) / "things").glob(f"{load}*")
    before = copy.stat()
    copy.write_bytes(b"x" * before.st_size)
    os.utime(copy, (before.st_atime, before.st_mtime))
    _fetch_store(warehouse)
    assert audit(Lake(warehouse.raw_url)) == [] and copy.read_bytes()[:4] == b"PAR1"


def test_no_key_and_no_secret_stands_in_any_file(lake: Lake, store: ObjectStore, tmp_path: Path) -> None:
    landed(lake, "a")
    again(lake).for_reading()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    written += [store.read(key) for key in store.stored()]
    assert len(written) > 10
    assert not any(word.encode() in body for body in written for word in (KEY, SECRET))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials: set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "out of reach: check AWS_ENDPOINT_URL"),
    ],
)
def test_refusals_name_their_cure(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], expected: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(Exception) as refused:
        Lake(URL, False, tmp_path / "mirror").committed_loads()
    s3fs.S3FileSystem.clear_instance_cache()
    said = spoken(refused.value)
    assert expected in said and "\n" not in said and SECRET not in said


def test_a_bucket_that_is_not_there_is_named_and_not_made(store: ObjectStore, tmp_path: Path) -> None:
    made = Lake("s3://nowhere-to-be-found/raw", False, tmp_path / "mirror")
    with pytest.raises(Exception) as refused, made.lock():
        pass
    assert "no such bucket" in spoken(refused.value)
    assert [bucket["Name"] for bucket in store.client().list_buckets()["Buckets"]] == ["lake"]


def test_bare_dbt_says_what_to_run() -> None:
    with pytest.raises(BuildInUse, match="foreshore build"):
        Plugin.create("operate.dbt_build", config={"raw": URL, "file": "unused"}, credentials=None)


def test_without_the_package_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3fs" else known(name))
    with pytest.raises(ConfigError, match=r"pip install 'foreshore\[s3\]'"):
        file_system(URL)


def test_credentials_in_the_url_are_refused_unseen(tmp_path: Path) -> None:
    config = tmp_path / "foreshore.toml"
    config.write_text(f'[storage]\nraw_url = "s3://{KEY}:{SECRET}@lake/raw"\n')
    with pytest.raises(ConfigError) as refused:
        _ = read_config(config).raw_url
    assert KEY not in str(refused.value) and SECRET not in str(refused.value)


def test_a_name_that_leaves_its_folder_is_refused(lake: Lake) -> None:
    assert lake.mirror is not None
    with pytest.raises(StorageError, match="leaves it"):
        lake.mirror.copy_of(f"{lake.path}/things/../../../etc/passwd")


def test_rows_that_cannot_be_read_are_a_storage_error(lake: Lake, store: ObjectStore) -> None:
    load = landed(lake, "a")
    store.write(key_of(store, "things", load), b"PAR1 and nothing else")
    with pytest.raises(StorageError, match="foreshore repair"):
        again(lake).read_committed("things", SCHEMA)
    assert isinstance(SCHEMA, pa.Schema)
