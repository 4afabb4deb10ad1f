"""What stands at each window by events, as the model finds it by ranges, against asking every vote at every window."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

SQL = Path(__file__).parents[3] / "models" / "intermediate" / "voting" / "int_votes_by_voter.sql"
EPOCHS, LENGTH = 3, 10  # blocks 0..29; an epoch's blocks are [10 n, 10 n + 10), the last has no flip yet
Event = tuple[str, int, int, int, int, int]  # kind, block, gauge, voter, sign, amount

events = st.lists(
    st.tuples(
        st.sampled_from(["vote", "vote", "vote", "gauge_killed"]),
        st.integers(0, EPOCHS * LENGTH - 1),
        st.integers(0, 1),
        st.integers(0, 1),
        st.sampled_from([1, 1, -1]),
        st.integers(0, 5),
    ),
    max_size=14,
)
# a window's epoch may be one that was never extracted (-1), several may observe the same block
windows = st.sets(st.tuples(st.integers(-1, EPOCHS - 1), st.integers(0, 9)), min_size=1, max_size=8)


def at(block: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=block)


def tables(found: list[Event], observed: set[tuple[int, int]], restarts: bool, clears: bool) -> dict[str, pa.Table]:
    rows: dict[str, list[dict[str, Any]]] = {
        "stg_voting__events": [
            {
                "protocol": "p", "block_number": block, "log_index": place, "block_at": at(block), "event_kind": kind,
                "is_counted": True, "actor": f"v{voter}", "gauge_address": f"g{gauge}", "pool_address": None,
                "vote_sign": sign, "amount_raw": amount,
            }
            for place, (kind, block, gauge, voter, sign, amount) in enumerate(found)
        ],
        "stg_voting__epochs": [
            {
                "protocol": "p", "epoch": n + 1, "start_block": n * LENGTH,
                "flip_block": (n + 1) * LENGTH if n + 1 < EPOCHS else None,
                "votes_reset_each_epoch": restarts, "kill_clears_votes": clears,
            }
            for n in range(EPOCHS)
        ],
        "stg_voting__windows": [
            {
                "protocol": "p", "epoch": n + 1 if n >= 0 else -604800, "decision_window": f"w{place}",
                "observed_block": max(n, 0) * LENGTH + place // 2, "observed_at": at(place),
            }
            for n, place in observed
        ],
        "stg_voting__gauge_states": [
            {"protocol": "p", "gauge_address": f"g{n}", "pool_address": f"pool{n}"} for n in range(2)
        ],
    }  # fmt: skip
    return {name: pa.Table.from_pylist(of) if of else _NO_EVENTS for name, of in rows.items()}


_NO_EVENTS = pa.schema(
    [(name, pa.string()) for name in ("protocol", "event_kind", "actor", "gauge_address", "pool_address")]
    + [(name, pa.int64()) for name in ("block_number", "log_index", "vote_sign", "amount_raw")]
    + [("block_at", pa.timestamp("us", "UTC")), ("is_counted", pa.bool_())]
).empty_table()


def slowly(given: dict[str, pa.Table], restarts: bool, clears: bool) -> set[tuple[Any, ...]]:
    """Every span of votes asked at every window."""
    found = given["stg_voting__events"].to_pylist()
    votes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(found, key=lambda row: (row["block_number"], row["log_index"])):
        if row["event_kind"] == "vote":
            span = row["block_number"] // LENGTH + 1 if restarts else 0
            votes.setdefault((row["actor"], row["gauge_address"], span), []).append(row)
    answers = set()
    for (voter, gauge, span), rows in votes.items():
        total = 0
        for row, after in pairwise([*rows, None]):
            delta = row["amount_raw"] * row["vote_sign"]
            total = total + delta if restarts else delta
            epoch = row["block_number"] // LENGTH + 1
            for window in given["stg_voting__windows"].to_pylist():
                block = window["observed_block"]
                killed = [
                    kill["block_number"]
                    for kill in found
                    if clears and kill["event_kind"] == "gauge_killed" and kill["gauge_address"] == gauge
                    and kill["block_number"] // LENGTH + 1 == epoch == window["epoch"]
                ]  # fmt: skip
                stands = row["block_number"] <= block and (after is None or after["block_number"] > block)
                gone = killed and row["block_number"] <= min(killed) <= block
                if span in (window["epoch"], 0) and stands and not gone and total > 0:
                    answers.add((window["epoch"], window["decision_window"], gauge, voter, total, row["block_number"]))
    return answers


@settings(deadline=None, max_examples=60)
@given(events, windows, st.booleans(), st.booleans())
def test_ranges_of_windows_say_what_every_window_says(
    found: list[Event], observed: set[tuple[int, int]], restarts: bool, clears: bool
) -> None:
    given = tables(found, observed, restarts, clears)
    connection = duckdb.connect()
    for name, table in given.items():
        connection.register(name, table)
    rows = connection.execute(re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", SQL.read_text())).fetchall()
    answers = [(row[1], row[2], row[3], row[4], int(row[5]), row[6]) for row in rows]
    assert len(answers) == len(set(answers))
    assert set(answers) == slowly(given, restarts, clears)
