"""The fast reader of logs says what a JSON parser says, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evm.errors import DecodeError
from extract.evm.grid import read_grid
from extract.evm.wire import check_logs, in_order, parse_any, parse_logs, times_fit

HEX = "0123456789abcdef"


def a_log(chance: random.Random, topics: int, length: int, timed: bool) -> dict[str, Any]:
    def text(digits: int) -> str:
        return "0x" + "".join(chance.choices(HEX, k=digits))

    log = {
        "address": text(40),
        "topics": [text(64) for _ in range(topics)],
        "data": text(length),
        "blockHash": text(64),
        "blockNumber": hex(chance.randrange(1 << 40)),
        "transactionHash": text(64),
        "transactionIndex": hex(chance.randrange(500)),
        "logIndex": hex(chance.randrange(5_000)),
        "removed": False,
    }
    return log | ({"blockTimestamp": hex(chance.randrange(1 << 33))} if timed else {})


def rows(table: Any) -> list[Any]:
    return sorted(table.to_pylist(), key=repr)


@settings(max_examples=500, deadline=None)
@given(
    st.integers(0, 9**9),
    st.integers(0, 40),
    st.sampled_from([(3,), (0, 1, 2, 3, 4)]),
    st.sampled_from([(64,), (0,), (0, 64, 192)]),
    st.sampled_from([(True,), (False,), (True, False)]),
    st.booleans(),
)
def test_equals_the_json_parser(seed: int, count: int, topics: Any, lengths: Any, timed: Any, shuffled: bool) -> None:
    chance = random.Random(seed)
    logs = [a_log(chance, chance.choice(topics), chance.choice(lengths), chance.choice(timed)) for _ in range(count)]
    if shuffled:
        order = chance.sample(list(logs[0]), len(logs[0])) if logs else []
        logs = [{key: log[key] for key in order if key in log} for log in logs]
    body = json.dumps(logs, separators=(",", ":")).encode()
    assert rows(parse_logs(body)) == rows(parse_any(body))
    if count and len(timed) == 1 and not shuffled:
        assert read_grid(body) is not None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9**9), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_damage_is_an_error_or_read_alike(seed: int, at: int, damage: bytes) -> None:
    """A few bytes overwritten anywhere: whatever the fast way reads, the parser reads too."""
    chance = random.Random(seed)
    body = bytearray(json.dumps([a_log(chance, 2, 64, True) for _ in range(3)], separators=(",", ":")).encode())
    place = chance.randrange(len(body)) if at > 100 else min(at, len(body) - 1)
    body[place : place + len(damage)] = damage
    if read_grid(bytes(body)) is None:
        return
    try:
        expected = parse_any(bytes(body))
    except DecodeError:
        return  # damage between the strings: the envelope's parser has seen that before this reader is asked
    assert repr(rows(parse_logs(bytes(body)))).lower() == repr(rows(expected)).lower()


def test_as_many_strings_are_not_yet_the_same_layout() -> None:
    """Two topics fewer and a time more: a log with as many strings that mean something else."""
    chance = random.Random(1)
    long, short = a_log(chance, 4, 64, False), a_log(chance, 2, 64, False)
    timed = {
        k: v for key in short for k, v in ((key, short[key]), *([("blockTimestamp", "0x7")] if key == "topics" else []))
    }
    body = json.dumps([long, timed], separators=(",", ":")).encode()
    assert rows(parse_logs(body)) == rows(parse_any(body))
    assert [row["block_timestamp"] for row in rows(parse_logs(body))].count(7) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"removed": True},
        {"blockNumber": 7},
        {"blockNumber": "0xzz"},
        {"logIndex": None},
        {"topics": None},
        {"data": None},
        {"address": 1},
    ],
)
def test_wrong_logs_are_errors(change: dict[str, Any]) -> None:
    log = a_log(random.Random(1), 2, 64, True)
    with pytest.raises(DecodeError):
        parse_logs(json.dumps([log, log | change], separators=(",", ":")).encode())


def test_capitals_become_lower_case_and_spaces_do_not_matter() -> None:
    log = a_log(random.Random(1), 2, 64, True)
    loud = log | {"address": "0x" + log["address"][2:].upper()}
    assert parse_logs(json.dumps([loud]).encode()).to_pylist() == parse_any(json.dumps([log]).encode()).to_pylist()
    assert parse_logs(json.dumps([log, log], indent=1).encode()).num_rows == 2
    assert parse_logs(b"[]").num_rows == 0


def test_checks_after_reading() -> None:
    chance = random.Random(3)
    logs = [
        a_log(chance, 1, 64, True) | {"blockNumber": hex(n), "logIndex": hex(i), "blockHash": f"0x{n:064x}"}
        for n in (7, 5)
        for i in (1, 0)
    ]

    def check(changed: list[dict[str, Any]], addresses: Any = (), topics: Any = (), first: int = 5) -> None:
        check_logs(in_order(parse_logs(json.dumps(changed).encode())), addresses, topics, first, 7)

    table = in_order(parse_logs(json.dumps(logs).encode()))
    assert table["block_number"].to_pylist() == [5, 5, 7, 7]
    assert table["log_index"].to_pylist() == [0, 1, 0, 1]
    check(logs)
    check(logs[:1])
    other, nobody = "0x" + "01" * 32, "0x" + "00" * 20
    for says, made in {
        "for the range 6": lambda: check(logs, first=6),
        "addresses that were not asked for": lambda: check(logs, [nobody]),
        "topic 0 that was not asked for": lambda: check(logs, topics=[[other]]),
        "comes twice": lambda: check([logs[0], logs[0]]),
        "two logs number 1, of different transactions": lambda: check([logs[0], logs[0] | {"transactionHash": other}]),
        "two hashes": lambda: check([logs[0], logs[1] | {"blockHash": other}]),
        "is not 32 bytes": lambda: check([logs[0] | {"transactionHash": "0x12"}]),
        "is not 20 bytes": lambda: check([logs[0] | {"address": "0x12"}]),
        "data of a log is not hex": lambda: check([logs[0] | {"data": "0x12zz"}]),
        "data of a log is not": lambda: check([logs[0] | {"data": "0x123"}]),
    }.items():
        with pytest.raises(DecodeError, match=says):
            made()


@pytest.mark.parametrize("word", ["1700000000", 1_700_000_000, "0x\u0661", None, "soon", "0x" + "f" * 60])
def test_a_time_that_is_no_quantity_is_no_time(word: Any) -> None:
    log = a_log(random.Random(1), 2, 64, True) | {"blockTimestamp": word}
    assert rows(parse_logs(json.dumps([log]).encode()))[0]["block_timestamp"] is None


def test_times_must_follow_numbers_and_lie_between_the_ends() -> None:
    def at(*times: int) -> Any:
        logs = [
            a_log(random.Random(n), 1, 64, True) | {"blockNumber": hex(5 + n), "blockTimestamp": hex(t)}
            for n, t in enumerate(times)
        ]
        return in_order(parse_logs(json.dumps(logs).encode()))

    assert times_fit(at(100, 100, 102), 100, 102)
    for odd in (at(100, 99), at(0, 101), at(100, 102_000)):
        assert not times_fit(odd, 100, 102)
