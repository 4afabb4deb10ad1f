# pragma version 0.4.3
"""The minter of the Thena line: the epoch turns with the transaction that calls update_period."""

event Mint:
    sender: indexed(address)
    weekly: uint256
    circulating_supply: uint256
    circulating_emission: uint256

WEEK: constant(uint256) = 604800
active_period: public(uint256)

@deploy
def __init__(start: uint256):
    self.active_period = start

@external
def update_period() -> uint256:
    if block.timestamp >= self.active_period + WEEK:
        self.active_period = block.timestamp // WEEK * WEEK
        log Mint(sender=msg.sender, weekly=10 ** 24, circulating_supply=10 ** 27, circulating_emission=10 ** 23)
    return self.active_period
