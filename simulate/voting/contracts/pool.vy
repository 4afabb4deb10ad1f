# pragma version 0.4.3
"""A constant-product pool as its readers see it: reserves of two tokens; whoever sells into it is told by arithmetic."""

token0: public(address)
token1: public(address)
reserve0: uint256
reserve1: uint256

@deploy
def __init__(token0: address, token1: address):
    self.token0 = token0
    self.token1 = token1

@external
def sync(reserve0: uint256, reserve1: uint256):
    self.reserve0 = reserve0
    self.reserve1 = reserve1

@view
@external
def getReserves() -> (uint256, uint256, uint256):
    return self.reserve0, self.reserve1, block.timestamp
