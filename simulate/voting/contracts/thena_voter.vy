# pragma version 0.4.3
"""The voter of the Thena line (Hydrex): votes are kept per epoch and start from zero after each flip."""

interface Minter:
    def active_period() -> uint256: view

interface Escrow:
    def getPastVotes(account: address, timestamp: uint256) -> uint256: view

interface Bribe:
    def setup(voter: address, minter: address, ve: address, kind: String[16]): nonpayable
    def deposit(amount: uint256, user: address): nonpayable
    def withdraw(amount: uint256, user: address): nonpayable

interface Gauge:
    def setup(pool: address): nonpayable
    def claimFees(bribe: address): nonpayable

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

event SetBribeFor:
    isInternal: bool
    old: indexed(address)
    latest: indexed(address)
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
gaugeKilledEpoch: public(HashMap[address, uint256])
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
    extcall Bribe(inner).setup(self, self.minter, self.ve, "internal")
    extcall Bribe(outer).setup(self, self.minter, self.ve, "external")
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
def setInternalBribeFor(gauge: address, bribe: address):
    log SetBribeFor(isInternal=True, old=self.internal_bribes[gauge], latest=bribe, gauge=gauge)
    self.internal_bribes[gauge] = bribe

@external
def setExternalBribeFor(gauge: address, bribe: address):
    log SetBribeFor(isInternal=False, old=self.external_bribes[gauge], latest=bribe, gauge=gauge)
    self.external_bribes[gauge] = bribe

@external
def setVoteDelay(seconds: uint256):
    self.VOTE_DELAY = seconds

@external
def killGauge(gauge: address):
    if not self.isAlive[gauge]:
        raw_revert(method_id("GaugeAlreadyKilled()"))
    self.isAlive[gauge] = False
    epoch: uint256 = self._epoch()
    pool: address = self.poolForGauge[gauge]
    # the votes are gone from the weights; what stands in the bribes stays, and is still paid
    self.total_per_epoch[epoch] -= self.weights_per_epoch[epoch][pool]
    self.weights_per_epoch[epoch][pool] = 0
    self.gaugeKilledEpoch[gauge] = epoch
    log GaugeKilled(gauge=gauge)

@external
def reviveGauge(gauge: address):
    if self.isAlive[gauge]:
        raw_revert(method_id("GaugeAlreadyAlive()"))
    if self.gaugeKilledEpoch[gauge] >= self._epoch():
        raw_revert(method_id("CannotReviveGaugeInSameEpoch()"))
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

@external
def distributeFees(_gauges: DynArray[address, MOST]):
    for gauge: address in _gauges:
        extcall Gauge(gauge).claimFees(self.internal_bribes[gauge])

@internal
def _check_time(voter: address):
    epoch: uint256 = self._epoch()
    if block.timestamp == epoch:
        raw_revert(method_id("EpochFlipInProgress()"))
    if block.timestamp <= self.lastVoted[voter] + self.VOTE_DELAY:
        raw_revert(method_id("VoteDelayNotMet()"))
    if block.timestamp > epoch + WEEK:
        raw_revert(method_id("EpochStale()"))

@internal
def _reset(voter: address):
    epoch: uint256 = self._epoch()
    is_current: bool = self.lastVoted[voter] >= epoch
    total: uint256 = 0
    for pool: address in self.poolVote[voter]:
        amount: uint256 = self.votes[voter][pool]
        if amount == 0:
            continue
        gauge: address = self.gauges[pool]
        # a kill has cleared the pool already
        if self.isAlive[gauge]:
            if is_current:
                self.weights_per_epoch[epoch][pool] -= amount
                total += amount
        self.votes[voter][pool] = 0
        log Abstained(voter=voter, weight=amount)
        extcall Bribe(self.internal_bribes[gauge]).withdraw(amount, voter)
        extcall Bribe(self.external_bribes[gauge]).withdraw(amount, voter)
    self.total_per_epoch[epoch] -= total
    self.poolVote[voter] = []

@external
def reset():
    self._check_time(msg.sender)
    self._reset(msg.sender)
    self.lastVoted[msg.sender] = block.timestamp

@external
def poke():
    self._check_time(msg.sender)
    pools: DynArray[address, MOST] = self.poolVote[msg.sender]
    shares: DynArray[uint256, MOST] = []
    for pool: address in pools:
        shares.append(self.votes[msg.sender][pool])
    self._vote(msg.sender, pools, shares)
    self.lastVoted[msg.sender] = block.timestamp

@external
def vote(_poolVote: DynArray[address, MOST], _voteProportions: DynArray[uint256, MOST]):
    self._check_time(msg.sender)
    if len(_poolVote) != len(_voteProportions):
        raw_revert(method_id("LengthMismatch()"))
    self._vote(msg.sender, _poolVote, _voteProportions)
    self.lastVoted[msg.sender] = block.timestamp

@internal
def _vote(voter: address, _poolVote: DynArray[address, MOST], _voteProportions: DynArray[uint256, MOST]):
    self._reset(voter)
    epoch: uint256 = self._epoch()
    power: uint256 = staticcall Escrow(self.ve).getPastVotes(voter, epoch)
    shares: uint256 = 0
    # dead and unknown gauges are skipped, their share goes to the others
    for i: uint256 in range(len(_poolVote), bound=MOST):
        if self.isAlive[self.gauges[_poolVote[i]]]:
            shares += _voteProportions[i]
    used: uint256 = 0
    for i: uint256 in range(len(_poolVote), bound=MOST):
        pool: address = _poolVote[i]
        gauge: address = self.gauges[pool]
        if not self.isAlive[gauge]:
            continue
        amount: uint256 = _voteProportions[i] * power // shares
        if self.votes[voter][pool] != 0:
            raw_revert(method_id("VotedAlready()"))
        if amount == 0:
            raw_revert(method_id("InsufficientVotingPower()"))
        self.weights_per_epoch[epoch][pool] += amount
        self.votes[voter][pool] = amount
        self.poolVote[voter].append(pool)
        used += amount
        log Voted(voter=voter, weight=amount)
        extcall Bribe(self.internal_bribes[gauge]).deposit(amount, voter)
        extcall Bribe(self.external_bribes[gauge]).deposit(amount, voter)
    self.total_per_epoch[epoch] += used
