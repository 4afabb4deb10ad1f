"""With and without the protocol's fee: which transfer belongs to which liquidation, and markets that keep nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from extract.evm.calls import Reply
from extract.lending.families.base import Keeps, Legs
from extract.lending.liquidations import Liquidation
from extract.lending.seizure import TRANSFER, split

A_TOKEN, TREASURY, USER, OTHER = ("0x" + c * 40 for c in "abcd")


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def padded(account: str) -> str:
    return "0x" + "0" * 24 + account[2:]


class Chain:
    """Answers one view with `reply`, and the logs that stand in `transfers` where filter and block fit."""

    def __init__(self, reply: Reply, transfers: Sequence[tuple[int, str, int, str, int]] = ()) -> None:
        self.reply, self.transfers, self.asked = reply, transfers, list[int]()

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Any]]]) -> list[list[Reply]]:
        return [[self.reply for _ in views] for _, views in requests]

    async def logs(self, emitters: Sequence[str], topics: Any, first: int, last: int) -> AsyncIterator[Any]:
        assert (first == last) and list(emitters) == [A_TOKEN] and topics[0] == [TRANSFER]
        assert topics[2] == [padded(TREASURY)]
        self.asked.append(first)
        rows = [
            {"address": A_TOKEN, "topic1": padded(sender), "topic2": padded(TREASURY),
             "data": "0x" + word(amount).hex(), "transaction_hash": transaction, "log_index": index}
            for block, transaction, index, sender, amount in self.transfers
            if block == first and padded(sender) in topics[1]
        ]  # fmt: skip
        yield SimpleNamespace(table=SimpleNamespace(to_pylist=lambda: rows))


def liquidation(
    keeps: Keeps, amount: int | None, index: int = 9, transaction: str = "0x1", block: int = 5
) -> Liquidation:
    legs = Legs(borrower=USER, collateral_token_amount=amount, keeps=keeps, fee_token=A_TOKEN)
    log = {"block_number": block, "transaction_hash": transaction, "log_index": index}
    return Liquidation(log, "liquidation", "ok", legs)


def told(chain: Chain, *found: Liquidation) -> list[tuple[int | None, int | None, str]]:
    return [(one.seized, one.received, one.fee_status) for one in asyncio.run(split(chain, found))]  # type: ignore[arg-type]


def ok(value: int) -> Reply:
    return Reply("ok", word(value), "node")


def test_each_liquidation_of_a_transaction_takes_the_transfer_before_it() -> None:
    chain = Chain(
        ok(int(TREASURY, 16)),
        [(5, "0x1", 3, USER, 10), (5, "0x1", 7, USER, 20), (5, "0x2", 12, USER, 40), (5, "0x1", 8, OTHER, 80)],
    )
    first, second = liquidation(Keeps.TRANSFER, 100, 4), liquidation(Keeps.TRANSFER, 100, 9)
    third = liquidation(Keeps.TRANSFER, 100, 14, "0x2")
    assert told(chain, first, second, third) == [(110, 100, "read"), (120, 100, "read"), (140, 100, "read")]
    assert chain.asked == [5], "one request a block"


def test_without_a_transfer_nothing_was_kept_and_without_a_treasury_nobody_knows() -> None:
    assert told(Chain(ok(int(TREASURY, 16))), liquidation(Keeps.TRANSFER, 100)) == [(100, 100, "read")]
    for status in ("reverted", "missing", "no_archive_state", "over_gas_cap"):
        chain = Chain(Reply(status, b"", "node"))
        assert told(chain, liquidation(Keeps.TRANSFER, 100)) == [(None, None, "unknown")]
        assert chain.asked == []


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (ok(28 * 10**15), (1_000, 972, "read")),
        (ok(0), (1_000, 1_000, "read")),
        (ok(10**18 + 1), (None, None, "unknown")),  # more than all of it: no share of this kind
        (Reply("reverted", b"", "node"), (1_000, 1_000, "none")),
        (Reply("missing", b"", "node"), (1_000, 1_000, "none")),
        (Reply("no_archive_state", b"", "node"), (None, None, "unknown")),
    ],
)
def test_a_markets_share_is_rounded_down_and_older_markets_keep_nothing(reply: Reply, wanted: Any) -> None:
    assert told(Chain(reply), liquidation(Keeps.SHARE, 1_000)) == [wanted]


def test_a_share_is_truncated() -> None:
    assert told(Chain(ok(28 * 10**15)), liquidation(Keeps.SHARE, 999)) == [(999, 999 - 27, "read")]


def test_what_needs_no_question() -> None:
    chain = Chain(Reply("reverted", b"", "node"))
    found = [liquidation(keeps, 7) for keeps in (Keeps.NOTHING, Keeps.ALL, Keeps.UNKNOWN)]
    assert told(chain, *found) == [(7, 7, "none"), (7, 0, "whole"), (None, None, "unknown")]
    assert told(chain, liquidation(Keeps.NOTHING, None)) == [(None, None, "unknown")]
