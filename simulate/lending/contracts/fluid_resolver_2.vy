# pragma version 0.4.3
"""LiquidityResolver of Fluid as deployed later: one field more, so every word after it moves."""

struct Book:
    supply_rate: uint256
    borrow_rate: uint256
    supply_price: uint256
    borrow_price: uint256
    supply_raw: uint256
    supply_free: uint256
    borrow_raw: uint256
    borrow_free: uint256
    updated_at: uint256

interface Liquidity:
    def listed() -> DynArray[address, 32]: view
    def book(token: address, layout: uint256) -> Book: view

struct RateDataV1Params:
    token: address
    kink: uint256
    rateAtUtilizationZero: uint256
    rateAtUtilizationKink: uint256
    rateAtUtilizationMax: uint256

struct RateDataV2Params:
    token: address
    kink1: uint256
    kink2: uint256
    rateAtUtilizationZero: uint256
    rateAtUtilizationKink1: uint256
    rateAtUtilizationKink2: uint256
    rateAtUtilizationMax: uint256

struct RateData:
    version: uint256
    rateDataV1: RateDataV1Params
    rateDataV2: RateDataV2Params

struct OverallTokenData:
    borrowRate: uint256
    supplyRate: uint256
    fee: uint256
    lastStoredUtilization: uint256
    storageUpdateThreshold: uint256
    lastUpdateTimestamp: uint256
    supplyExchangePrice: uint256
    borrowExchangePrice: uint256
    supplyRawInterest: uint256
    supplyInterestFree: uint256
    borrowRawInterest: uint256
    borrowInterestFree: uint256
    totalSupply: uint256
    totalBorrow: uint256
    revenue: uint256
    maxUtilization: uint256
    rateData: RateData

PRICE: constant(uint256) = 10 ** 12
LAYOUT: constant(uint256) = 1
LIQUIDITY: public(immutable(address))

@deploy
def __init__(liquidity: address):
    LIQUIDITY = liquidity

@view
@external
def listedTokens() -> DynArray[address, 32]:
    return staticcall Liquidity(LIQUIDITY).listed()

@view
@internal
def _data(token: address) -> OverallTokenData:
    b: Book = staticcall Liquidity(LIQUIDITY).book(token, LAYOUT)
    supplied: uint256 = b.supply_raw * b.supply_price // PRICE + b.supply_free
    borrowed: uint256 = b.borrow_raw * b.borrow_price // PRICE + b.borrow_free
    return OverallTokenData(
        borrowRate=b.borrow_rate, supplyRate=b.supply_rate, fee=1_000,
        lastStoredUtilization=borrowed * 10_000 // max(supplied, 1), storageUpdateThreshold=30,
        lastUpdateTimestamp=b.updated_at, supplyExchangePrice=b.supply_price, borrowExchangePrice=b.borrow_price,
        supplyRawInterest=b.supply_raw, supplyInterestFree=b.supply_free, borrowRawInterest=b.borrow_raw,
        borrowInterestFree=b.borrow_free, totalSupply=supplied, totalBorrow=borrowed, revenue=0, maxUtilization=10_000,
        rateData=RateData(
            version=1,
            rateDataV1=RateDataV1Params(
                token=token, kink=8_000, rateAtUtilizationZero=0, rateAtUtilizationKink=b.borrow_rate,
                rateAtUtilizationMax=10_000,
            ),
            rateDataV2=empty(RateDataV2Params),
        ),
    )

@view
@external
def getOverallTokenData(token_: address) -> OverallTokenData:
    return self._data(token_)

@view
@external
def getOverallTokensData(tokens_: DynArray[address, 32]) -> DynArray[OverallTokenData, 32]:
    found: DynArray[OverallTokenData, 32] = []
    for token: address in tokens_:
        found.append(self._data(token))
    return found
