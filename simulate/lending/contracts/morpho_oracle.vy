# pragma version 0.4.3
"""Price of a collateral in loan tokens, raw for raw, times 1e36: one feed over another."""

interface Feed:
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view

COLLATERAL: immutable(address)
LOAN: immutable(address)
SCALE_FACTOR: public(immutable(uint256))

@deploy
def __init__(collateral_feed: address, loan_feed: address, factor: uint256):
    COLLATERAL = collateral_feed
    LOAN = loan_feed
    SCALE_FACTOR = factor

@view
@internal
def _answer(feed: address) -> uint256:
    round: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    round, answer, started, updated, answered = staticcall Feed(feed).latestRoundData()
    assert answer >= 0, "negative answer"
    return convert(answer, uint256)

@view
@external
def price() -> uint256:
    return SCALE_FACTOR * self._answer(COLLATERAL) // self._answer(LOAN)
