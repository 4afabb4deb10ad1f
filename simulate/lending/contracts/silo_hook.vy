# pragma version 0.4.3
"""The hook receiver of a pair: liquidations are its events, not the silos'."""

interface Silo:
    def asset() -> address: view
    def liquidated(debt: uint256, collateral: uint256, receiveSToken: bool): nonpayable

interface Oracle:
    def quote(_baseAmount: uint256, _baseToken: address) -> uint256: view

interface Config:
    def getSilos() -> (address, address): view

event LiquidationCall:
    liquidator: indexed(address)
    silo: indexed(address)
    borrower: indexed(address)
    repayDebtAssets: uint256
    withdrawCollateral: uint256
    receiveSToken: bool

ORACLE: immutable(address)
siloConfig: public(address)

@deploy
def __init__(oracle: address):
    ORACLE = oracle

@external
def initialize(config: address):
    self.siloConfig = config

@external
def liquidationCall(_collateralAsset: address, _debtAsset: address, _user: address, _maxDebtToCover: uint256, _receiveSToken: bool) -> (uint256, uint256):
    """Collateral is the pair's first token, which has the oracle; debt its second, in which that is quoted."""
    silo0: address = empty(address)
    silo1: address = empty(address)
    silo0, silo1 = staticcall Config(self.siloConfig).getSilos()
    assert staticcall Silo(silo0).asset() == _collateralAsset and staticcall Silo(silo1).asset() == _debtAsset
    one: uint256 = 10 ** 18
    collateral: uint256 = _maxDebtToCover * one // staticcall Oracle(ORACLE).quote(one, _collateralAsset) * 105 // 100
    extcall Silo(silo1).liquidated(_maxDebtToCover, 0, False)
    extcall Silo(silo0).liquidated(0, collateral, _receiveSToken)
    log LiquidationCall(
        liquidator=msg.sender, silo=silo1, borrower=_user, repayDebtAssets=_maxDebtToCover,
        withdrawCollateral=collateral, receiveSToken=_receiveSToken,
    )
    return collateral, _maxDebtToCover
