# pragma version 0.4.3
"""A bribe of the Thena line, internal (fees) or external: rewards and stakes per epoch."""

interface Minter:
    def active_period() -> uint256: view

interface Token:
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

event RewardAdded:
    rewardToken: indexed(address)
    reward: uint256
    startTimestamp: uint256

event Staked:
    user: indexed(address)
    amount: uint256

event Withdrawn:
    user: indexed(address)
    amount: uint256

struct Reward:
    periodFinish: uint256
    rewardsPerEpoch: uint256
    lastUpdateTime: uint256

WEEK: constant(uint256) = 604800
voter: public(address)
minter: public(address)
TYPE: public(String[16])
rewardTokens: public(DynArray[address, 24])
isRewardToken: public(HashMap[address, bool])
rewardData: public(HashMap[address, HashMap[uint256, Reward]])
totalSupplyAt: public(HashMap[uint256, uint256])
balanceOfOwnerAt: public(HashMap[address, HashMap[uint256, uint256]])

@external
def setup(voter: address, minter: address, kind: String[16]):
    assert self.voter == empty(address)
    self.voter = voter
    self.minter = minter
    self.TYPE = kind

@view
@external
def rewardsListLength() -> uint256:
    return len(self.rewardTokens)

@external
def addRewardToken(token: address):
    # nothing stops a token from being listed twice, as on the real chain
    self.rewardTokens.append(token)
    self.isRewardToken[token] = True

@external
def notifyRewardAmount(token: address, reward: uint256):
    assert extcall Token(token).transferFrom(msg.sender, self, reward)
    if not self.isRewardToken[token]:
        self.rewardTokens.append(token)
        self.isRewardToken[token] = True
    epoch: uint256 = staticcall Minter(self.minter).active_period()
    self.rewardData[token][epoch].rewardsPerEpoch += reward
    self.rewardData[token][epoch].lastUpdateTime = block.timestamp
    self.rewardData[token][epoch].periodFinish = epoch + WEEK
    log RewardAdded(rewardToken=token, reward=reward, startTimestamp=epoch)

@external
def deposit(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = staticcall Minter(self.minter).active_period()
    self.totalSupplyAt[epoch] += amount
    self.balanceOfOwnerAt[user][epoch] += amount
    log Staked(user=user, amount=amount)

@external
def withdraw(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = staticcall Minter(self.minter).active_period()
    self.totalSupplyAt[epoch] -= amount
    self.balanceOfOwnerAt[user][epoch] -= amount
    log Withdrawn(user=user, amount=amount)
