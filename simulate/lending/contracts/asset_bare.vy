# pragma version 0.4.3
"""The same without `decimals`, `name` and `symbol`, which ERC-20 leaves optional."""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])

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
