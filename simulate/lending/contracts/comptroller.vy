# pragma version 0.4.3
"""Comptroller of the Compound V2 line."""

interface Oracle:
    def getUnderlyingPrice(cToken: address) -> uint256: view

interface CToken:
    def exchangeRateStored() -> uint256: view

oracle: public(address)
closeFactorMantissa: public(uint256)
liquidationIncentiveMantissa: public(uint256)
mintGuardianPaused: public(HashMap[address, bool])
all_markets: DynArray[address, 32]

@deploy
def __init__(oracle: address):
    self.oracle = oracle
    self.closeFactorMantissa = 5 * 10 ** 17
    self.liquidationIncentiveMantissa = 108 * 10 ** 16

@external
def supportMarket(cToken: address):
    self.all_markets.append(cToken)

@external
def setMintPaused(cToken: address, paused: bool):
    self.mintGuardianPaused[cToken] = paused

@view
@external
def getAllMarkets() -> DynArray[address, 32]:
    return self.all_markets

@view
@external
def liquidateCalculateSeizeTokens(borrowed: address, collateral: address, repaid: uint256) -> (uint256, uint256):
    borrowed_price: uint256 = staticcall Oracle(self.oracle).getUnderlyingPrice(borrowed)
    collateral_price: uint256 = staticcall Oracle(self.oracle).getUnderlyingPrice(collateral)
    rate: uint256 = staticcall CToken(collateral).exchangeRateStored()
    numerator: uint256 = self.liquidationIncentiveMantissa * borrowed_price // 10 ** 18
    denominator: uint256 = collateral_price * rate // 10 ** 18
    return 0, (numerator * 10 ** 18 // denominator) * repaid // 10 ** 18
