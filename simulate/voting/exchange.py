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
class Voter:
    """One voter: an account and the NFT it holds; power in raw units (18 decimals)."""

    index: int
    address: str
    token_id: int
    power: int
    is_whitelisted: bool = False


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
    standing: dict[int, dict[int, int]] = field(default_factory=dict)  # voter -> gauge -> votes
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

    def lock(self, voter: Voter) -> None:
        """Give a voter its power."""
        self.voters.append(voter)
        self.standing[voter.index] = {}
        self.chain.send(
            self.admin, self.escrow, "lock(address,uint256,uint256)", voter.address, voter.token_id, voter.power
        )

    def note(self, kind: str, gauge: Gauge | None = None, **facts: object) -> None:
        where = {} if gauge is None else {"gauge": gauge.address, "pool": gauge.pool}
        self.books.note(self.name, kind, **where, **facts)

    def reward(self, at: int, gauge: Gauge, kind: str, token: Token, usd: float) -> None:
        """Deposit a reward into one of a gauge's bribes."""
        bribe, amount = gauge.bribes[kind], token.amount(usd)
        if (bribe, token.address) not in self._approved:
            self._approved.add((bribe, token.address))
            self.chain.send(self.briber, token.address, "approve(address,uint256)", bribe, UNLIMITED)
        self.chain.send(self.briber, bribe, "notifyRewardAmount(address,uint256)", token.address, amount)
        facts = {"bribe": bribe, "bribe_kind": kind, "token": token.address, "amount": str(amount)}
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

    def _put(self, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        shares = sum(weight for _, weight in choice)
        for gauge, weight in choice:
            amount = weight * voter.power // shares
            self.standing[voter.index][gauge.index] = amount
            self._flow(voter, gauge, amount)

    def _take_back(self, voter: Voter) -> None:
        for index, amount in self.standing[voter.index].items():
            self._flow(voter, self.gauges[index], -amount)
        self.standing[voter.index] = {}

    def _flow(self, voter: Voter, gauge: Gauge, delta: int) -> None:
        self.note("vote", gauge, epoch=self.epoch, actor=voter.address, token_id=voter.token_id, delta=str(delta))


class Thena(Exchange):
    """Hydrex-like: votes restart each epoch; a kill clears what stood on the gauge."""

    def deploy(self) -> None:
        self._deploy("thena_minter", "thena_bribe", "thena_voter")
        self._acted_at: dict[int, int] = {}

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

    def vote(self, at: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Vote, replacing what the voter did before in this epoch."""
        if self._is_again(at, voter):
            return
        self._take_back(voter)
        self._put(voter, choice)
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        self.chain.send(voter.address, self.voter, "vote(address[],uint256[])", pools, weights)

    def reset(self, at: int, voter: Voter) -> None:
        """Abstain: take back this epoch's votes."""
        if self._is_again(at, voter):
            return
        self._take_back(voter)
        self.chain.send(voter.address, self.voter, "reset()")

    def _is_again(self, at: int, voter: Voter) -> bool:
        """Whether the voter acted in this very second already: the contract wants time to pass in between."""
        again = self._acted_at.get(voter.index) == at
        self._acted_at[voter.index] = at
        return again


class Velodrome(Exchange):
    """Velodrome-like: votes stay with their pools until their owner votes again; one vote per epoch."""

    def deploy(self) -> None:
        self._deploy("velodrome_minter", "velodrome_reward", "velodrome_voter")

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

    def whitelist(self, voter: Voter) -> None:
        voter.is_whitelisted = True
        self.chain.send(self.admin, self.voter, "whitelistNFT(uint256,bool)", voter.token_id, True)

    def vote(self, at: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Move all of a voter's votes; allowed once per epoch."""
        self._take_back(voter)
        self._put(voter, choice)
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        self.chain.send(voter.address, self.voter, "vote(uint256,address[],uint256[])", voter.token_id, pools, weights)

    def reset(self, at: int, voter: Voter) -> None:
        self._take_back(voter)
        self.chain.send(voter.address, self.voter, "reset(uint256)", voter.token_id)
