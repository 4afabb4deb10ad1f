# pragma version 0.4.3
"""A voting reward of the Velodrome line (fees or bribe): rewards per calendar epoch, stakes that stay."""

interface Token:
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

# `from` is a reserved word in Vyper; names are not part of a topic
event NotifyReward:
    sender: indexed(address)
    reward: indexed(address)
    epoch: indexed(uint256)
    amount: uint256

event Deposit:
    sender: indexed(address)
    tokenId: indexed(uint256)
    amount: uint256

event Withdraw:
    sender: indexed(address)
    tokenId: indexed(uint256)
    amount: uint256

WEEK: constant(uint256) = 604800
voter: public(address)
rewards: public(DynArray[address, 24])
isReward: public(HashMap[address, bool])
tokenRewardsPerEpoch: public(HashMap[address, HashMap[uint256, uint256]])
totalSupply: public(uint256)
balanceOf: public(HashMap[uint256, uint256])

@external
def setup(voter: address):
    assert self.voter == empty(address)
    self.voter = voter

@view
@external
def rewardsListLength() -> uint256:
    return len(self.rewards)

@external
def addReward(token: address):
    self.rewards.append(token)
    self.isReward[token] = True

@external
def notifyRewardAmount(token: address, amount: uint256):
    assert extcall Token(token).transferFrom(msg.sender, self, amount)
    if not self.isReward[token]:
        self.rewards.append(token)
        self.isReward[token] = True
    epoch: uint256 = block.timestamp // WEEK * WEEK
    self.tokenRewardsPerEpoch[token][epoch] += amount
    log NotifyReward(sender=msg.sender, reward=token, epoch=epoch, amount=amount)

@external
def _deposit(amount: uint256, tokenId: uint256):
    assert msg.sender == self.voter
    self.totalSupply += amount
    self.balanceOf[tokenId] += amount
    log Deposit(sender=msg.sender, tokenId=tokenId, amount=amount)

@external
def _withdraw(amount: uint256, tokenId: uint256):
    assert msg.sender == self.voter
    self.totalSupply -= amount
    self.balanceOf[tokenId] -= amount
    log Withdraw(sender=msg.sender, tokenId=tokenId, amount=amount)
