# pragma version 0.4.3
"""The voter of the Velodrome line (Aerodrome): votes belong to a pool and carry over; one vote per epoch and NFT."""

interface Escrow:
    def balanceOfNFT(tokenId: uint256) -> uint256: view
    def isApprovedOrOwner(user: address, tokenId: uint256) -> bool: view
    def depositManaged(tokenId: uint256, managedId: uint256): nonpayable

interface Reward:
    def setup(voter: address): nonpayable
    def _deposit(amount: uint256, tokenId: uint256): nonpayable
    def _withdraw(amount: uint256, tokenId: uint256): nonpayable

interface Gauge:
    def setup(pool: address): nonpayable

event Voted:
    voter: indexed(address)
    pool: indexed(address)
    tokenId: indexed(uint256)
    weight: uint256
    totalWeight: uint256
    timestamp: uint256

event Abstained:
    voter: indexed(address)
    pool: indexed(address)
    tokenId: indexed(uint256)
    weight: uint256
    totalWeight: uint256
    timestamp: uint256

event GaugeCreated:
    poolFactory: indexed(address)
    votingRewardsFactory: indexed(address)
    gaugeFactory: indexed(address)
    pool: address
    bribeVotingReward: address
    feeVotingReward: address
    gauge: address
    creator: address

event GaugeKilled:
    gauge: indexed(address)

event GaugeRevived:
    gauge: indexed(address)

event NotifyReward:
    sender: indexed(address)
    reward: indexed(address)
    amount: uint256

event DistributeReward:
    sender: indexed(address)
    gauge: indexed(address)
    amount: uint256

WEEK: constant(uint256) = 604800
HOUR: constant(uint256) = 3600
MOST: constant(uint256) = 30
MOST_GAUGES: constant(uint256) = 1000
minter: public(address)
ve: public(address)
reward_code: address
gauge_code: address
pools: public(DynArray[address, MOST_GAUGES])
gauges: public(HashMap[address, address])
poolForGauge: public(HashMap[address, address])
gaugeToFees: public(HashMap[address, address])
gaugeToBribe: public(HashMap[address, address])
isAlive: public(HashMap[address, bool])
isGauge: public(HashMap[address, bool])
weights: public(HashMap[address, uint256])
totalWeight: public(uint256)
votes: public(HashMap[uint256, HashMap[address, uint256]])
usedWeights: public(HashMap[uint256, uint256])
lastVoted: public(HashMap[uint256, uint256])
poolVote: public(HashMap[uint256, DynArray[address, MOST]])
isWhitelistedNFT: public(HashMap[uint256, bool])

@deploy
def __init__(minter: address, ve: address, reward_code: address, gauge_code: address):
    self.minter = minter
    self.ve = ve
    self.reward_code = reward_code
    self.gauge_code = gauge_code

@view
@external
def length() -> uint256:
    return len(self.pools)

@external
def whitelistNFT(tokenId: uint256, is_whitelisted: bool):
    self.isWhitelistedNFT[tokenId] = is_whitelisted

@external
def createGauge(poolFactory: address, pool: address) -> address:
    gauge: address = create_minimal_proxy_to(self.gauge_code)
    extcall Gauge(gauge).setup(pool)
    fees: address = create_minimal_proxy_to(self.reward_code)
    bribe: address = create_minimal_proxy_to(self.reward_code)
    extcall Reward(fees).setup(self)
    extcall Reward(bribe).setup(self)
    self.pools.append(pool)
    self.gauges[pool] = gauge
    self.poolForGauge[gauge] = pool
    self.gaugeToFees[gauge] = fees
    self.gaugeToBribe[gauge] = bribe
    self.isAlive[gauge] = True
    self.isGauge[gauge] = True
    log GaugeCreated(
        poolFactory=poolFactory, votingRewardsFactory=self, gaugeFactory=self, pool=pool, bribeVotingReward=bribe,
        feeVotingReward=fees, gauge=gauge, creator=msg.sender
    )
    return gauge

@external
def killGauge(gauge: address):
    assert self.isAlive[gauge]
    self.isAlive[gauge] = False
    log GaugeKilled(gauge=gauge)

@external
def reviveGauge(gauge: address):
    assert not self.isAlive[gauge]
    self.isAlive[gauge] = True
    log GaugeRevived(gauge=gauge)

# emissions move no tokens in this world; their events pass by as on the real chain
@external
def notifyRewardAmount(amount: uint256):
    log NotifyReward(sender=msg.sender, reward=self.ve, amount=amount)

@external
def distribute(start: uint256, finish: uint256):
    for i: uint256 in range(start, finish, bound=MOST_GAUGES):
        gauge: address = self.gauges[self.pools[i]]
        if self.isAlive[gauge]:
            log DistributeReward(sender=msg.sender, gauge=gauge, amount=10 ** 20)

@internal
def _check_time(tokenId: uint256):
    start: uint256 = block.timestamp // WEEK * WEEK
    if start <= self.lastVoted[tokenId]:
        raw_revert(method_id("AlreadyVotedOrDeposited()"))
    if block.timestamp <= start + HOUR:
        raw_revert(method_id("DistributeWindow()"))

@internal
def _check_owner(tokenId: uint256):
    if not staticcall Escrow(self.ve).isApprovedOrOwner(msg.sender, tokenId):
        raw_revert(method_id("NotApprovedOrOwner()"))

@internal
def _reset(tokenId: uint256):
    for pool: address in self.poolVote[tokenId]:
        amount: uint256 = self.votes[tokenId][pool]
        gauge: address = self.gauges[pool]
        self.weights[pool] -= amount
        self.totalWeight -= amount
        self.votes[tokenId][pool] = 0
        extcall Reward(self.gaugeToFees[gauge])._withdraw(amount, tokenId)
        extcall Reward(self.gaugeToBribe[gauge])._withdraw(amount, tokenId)
        log Abstained(
            voter=msg.sender, pool=pool, tokenId=tokenId, weight=amount, totalWeight=self.weights[pool],
            timestamp=block.timestamp
        )
    self.poolVote[tokenId] = []
    self.usedWeights[tokenId] = 0

@external
def reset(tokenId: uint256):
    self._check_time(tokenId)
    self._check_owner(tokenId)
    # as in the real contract, an abstention does not use up the epoch's vote
    self._reset(tokenId)

@external
def vote(tokenId: uint256, _poolVote: DynArray[address, MOST], _weights: DynArray[uint256, MOST]):
    self._check_time(tokenId)
    self._check_owner(tokenId)
    if len(_poolVote) != len(_weights):
        raw_revert(method_id("UnequalLengths()"))
    is_last_hour: bool = block.timestamp > block.timestamp // WEEK * WEEK + WEEK - HOUR
    if is_last_hour and not self.isWhitelistedNFT[tokenId]:
        raw_revert(method_id("NotWhitelistedNFT()"))
    self.lastVoted[tokenId] = block.timestamp
    self._vote(tokenId, staticcall Escrow(self.ve).balanceOfNFT(tokenId), _poolVote, _weights)

# anybody may have the votes of an NFT counted again at today's power; it is no vote, and lastVoted stays
@external
def poke(tokenId: uint256):
    if block.timestamp <= block.timestamp // WEEK * WEEK + HOUR:
        raw_revert(method_id("DistributeWindow()"))
    self._poke(tokenId, staticcall Escrow(self.ve).balanceOfNFT(tokenId))

@external
def depositManaged(tokenId: uint256, managedId: uint256):
    self._check_time(tokenId)
    self._check_owner(tokenId)
    if block.timestamp > block.timestamp // WEEK * WEEK + WEEK - HOUR:
        raw_revert(method_id("SpecialVotingWindow()"))
    self.lastVoted[tokenId] = block.timestamp
    self._reset(tokenId)
    extcall Escrow(self.ve).depositManaged(tokenId, managedId)
    self._poke(managedId, staticcall Escrow(self.ve).balanceOfNFT(managedId))

@internal
def _poke(tokenId: uint256, power: uint256):
    pools: DynArray[address, MOST] = self.poolVote[tokenId]
    shares: DynArray[uint256, MOST] = []
    for pool: address in pools:
        shares.append(self.votes[tokenId][pool])
    self._vote(tokenId, power, pools, shares)

@internal
def _vote(tokenId: uint256, power: uint256, _poolVote: DynArray[address, MOST], _weights: DynArray[uint256, MOST]):
    self._reset(tokenId)
    shares: uint256 = 0
    for share: uint256 in _weights:
        shares += share
    for i: uint256 in range(len(_poolVote), bound=MOST):
        pool: address = _poolVote[i]
        gauge: address = self.gauges[pool]
        if gauge == empty(address):
            raw_revert(abi_encode(pool, method_id=method_id("GaugeDoesNotExist(address)")))
        if not self.isAlive[gauge]:
            raw_revert(abi_encode(gauge, method_id=method_id("GaugeNotAlive(address)")))
        amount: uint256 = _weights[i] * power // shares
        if self.votes[tokenId][pool] != 0:
            raw_revert(method_id("NonZeroVotes()"))
        if amount == 0:
            raw_revert(method_id("ZeroBalance()"))
        self.weights[pool] += amount
        self.totalWeight += amount
        self.votes[tokenId][pool] = amount
        self.usedWeights[tokenId] += amount
        self.poolVote[tokenId].append(pool)
        extcall Reward(self.gaugeToFees[gauge])._deposit(amount, tokenId)
        extcall Reward(self.gaugeToBribe[gauge])._deposit(amount, tokenId)
        log Voted(
            voter=msg.sender, pool=pool, tokenId=tokenId, weight=amount, totalWeight=self.weights[pool],
            timestamp=block.timestamp
        )
