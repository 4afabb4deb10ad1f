"""Tasks that need one another: each once, after what it needs, the longest chain first, never too many at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operate.voting.watch.schedule import ranks, run_all


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 14), max_size=4), min_size=1, max_size=15), st.integers(1, 4))
def test_each_task_runs_once_after_what_it_needs(drawn: list[set[int]], at_once: int) -> None:
    needs = {str(n): {str(m) for m in before if m < n} for n, before in enumerate(drawn)}
    done: list[str] = []
    working, most, lock = 0, 0, threading.Lock()

    def work(name: str) -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
            assert needs[name] <= set(done)
        with lock:
            done.append(name)
            working -= 1

    with ThreadPoolExecutor(4) as workers:
        tasks = {name: (lambda name=name: work(name)) for name in needs}
        run_all(workers, at_once, tasks, needs, ranks(needs, dict.fromkeys(needs, 1.0)))
    assert sorted(done) == sorted(needs) and most <= at_once


def test_the_longest_chain_goes_first() -> None:
    needs = {"a": set(), "short": set(), "b": {"a"}, "c": {"b"}}
    rank = ranks(needs, {"a": 1.0, "short": 2.0, "b": 1.0, "c": 1.0})
    assert rank == {"a": 3.0, "b": 2.0, "c": 1.0, "short": 2.0}
    order: list[str] = []
    with ThreadPoolExecutor(1) as workers:
        run_all(workers, 1, {name: (lambda name=name: order.append(name)) for name in needs}, needs, rank)
    assert order[0] == "a" and order[-1] == "c"


def test_what_fails_is_raised_when_those_at_work_are_done() -> None:
    needs = {"bad": set(), "slow": set(), "after": {"bad"}}
    over: list[str] = []

    def slow() -> None:
        time.sleep(0.2)
        over.append("slow")

    def bad() -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(2) as workers, pytest.raises(ValueError, match="no"):
        run_all(workers, 2, {"bad": bad, "slow": slow, "after": lambda: over.append("after")}, needs, {"bad": 2.0})
    assert over == ["slow"]
