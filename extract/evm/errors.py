"""What may go wrong between us and a chain: kinds of refusals, and typed errors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from extract.errors import ForeshoreError


class Kind(Enum):
    """What a refusal means, and so what helps."""

    RANGE = "range"  # fewer blocks per request
    RESULTS = "results"  # fewer logs per request
    SIZE = "size"  # fewer bytes per reply
    TIME = "time"  # the server gave up: shrink once, then wait
    GAS = "gas"  # the provider's cap on gas: fewer view calls at once, then another provider
    ADDRESSES = "addresses"  # fewer addresses per filter
    BATCH = "batch"  # fewer calls per HTTP request
    RATE = "rate"  # wait, and ask more slowly
    QUOTA = "quota"  # this provider is done: capacity, bill or key
    NO_ARCHIVE = "no_archive"  # another provider may hold the state
    LAGGING = "lagging"  # this provider is behind the block asked for
    REVERTED = "reverted"  # the contract said no: an answer, not a failure
    SERVER = "server"  # 5xx, time out, connection: another try
    MALFORMED = "malformed"  # not the JSON-RPC reply that was asked for
    MISMATCH = "mismatch"  # a reply in good form that does not belong to the question, or contradicts another
    REDIRECTED = "redirected"  # it points elsewhere, and is not configured to be followed
    UNSUPPORTED = "unsupported"  # it does not serve the method
    OTHER = "other"  # words nobody has seen: what helps is found out by method


NARROWING = frozenset({Kind.RANGE, Kind.RESULTS, Kind.SIZE, Kind.TIME})
"""Refusals that ask for fewer blocks."""

FAULTS = frozenset({Kind.SERVER, Kind.MALFORMED, Kind.MISMATCH, Kind.REDIRECTED})
"""What a healthy provider does not do: it counts against the one that does."""


@dataclass(frozen=True)
class Refusal:
    """One refused call. `cap` is the number the provider gave (blocks, logs or addresses by `kind`),
    `suggested` its block range, inclusive; `retry_after` seconds; `message` is redacted and short.
    """

    kind: Kind
    message: str
    provider: str = ""
    cap: int | None = None
    suggested: tuple[int, int] | None = None
    retry_after: float | None = None
    data: str = ""
    is_bracketed: bool = False  # calls around it were answered, and proved the block


class EvmError(ForeshoreError):
    """Base of what may go wrong between us and a chain."""


class ProviderError(EvmError):
    """No provider gave an answer. `refusal` is the last reason."""

    def __init__(self, what: str, refusal: Refusal) -> None:
        super().__init__(f"{what}: {refusal.provider or 'provider'} says {refusal.kind.value}: {refusal.message}")
        self.refusal = refusal


class ChainError(EvmError):
    """No endpoint of a chain can be used; the message names each with its reason."""


class AboveFinality(EvmError):
    """Blocks were asked for that may still change."""


class Disagreement(EvmError):
    """Providers contradict each other, or one itself, and no majority decides; the message names each."""


class RangeTooDense(EvmError):
    """A provider refuses a range of a single block: nothing is left to split."""


class DecodeError(EvmError):
    """Return data that does not fit the declared types."""


class BeforeChain(EvmError):
    """A time before the chain's first block."""


class AfterHead(EvmError):
    """A time the chain has not passed yet. `head_timestamp`: unix seconds of its newest block."""

    def __init__(self, message: str, head_timestamp: int) -> None:
        super().__init__(message)
        self.head_timestamp = head_timestamp
