# pragma version 0.4.3
"""PoolAddressesProvider of Aave V3, or LendingPoolAddressesProvider of V2: what the other one has reverts."""

DATA_PROVIDER_V2: constant(bytes32) = 0x0100000000000000000000000000000000000000000000000000000000000000
IS_V3: immutable(bool)
pool: address
data_provider: address
oracle: address

@deploy
def __init__(is_v3: bool):
    IS_V3 = is_v3

@external
def set(pool: address, data_provider: address, oracle: address):
    self.pool = pool
    self.data_provider = data_provider
    self.oracle = oracle

@view
@external
def getPool() -> address:
    assert IS_V3
    return self.pool

@view
@external
def getLendingPool() -> address:
    assert not IS_V3
    return self.pool

@view
@external
def getPoolDataProvider() -> address:
    assert IS_V3
    return self.data_provider

@view
@external
def getPriceOracle() -> address:
    return self.oracle

@view
@external
def getAddress(id: bytes32) -> address:
    return self.data_provider if id == DATA_PROVIDER_V2 and not IS_V3 else empty(address)
