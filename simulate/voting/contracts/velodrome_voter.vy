# pragma version 0.4.3
"""The voter of the Velodrome line (Aerodrome): votes belong to a pool and carry over; one vote per epoch and NFT."""

interface Escrow:
    def balanceOfNFT(tokenId: uint256) -> uint256: view
    def ownerOf(tokenId: uint256) -> address: view

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
    assert self.lastVoted[tokenId] < start, "AlreadyVotedOrDeposited"
    assert block.timestamp > start + HOUR, "DistributeWindow"

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
    assert staticcall Escrow(self.ve).ownerOf(tokenId) == msg.sender
    self._check_time(tokenId)
    self._reset(tokenId)
    self.lastVoted[tokenId] = block.timestamp

@external
def vote(tokenId: uint256, _poolVote: DynArray[address, MOST], _weights: DynArray[uint256, MOST]):
    assert staticcall Escrow(self.ve).ownerOf(tokenId) == msg.sender
    assert len(_poolVote) == len(_weights)
    self._check_time(tokenId)
    is_last_hour: bool = block.timestamp > block.timestamp // WEEK * WEEK + WEEK - HOUR
    assert not is_last_hour or self.isWhitelistedNFT[tokenId], "NotWhitelistedNFT"
    self._reset(tokenId)
    power: uint256 = staticcall Escrow(self.ve).balanceOfNFT(tokenId)
    shares: uint256 = 0
    for share: uint256 in _weights:
        shares += share
    for i: uint256 in range(len(_poolVote), bound=MOST):
        pool: address = _poolVote[i]
        gauge: address = self.gauges[pool]
        amount: uint256 = _weights[i] * power // shares
        assert self.isAlive[gauge] and amount > 0 and self.votes[tokenId][pool] == 0
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
    self.lastVoted[tokenId] = block.timestamp
