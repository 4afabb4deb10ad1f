"""What every family of lending protocols answers: who logs, what stands in its reserves, how its oracle prices.

A family is one module: `read` asks the chain in rounds of view calls at one block, `legs` says what an event of it
means. Both end in the dataclasses here; nothing else of the line knows families apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from extract.evm.calls import Call, Reply, joint
from extract.evm.client import ChainClient
from extract.evm.logs import LogChunk
from extract.evm.proof import PROVEN, UNCONFIRMED
from extract.evm.views import address, word
from extract.lending.registry import Csu

K = TypeVar("K", bound=Hashable)
USD = "usd"  # the unit of a price in US dollars; any other unit is the address of an asset
OK, NOT_DEPLOYED, UNSUPPORTED = "ok", "not_deployed", "unsupported"
NO_ARCHIVE, UNREADABLE = "no_archive_state", "unreadable"
LENT, COLLATERAL = "lent", "collateral"
NATIVE = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"  # a chain's own coin: 18 decimals, no contract


@dataclass(frozen=True)
class EventRule:
    """An event that matters: its signature and what it is called in `csu_liquidations`."""

    signature: str
    kind: str  # liquidation, absorb_debt, absorb_collateral, deficit


@dataclass(frozen=True)
class PriceRule:
    """How the protocol's own oracle prices an asset: an answer of `call` is 10^decimals units per whole token."""

    call: Call
    decimals: int
    unit: str = USD


@dataclass
class Reserve:
    """One asset of a CSU in one role. Amounts are raw integers of the asset; None where the chain did not say."""

    reserve_id: str
    asset: str | None
    role: str = LENT
    market_id: str | None = None
    supplied: int | None = None
    borrowed: int | None = 0  # at a variable rate
    borrowed_stable: int | None = 0
    available: int | None = None
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
        self.supplied = self.borrowed = self.borrowed_stable = self.available = None


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
    provider: str | None = None
    confirmation: str = UNCONFIRMED  # proven: every answer it stands on came from its block

    def assets(self) -> set[str]:
        return {r.asset for r in self.reserves if r.asset}


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
    status: str = OK  # why a leg is without an asset or an amount, where the protocol does not say it


@dataclass
class At:
    """The chain at one block: asks view calls and counts them."""

    client: ChainClient
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

    async def read(self, at: At, csu: Csu, memory: Memory) -> State:
        """The CSU at a block. Never raises for a protocol that is not there: its status says so."""
        ...

    def pricing(self, state: State, decimals: Mapping[str, int]) -> dict[str, PriceRule]:
        """How the protocol's oracle prices each asset, given the decimals of those that have any. Pure."""
        ...

    def legs(self, kind: str, values: Mapping[str, Any], emitter: Mapping[str, Any], state: State) -> Legs:
        """What a decoded event means. Pure."""
        ...


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
