# pragma version 0.4.3
"""An aToken, variable debt or stable debt token: shares times the pool's index, or a principal that compounds."""

interface Pool:
    def getReserveNormalizedIncome(asset: address) -> uint256: view
    def getReserveNormalizedVariableDebt(asset: address) -> uint256: view
    def compounded(rate: uint256, since: uint256) -> uint256: view

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

RAY: constant(uint256) = 10 ** 27
RESERVE_TREASURY_ADDRESS: public(constant(address)) = 0x7000000000000000000000000000000000000007
SUPPLIED: constant(uint8) = 0
VARIABLE: constant(uint8) = 1
STABLE: constant(uint8) = 2

POOL: public(immutable(address))
UNDERLYING_ASSET_ADDRESS: public(immutable(address))
KIND: immutable(uint8)
RATE: immutable(uint256)
decimals: public(uint8)
scaledTotalSupply: public(uint256)
scaledBalanceOf: public(HashMap[address, uint256])
since: uint256

@deploy
def __init__(pool: address, asset: address, decimals: uint8, kind: uint8, rate: uint256):
    POOL = pool
    UNDERLYING_ASSET_ADDRESS = asset
    KIND = kind
    RATE = rate
    self.decimals = decimals

@view
@internal
def _index() -> uint256:
    if KIND == SUPPLIED:
        return staticcall Pool(POOL).getReserveNormalizedIncome(UNDERLYING_ASSET_ADDRESS)
    if KIND == VARIABLE:
        return staticcall Pool(POOL).getReserveNormalizedVariableDebt(UNDERLYING_ASSET_ADDRESS)
    return staticcall Pool(POOL).compounded(RATE, self.since)

@view
@internal
def _multiplied(scaled: uint256) -> uint256:
    return (scaled * self._index() + RAY // 2) // RAY

@view
@internal
def _divided(amount: uint256) -> uint256:
    index: uint256 = self._index()
    return (amount * RAY + index // 2) // index

@external
def mint(owner: address, amount: uint256):
    assert msg.sender == POOL
    if KIND == STABLE:
        self.scaledTotalSupply = self._multiplied(self.scaledTotalSupply) + amount
        self.since = block.timestamp
    else:
        scaled: uint256 = self._divided(amount)
        self.scaledTotalSupply += scaled
        self.scaledBalanceOf[owner] += scaled

@external
def burn(owner: address, amount: uint256):
    assert msg.sender == POOL
    if KIND == STABLE:
        self.scaledTotalSupply = self._multiplied(self.scaledTotalSupply) - amount
        self.since = block.timestamp
    else:
        scaled: uint256 = self._divided(amount)
        self.scaledTotalSupply -= scaled
        self.scaledBalanceOf[owner] -= scaled

@external
def transferOnLiquidation(sender: address, receiver: address, amount: uint256):
    assert msg.sender == POOL
    scaled: uint256 = min(self._divided(amount), self.scaledBalanceOf[sender])
    self.scaledBalanceOf[sender] -= scaled
    self.scaledBalanceOf[receiver] += scaled
    log Transfer(sender=sender, receiver=receiver, amount=amount)

@view
@external
def totalSupply() -> uint256:
    return self._multiplied(self.scaledTotalSupply)

@view
@external
def balanceOf(owner: address) -> uint256:
    return self._multiplied(self.scaledBalanceOf[owner])
