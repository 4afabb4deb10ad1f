# pragma version 0.4.3
"""PriceOracle V3 of Gearbox: USD with 8 decimals."""

interface Feed:
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view

priceFeeds: public(HashMap[address, address])

@external
def setPriceFeed(token: address, priceFeed: address):
    self.priceFeeds[token] = priceFeed

@view
@external
def getPrice(token: address) -> uint256:
    assert self.priceFeeds[token] != empty(address), "PriceFeedDoesNotExistException"
    round: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    round, answer, started, updated, answered = staticcall Feed(self.priceFeeds[token]).latestRoundData()
    assert answer > 0, "IncorrectPriceException"
    return convert(answer, uint256)
