"""The lending world, shared by every test that needs lending markets, and plain reads of its contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode

import simulate
from simulate import lending
from simulate.chain.contracts import calldata
from tests.world_fixtures import ask_all

Row = dict[str, Any]


@pytest.fixture(scope="session")
def lending_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    """Every lending market over ten New York days; `info["truth"]` is what a panel must find."""
    folder: Path = tmp_path_factory.mktemp("lending_world")
    with lending.running(folder) as world:
        yield world


@pytest.fixture(scope="session")
def small_lending_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    """Fewer lending markets over four New York days."""
    folder: Path = tmp_path_factory.mktemp("small_lending_world")
    with lending.running(folder, days=4, small=True) as world:
        yield world


@pytest.fixture
def healthy_lending_world(lending_world: simulate.RunningWorld) -> Iterator[simulate.RunningWorld]:
    """The same world; faults a test switches on are off again after it."""
    yield lending_world
    lending_world.heal()


def snapshot(world: simulate.RunningWorld, csu_id: str, date: str) -> Row:
    """The truth of one CSU and day."""
    found = [s for s in world.info["truth"]["snapshots"] if (s["csu_id"], s["date"]) == (csu_id, date)]
    assert len(found) == 1
    return dict(found[0])


def csu(world: simulate.RunningWorld, csu_id: str) -> Row:
    """One deployment as lending_world.json has it."""
    return dict(next(c for c in world.info["csus"] if c["csu_id"] == csu_id))


class Reader:
    """`eth_call` in the plainest way, at one block; `None` is a revert."""

    def __init__(self, url: str, block: int) -> None:
        self.url, self.block = url, hex(block)

    def one(self, to: str, function: str, returns: str, *arguments: Any) -> Any:
        return self.many([(to, function, returns, *arguments)])[0]

    def many(self, asked: list[tuple[Any, ...]]) -> list[Any]:
        """Each `(to, function, return types, arguments...)`: its value, or a tuple of several."""
        calls: list[tuple[str, list[Any]]] = [
            ("eth_call", [{"to": to, "data": calldata(function, *rest)}, self.block])
            for to, function, _, *rest in asked
        ]
        return [
            _decoded(reply, returns)
            for reply, (_, _, returns, *_rest) in zip(ask_all(self.url, calls), asked, strict=True)
        ]


def _decoded(reply: Any, returns: str) -> Any:
    if not isinstance(reply, str):
        return None
    types = [t for t in returns.split(" ") if t]
    values = decode(types, bytes.fromhex(reply[2:]))
    return values[0] if len(values) == 1 else values
