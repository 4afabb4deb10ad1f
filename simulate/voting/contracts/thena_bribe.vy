# pragma version 0.4.3
"""A bribe of the Thena line, internal (fees) or external: rewards and stakes per epoch.

The node hashes every storage slot of the world at each block, so a reward takes one slot, and what both bribes of a
gauge hold alike (stakes) is kept by the external one.
"""

interface Minter:
    def active_period() -> uint256: view

interface Bribe:
    def balanceOfOwnerAt(user: address, epoch: uint256) -> uint256: view

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
CLOCK: constant(uint256) = 2 ** 64
voter: public(address)
minter: public(address)
TYPE: public(String[16])
rewardTokens: public(DynArray[address, 24])
isRewardToken: public(HashMap[address, bool])
rewards: HashMap[address, HashMap[uint256, uint256]]  # token -> epoch -> amount * CLOCK + time of the last change
totalSupplyAt: public(HashMap[uint256, uint256])
stakes: HashMap[address, HashMap[uint256, uint256]]
keeper: Bribe  # the bribe that keeps the stakes

@external
def setup(voter: address, minter: address, keeper: address, kind: String[16]):
    assert self.voter == empty(address)
    self.voter = voter
    self.minter = minter
    self.keeper = Bribe(keeper)
    self.TYPE = kind

@view
@external
def rewardData(token: address, epoch: uint256) -> Reward:
    kept: uint256 = self.rewards[token][epoch]
    if kept == 0:
        return empty(Reward)
    return Reward(periodFinish=epoch + WEEK, rewardsPerEpoch=kept // CLOCK, lastUpdateTime=kept % CLOCK)

@view
@external
def balanceOfOwnerAt(user: address, epoch: uint256) -> uint256:
    if self.keeper.address != self:
        return staticcall self.keeper.balanceOfOwnerAt(user, epoch)
    return self.stakes[user][epoch]

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
    total: uint256 = self.rewards[token][epoch] // CLOCK + reward
    self.rewards[token][epoch] = total * CLOCK + block.timestamp
    log RewardAdded(rewardToken=token, reward=reward, startTimestamp=epoch)

@external
def deposit(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = staticcall Minter(self.minter).active_period()
    self.totalSupplyAt[epoch] += amount
    if self.keeper.address == self:
        self.stakes[user][epoch] += amount
    log Staked(user=user, amount=amount)

@external
def withdraw(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = staticcall Minter(self.minter).active_period()
    self.totalSupplyAt[epoch] -= amount
    if self.keeper.address == self:
        self.stakes[user][epoch] -= amount
    log Withdrawn(user=user, amount=amount)
