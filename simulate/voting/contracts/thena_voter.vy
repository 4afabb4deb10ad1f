# pragma version 0.4.3
"""The voter of the Thena line (Hydrex): votes are kept per epoch and start from zero after each flip."""

interface Minter:
    def active_period() -> uint256: view

interface Escrow:
    def getPastVotes(account: address, timestamp: uint256) -> uint256: view

interface Bribe:
    def setup(voter: address, minter: address, keeper: address, kind: String[16]): nonpayable
    def deposit(amount: uint256, user: address): nonpayable
    def withdraw(amount: uint256, user: address): nonpayable

interface Gauge:
    def setup(pool: address): nonpayable

event Voted:
    voter: indexed(address)
    weight: uint256

event Abstained:
    voter: address
    weight: uint256

event GaugeCreated:
    gauge: indexed(address)
    creator: address
    internal_bribe: address
    external_bribe: indexed(address)
    pool: indexed(address)

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
MOST: constant(uint256) = 64
MOST_GAUGES: constant(uint256) = 1000
minter: public(address)
ve: public(address)
VOTE_DELAY: public(uint256)
bribe_code: address
gauge_code: address
pools: public(DynArray[address, MOST_GAUGES])
gauges: public(HashMap[address, address])
poolForGauge: public(HashMap[address, address])
internal_bribes: public(HashMap[address, address])
external_bribes: public(HashMap[address, address])
isAlive: public(HashMap[address, bool])
isGauge: public(HashMap[address, bool])
weights_per_epoch: HashMap[uint256, HashMap[address, uint256]]
total_per_epoch: HashMap[uint256, uint256]
votes: public(HashMap[address, HashMap[address, uint256]])
lastVoted: public(HashMap[address, uint256])
poolVote: public(HashMap[address, DynArray[address, MOST]])

@deploy
def __init__(minter: address, ve: address, bribe_code: address, gauge_code: address):
    self.minter = minter
    self.ve = ve
    self.bribe_code = bribe_code
    self.gauge_code = gauge_code

@view
@external
def length() -> uint256:
    return len(self.pools)

@view
@internal
def _epoch() -> uint256:
    return staticcall Minter(self.minter).active_period()

@view
@external
def _epochTimestamp() -> uint256:
    return self._epoch()

@view
@external
def weightsAt(pool: address, time: uint256) -> uint256:
    return self.weights_per_epoch[time][pool]

@view
@external
def totalWeightAt(time: uint256) -> uint256:
    return self.total_per_epoch[time]

@view
@external
def poolVoteLength(voter: address) -> uint256:
    return len(self.poolVote[voter])

@external
def createGauge(pool: address, gaugeType: uint256) -> (address, address, address):
    gauge: address = create_minimal_proxy_to(self.gauge_code)
    extcall Gauge(gauge).setup(pool)
    inner: address = create_minimal_proxy_to(self.bribe_code)
    outer: address = create_minimal_proxy_to(self.bribe_code)
    extcall Bribe(inner).setup(self, self.minter, outer, "internal")
    extcall Bribe(outer).setup(self, self.minter, outer, "external")
    self.pools.append(pool)
    self.gauges[pool] = gauge
    self.poolForGauge[gauge] = pool
    self.internal_bribes[gauge] = inner
    self.external_bribes[gauge] = outer
    self.isAlive[gauge] = True
    self.isGauge[gauge] = True
    log GaugeCreated(gauge=gauge, creator=msg.sender, internal_bribe=inner, external_bribe=outer, pool=pool)
    return gauge, inner, outer

@external
def killGauge(gauge: address):
    assert self.isAlive[gauge]
    self.isAlive[gauge] = False
    epoch: uint256 = self._epoch()
    pool: address = self.poolForGauge[gauge]
    self.total_per_epoch[epoch] -= self.weights_per_epoch[epoch][pool]
    self.weights_per_epoch[epoch][pool] = 0
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
def _check_time(voter: address):
    # an epoch is open until its flip transaction, some seconds past the calendar boundary
    assert block.timestamp != self._epoch(), "EpochFlipInProgress"
    assert block.timestamp > self.lastVoted[voter] + self.VOTE_DELAY, "VoteDelay"

@internal
def _mark(voter: address):
    # never past the calendar end of the epoch voted in: a vote in the seconds before the flip is stale after it
    self.lastVoted[voter] = min(block.timestamp, self._epoch() + WEEK - 1)

@internal
def _reset(voter: address):
    epoch: uint256 = self._epoch()
    is_current: bool = self.lastVoted[voter] > epoch
    withdrawn: uint256 = 0
    for pool: address in self.poolVote[voter]:
        amount: uint256 = self.votes[voter][pool]
        self.votes[voter][pool] = 0
        if is_current and amount > 0:
            # a kill may have cleared the pool already
            counted: uint256 = min(amount, self.weights_per_epoch[epoch][pool])
            self.weights_per_epoch[epoch][pool] -= counted
            self.total_per_epoch[epoch] -= counted
            gauge: address = self.gauges[pool]
            extcall Bribe(self.internal_bribes[gauge]).withdraw(amount, voter)
            extcall Bribe(self.external_bribes[gauge]).withdraw(amount, voter)
            withdrawn += amount
    self.poolVote[voter] = []
    if withdrawn > 0:
        log Abstained(voter=voter, weight=withdrawn)

@external
def reset():
    self._check_time(msg.sender)
    self._reset(msg.sender)
    self._mark(msg.sender)

@external
def vote(_poolVote: DynArray[address, MOST], _voteProportions: DynArray[uint256, MOST]):
    self._check_time(msg.sender)
    assert len(_poolVote) == len(_voteProportions)
    self._reset(msg.sender)
    epoch: uint256 = self._epoch()
    power: uint256 = staticcall Escrow(self.ve).getPastVotes(msg.sender, epoch)
    shares: uint256 = 0
    for share: uint256 in _voteProportions:
        shares += share
    used: uint256 = 0
    for i: uint256 in range(len(_poolVote), bound=MOST):
        pool: address = _poolVote[i]
        gauge: address = self.gauges[pool]
        amount: uint256 = _voteProportions[i] * power // shares
        assert self.isAlive[gauge] and amount > 0 and self.votes[msg.sender][pool] == 0
        self.weights_per_epoch[epoch][pool] += amount
        self.votes[msg.sender][pool] = amount
        self.poolVote[msg.sender].append(pool)
        extcall Bribe(self.internal_bribes[gauge]).deposit(amount, msg.sender)
        extcall Bribe(self.external_bribes[gauge]).deposit(amount, msg.sender)
        used += amount
    self.total_per_epoch[epoch] += used
    self._mark(msg.sender)
    log Voted(voter=msg.sender, weight=used)
