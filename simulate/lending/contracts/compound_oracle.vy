# pragma version 0.4.3
"""PriceOracle of the Compound V2 line: the price of one raw unit of a market's asset, times 1e36; 0 where none is known."""

interface Feed:
    def latestAnswer() -> int256: view

feeds: HashMap[address, address]
factors: HashMap[address, uint256]

@external
def setFeed(cToken: address, feed: address, factor: uint256):
    self.feeds[cToken] = feed
    self.factors[cToken] = factor

@view
@external
def getUnderlyingPrice(cToken: address) -> uint256:
    if self.feeds[cToken] == empty(address):
        return 0
    return convert(staticcall Feed(self.feeds[cToken]).latestAnswer(), uint256) * self.factors[cToken]
