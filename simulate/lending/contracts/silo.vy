# pragma version 0.4.3
"""A Silo of Silo V2: one asset of a pair; stored totals are as of the last touch, other views include interest."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable

event Borrow:
    sender: indexed(address)
    receiver: indexed(address)
    owner: indexed(address)
    assets: uint256
    shares: uint256

WAD: constant(uint256) = 10 ** 18
FEE: constant(uint256) = 10 ** 17
PROTECTED: constant(uint256) = 0
COLLATERAL: constant(uint256) = 1
DEBT: constant(uint256) = 2

asset: public(immutable(address))
factory: public(immutable(address))
HOOK: immutable(address)
RATE: immutable(uint256)
config: public(address)
totals: uint256[3]
fees: uint256
updated_at: uint256

@deploy
def __init__(asset_: address, factory_: address, hook: address, rate: uint256):
    asset = asset_
    factory = factory_
    HOOK = hook
    RATE = rate
    self.updated_at = block.timestamp

@external
def initialize(config: address):
    self.config = config

@view
@internal
def _interest() -> uint256:
    return self.totals[DEBT] * RATE * (block.timestamp - self.updated_at) // WAD

@internal
def _accrue():
    interest: uint256 = self._interest()
    fee: uint256 = interest * FEE // WAD
    self.fees += fee
    self.totals[DEBT] += interest
    self.totals[COLLATERAL] += interest - fee
    self.updated_at = block.timestamp

@view
@external
def getTotalAssetsStorage(_assetType: uint8) -> uint256:
    return self.totals[_assetType]

@view
@internal
def _collateral() -> uint256:
    interest: uint256 = self._interest()
    return self.totals[COLLATERAL] + interest - interest * FEE // WAD

@view
@external
def getCollateralAssets() -> uint256:
    return self._collateral()

@view
@external
def totalAssets() -> uint256:
    return self._collateral()

@view
@external
def getDebtAssets() -> uint256:
    return self.totals[DEBT] + self._interest()

@view
@external
def getLiquidity() -> uint256:
    """What can be borrowed: deposits less debt, interest included."""
    return self._collateral() - self.totals[DEBT] - self._interest()

@view
@external
def utilizationData() -> (uint256, uint256, uint64):
    return self.totals[COLLATERAL], self.totals[DEBT], convert(self.updated_at, uint64)

@external
def deposit(assets: uint256, receiver: address, assetType: uint8) -> uint256:
    self._accrue()
    self.totals[assetType] += assets
    extcall Token(asset).mint(self, assets)
    return assets

@external
def borrow(assets: uint256, receiver: address, borrower: address) -> uint256:
    self._accrue()
    self.totals[DEBT] += assets
    extcall Token(asset).burn(self, assets)
    log Borrow(sender=msg.sender, receiver=receiver, owner=borrower, assets=assets, shares=assets)
    return assets

@external
def liquidated(debt: uint256, collateral: uint256, receiveSToken: bool):
    """By the hook: debt that was paid, collateral that left."""
    assert msg.sender == HOOK
    self._accrue()
    if debt > 0:
        self.totals[DEBT] -= debt
        extcall Token(asset).mint(self, debt)
    if collateral > 0 and not receiveSToken:
        self.totals[COLLATERAL] -= collateral
        extcall Token(asset).burn(self, collateral)
