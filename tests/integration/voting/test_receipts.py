"""What voters received: claims read from the bribes' events, against the tokens that arrived and what was owed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import simulate.voting
from extract.evm.abi import Function
from operate.voting.watch.world_claims import claim
from operate.voting.watch.world_clock import Node
from tests.line_fixtures import Line
from tests.world_fixtures import ask

pytestmark = pytest.mark.node
HYDREX, NFT = "0x2b9f23a551ee94ec33cf07e3873b5b6ab813339a", 8  # planned voters of seeds/voting/voters.csv


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, dict[str, dict[str, int]]]]:
    """A world of two ended epochs in which two of the planned voters have claimed everything, and the tokens that
    arrived by recipient.
    """
    folder = tmp_path_factory.mktemp("receipts")
    with simulate.voting.running(folder / "world", epochs=2, gauges=8, voters=10) as world:
        node, where = Node(world.info["node_url"]), world.info["protocols"]
        tokens = [token["address"] for token in world.info["tokens"]]
        owner = next(lock["owner"] for lock in where["velodrome"]["locks"] if lock["token_id"] == NFT)
        before = {who: held(node.url, tokens, who) for who in (HYDREX, owner)}
        assert claim(node, where["hydrex"], tokens, [HYDREX], []) and claim(node, where["velodrome"], tokens, [], [NFT])
        for _ in range(10):  # they are final
            node.mine(node.now + 2)
        arrived = {who: less(held(node.url, tokens, who), before[who]) for who in before}
        line = Line(world, folder)
        assert line.extract(epochs=2) == 0
        seeded, done = line.dbt("seed"), line.dbt("run", "--select", "+reward_receipts")
        assert not seeded.returncode and not done.returncode, done.stdout[-3000:]
        yield line, arrived


def held(url: str, tokens: list[str], who: str) -> dict[str, int]:
    data = Function("balanceOf(address)").encode(who)
    return {token: int(ask(url, "eth_call", {"to": token, "data": data}, "latest"), 16) for token in tokens}


def less(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {token: amount - before[token] for token, amount in after.items() if amount != before[token]}


def rows(line: Line, condition: str) -> list[dict[str, Any]]:
    names = (
        "voter_id, recipient_address, receipt_status, token_address, bribe_address, claim_raw::varchar, sharing_count"
    )
    amounts = "entitled_amount, received_amount, entitled_usd, received_then_usd, received_as_claimed_usd, claimed_at"
    found = line.query(f"select {names}, {amounts} from reward_receipts where {condition} order by all")
    keys = [name.strip().split("::")[0] for name in f"{names}, {amounts}".split(",")]
    return [dict(zip(keys, row, strict=True)) for row in found]


@pytest.mark.parametrize("voter", [HYDREX, str(NFT)])
def test_every_unit_that_arrived_stands_beside_what_was_owed(claimed: Any, voter: str) -> None:
    line, arrived = claimed
    found = rows(line, f"voter_id = '{voter}'")
    assert found and {row["receipt_status"] for row in found} <= {"received", "shared"}
    (recipient,) = {row["recipient_address"] for row in found}
    paid = dict.fromkeys(arrived[recipient], 0)
    claims = {(row["bribe_address"], row["token_address"]): int(row["claim_raw"]) for row in found}
    taxed = {token["address"] for token in line.world.info["tokens"] if token["tax_bps"]}
    for row in found:
        assert row["received_amount"] == pytest.approx(row["entitled_amount"], rel=1e-6)
        assert row["sharing_count"] == (1 if row["receipt_status"] == "received" else 2)
        assert row["claimed_at"] is not None
    for (_, token), amount in claims.items():
        paid[token] += amount
    assert {t: n for t, n in paid.items() if t not in taxed} == {
        t: n for t, n in arrived[recipient].items() if t not in taxed
    }
    assert sum(row["received_then_usd"] or 0 for row in found) == pytest.approx(
        sum(row["entitled_usd"] or 0 for row in found), rel=1e-6
    )


def test_who_claimed_nothing_received_nothing(claimed: Any) -> None:
    line, _ = claimed
    found = rows(line, f"voter_id not in ('{HYDREX}', '{NFT}')")
    assert found and {(row["receipt_status"], row["received_amount"]) for row in found} == {("not_claimed", 0.0)}
    assert all(row["claimed_at"] is None and row["received_as_claimed_usd"] == 0 for row in found)
