# pragma version 0.4.3
"""A Chainlink aggregator with the decimals it is told; it can be made to revert."""

description: public(String[32])
decimals: public(uint8)
is_dead: public(bool)
round: uint80
answer: int256
updated_at: uint256

@deploy
def __init__(description: String[32], decimals: uint8):
    self.description = description
    self.decimals = decimals

@external
def post(answer: int256):
    self.round += 1
    self.answer = answer
    self.updated_at = block.timestamp

@external
def kill():
    self.is_dead = True

@view
@external
def latestAnswer() -> int256:
    assert not self.is_dead, "feed is dead"
    return self.answer

@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    assert not self.is_dead, "feed is dead"
    return self.round, self.answer, self.updated_at, self.updated_at, self.round
