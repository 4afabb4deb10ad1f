"""What every family of lending protocols answers: who logs, what stands in its reserves, how its oracle prices.

A family is one module: `read` asks the chain in rounds of view calls at one block, `legs` says what a liquidation of
it means, `moved` what an event brought in or took out. All end in the dataclasses here; nothing else of the line knows
families apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply, joint
from extract.evm.logs import LogChunk, Topics
from extract.evm.proof import PROVEN, UNCONFIRMED
from extract.evm.views import address, word
from extract.lending.registry import Csu

K = TypeVar("K", bound=Hashable)
USD = "usd"  # the unit of a price in US dollars; any other unit is the address of an asset
OK, NOT_DEPLOYED, UNSUPPORTED = "ok", "not_deployed", "unsupported"
NO_ARCHIVE, UNREADABLE = "no_archive_state", "unreadable"
LENT, COLLATERAL, MINTED = "lent", "collateral", "minted"
PROTOCOL, MARKET = "protocol", "market"  # who chose the oracle: the protocol for all, or a market's maker for it
AT_BLOCK, AS_STORED = "at_block", "as_stored"  # how far interest is in a reserve's amounts
MOVE = "move"  # the kind of an event that is no liquidation, but moves what a reserve holds
NATIVE = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"  # a chain's own coin: 18 decimals, no contract


@dataclass(frozen=True)
class EventRule:
    """An event that matters: its signature and what it is called in `csu_liquidations` (`move`: not there)."""

    signature: str
    kind: str  # liquidation, absorb_debt, absorb_collateral, deficit, move

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]


@dataclass(frozen=True)
class PriceRule:
    """How the protocol's own oracle prices an asset: an answer of `call` is 10^decimals units per whole token.

    `feeds` are the aggregators that the oracle itself reads, where it names them: its answer is as old as the oldest.
    """

    call: Call
    decimals: int
    unit: str = USD
    control: str = PROTOCOL
    feeds: tuple[str, ...] = ()


@dataclass
class Reserve:
    """One asset of a CSU in one role. Amounts are raw integers of the asset; None where the chain did not say.

    `counted` is what the family's events account for to the unit: what stands in the reserve, by its own books
    (`is_book`) or as a balance that anybody may raise by a gift. None where no events account for it.
    """

    reserve_id: str
    asset: str | None
    role: str = LENT
    market_id: str | None = None
    supplied: int | None = None
    borrowed: int | None = 0  # at a variable rate
    borrowed_stable: int | None = 0
    available: int | None = None  # what can be borrowed or withdrawn now
    held: int | None = None  # tokens that really stand in the protocol's contract, where it was asked
    minted: int = 0  # part of the debt that was minted for its borrower and lent by nobody
    deficit: int = 0  # part of what lenders are owed that no borrower owes any more
    absorbed: int = 0  # seized collateral that the protocol holds for sale
    counted: int | None = None
    is_book: bool = True
    accrual: str = AT_BLOCK
    status: str = OK
    is_frozen: bool | None = None
    is_paused: bool | None = None

    def fail(self, status: str) -> None:
        """Mark the reserve unreadable; the first reason stands."""
        if self.status == OK:
            self.status = status

    def lose(self, status: str) -> None:
        """Mark the reserve unreadable and all its amounts unknown: what was not read is never zero."""
        self.fail(status)
        self.supplied = self.borrowed = self.borrowed_stable = self.available = self.held = self.counted = None


@dataclass(frozen=True)
class Movement:
    """What one event brought into (+) or took out of (-) a reserve: raw units of what `Reserve.counted` counts."""

    reserve_id: str
    amount: int


@dataclass(frozen=True)
class Market:
    """A market that is known by its id (Morpho Blue): its parameters and the collateral that stands in it."""

    market_id: str
    loan: str
    collateral: str
    oracle: str
    rate_model: str
    lltv: int
    collateral_raw: int = 0


@dataclass(frozen=True)
class Memory:
    """What was known of a CSU's markets after an earlier block; empty where nothing was read yet."""

    block: int | None = None
    markets: Mapping[str, Market] = field(default_factory=dict)


@dataclass
class State:
    """A CSU at a block. `emitters` are the contracts that log its liquidations, each with what `legs` needs of it."""

    status: str = OK
    reason: str | None = None
    reserves: list[Reserve] = field(default_factory=list)
    emitters: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    prices: dict[str, PriceRule] = field(default_factory=dict)  # by asset; filled by `pricing`
    oracle: Mapping[str, Any] = field(default_factory=dict)  # what `pricing` needs
    markets: dict[str, Market] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)  # tokens that the CSU's one contract holds, by asset
    provider: str | None = None
    calls: int = 0
    confirmation: str = UNCONFIRMED  # proven: every answer it stands on came from its block

    def assets(self) -> set[str]:
        return {r.asset for r in self.reserves if r.asset}


class Keeps(Enum):
    """What a protocol keeps of what is seized, and where that is told."""

    NOTHING = "nothing"
    ALL = "all"  # it absorbs the collateral itself
    SHARE = "share"  # `fee_token` answers a share of the event's amount
    TRANSFER = "transfer"  # `fee_token` logs it beside the event's amount
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Legs:
    """What an event took and repaid, in raw units. `shares_of` asks the chain what seized shares were worth."""

    liquidator: str | None = None
    borrower: str | None = None
    market_id: str | None = None
    debt_asset: str | None = None
    debt: int | None = None
    bad_debt: int | None = None
    collateral_token: str | None = None
    collateral_token_amount: int | None = None
    collateral_asset: str | None = None
    shares_of: Call | None = None  # answers the asset amount of the shares, or their rate where `rate_decimals` is set
    rate_decimals: int | None = None
    stated_usd: int | None = None  # as the event says, 8 decimals, in the protocol's own unit
    keeps: Keeps = Keeps.UNKNOWN
    fee_token: str | None = None
    status: str = OK  # why a leg is without an asset or an amount, where the protocol does not say it


class Chain(Protocol):
    """What reading a CSU needs of a chain's client."""

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]: ...
    async def block_at_or_before(self, timestamp: int) -> Block: ...
    def logs(
        self, addresses: Sequence[str], topics: Topics, from_block: int, to_block: int
    ) -> AsyncIterator[LogChunk]: ...


@dataclass
class At:
    """The chain at one block: asks view calls and counts them."""

    client: Chain
    block: int
    timestamp: int  # of the block, unix seconds
    calls: int = 0
    provider: str | None = None
    confirmation: str = PROVEN  # of everything asked so far together

    async def ask(self, questions: Mapping[K, Call]) -> dict[K, Reply]:
        """One round: every question at this block; what fails is a status in its reply."""
        if not questions:
            return {}
        replies = await self.client.read(list(questions.values()), self.block)
        self.calls += len(replies)
        self.confirmation = joint((self.confirmation, *(reply.confirmation for reply in replies)))
        self.provider = replies[0].provider or self.provider
        return dict(zip(questions, replies, strict=True))

    async def addresses(self, questions: Mapping[K, Call]) -> dict[K, str | None]:
        return {key: address(reply) for key, reply in (await self.ask(questions)).items()}

    async def numbers(self, questions: Mapping[K, Call]) -> dict[K, int | None]:
        return {key: word(reply) for key, reply in (await self.ask(questions)).items()}

    async def logs(self, emitters: Sequence[str], topics: Sequence[str], first: int) -> AsyncIterator[LogChunk]:
        """Logs from `first` to this block."""
        async for chunk in self.client.logs(emitters, [list(topics)], first, self.block):
            self.calls += 1
            yield chunk


class Family(Protocol):
    """One kind of lending protocol. `version` rises when the same chain would land other rows."""

    @property
    def version(self) -> int: ...
    @property
    def events(self) -> tuple[EventRule, ...]: ...
    @property
    def has_memory(self) -> bool: ...
    @property
    def rounding(self) -> int:
        """Units by which one event may differ from what it did to `Reserve.counted`."""
        ...

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        """The CSU at a block. Never raises for a protocol that is not there: its status says so."""
        ...

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        """`State.oracle` as it is at another block of the same day, for a state read at its end."""
        ...

    def pricing(self, state: State, decimals: Mapping[str, int], markets: Collection[str] = ()) -> dict[str, PriceRule]:
        """How the protocol's oracle prices each asset, given the decimals of those that have any. Pure.

        `markets` are the ones that matter most: an asset that several markets price is priced by the first of them.
        """
        ...

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        """What a decoded liquidation means. Pure."""
        ...

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        """What a decoded event, by its name, did to the reserves' `counted`. Pure."""
        ...


class Remembering(Family, Protocol):
    """A family whose markets are known from logs alone: what was found up to a block is its memory."""

    @property
    def history(self) -> tuple[str, ...]:
        """topic0 of the events that make the memory."""
        ...

    async def identify(self, at: At, csu: Csu) -> State:
        """Whether the CSU stands there; its emitters."""
        ...

    def remember(self, memory: Memory, logs: pa.Table, block: int) -> Memory:
        """What is known after `block`, given all logs of `history` since the memory's block. Pure."""
        ...


class Plain:
    """What most families share: an oracle that stays, no events that account for a reserve."""

    rounding: int = 0

    async def oracle(self, at: At, csu: Csu, state: State) -> Mapping[str, Any]:
        return state.oracle

    def moved(self, name: str, values: Mapping[str, Any], emitter: str, state: State) -> Sequence[Movement]:
        return ()


def absent(csu: Csu, view: str, reply: Reply) -> State:
    """The state of a CSU whose registry does not answer: not deployed yet, or unreadable with its reason."""
    if reply.status == "missing":
        return State(NOT_DEPLOYED, f"no contract answers {view} at {csu.registry_address}: not deployed yet")
    if reply.status == NO_ARCHIVE:
        return State(NO_ARCHIVE, f"no provider keeps that block's state: add an archive provider to chain {csu.chain}")
    return State(UNREADABLE, f"{csu.registry_address} does not answer {view} ({reply.status}): check the registry row")


def reply_status(reply: Reply) -> str:
    """`ok` for a reply with at least one word, otherwise why not."""
    return "malformed" if reply.status == OK and word(reply) is None else reply.status


def token_list(reply: Reply, first: int = 0) -> list[str] | None:
    """The addresses of an `address[]` answer; None when it is not one."""
    data = reply.data
    if reply.status != OK or len(data) < 64:
        return None
    at = int.from_bytes(data[32 * first : 32 * first + 32], "big")
    if at + 32 > len(data):
        return None
    count = int.from_bytes(data[at : at + 32], "big")
    if at + 32 * (count + 1) > len(data):
        return None
    return [f"0x{data[at + 32 * (i + 1) + 12 : at + 32 * (i + 2)].hex()}" for i in range(count)]
