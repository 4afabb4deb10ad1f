"""The two exchanges as their agents see them: actions go to the chain, and into books kept without reading it.

The books use the contracts' integer arithmetic on their own, so tests have a second account of every weight
and reward at any block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulate.chain import Chain, account
from simulate.contracts import Contract
from simulate.market import Token

WEEK = 604_800
UNLIMITED = 2**255
Row = dict[str, Any]


@dataclass
class Gauge:
    """One gauge: `bribes` by kind, `tokens` it is rewarded in, `appeal` its share of attention, `usd` a week."""

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


@dataclass
class Exchange:
    """What both families share."""

    name: str
    chain: Chain
    contracts: dict[str, Contract]
    start: int
    admin: str = field(init=False)
    briber: str = field(init=False)
    gauges: list[Gauge] = field(default_factory=list)
    voters: list[Voter] = field(default_factory=list)
    books: list[Row] = field(default_factory=list)
    standing: dict[int, dict[int, int]] = field(default_factory=dict)  # voter -> gauge -> votes
    _approved: set[tuple[str, str]] = field(default_factory=set)
    _created: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admin, self.briber = account(f"{self.name} admin"), account(f"{self.name} briber")
        self.deploy()

    # what a family does in its own way
    minter: str = field(init=False)
    escrow: str = field(init=False)
    voter: str = field(init=False)

    def deploy(self) -> None:
        raise NotImplementedError

    def _deploy(self, parts: tuple[str, str, str]) -> None:
        minter, bribe, voter = parts
        self.minter = self.chain.deploy(self.admin, self.contracts[minter], self.start)
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

    def note(self, at: int, kind: str, **facts: Any) -> None:
        """One line of the books; its block is filled in when it is mined."""
        self.books.append({"protocol": self.name, "block": None, "timestamp": at, "kind": kind, **facts})

    def mined(self, block: int, timestamp: int) -> None:
        for row in reversed(self.books):
            if row["block"] is not None:
                break
            row["block"], row["timestamp"] = block, timestamp

    def reward(self, at: int, epoch: int, gauge: Gauge, kind: str, token: Token, usd: float) -> None:
        """Deposit a reward for the current epoch into one of a gauge's bribes."""
        bribe, amount = gauge.bribes[kind], token.amount(usd)
        if (bribe, token.address) not in self._approved:
            self._approved.add((bribe, token.address))
            self.chain.send(self.briber, token.address, "approve(address,uint256)", bribe, UNLIMITED)
        self.chain.send(self.briber, bribe, "notifyRewardAmount(address,uint256)", token.address, amount)
        self.note(at, "reward", epoch=epoch, gauge=gauge.address, bribe=bribe, token=token.address, amount=str(amount))

    def kill(self, at: int, gauge: Gauge) -> None:
        gauge.is_alive = False
        self.chain.send(self.admin, self.voter, "killGauge(address)", gauge.address)
        self.note(at, "kill", gauge=gauge.address, pool=gauge.pool)

    def _split(self, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> dict[int, int]:
        shares = sum(weight for _, weight in choice)
        return {gauge.index: weight * voter.power // shares for gauge, weight in choice}

    def _flow(self, at: int, voter: Voter, gauge_index: int, delta: int) -> None:
        gauge = self.gauges[gauge_index]
        self.note(at, "vote", gauge=gauge.address, pool=gauge.pool, actor=voter.address, delta=str(delta))


class Thena(Exchange):
    """Hydrex-like: votes restart each epoch; a kill clears what stood on the gauge."""

    def deploy(self) -> None:
        self._deploy(("thena_minter", "thena_bribe", "thena_voter"))
        self._voted_in: dict[int, int] = {}
        self._acted_at: dict[int, int] = {}

    def create_gauge(self, pool: str) -> None:
        self.chain.send(self.admin, self.voter, "createGauge(address,uint256)", pool, 0)

    def bribe_views(self) -> Iterator[tuple[str, str]]:
        yield from (("internal", "internal_bribes(address)"), ("external", "external_bribes(address)"))

    def flip(self, at: int) -> None:
        self.chain.send(self.admin, self.minter, "update_period()")
        self.note(at, "flip")

    def vote(self, at: int, epoch: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Vote, replacing what the voter did before in this epoch (once per block, as the contract has it)."""
        if self._has_acted(voter):
            return
        self._withdraw(at, epoch, voter)
        for index, amount in self._split(voter, choice).items():
            self.standing[voter.index][index] = amount
            self._flow(at, voter, index, amount)
        self._voted_in[voter.index] = epoch
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        self.chain.send(voter.address, self.voter, "vote(address[],uint256[])", pools, weights)

    def reset(self, at: int, epoch: int, voter: Voter) -> None:
        """Abstain: take back this epoch's votes."""
        if self._has_acted(voter):
            return
        self._withdraw(at, epoch, voter)
        self._voted_in[voter.index] = epoch
        self.chain.send(voter.address, self.voter, "reset()")

    def _has_acted(self, voter: Voter) -> bool:
        block = self.chain.number + 1
        return self._acted_at.setdefault(voter.index, -1) == block or bool(self._acted_at.update({voter.index: block}))

    def _withdraw(self, at: int, epoch: int, voter: Voter) -> None:
        if self._voted_in.get(voter.index) == epoch:
            for index, amount in self.standing[voter.index].items():
                self._flow(at, voter, index, -amount)
        self.standing[voter.index] = {}


class Velodrome(Exchange):
    """Velodrome-like: votes stay with their pools until their owner votes again; one vote per epoch."""

    def deploy(self) -> None:
        self._deploy(("velodrome_minter", "velodrome_reward", "velodrome_voter"))

    def create_gauge(self, pool: str) -> None:
        self.chain.send(self.admin, self.voter, "createGauge(address,address)", self.admin, pool)

    def bribe_views(self) -> Iterator[tuple[str, str]]:
        yield from (("fees", "gaugeToFees(address)"), ("bribe", "gaugeToBribe(address)"))

    def flip(self, at: int) -> None:
        self.chain.send(self.admin, self.minter, "updatePeriod()")
        self.note(at, "flip")

    def whitelist(self, voter: Voter) -> None:
        voter.is_whitelisted = True
        self.chain.send(self.admin, self.voter, "whitelistNFT(uint256,bool)", voter.token_id, True)

    def vote(self, at: int, epoch: int, voter: Voter, choice: Sequence[tuple[Gauge, int]]) -> None:
        """Move all of a voter's votes; allowed once per epoch."""
        self._withdraw(at, voter)
        for index, amount in self._split(voter, choice).items():
            self.standing[voter.index][index] = amount
            self._flow(at, voter, index, amount)
        pools, weights = [g.pool for g, _ in choice], [w for _, w in choice]
        self.chain.send(voter.address, self.voter, "vote(uint256,address[],uint256[])", voter.token_id, pools, weights)

    def reset(self, at: int, epoch: int, voter: Voter) -> None:
        self._withdraw(at, voter)
        self.chain.send(voter.address, self.voter, "reset(uint256)", voter.token_id)

    def _withdraw(self, at: int, voter: Voter) -> None:
        for index, amount in self.standing[voter.index].items():
            self._flow(at, voter, index, -amount)
        self.standing[voter.index] = {}
