"""A wing's whole line on an object store, by the commands a person calls: extract, resume, build, sql, repair."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from simulate.bars import RunningBars
from tests.bars_line_fixtures import extract
from tests.line_fixtures import Line
from tests.object_store import KEY, SECRET, ObjectStore, running

pytestmark = pytest.mark.long
BARS = "select count(*) as n, sum(hash(symbol, bar_at, open, high, low, close, volume))::varchar as told from bars_m15"


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with running() as made:
        yield made


def on_objects(line: Line, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same configuration, with its raw zone in the object store."""
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    path = line.folder / "foreshore.toml"
    path.write_text(path.read_text().replace(f'raw_url = "{line.folder}/raw"', 'raw_url = "s3://lake/traders/raw"'))


def clean(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    said = done.stdout + done.stderr
    assert "Traceback" not in said and SECRET not in said and KEY not in said, said[-3000:]
    return done


def answer(line: Line) -> list[dict[str, object]]:
    done = clean(line.cli("sql", BARS, "--format", "json"))
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def built(line: Line) -> None:
    done = clean(line.cli("build"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_line_of_bars_on_an_object_store(
    bars_line: Line, bars_market: RunningBars, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_objects(bars_line, store, monkeypatch)
    assert clean(bars_line.cli("doctor")).returncode in (0, 1)
    store.faults.throttled, store.faults.cut = 0.05, 0.1
    assert clean(extract(bars_line, bars_market)).returncode == 0
    assert clean(extract(bars_line, bars_market)).returncode == 3, "what is complete is not fetched again"
    built(bars_line)
    first = answer(bars_line)
    assert first[0]["n"] and store.faults.seen["throttled"] > 0

    store.faults.heal()
    key = next(key for key in sorted(store.stored()) if "/bars/" in key and "empty" not in key)
    store.write(key, store.read(key)[:-20])
    refused = clean(bars_line.cli("build"))
    assert refused.returncode == 1 and "foreshore repair" in refused.stdout + refused.stderr
    assert answer(bars_line) == first, "readers keep what passed"
    assert "damaged" in clean(bars_line.cli("status")).stdout
    mended = clean(bars_line.cli("repair", **bars_market.environ))
    assert mended.returncode == 0, mended.stderr[-2000:]

    moved = bars_line.folder / "elsewhere"  # the same store from a machine that has seen nothing of it
    moved.mkdir()
    config = (bars_line.folder / "foreshore.toml").read_text()
    (moved / "foreshore.toml").write_text(config.replace(f'root = "{bars_line.folder}"', f'root = "{moved}"'))
    other = Line(None, moved)  # type: ignore[arg-type]
    built(other)
    assert answer(other) == first
    written = [path for folder in (bars_line.folder, moved) for path in folder.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in written)
