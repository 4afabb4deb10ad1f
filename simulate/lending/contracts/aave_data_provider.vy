# pragma version 0.4.3
"""ProtocolDataProvider of Aave V2 and V3."""

struct Reserve:
    aToken: address
    stableDebtToken: address
    variableDebtToken: address
    decimals: uint256
    liquidityRate: uint256
    variableRate: uint256
    liquidityIndex: uint256
    variableIndex: uint256
    updatedAt: uint256
    isFrozen: bool
    isPaused: bool

interface Pool:
    def getReservesList() -> DynArray[address, 32]: view
    def reserves(asset: address) -> Reserve: view

interface Token:
    def totalSupply() -> uint256: view

IS_V3: immutable(bool)
ADDRESSES_PROVIDER: public(immutable(address))
POOL: immutable(address)

@deploy
def __init__(is_v3: bool, provider: address, pool: address):
    IS_V3 = is_v3
    ADDRESSES_PROVIDER = provider
    POOL = pool

@view
@external
def getReserveTokensAddresses(asset: address) -> (address, address, address):
    r: Reserve = staticcall Pool(POOL).reserves(asset)
    return r.aToken, r.stableDebtToken, r.variableDebtToken

@view
@external
def getReserveConfigurationData(asset: address) -> (uint256, uint256, uint256, uint256, uint256, bool, bool, bool, bool, bool):
    r: Reserve = staticcall Pool(POOL).reserves(asset)
    has_stable: bool = r.stableDebtToken != empty(address)
    return r.decimals, 7_500, 8_000, 10_500, 1_000, True, True, has_stable, r.aToken != empty(address), r.isFrozen

@view
@external
def getPaused(asset: address) -> bool:
    assert IS_V3
    return (staticcall Pool(POOL).reserves(asset)).isPaused

@view
@external
def getATokenTotalSupply(asset: address) -> uint256:
    assert IS_V3
    return staticcall Token((staticcall Pool(POOL).reserves(asset)).aToken).totalSupply()
