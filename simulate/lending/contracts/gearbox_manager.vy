# pragma version 0.4.3
"""CreditManagerV3 of Gearbox: between a facade and a pool."""

interface Pool:
    def lendCreditAccount(borrowedAmount: uint256, creditAccount: address): nonpayable
    def repayCreditAccount(repaidAmount: uint256, profit: uint256, loss: uint256): nonpayable

pool: public(immutable(address))
underlying: public(immutable(address))
creditFacade: public(address)
priceOracle: public(address)

@deploy
def __init__(pool_: address, token: address):
    pool = pool_
    underlying = token

@external
def setCreditFacade(facade: address):
    self.creditFacade = facade

@external
def setPriceOracle(oracle: address):
    self.priceOracle = oracle

@external
def open(account: address, amount: uint256):
    assert msg.sender == self.creditFacade
    extcall Pool(pool).lendCreditAccount(amount, account)

@external
def close(repaidAmount: uint256, profit: uint256, loss: uint256):
    assert msg.sender == self.creditFacade
    extcall Pool(pool).repayCreditAccount(repaidAmount, profit, loss)
