# pragma version 0.4.3
"""An ERC-20 with the decimals it is told."""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

name: public(String[32])
symbol: public(String[16])
decimals: public(uint8)
TAX_UNIT: constant(uint256) = 10_000
tax_bps: public(uint256)  # what a transfer loses on the way
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

@deploy
def __init__(symbol: String[16], decimals: uint8, tax_bps: uint256):
    self.name = symbol
    self.tax_bps = tax_bps
    self.symbol = symbol
    self.decimals = decimals

@external
def mint(receiver: address, amount: uint256):
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, amount=amount)

@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)
    return True

@internal
def _move(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    arrived: uint256 = amount - amount * self.tax_bps // TAX_UNIT
    self.balanceOf[receiver] += arrived
    log Transfer(sender=sender, receiver=receiver, amount=arrived)

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._move(msg.sender, receiver, amount)
    return True

@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    self._move(sender, receiver, amount)
    return True
