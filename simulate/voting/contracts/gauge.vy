# pragma version 0.4.3
"""A gauge: an address with code that collects a pool's fees; emissions are not part of the world."""

interface Bribe:
    def notifyRewardAmount(token: address, amount: uint256): nonpayable

interface Token:
    def balanceOf(holder: address) -> uint256: view
    def approve(spender: address, amount: uint256) -> bool: nonpayable

pool: public(address)
fee_token: public(address)

@external
def setup(pool: address):
    assert self.pool == empty(address)
    self.pool = pool

@external
def set_fee_token(token: address):
    self.fee_token = token

# whoever asks, the fees collected so far become rewards of the gauge's internal bribe
@external
def claimFees(bribe: address):
    if self.fee_token != empty(address):
        amount: uint256 = staticcall Token(self.fee_token).balanceOf(self)
        if amount > 0:
            extcall Token(self.fee_token).approve(bribe, amount)
            extcall Bribe(bribe).notifyRewardAmount(self.fee_token, amount)
