# pragma version 0.4.3
"""CreditFacadeV3 of Gearbox: credit accounts are opened and liquidated here; what they hold is left out."""

interface Manager:
    def open(account: address, amount: uint256): nonpayable
    def close(repaidAmount: uint256, profit: uint256, loss: uint256): nonpayable

event OpenCreditAccount:
    creditAccount: indexed(address)
    onBehalfOf: indexed(address)
    caller: indexed(address)
    referralCode: uint256

event LiquidateCreditAccount:
    creditAccount: indexed(address)
    liquidator: indexed(address)
    to: address
    remainingFunds: uint256

creditManager: public(immutable(address))

@deploy
def __init__(manager: address):
    creditManager = manager

@external
def openAccount(account: address, amount: uint256):
    extcall Manager(creditManager).open(account, amount)
    log OpenCreditAccount(creditAccount=account, onBehalfOf=msg.sender, caller=msg.sender, referralCode=0)

@external
def liquidateAccount(account: address, to: address, repaid: uint256, profit: uint256, loss: uint256, remaining: uint256):
    extcall Manager(creditManager).close(repaid, profit, loss)
    log LiquidateCreditAccount(creditAccount=account, liquidator=msg.sender, to=to, remainingFunds=remaining)
