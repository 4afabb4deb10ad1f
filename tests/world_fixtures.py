"""A small world, shared by every test that needs a chain, and the plainest way to ask it something."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simulate
from simulate import voting as voting_world


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    """Three ended epochs and an open one, ten gauges, eight voters; its agents' books in `actions()`."""
    folder: Path = tmp_path_factory.mktemp("world")
    with voting_world.running(folder) as world:
        yield world


@pytest.fixture
def healthy_world(small_world: simulate.RunningWorld) -> Iterator[simulate.RunningWorld]:
    """The same world; faults a test switches on are off again after it."""
    yield small_world
    small_world.heal()


def post(url: str, body: Any, timeout: float = 10.0) -> Any:
    """The decoded answer to a JSON-RPC request or batch."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())


def ask(url: str, method: str, *params: Any) -> Any:
    """The result of one call; AssertionError for a refusal."""
    reply = post(url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert "error" not in reply, reply["error"]
    return reply["result"]


def ask_all(url: str, calls: list[tuple[str, list[Any]]]) -> list[Any]:
    """The replies to a batch, in the order asked: results, or error objects for refusals."""
    body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
    replies = {reply["id"]: reply for reply in post(url, body)}
    return [replies[i].get("result", replies[i].get("error")) for i in range(len(calls))]
