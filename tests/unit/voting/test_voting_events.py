"""Logs to rows: the rule decides who may speak, what counts, and for which epoch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from extract.evm.abi import Event
from extract.evm.wire import LOG_SCHEMA
from extract.voting.events import Emitters, Stamp, decode, recounted
from extract.voting.families import FAMILIES, Protocol
from extract.voting.tables import EVENTS

VOTER, INNER, OUTER, GAUGE, TOKEN = (f"0x{n:040x}" for n in range(1, 6))
EPOCH = 1_771_459_200
STAMP = Stamp(8453, EPOCH, "voting/events/base/x/all", datetime(2026, 2, 20, tzinfo=UTC))


def emitters(offset: int = 0) -> Emitters:
    family = replace(FAMILIES["thena"], reward_epoch_offset=offset)
    protocol = Protocol("hydrex", "base", VOTER, VOTER, family)
    return Emitters(protocol, {INNER: (GAUGE, "internal"), OUTER: (GAUGE, "external")})


def word(value: int | str) -> str:
    return f"{int(value, 16) if isinstance(value, str) else value:064x}"


def log(signature: str, address: str, topics: list[int | str], data: str, index: int = 0) -> dict[str, object]:
    found = [Event(signature).topic0, *("0x" + word(t) for t in topics)]
    row: dict[str, object] = dict.fromkeys(LOG_SCHEMA.names)
    row |= {f"topic{i}": found[i] if i < len(found) else None for i in range(4)}
    row |= {"block_number": 7, "block_timestamp": EPOCH + 60, "block_hash": "0xb", "transaction_hash": "0xt"}
    return row | {"transaction_index": 0, "log_index": index, "address": address, "data": "0x" + data}


def rows(logs: list[dict[str, object]], of: Emitters) -> list[dict[str, object]]:
    tables = decode(pa.Table.from_pylist(logs, schema=LOG_SCHEMA), of, STAMP, "one")
    return pa.concat_tables([EVENTS.empty_table(), *tables]).sort_by("log_index").to_pylist()


def test_both_bribes_log_the_same_votes_and_one_counts() -> None:
    staked = "Staked(address indexed user, uint256 amount)"
    found = rows([log(staked, INNER, [9], word(50), 0), log(staked, OUTER, [9], word(50), 1)], emitters())
    assert [(r["bribe_kind"], r["is_counted"], r["amount_raw"]) for r in found] == [
        ("internal", False, "50"),
        ("external", True, "50"),
    ]
    assert {r["gauge_address"] for r in found} == {GAUGE}


@pytest.mark.parametrize(("offset", "epoch"), [(0, EPOCH), (604_800, EPOCH - 604_800)])
def test_a_reward_names_its_vote_epoch(offset: int, epoch: int) -> None:
    added = "RewardAdded(address indexed rewardToken, uint256 reward, uint256 startTimestamp)"
    (row,) = rows([log(added, OUTER, [TOKEN], word(2**127) + word(EPOCH))], emitters(offset))
    assert row["event_epoch"] == epoch
    assert row["token_address"] == TOKEN and row["is_counted"] is True
    assert row["amount_raw"] == str(2**127) and row["decode_status"] == "overflow"  # exact beyond 38 digits


def test_strangers_are_not_heard() -> None:
    staked = "Staked(address indexed user, uint256 amount)"
    assert rows([log(staked, TOKEN, [9], word(50)), log(staked, VOTER, [9], word(50))], emitters()) == []


def test_withdrawals_take_back() -> None:
    (row,) = rows([log("Withdrawn(address indexed user, uint256 amount)", OUTER, [9], word(3))], emitters())
    assert (row["sign"], row["amount_raw"], row["actor"]) == (-1, "3", f"0x{9:040x}")


def test_votes_of_a_gauge_whose_bribe_was_replaced_are_counted_on_the_other_one() -> None:
    """The replaced bribe does not log that votes cast before are taken back; a gauge without one is left alone."""
    staked, new = "Staked(address indexed user, uint256 amount)", f"0x{8:040x}"
    replaced = "SetBribeFor(bool isInternal, address indexed old, address indexed latest, address indexed gauge)"
    of = emitters()
    logs = [log(staked, INNER, [9], word(50), 0), log(staked, OUTER, [9], word(50), 1)]
    change = log(replaced, VOTER, [OUTER, new, GAUGE], word(0), 2)
    table = pa.concat_tables(
        [EVENTS.empty_table(), *decode(pa.Table.from_pylist([*logs, change], schema=LOG_SCHEMA), of, STAMP, "one")]
    )
    found = recounted(table, [of]).sort_by("log_index").to_pylist()
    assert [(r["bribe_kind"], r["is_counted"]) for r in found[:2]] == [("internal", True), ("external", False)]
    assert (found[2]["actor"], found[2]["token_address"], found[2]["bribe_kind"]) == (OUTER, new, "external")
    plain = table.filter([True, True, False])
    assert recounted(plain, [of]).equals(plain)
