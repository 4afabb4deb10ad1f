# pragma version 0.4.3
"""The minter of the Velodrome line: emissions turn with updatePeriod; votes and rewards follow the calendar."""

event Mint:
    sender: indexed(address)
    weekly: uint256
    circulating_supply: uint256
    tail: bool

WEEK: constant(uint256) = 604800
activePeriod: public(uint256)

@deploy
def __init__(start: uint256):
    self.activePeriod = start

@external
def updatePeriod() -> uint256:
    if block.timestamp >= self.activePeriod + WEEK:
        self.activePeriod = block.timestamp // WEEK * WEEK
        log Mint(sender=msg.sender, weekly=10 ** 24, circulating_supply=10 ** 27, tail=False)
    return self.activePeriod
