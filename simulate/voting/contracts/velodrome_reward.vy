# pragma version 0.4.3
"""A voting reward of the Velodrome line (fees or bribe): rewards per calendar epoch, stakes that stay.

Of balance and supply the last value of each epoch is kept, one slot each: amount * CLOCK + time.
"""

interface Token:
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable

interface Voter:
    def ve() -> address: view

interface Escrow:
    def ownerOf(token_id: uint256) -> address: view
    def isApprovedOrOwner(user: address, token_id: uint256) -> bool: view

# `from` is a reserved word in Vyper; names are not part of a topic
event NotifyReward:
    sender: indexed(address)
    reward: indexed(address)
    epoch: indexed(uint256)
    amount: uint256

event ClaimRewards:
    sender: indexed(address)
    reward: indexed(address)
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
CLOCK: constant(uint256) = 2 ** 64
MOST: constant(uint256) = 128
voter: public(address)
rewards: public(DynArray[address, 24])
isReward: public(HashMap[address, bool])
tokenRewardsPerEpoch: public(HashMap[address, HashMap[uint256, uint256]])
supplies: DynArray[uint256, MOST]
balances: HashMap[uint256, DynArray[uint256, MOST]]
paid: HashMap[uint256, HashMap[address, uint256]]  # NFT -> token -> what was claimed so far

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
    # what a transfer tax takes on the way is booked all the same, as in the real contract
    assert extcall Token(token).transferFrom(msg.sender, self, amount)
    if not self.isReward[token]:
        self.rewards.append(token)
        self.isReward[token] = True
    epoch: uint256 = block.timestamp // WEEK * WEEK
    self.tokenRewardsPerEpoch[token][epoch] += amount
    log NotifyReward(sender=msg.sender, reward=token, epoch=epoch, amount=amount)

@view
@internal
def _newest(kept: DynArray[uint256, MOST]) -> uint256:
    return 0 if len(kept) == 0 else kept[len(kept) - 1] // CLOCK

@view
@internal
def _at(kept: DynArray[uint256, MOST], time: uint256) -> uint256:
    found: uint256 = 0
    for point: uint256 in kept:
        if point % CLOCK > time:
            break
        found = point // CLOCK
    return found

@view
@external
def totalSupply() -> uint256:
    return self._newest(self.supplies)

@view
@external
def balanceOf(tokenId: uint256) -> uint256:
    return self._newest(self.balances[tokenId])

@view
@external
def earned(token: address, tokenId: uint256) -> uint256:
    return self._earned(token, tokenId) - self.paid[tokenId][token]

@external
def getReward(tokenId: uint256, tokens: DynArray[address, 24]):
    ve: address = staticcall Voter(self.voter).ve()
    assert msg.sender == self.voter or staticcall Escrow(ve).isApprovedOrOwner(msg.sender, tokenId), "NotAuthorized"
    owner: address = staticcall Escrow(ve).ownerOf(tokenId)
    for token: address in tokens:
        earned: uint256 = self._earned(token, tokenId)
        owed: uint256 = earned - self.paid[tokenId][token]
        self.paid[tokenId][token] = earned
        if owed > 0:
            assert extcall Token(token).transfer(owner, owed)
            log ClaimRewards(sender=owner, reward=token, amount=owed)

@view
@internal
def _earned(token: address, tokenId: uint256) -> uint256:
    count: uint256 = len(self.balances[tokenId])
    if count == 0:
        return 0
    first: uint256 = self.balances[tokenId][0] % CLOCK // WEEK * WEEK
    found: uint256 = 0
    for i: uint256 in range((block.timestamp // WEEK * WEEK - first) // WEEK, bound=MOST):
        start: uint256 = first + i * WEEK
        stake: uint256 = self._at(self.balances[tokenId], start + WEEK - 1)
        supply: uint256 = max(self._at(self.supplies, start + WEEK - 1), 1)
        found += stake * self.tokenRewardsPerEpoch[token][start] // supply
    return found

@internal
def _change(tokenId: uint256, supply: uint256, stake: uint256):
    now: uint256 = block.timestamp
    count: uint256 = len(self.supplies)
    if count > 0 and self.supplies[count - 1] % CLOCK // WEEK == now // WEEK:
        self.supplies[count - 1] = supply * CLOCK + now
    else:
        self.supplies.append(supply * CLOCK + now)
    count = len(self.balances[tokenId])
    if count > 0 and self.balances[tokenId][count - 1] % CLOCK // WEEK == now // WEEK:
        self.balances[tokenId][count - 1] = stake * CLOCK + now
    else:
        self.balances[tokenId].append(stake * CLOCK + now)

@external
def _deposit(amount: uint256, tokenId: uint256):
    assert msg.sender == self.voter
    self._change(tokenId, self._newest(self.supplies) + amount, self._newest(self.balances[tokenId]) + amount)
    log Deposit(sender=msg.sender, tokenId=tokenId, amount=amount)

@external
def _withdraw(amount: uint256, tokenId: uint256):
    assert msg.sender == self.voter
    self._change(tokenId, self._newest(self.supplies) - amount, self._newest(self.balances[tokenId]) - amount)
    log Withdraw(sender=msg.sender, tokenId=tokenId, amount=amount)
