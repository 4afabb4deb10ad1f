"""Whether a decided vote may be handed to a sender now: every guard that can refuse, each with its reason.

`decide_stage` says whether a vote is worth sending; this says whether it is safe to. Time is the chain's: block
timestamps in Unix seconds (UTC), never the clock of the machine, which may be wrong by a minute in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decide.errors import DecisionError
from decide.voting.revote import Action


@dataclass(frozen=True)
class SendingLimits:
    """What the voter allows: wei per gas, wei of gas in the whole epoch, gauges by address, share and count of gauges.

    `allowed` empty: every gauge that is not in `denied`. Addresses are lower-case hex.
    """

    max_gas_price_wei: int
    max_spent_wei: int
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    max_share: float = 1.0
    max_gauges: int | None = None


@dataclass(frozen=True)
class Offer:
    """A vote that is ready, and the block it was decided on.

    `shares` are raw integers in the order of `gauges`; `action` is the stage's own verdict, which holds the guard's
    gain; `spent_wei` what this epoch's attempts may have cost already; `has_pending`: an attempt is without an outcome.
    """

    action: Action
    is_proven: bool
    head_at: int
    block_seconds: int
    last_votable_at: int
    gauges: Sequence[str]
    shares: Sequence[int]
    gas: int
    gas_price_wei: int
    spent_wei: int = 0
    has_pending: bool = False


@dataclass(frozen=True)
class Clearance:
    """Whether the vote may go, and every reason why not (empty when it may)."""

    may_send: bool
    reasons: tuple[str, ...]


def clear(offer: Offer, limits: SendingLimits) -> Clearance:
    """Every guard that refuses `offer`; DecisionError when it is no vote or a number of it cannot be one."""
    _check(offer)
    reasons = (*_timing(offer), *_worth(offer), *_cost(offer, limits), *_lists(offer, limits))
    return Clearance(not reasons, reasons)


def _check(offer: Offer) -> None:
    if len(offer.gauges) != len(offer.shares) or not offer.gauges:
        raise DecisionError(f"a vote needs one share per gauge, not {len(offer.shares)} for {len(offer.gauges)}")
    if len(set(offer.gauges)) != len(offer.gauges):
        raise DecisionError("a gauge is named twice: the contract would revert the vote")
    if min(offer.shares) <= 0:
        raise DecisionError("a share is not positive: the contract would revert the vote")
    if min(offer.gas, offer.gas_price_wei, offer.spent_wei) < 0 or offer.block_seconds <= 0:
        raise DecisionError("gas, its price and what was spent cannot be negative, nor a block last no time")


def _timing(offer: Offer) -> list[str]:
    next_at = offer.head_at + offer.block_seconds
    if next_at > offer.last_votable_at:
        late = next_at - offer.last_votable_at
        return [f"too late: the next block comes {late} s after the last votable moment"]
    return []


def _worth(offer: Offer) -> list[str]:
    found = []
    if offer.action != "submit":
        found.append(f"the stage says {offer.action}, not submit")
    if not offer.is_proven:
        found.append("the state it was decided on is not proven")
    if offer.has_pending:
        found.append("an earlier attempt has no outcome yet: it may still land")
    return found


def _cost(offer: Offer, limits: SendingLimits) -> list[str]:
    found, cost = [], offer.gas * offer.gas_price_wei
    if offer.gas_price_wei > limits.max_gas_price_wei:
        found.append(f"gas costs {offer.gas_price_wei} wei, over the cap of {limits.max_gas_price_wei}")
    if offer.spent_wei + cost > limits.max_spent_wei:
        found.append(f"{cost} wei on top of {offer.spent_wei} would pass the epoch's cap of {limits.max_spent_wei}")
    return found


def _lists(offer: Offer, limits: SendingLimits) -> list[str]:
    gauges = [gauge.lower() for gauge in offer.gauges]
    found = [f"gauge {gauge} is on the deny list" for gauge in gauges if gauge in limits.denied]
    if limits.allowed:
        found += [f"gauge {gauge} is not on the allow list" for gauge in gauges if gauge not in limits.allowed]
    if limits.max_gauges is not None and len(gauges) > limits.max_gauges:
        found.append(f"{len(gauges)} gauges, over the cap of {limits.max_gauges}")
    whole = sum(offer.shares)
    over = [g for g, share in zip(gauges, offer.shares, strict=True) if share > limits.max_share * whole]
    return found + [f"gauge {gauge} has more than a share of {limits.max_share:g}" for gauge in over]
