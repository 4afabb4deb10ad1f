# pragma version 0.4.3
"""Locked voting power, as NFTs: by NFT (Velodrome reads balanceOfNFT, which may decay) and by delegatee at a time
(Hydrex reads getPastVotes at the epoch's start). A checkpoint takes one slot: amount * CLOCK + time.
"""

CLOCK: constant(uint256) = 2 ** 64
MAX_LOCK: constant(uint256) = 4 * 365 * 86400
MOST: constant(uint256) = 256

struct Lock:
    amount: uint256
    end: uint256  # 0: permanent, it does not decay

locks: HashMap[uint256, Lock]
ownerOf: public(HashMap[uint256, address])
started: HashMap[uint256, uint256]
approved: HashMap[uint256, address]
idToManaged: public(HashMap[uint256, uint256])
isManaged: public(HashMap[uint256, bool])
deactivated: public(HashMap[uint256, bool])
votes_of: HashMap[address, DynArray[uint256, MOST]]  # checkpoints of the power delegated to an account
delegatees: HashMap[uint256, DynArray[address, MOST]]
delegated_at: HashMap[uint256, DynArray[uint256, MOST]]

@external
def lock(owner: address, token_id: uint256, amount: uint256, end: uint256):
    self.locks[token_id] = Lock(amount=amount, end=end)
    self.ownerOf[token_id] = owner
    self.started[token_id] = block.timestamp
    if end == 0:
        self._delegate(token_id, owner)

@external
def approve(operator: address, token_id: uint256):
    assert msg.sender == self.ownerOf[token_id], "NotOwner"
    self.approved[token_id] = operator

@view
@external
def isApprovedOrOwner(user: address, token_id: uint256) -> bool:
    return user != empty(address) and (user == self.ownerOf[token_id] or user == self.approved[token_id])

# --- power of an NFT

@view
@internal
def _balance(token_id: uint256, time: uint256) -> uint256:
    held: Lock = self.locks[token_id]
    if time < self.started[token_id]:
        return 0
    if held.end == 0:
        return held.amount
    if time >= held.end:
        return 0
    return held.amount // MAX_LOCK * (held.end - time)

@view
@external
def balanceOfNFT(token_id: uint256) -> uint256:
    return self._balance(token_id, block.timestamp)

@view
@external
def balanceOfNFTAt(token_id: uint256, time: uint256) -> uint256:
    return self._balance(token_id, time)

# --- power of an account

@external
def delegate(token_id: uint256, delegatee: address):
    assert msg.sender == self.ownerOf[token_id], "NotOwner"
    self._delegate(token_id, delegatee)

@internal
def _delegate(token_id: uint256, delegatee: address):
    count: uint256 = len(self.delegatees[token_id])
    amount: uint256 = self.locks[token_id].amount
    if count > 0:
        before: address = self.delegatees[token_id][count - 1]
        self._move(before, self._newest(before) - amount)
    self._move(delegatee, self._newest(delegatee) + amount)
    self.delegatees[token_id].append(delegatee)
    self.delegated_at[token_id].append(block.timestamp)

@view
@internal
def _newest(account: address) -> uint256:
    count: uint256 = len(self.votes_of[account])
    return 0 if count == 0 else self.votes_of[account][count - 1] // CLOCK

@internal
def _move(account: address, amount: uint256):
    count: uint256 = len(self.votes_of[account])
    if count > 0 and self.votes_of[account][count - 1] % CLOCK == block.timestamp:
        self.votes_of[account][count - 1] = amount * CLOCK + block.timestamp
    else:
        self.votes_of[account].append(amount * CLOCK + block.timestamp)

@view
@external
def getPastVotes(account: address, time: uint256) -> uint256:
    found: uint256 = 0
    for kept: uint256 in self.votes_of[account]:
        if kept % CLOCK > time:
            break
        found = kept // CLOCK
    return found

@view
@external
def getVotes(account: address) -> uint256:
    return self._newest(account)

@view
@external
def getLockDelegatee(token_id: uint256) -> address:
    count: uint256 = len(self.delegatees[token_id])
    return empty(address) if count == 0 else self.delegatees[token_id][count - 1]

@view
@external
def delegates(token_id: uint256, time: uint48) -> address:
    found: address = empty(address)
    place: uint256 = 0
    for delegatee: address in self.delegatees[token_id]:
        if self.delegated_at[token_id][place] > convert(time, uint256):
            break
        found = delegatee
        place += 1
    return found

# --- managed NFTs: one votes with the power of those deposited into it

@external
def createManaged(owner: address, token_id: uint256):
    self.ownerOf[token_id] = owner
    self.started[token_id] = block.timestamp
    self.isManaged[token_id] = True

@external
def depositManaged(token_id: uint256, managed_id: uint256):
    assert self.isManaged[managed_id] and self.idToManaged[token_id] == 0, "NotManaged"
    self.locks[managed_id].amount += self.locks[token_id].amount
    self.locks[token_id] = empty(Lock)
    self.idToManaged[token_id] = managed_id
