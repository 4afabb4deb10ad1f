"""The two exchanges as their agents see them: actions go to the chain, and into books kept without reading it.

The books use the contracts' integer arithmetic on their own, so tests have a second account of every weight
and reward at any block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from simulate.chain.chain import Chain, account
from simulate.chain.contracts import Contract
from simulate.voting.books import Books
from simulate.voting.clock import WEEK
from simulate.voting.tokens import Token

UNLIMITED = 2**255
MAX_LOCK = 4 * 365 * 86_400  # seconds, as in escrow.vy


@dataclass
class Gauge:
    """One gauge: `bribes` by kind, `tokens` it is rewarded in, `usd` it is rewarded with in a week."""

    index: int
    pool: str
    address: str
    bribes: dict[str, str]
    tokens: list[Token]
    usd: float
    is_alive: bool = True
    votable: bool = True
    bribable: bool = True


@dataclass
class Lock:
    """An NFT: raw power (18 decimals) that decays to nothing at `end` (0: never), and whom it is delegated to since."""

    token_id: int
    owner: str
    power: int
    end: int = 0
    moves: list[tuple[int, str]] = field(default_factory=list)

    def at(self, time: int) -> int:
        if not self.end:
            return self.power
        return self.power // MAX_LOCK * max(self.end - time, 0)

    def delegatee(self, time: int) -> str:
        return next(to for since, to in reversed(self.moves) if since <= time)


@dataclass
class Voter:
    """One voter: an account and the NFT it holds; `power` is what that was locked with.

    A conduit holds none (token 0): it votes with what others delegate to it.
    """

    index: int
    address: str
    token_id: int
    power: int
    is_whitelisted: bool = False
    is_conduit: bool = False


@dataclass(eq=False)
class Exchange(ABC):
    """What both families share."""

    name: str
    chain: Chain
    contracts: dict[str, Contract]
    books: Books
    epoch: int  # the minter's active period
    admin: str = field(init=False)
    briber: str = field(init=False)
    minter: str = field(init=False)
    escrow: str = field(init=False)
    voter: str = field(init=False)
    gauges: list[Gauge] = field(default_factory=list)
    voters: list[Voter] = field(default_factory=list)
    locks: dict[int, Lock] = field(default_factory=dict)  # by NFT
    standing: dict[int, dict[int, int]] = field(default_factory=dict)  # voter -> gauge -> votes
    pots: Counter[tuple[int, int]] = field(default_factory=Counter)  # (epoch, gauge) -> USD of rewards
    _approved: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.admin, self.briber = account(f"{self.name} admin"), account(f"{self.name} briber")
        self.deploy()

    # what a family does in its own way

    @abstractmethod
    def deploy(self) -> None:
        """Queue the deployment of the family's contracts."""

    @abstractmethod
    def create_gauge(self, pool: str) -> None:
        """Queue a gauge with its bribes for a pool."""

    @abstractmethod
    def bribe_views(self) -> Iterator[tuple[str, str]]:
        """Kinds of bribe, and the voter's view that takes a gauge."""

    @abstractmethod
    def list_token(self, bribe: str, token: Token) -> None:
        """Add a token to a bribe's list, even if it is there already."""

    @abstractmethod
    def flip(self, boundary: int) -> None:
        """Queue the transaction that turns the epoch."""

    @abstractmethod
    def reward_epoch(self, at: int) -> int:
        """The epoch that a reward deposited at a block time counts for."""

    @abstractmethod
    def booked(self, token: Token, amount: int) -> int:
        """What the contract books of a deposit."""

    @abstractmethod
    def power(self, voter: Voter, at: int) -> int:
        """Raw power that a vote at a block time is cast with."""

    @abstractmethod
    def vote(self, at: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Queue a vote over gauges with weights."""

    @abstractmethod
    def reset(self, at: int, voter: Voter) -> None:
        """Queue an abstention."""

    # what they have in common

    def _deploy(self, minter: str, bribe: str, voter: str) -> None:
        self.minter = self.chain.deploy(self.admin, self.contracts[minter], self.epoch)
        self.escrow = self.chain.deploy(self.admin, self.contracts["escrow"])
        code = self.chain.deploy(self.admin, self.contracts[bribe])
        gauge = self.chain.deploy(self.admin, self.contracts["gauge"])
        self.voter = self.chain.deploy(self.admin, self.contracts[voter], self.minter, self.escrow, code, gauge)

    def join(self, voter: Voter, end: int = 0) -> None:
        """Take in a voter; its NFT, if it holds one, gets its power."""
        self.voters.append(voter)
        self.standing[voter.index] = {}
        if voter.token_id:
            self.lock(Lock(voter.token_id, voter.address, voter.power, end))

    def lock(self, lock: Lock) -> None:
        """Create an NFT; what does not decay is delegated to its owner."""
        lock.moves.append((0, lock.owner))
        self.locks[lock.token_id] = lock
        self.chain.send(
            self.admin,
            self.escrow,
            "lock(address,uint256,uint256,uint256)",
            lock.owner,
            lock.token_id,
            lock.power,
            lock.end,
        )

    def note(self, kind: str, gauge: Gauge | None = None, **facts: object) -> None:
        where = {} if gauge is None else {"gauge": gauge.address, "pool": gauge.pool}
        self.books.note(self.name, kind, **where, **facts)

    def reward(self, at: int, gauge: Gauge, kind: str, token: Token, usd: float) -> None:
        """Deposit a reward into one of a gauge's bribes."""
        bribe, amount = gauge.bribes[kind], token.amount(usd)
        self.pots[self.reward_epoch(at), gauge.index] += usd
        if (bribe, token.address) not in self._approved:
            self._approved.add((bribe, token.address))
            self.chain.send(self.briber, token.address, "approve(address,uint256)", bribe, UNLIMITED)
        self.chain.send(self.briber, bribe, "notifyRewardAmount(address,uint256)", token.address, amount)
        booked = self.booked(token, amount)
        facts = {"bribe": bribe, "bribe_kind": kind, "token": token.address, "amount": str(booked)}
        self.note("reward", gauge, epoch=self.reward_epoch(at), actor=self.briber, **facts)

    def emit(self) -> None:
        """The week's emissions: their events only."""
        self.chain.send(self.admin, self.voter, "notifyRewardAmount(uint256)", 10**22)
        self.chain.send(self.admin, self.voter, "distribute(uint256,uint256)", 0, len(self.gauges))
        self.note("emissions", actor=self.admin)

    def kill(self, gauge: Gauge) -> None:
        gauge.is_alive = False
        self.chain.send(self.admin, self.voter, "killGauge(address)", gauge.address)
        self.note("kill", gauge, epoch=self.epoch, actor=self.admin)

    def revive(self, gauge: Gauge) -> None:
        gauge.is_alive = True
        self.chain.send(self.admin, self.voter, "reviveGauge(address)", gauge.address)
        self.note("revive", gauge, epoch=self.epoch, actor=self.admin)

    def ranked(self) -> list[Gauge]:
        """Living gauges that hold votes, most votes first."""
        held: Counter[int] = Counter()
        for votes in self.standing.values():
            held.update(votes)
        return [self.gauges[index] for index, _ in held.most_common() if self.gauges[index].is_alive]

    def _put(self, voter: Voter, choice: Sequence[tuple[Gauge, int]], power: int) -> None:
        """Dead gauges are skipped; their share goes to the others."""
        living = [(gauge, weight) for gauge, weight in choice if gauge.is_alive]
        shares = sum(weight for _, weight in living)
        for gauge, weight in living:
            amount = weight * power // shares
            self.standing[voter.index][gauge.index] = amount
            self._flow(voter, gauge, amount)

    def _take_back(self, voter: Voter) -> None:
        for index, amount in self.standing[voter.index].items():
            self._flow(voter, self.gauges[index], -amount)
        self.standing[voter.index] = {}

    def _flow(self, voter: Voter, gauge: Gauge, delta: int) -> None:
        self.note("vote", gauge, epoch=self.epoch, actor=voter.address, token_id=voter.token_id, delta=str(delta))


class Thena(Exchange):
    """Hydrex-like: votes restart each epoch, by the power delegated at its start; a kill clears a gauge's weight."""

    def deploy(self) -> None:
        self._deploy("thena_minter", "thena_bribe", "thena_voter")
        self._acted_at: dict[int, int] = {}
        self._landed_at: dict[int, int] = {}
        self.vote_delay = 0

    def slow_down(self, seconds: int) -> None:
        """From now on a voter's next vote is refused until more than these seconds have gone by."""
        self.vote_delay = seconds
        self.chain.send(self.admin, self.voter, "setVoteDelay(uint256)", seconds)

    def create_gauge(self, pool: str) -> None:
        self.chain.send(self.admin, self.voter, "createGauge(address,uint256)", pool, 0)

    def bribe_views(self) -> Iterator[tuple[str, str]]:
        yield from (("internal", "internal_bribes(address)"), ("external", "external_bribes(address)"))

    def list_token(self, bribe: str, token: Token) -> None:
        self.chain.send(self.admin, bribe, "addRewardToken(address)", token.address)

    def flip(self, boundary: int) -> None:
        self.chain.send(self.admin, self.minter, "update_period()")
        self.epoch = boundary
        self.standing = {index: {} for index in self.standing}
        self.note("flip", epoch=boundary, actor=self.admin)

    def reward_epoch(self, at: int) -> int:
        return self.epoch

    def booked(self, token: Token, amount: int) -> int:
        return amount - amount * token.tax_bps // 10_000

    def power(self, voter: Voter, at: int) -> int:
        return sum(lock.at(self.epoch) for lock in self.locks.values() if lock.delegatee(self.epoch) == voter.address)

    def delegate(self, at: int, token_id: int, to: str) -> None:
        """Delegate an NFT; it counts from the next epoch."""
        lock = self.locks[token_id]
        lock.moves.append((at, to))
        self.chain.send(lock.owner, self.escrow, "delegate(uint256,address)", token_id, to)
        self.note("delegate", actor=lock.owner, token_id=token_id, delegatee=to)

    def vote(self, at: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Vote, replacing what the voter did before in this epoch; between boundary and flip it reverts."""
        power = self.power(voter, at)
        # a vote stamped with the boundary counts as one of the next epoch when it is taken back: it locks its voter out
        if self._is_again(at, voter) or not power or at == self.epoch + WEEK:
            return
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        refusal = "VoteDelayNotMet" if self._is_early(at, voter) else "EpochStale" if at > self.epoch + WEEK else ""
        if refusal:
            self.note("refused", epoch=self.epoch, actor=voter.address, reason=refusal)
        else:
            self._landed_at[voter.index] = at
            self._take_back(voter)
            self._put(voter, choice, power)
        self.chain.send(voter.address, self.voter, "vote(address[],uint256[])", pools, weights, reverts=bool(refusal))

    def reset(self, at: int, voter: Voter) -> None:
        """Abstain: take back this epoch's votes."""
        if self._is_again(at, voter) or self._is_early(at, voter) or at >= self.epoch + WEEK:
            return
        self._landed_at[voter.index] = at
        self._take_back(voter)
        self.chain.send(voter.address, self.voter, "reset()")

    def replace_bribe(self, gauge: Gauge) -> None:
        """A new external bribe for a gauge: what was deposited and voted so far stays in the old one."""
        latest = self.chain.deploy(self.admin, self.contracts["thena_bribe"])
        setup = "setup(address,address,address,string)"
        self.chain.send(self.admin, latest, setup, self.voter, self.minter, self.escrow, "external")
        self.chain.send(self.admin, self.voter, "setExternalBribeFor(address,address)", gauge.address, latest)
        self.note("bribe_replaced", gauge, epoch=self.epoch, old=gauge.bribes["external"], bribe=latest)
        gauge.bribes = gauge.bribes | {"external": latest}

    def sweep(self, at: int, gauge: Gauge, token: Token, usd: float) -> None:
        """A stranger turns the fees a gauge has collected into rewards of its internal bribe."""
        amount, stranger = token.amount(usd), account(f"{self.name} stranger")
        self.chain.send(self.briber, gauge.address, "set_fee_token(address)", token.address)
        self.chain.send(self.briber, token.address, "transfer(address,uint256)", gauge.address, amount)
        self.chain.send(stranger, self.voter, "distributeFees(address[])", [gauge.address])
        self.pots[self.epoch, gauge.index] += usd
        arrived = self.booked(token, self.booked(token, amount))
        facts = {"bribe": gauge.bribes["internal"], "bribe_kind": "internal", "token": token.address}
        self.note("reward", gauge, epoch=self.epoch, actor=gauge.address, amount=str(arrived), **facts)

    def _is_early(self, at: int, voter: Voter) -> bool:
        return self.vote_delay > 0 and at <= self._landed_at.get(voter.index, 0) + self.vote_delay

    def _is_again(self, at: int, voter: Voter) -> bool:
        """Whether the voter acted in this very second already: the contract wants time to pass in between."""
        again = self._acted_at.get(voter.index) == at
        self._acted_at[voter.index] = at
        return again


class Velodrome(Exchange):
    """Velodrome-like: votes stay with their pools until their owner votes again; one vote per epoch."""

    def deploy(self) -> None:
        self._deploy("velodrome_minter", "velodrome_reward", "velodrome_voter")
        self._voted_at: dict[int, int] = {}  # NFT -> when

    def create_gauge(self, pool: str) -> None:
        self.chain.send(self.admin, self.voter, "createGauge(address,address)", self.admin, pool)

    def bribe_views(self) -> Iterator[tuple[str, str]]:
        yield from (("fees", "gaugeToFees(address)"), ("bribe", "gaugeToBribe(address)"))

    def list_token(self, bribe: str, token: Token) -> None:
        self.chain.send(self.admin, bribe, "addReward(address)", token.address)

    def flip(self, boundary: int) -> None:
        self.chain.send(self.admin, self.minter, "updatePeriod()")
        self.epoch = boundary
        self.note("flip", epoch=boundary, actor=self.admin)

    def reward_epoch(self, at: int) -> int:
        return at // WEEK * WEEK

    def booked(self, token: Token, amount: int) -> int:
        return amount  # whatever a tax leaves of it

    def power(self, voter: Voter, at: int) -> int:
        return self.locks[voter.token_id].at(at)

    def whitelist(self, voter: Voter) -> None:
        voter.is_whitelisted = True
        self.chain.send(self.admin, self.voter, "whitelistNFT(uint256,bool)", voter.token_id, True)

    def vote(self, at: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Move all of a voter's votes; allowed once per epoch."""
        choice = [(gauge, weight) for gauge, weight in choice if gauge.is_alive]
        if self._voted_at.get(voter.token_id, 0) >= at // WEEK * WEEK or not choice or not self.power(voter, at):
            return
        self._voted_at[voter.token_id] = at
        self._take_back(voter)
        self._put(voter, choice, self.power(voter, at))
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        self.chain.send(voter.address, self.voter, "vote(uint256,address[],uint256[])", voter.token_id, pools, weights)

    def reset(self, at: int, voter: Voter) -> None:
        """Take the votes back; it does not use up the epoch's vote."""
        if self._voted_at.get(voter.token_id, 0) >= at // WEEK * WEEK:
            return
        self._take_back(voter)
        self.chain.send(voter.address, self.voter, "reset(uint256)", voter.token_id)

    def poke(self, at: int, voter: Voter) -> None:
        """A stranger has a voter's votes counted again at today's power: no vote, and refused where a gauge died."""
        held = [(self.gauges[index], amount) for index, amount in self.standing[voter.index].items()]
        power = self.power(voter, at)
        if not held or not all(gauge.is_alive for gauge, _ in held) or power < 10**18:
            return
        self._take_back(voter)
        self._put(voter, held, power)
        self.chain.send(account(f"{self.name} stranger"), self.voter, "poke(uint256)", voter.token_id)
        self.note("poke", actor=voter.address, token_id=voter.token_id)

    def create_managed(self, voter: Voter) -> None:
        """A managed NFT: it votes with the power of those deposited into it."""
        self.voters.append(voter)
        self.standing[voter.index] = {}
        self.locks[voter.token_id] = Lock(voter.token_id, voter.address, 0, 0, [(0, voter.address)])
        self.chain.send(self.admin, self.escrow, "createManaged(address,uint256)", voter.address, voter.token_id)

    def deposit_managed(self, at: int, voter: Voter, managed: Voter) -> None:
        """Put a permanent NFT into a managed one, whose votes are poked with it."""
        if self._voted_at.get(voter.token_id, 0) >= at // WEEK * WEEK:
            return
        held = [(self.gauges[index], amount) for index, amount in self.standing[managed.index].items()]
        if not all(gauge.is_alive for gauge, _ in held):
            return
        self._voted_at[voter.token_id] = at
        self._take_back(voter)
        self.locks[managed.token_id].power += self.locks[voter.token_id].power
        self.locks[voter.token_id].power = 0
        if held:
            self._take_back(managed)
            self._put(managed, held, self.power(managed, at))
        self.chain.send(voter.address, self.voter, "depositManaged(uint256,uint256)", voter.token_id, managed.token_id)
        self.note("deposit_managed", actor=voter.address, token_id=voter.token_id, managed_id=managed.token_id)
