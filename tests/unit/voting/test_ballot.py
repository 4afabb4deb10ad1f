"""A vote as a transaction: shares that survive the contract's rounding, and reverts in words."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import RequestError
from extract.evm.abi import Function
from extract.evm.errors import Kind, Refusal
from extract.voting.ballot import REVERTS, Ballot, exact_shares, revert_reason, transaction
from extract.voting.families import FAMILIES, Protocol

POOLS = tuple(f"0x{n:040x}" for n in (1, 2, 3))
HYDREX = Protocol("hydrex", "base", "0x" + "aa" * 20, "0x" + "bb" * 20, FAMILIES["thena"])
AERODROME = Protocol("aerodrome", "base", "0x" + "aa" * 20, "0x" + "bb" * 20, FAMILIES["velodrome"])


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=30), st.integers(0, 10**18 - 1))
def test_shares_come_back_exactly_from_the_contracts_rounding(votes: list[int], rest: int) -> None:
    power = sum(votes) * 10**18 + rest
    shares = exact_shares([v * 10**18 for v in votes], power)
    assert sum(shares) == power
    booked = [share * power // sum(shares) for share in shares]  # what both voter contracts compute
    assert booked == list(shares)
    assert max(abs(b - v * 10**18) for b, v in zip(booked, votes, strict=True)) < 10**18


def test_an_account_votes_by_itself_and_an_nft_by_its_number() -> None:
    sender = "0x" + "cc" * 20
    asked = transaction(HYDREX, Ballot(POOLS, (5, 3, 2), sender))
    assert asked["to"] == HYDREX.voter and asked["from"] == sender
    assert asked["data"].startswith(Function("vote(address[],uint256[])").selector)
    pools, shares = decode(["address[]", "uint256[]"], bytes.fromhex(asked["data"][10:]))
    assert (pools, shares) == (POOLS, (5, 3, 2))
    data = transaction(AERODROME, Ballot(POOLS, (5, 3, 2), sender, token_id=34))["data"]
    assert decode(["uint256", "address[]", "uint256[]"], bytes.fromhex(data[10:])) == (34, POOLS, (5, 3, 2))
    with pytest.raises(RequestError, match="a veNFT votes"):
        transaction(AERODROME, Ballot(POOLS, (5, 3, 2), sender))


@pytest.mark.parametrize("signature", REVERTS)
def test_a_revert_is_named_and_explained(signature: str) -> None:
    data = Function(signature).selector + ("00" * 32 if "address" in signature else "")
    said = revert_reason(Refusal(Kind.REVERTED, "execution reverted", data=data))
    assert said == f"{signature.split('(')[0]}: {REVERTS[signature]}"


def test_what_is_not_known_is_passed_on_as_it_is() -> None:
    text = "0x08c379a0" + encode(["string"], ["out of luck"]).hex()
    assert revert_reason(Refusal(Kind.REVERTED, "execution reverted", data=text)) == "out of luck"
    panic = "0x4e487b71" + f"{0x11:064x}"
    assert "0x11" in revert_reason(Refusal(Kind.REVERTED, "execution reverted", data=panic))
    assert "0xdeadbeef" in revert_reason(Refusal(Kind.REVERTED, "execution reverted", data="0xdeadbeef"))
    assert revert_reason(Refusal(Kind.REVERTED, "execution reverted: x")) == "execution reverted: x"
