# pragma version 0.4.3
"""PoolV3 of Gearbox: lends one token to credit accounts; the base rate is a constant, quotas are left out."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable
    def balanceOf(owner: address) -> uint256: view

event Borrow:
    creditManager: indexed(address)
    creditAccount: indexed(address)
    amount: uint256

event Repay:
    creditManager: indexed(address)
    borrowedAmount: uint256
    profit: uint256
    loss: uint256

RAY: constant(uint256) = 10 ** 27
YEAR: constant(uint256) = 31_536_000
underlyingToken: public(immutable(address))
baseInterestRate: public(immutable(uint256))
version: public(constant(uint256)) = 300
totalBorrowed: public(uint256)
paused: public(bool)
manager: address
expected: uint256
updated_at: uint256

@deploy
def __init__(token: address, rate: uint256):
    underlyingToken = token
    baseInterestRate = rate
    self.updated_at = block.timestamp

@external
def setCreditManager(manager: address):
    self.manager = manager

@view
@external
def creditManagers() -> DynArray[address, 1]:
    return [self.manager]

@view
@internal
def _expected() -> uint256:
    growth: uint256 = baseInterestRate * (block.timestamp - self.updated_at) // YEAR
    return self.expected + self.totalBorrowed * growth // RAY

@view
@external
def expectedLiquidity() -> uint256:
    return self._expected()

@view
@external
def totalAssets() -> uint256:
    return self._expected()

@view
@external
def availableLiquidity() -> uint256:
    return staticcall Token(underlyingToken).balanceOf(self)

@internal
def _update():
    self.expected = self._expected()
    self.updated_at = block.timestamp

@external
def deposit(assets: uint256, receiver: address) -> uint256:
    self._update()
    self.expected += assets
    extcall Token(underlyingToken).mint(self, assets)
    return assets

@external
def lendCreditAccount(borrowedAmount: uint256, creditAccount: address):
    assert msg.sender == self.manager
    self._update()
    self.totalBorrowed += borrowedAmount
    extcall Token(underlyingToken).burn(self, borrowedAmount)
    log Borrow(creditManager=msg.sender, creditAccount=creditAccount, amount=borrowedAmount)

@external
def repayCreditAccount(repaidAmount: uint256, profit: uint256, loss: uint256):
    assert msg.sender == self.manager
    self._update()
    self.totalBorrowed -= repaidAmount
    self.expected -= loss  # a profit has accrued already
    extcall Token(underlyingToken).mint(self, repaidAmount + profit - loss)
    log Repay(creditManager=msg.sender, borrowedAmount=repaidAmount, profit=profit, loss=loss)
