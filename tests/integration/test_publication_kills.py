"""Build and publication killed anywhere, with any dbt flags, on two roots: no unaudited row is ever readable."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extract.errors import Busy
from operate.shelf import PublicationError
from operate.warehouse import WarehouseError, query
from tests.kill_points import Killer, killer
from tests.publication_fixtures import ROWS, WINGS, Small, project

KILLS = 40
SEED = 20261127
WHOLE: list[list[str]] = [[], [], [], ["--full-refresh"], ["--fail-fast"]]
PARTIAL = [
    ["--empty"],
    ["--exclude-resource-type", "test"],
    ["--exclude-resource-type", "unit_test"],
    ["--resource-type", "model"],
    ["--exclude", "test_name:no_bad_rows"],
    ["--select", "resource_type:model"],
]


def build(builder: Killer, small: Small, flags: list[str], step: int = 0, during: bool = False) -> dict[str, Any]:
    return builder.run(folder=str(small.folder), root=str(small.root), flags=flags, step=step, during=during)


@pytest.fixture
def builder() -> Iterator[Killer]:
    with killer("tests.publication_kills") as made:
        yield made


@pytest.mark.long
def test_killed_at_forty_points_no_unaudited_row_is_readable(tmp_path: Path, builder: Killer) -> None:
    folder, dice = project(tmp_path / "project"), random.Random(SEED)
    roots = [Small(folder, tmp_path / name) for name in ("first", "second")]
    seen: list[dict[str, int]] = [{}, {}]
    for number, small in enumerate(roots):
        small.land(number)
        done = build(builder, small, [])
        assert not done["killed"] and done["steps"] > 100
        seen[number] = audited(small, number, {})
        assert seen[number] == dict.fromkeys(WINGS, number)
    all_steps = done["steps"]
    held_back = published = 0
    for kill in range(KILLS):
        number = dice.randrange(2)
        small, version = roots[number], 2 * kill + 2 + number  # even versions belong to the first root
        flags = dice.choice(WHOLE + PARTIAL)
        leaves_out = flags in PARTIAL
        # what a flag leaves out would have failed
        bad = tuple(wing for wing in WINGS if dice.random() < 0.3 or (leaves_out and flags != ["--empty"]))
        small.land(version, bad)
        # half of the kills in the last fifth, where publication is
        first = 1 if dice.random() < 0.5 else all_steps * 4 // 5
        done = build(builder, small, flags, dice.randint(first, all_steps), dice.random() < 0.5)
        before, seen[number] = seen[number], audited(small, number, seen[number])
        news = [wing for wing in WINGS if seen[number][wing] != before[wing]]
        assert not news or not leaves_out, (flags, news)
        assert not set(news) & set(bad), (flags, bad, news)
        published, held_back = published + bool(news), held_back + (not news)
        assert audited(roots[1 - number], 1 - number, seen[1 - number]) == seen[1 - number]
    assert published >= 3 and held_back >= 10, "kills came all before or all after the publication"
    for number, small in enumerate(roots):
        small.land(1000 + number)
        assert not build(builder, small, [])["killed"]
        assert audited(small, number, seen[number]) == dict.fromkeys(WINGS, 1000 + number)


def audited(small: Small, number: int, before: dict[str, int]) -> dict[str, int]:
    """The version of every wing, after a reader came by; every table and parquet file of a wing is of that one."""
    try:
        query(small.warehouse, "select 1")
    except (WarehouseError, Busy, PublicationError) as error:
        pytest.fail(f"a reader was refused: {error}")
    found = {}
    for wing, tables in small.readable().items():
        assert len(tables) == 1, (wing, tables)
        [(version, rows, bad_rows)] = tables
        assert (rows, bad_rows) == (ROWS, 0) and version % 2 == number and version >= before.get(wing, 0)
        found[wing] = version
    return found
