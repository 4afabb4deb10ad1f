# pragma version 0.4.3
"""An interest rate model: a base rate and a slope over utilization."""

struct MarketParams:
    loanToken: address
    collateralToken: address
    oracle: address
    irm: address
    lltv: uint256

struct Market:
    totalSupplyAssets: uint128
    totalSupplyShares: uint128
    totalBorrowAssets: uint128
    totalBorrowShares: uint128
    lastUpdate: uint128
    fee: uint128

BASE: constant(uint256) = 317_097_919
SLOPE: constant(uint256) = 1_585_489_599

@view
@internal
def _rate(market: Market) -> uint256:
    if market.totalSupplyAssets == 0:
        return BASE
    return BASE + SLOPE * convert(market.totalBorrowAssets, uint256) // convert(market.totalSupplyAssets, uint256)

@view
@external
def borrowRateView(marketParams: MarketParams, market: Market) -> uint256:
    return self._rate(market)

@external
def borrowRate(marketParams: MarketParams, market: Market) -> uint256:
    return self._rate(market)
