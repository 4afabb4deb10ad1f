# pragma version 0.4.3
"""SiloConfig: the two silos of a pair, and what belongs to each."""

interface Silo:
    def asset() -> address: view

struct ConfigData:
    daoFee: uint256
    deployerFee: uint256
    silo: address
    token: address
    protectedShareToken: address
    collateralShareToken: address
    debtShareToken: address
    solvencyOracle: address
    maxLtvOracle: address
    interestRateModel: address
    maxLtv: uint256
    lt: uint256
    liquidationTargetLtv: uint256
    liquidationFee: uint256
    flashloanFee: uint256
    hookReceiver: address
    callBeforeQuote: bool

SILO_ID: public(immutable(uint256))
SILO0: immutable(address)
SILO1: immutable(address)
ORACLE0: immutable(address)
HOOK: immutable(address)

@deploy
def __init__(id: uint256, silo0: address, silo1: address, oracle0: address, hook: address):
    SILO_ID = id
    SILO0 = silo0
    SILO1 = silo1
    ORACLE0 = oracle0
    HOOK = hook

@view
@external
def getSilos() -> (address, address):
    return SILO0, SILO1

@view
@external
def getAssetForSilo(_silo: address) -> address:
    assert _silo == SILO0 or _silo == SILO1, "WrongSilo"
    return staticcall Silo(_silo).asset()

@view
@external
def getConfig(_silo: address) -> ConfigData:
    assert _silo == SILO0 or _silo == SILO1, "WrongSilo"
    oracle: address = ORACLE0 if _silo == SILO0 else empty(address)
    return ConfigData(
        daoFee=10 ** 17, deployerFee=0, silo=_silo, token=staticcall Silo(_silo).asset(),
        protectedShareToken=empty(address), collateralShareToken=_silo, debtShareToken=empty(address),
        solvencyOracle=oracle, maxLtvOracle=oracle, interestRateModel=empty(address), maxLtv=8 * 10 ** 17,
        lt=85 * 10 ** 16, liquidationTargetLtv=75 * 10 ** 16, liquidationFee=5 * 10 ** 16, flashloanFee=0,
        hookReceiver=HOOK, callBeforeQuote=False,
    )
