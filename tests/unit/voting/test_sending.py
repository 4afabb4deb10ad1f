"""Every guard before a vote is handed over refuses by itself, and only it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decide.errors import DecisionError
from decide.voting.sending import Offer, SendingLimits, clear

LIMITS = SendingLimits(max_gas_price_wei=100, max_spent_wei=1_000_000, max_share=0.6, max_gauges=3)
OFFER = Offer("submit", True, 1_000, 2, 1_010, ("0xa", "0xb"), (50, 50), 4_000, 100)


def test_a_vote_that_nothing_speaks_against_goes():
    assert clear(OFFER, LIMITS).may_send


@pytest.mark.parametrize(
    ("change", "limits", "words"),
    [
        ({"head_at": 1_009}, {}, "too late"),
        ({"action": "wait"}, {}, "says wait"),
        ({"action": "closed"}, {}, "says closed"),
        ({"is_proven": False}, {}, "not proven"),
        ({"has_pending": True}, {}, "may still land"),
        ({"gas_price_wei": 101}, {}, "gas costs 101"),
        ({"spent_wei": 600_001}, {}, "epoch's cap"),
        ({}, {"denied": frozenset({"0xb"})}, "gauge 0xb is on the deny list"),
        ({"gauges": ("0xa", "0xB")}, {"denied": frozenset({"0xb"})}, "gauge 0xb is on the deny list"),
        ({}, {"allowed": frozenset({"0xa"})}, "gauge 0xb is not on the allow list"),
        ({"shares": (61, 39)}, {}, "gauge 0xa has more than a share of 0.6"),
        ({}, {"max_gauges": 1}, "2 gauges"),
    ],
)
def test_each_guard_refuses_alone(change, limits, words):
    found = clear(replace(OFFER, **change), replace(LIMITS, **limits))
    assert not found.may_send
    assert len(found.reasons) == 1
    assert words in found.reasons[0]


@pytest.mark.parametrize(("head_at", "may_send"), [(1_007, True), (1_008, True), (1_009, False)])
def test_the_next_block_must_come_by_the_last_votable_moment(head_at, may_send):
    """A block stamped exactly then still counts; one second later the contract reverts."""
    assert clear(replace(OFFER, head_at=head_at), LIMITS).may_send is may_send


def test_caps_are_inclusive():
    assert clear(replace(OFFER, spent_wei=600_000, shares=(60, 40)), LIMITS).may_send


@pytest.mark.parametrize(
    "change",
    [{"gauges": (), "shares": ()}, {"shares": (1,)}, {"gauges": ("0xa", "0xa")}, {"shares": (0, 1)},
     {"gas": -1}, {"block_seconds": 0}],
)  # fmt: skip
def test_what_is_no_vote_is_an_error(change):
    with pytest.raises(DecisionError):
        clear(replace(OFFER, **change), LIMITS)
