"""A small world, shared by every test that needs a chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import simulate


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    """Three ended epochs and an open one, ten gauges, eight voters; its agents' books in `actions()`."""
    folder: Path = tmp_path_factory.mktemp("world")
    with simulate.running(folder) as world:
        yield world


@pytest.fixture
def healthy_world(small_world: simulate.RunningWorld) -> Iterator[simulate.RunningWorld]:
    """The same world; faults a test switches on are off again after it."""
    yield small_world
    small_world.heal()
