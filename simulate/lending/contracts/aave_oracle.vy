# pragma version 0.4.3
"""AaveOracle: a source per asset, a fallback for what is not positive; V2 is priced in its base token and says no unit."""

interface Aggregator:
    def latestAnswer() -> int256: view

interface Fallback:
    def getAssetPrice(asset: address) -> uint256: view

IS_V3: immutable(bool)
BASE: immutable(address)
UNIT: immutable(uint256)
FALLBACK: immutable(address)
sources: HashMap[address, address]

@deploy
def __init__(is_v3: bool, base: address, unit: uint256, fallback_oracle: address):
    IS_V3 = is_v3
    BASE = base
    UNIT = unit
    FALLBACK = fallback_oracle

@external
def setAssetSources(assets: DynArray[address, 32], sources: DynArray[address, 32]):
    for i: uint256 in range(len(assets), bound=32):
        self.sources[assets[i]] = sources[i]

@view
@internal
def _price(asset: address) -> uint256:
    if asset == BASE:
        return UNIT
    source: address = self.sources[asset]
    answer: int256 = 0
    if source != empty(address):
        answer = staticcall Aggregator(source).latestAnswer()
    if answer > 0:
        return convert(answer, uint256)
    return staticcall Fallback(FALLBACK).getAssetPrice(asset)

@view
@external
def getAssetPrice(asset: address) -> uint256:
    return self._price(asset)

@view
@external
def getAssetsPrices(assets: DynArray[address, 128]) -> DynArray[uint256, 128]:
    prices: DynArray[uint256, 128] = []
    for asset: address in assets:
        prices.append(self._price(asset))
    return prices

@view
@external
def getSourceOfAsset(asset: address) -> address:
    return self.sources[asset]

@view
@external
def getFallbackOracle() -> address:
    return FALLBACK

@view
@external
def BASE_CURRENCY() -> address:
    assert IS_V3
    return BASE

@view
@external
def BASE_CURRENCY_UNIT() -> uint256:
    assert IS_V3
    return UNIT

@view
@external
def WETH() -> address:
    assert not IS_V3
    return BASE
