# pragma version 0.4.3
"""A bribe of the Thena line (BribeV2 2.1), internal (fees) or external: rewards and stakes per epoch.

Stakes belong to the account that votes; rewards go to the NFTs that delegated their power to it.
The node hashes every storage slot of the world at each block, so a reward takes one slot.
"""

interface Minter:
    def active_period() -> uint256: view

interface Escrow:
    def delegates(token_id: uint256, time: uint48) -> address: view
    def balanceOfNFTAt(token_id: uint256, time: uint256) -> uint256: view
    def getPastVotes(account: address, time: uint256) -> uint256: view
    def ownerOf(token_id: uint256) -> address: view

interface Token:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable
    def balanceOf(holder: address) -> uint256: view

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

event RewardPaid:
    user: indexed(address)
    rewardsToken: indexed(address)
    reward: uint256

struct Reward:
    periodFinish: uint256
    rewardsPerEpoch: uint256
    lastUpdateTime: uint256

WEEK: constant(uint256) = 604800
CLOCK: constant(uint256) = 2 ** 64
MOST_EPOCHS: constant(uint256) = 50  # that one claim pays, as in the real contract
voter: public(address)
minter: public(address)
ve: public(address)
TYPE: public(String[16])
rewardTokens: public(DynArray[address, 24])
isRewardToken: public(HashMap[address, bool])
rewards: HashMap[address, HashMap[uint256, uint256]]  # token -> epoch -> amount * CLOCK + time of the last change
totalSupplyAt: public(HashMap[uint256, uint256])
balanceOfOwnerAt: public(HashMap[address, HashMap[uint256, uint256]])
first_epoch: uint256
paid_until: HashMap[uint256, HashMap[address, uint256]]  # NFT -> token -> the first epoch that is still owed

@external
def setup(voter: address, minter: address, ve: address, kind: String[16]):
    assert self.voter == empty(address)
    self.voter = voter
    self.minter = minter
    self.ve = ve
    self.TYPE = kind
    self.first_epoch = staticcall Minter(minter).active_period()

@view
@internal
def _epoch() -> uint256:
    return staticcall Minter(self.minter).active_period()

@view
@external
def rewardData(token: address, epoch: uint256) -> Reward:
    kept: uint256 = self.rewards[token][epoch]
    if kept == 0:
        return empty(Reward)
    return Reward(periodFinish=epoch + WEEK, rewardsPerEpoch=kept // CLOCK, lastUpdateTime=kept % CLOCK)

@view
@external
def rewardsListLength() -> uint256:
    return len(self.rewardTokens)

@view
@external
def earnedTokenId(tokenId: uint256, token: address, time: uint48) -> uint256:
    return self._earned(tokenId, token, convert(time, uint256) // WEEK * WEEK)

@view
@internal
def _earned(tokenId: uint256, token: address, epoch: uint256) -> uint256:
    delegatee: address = staticcall Escrow(self.ve).delegates(tokenId, convert(epoch, uint48))
    power: uint256 = staticcall Escrow(self.ve).balanceOfNFTAt(tokenId, epoch)
    stake: uint256 = self.balanceOfOwnerAt[delegatee][epoch]
    all_power: uint256 = staticcall Escrow(self.ve).getPastVotes(delegatee, epoch)
    if delegatee == empty(address) or power == 0 or stake == 0 or all_power == 0:
        return 0
    share: uint256 = power * 10 ** 18 // all_power
    per_token: uint256 = self.rewards[token][epoch] // CLOCK * 10 ** 32 // max(self.totalSupplyAt[epoch], 1)
    return per_token * stake // 10 ** 32 * share // 10 ** 18

@external
def getReward(tokenId: uint256, tokens: DynArray[address, 24]):
    # whoever asks, the NFT's owner is paid, for the epochs that have ended
    owner: address = staticcall Escrow(self.ve).ownerOf(tokenId)
    active: uint256 = self._epoch()
    for token: address in tokens:
        epoch: uint256 = max(self.paid_until[tokenId][token], self.first_epoch)
        owed: uint256 = 0
        for i: uint256 in range(MOST_EPOCHS):
            if epoch >= active:
                break
            owed += self._earned(tokenId, token, epoch)
            epoch += WEEK
        self.paid_until[tokenId][token] = epoch
        if owed > 0:
            assert extcall Token(token).transfer(owner, owed)
            log RewardPaid(user=owner, rewardsToken=token, reward=owed)

@external
def addRewardToken(token: address):
    # nothing stops a token from being listed twice, as on the real chain
    self.rewardTokens.append(token)
    self.isRewardToken[token] = True

@external
def notifyRewardAmount(token: address, reward: uint256):
    before: uint256 = staticcall Token(token).balanceOf(self)
    assert extcall Token(token).transferFrom(msg.sender, self, reward)
    arrived: uint256 = staticcall Token(token).balanceOf(self) - before
    if not self.isRewardToken[token]:
        self.rewardTokens.append(token)
        self.isRewardToken[token] = True
    epoch: uint256 = self._epoch()
    total: uint256 = self.rewards[token][epoch] // CLOCK + arrived
    self.rewards[token][epoch] = total * CLOCK + block.timestamp
    log RewardAdded(rewardToken=token, reward=arrived, startTimestamp=epoch)

@external
def deposit(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = self._epoch()
    self.totalSupplyAt[epoch] += amount
    self.balanceOfOwnerAt[user][epoch] += amount
    log Staked(user=user, amount=amount)

@external
def withdraw(amount: uint256, user: address):
    assert msg.sender == self.voter
    epoch: uint256 = self._epoch()
    # stakes of earlier epochs, and those in a bribe that was replaced since, are not here to take back
    if amount <= self.balanceOfOwnerAt[user][epoch]:
        self.totalSupplyAt[epoch] -= amount
        self.balanceOfOwnerAt[user][epoch] -= amount
        log Withdrawn(user=user, amount=amount)
