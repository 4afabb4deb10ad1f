# pragma version 0.4.3
"""An ERC-20 that anyone may mint and burn: in this world tokens come from nowhere, but balances are true."""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

name: public(String[32])
symbol: public(String[16])
decimals: public(uint8)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])

@deploy
def __init__(symbol: String[16], decimals: uint8):
    self.name = symbol
    self.symbol = symbol
    self.decimals = decimals

@external
def mint(receiver: address, amount: uint256):
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, amount=amount)

@external
def burn(owner: address, amount: uint256):
    self.totalSupply -= amount
    self.balanceOf[owner] -= amount
    log Transfer(sender=owner, receiver=empty(address), amount=amount)
