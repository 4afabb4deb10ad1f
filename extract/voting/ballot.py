"""A vote as an unsigned transaction, and what the contract would say to it at a block. Nothing is signed or sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extract.errors import RequestError
from extract.evm.abi import Function
from extract.evm.errors import Kind, Refusal
from extract.voting.families import Protocol

if TYPE_CHECKING:  # a recommendation is shown without a client
    from extract.evm.client import ChainClient

# Errors of the voter contracts (VoterV5 5.4.4; Velodrome V2 and Aerodrome Voter): what each means for whoever votes
REVERTS: Mapping[str, str] = {
    "EpochStale()": "the calendar boundary has passed and the epoch has not been turned: nobody can vote until it is",
    "EpochFlipInProgress()": "the epoch turns in this very block",
    "VoteDelayNotMet()": "this voter voted too short a time ago",
    "VotedAlready()": "a pool is named twice",
    "InsufficientVotingPower()": "the voter's power is zero, or too small for one of the shares",
    "LengthMismatch()": "pools and shares are not equally many",
    "AlreadyVotedOrDeposited()": "this veNFT has voted in this epoch already",
    "DistributeWindow()": "voting is closed in the first hour of an epoch",
    "NotWhitelistedNFT()": "voting is closed in the last hour, but for whitelisted veNFTs",
    "NotApprovedOrOwner()": "the sender is neither the owner of the veNFT nor approved for it",
    "UnequalLengths()": "pools and shares are not equally many",
    "TooManyPools()": "more pools than one vote may name",
    "InactiveManagedNFT()": "the managed veNFT is deactivated",
    "GaugeDoesNotExist(address)": "a pool has no gauge",
    "GaugeNotAlive(address)": "a gauge was killed",
    "NonZeroVotes()": "a pool is named twice",
    "ZeroBalance()": "the veNFT's power is too small for one of the shares",
}
_ERROR_STRING, _PANIC = Function("Error(string)").selector, Function("Panic(uint256)").selector
_REVERTS = {Function(signature).selector: signature for signature in REVERTS}


@dataclass(frozen=True)
class Ballot:
    """A vote: `shares` are raw integers in the order of `pools`; `token_id` where an NFT votes."""

    pools: tuple[str, ...]
    shares: tuple[int, ...]
    sender: str
    token_id: int | None = None


@dataclass(frozen=True)
class Tried:
    """What the voter contract said at a block: `ok`, `reverted` with a reason, or `not_simulated` with one."""

    status: str
    reason: str
    gas: int | None


def transaction(protocol: Protocol, ballot: Ballot) -> dict[str, str]:
    """`from`, `to` and `data` of the vote; RequestError where an NFT must vote and none is named."""
    arguments: list[Any] = [list(ballot.pools), list(ballot.shares)]
    if protocol.family.vote_function.startswith("vote(uint256,"):
        if ballot.token_id is None:
            raise RequestError(f"on {protocol.name} a veNFT votes: name it in seeds/voting/voters.csv")
        arguments.insert(0, ballot.token_id)
    data = Function(protocol.family.vote_function).encode(*arguments)
    return {"from": ballot.sender, "to": protocol.voter, "data": data}


def exact_shares(votes_raw: Sequence[int], power_raw: int) -> tuple[int, ...]:
    """Shares that add up to the power: the contract's floor(share·power / Σ shares) then gives each of them exactly.

    `votes_raw` are the votes wanted, at most the power; the part of a vote that whole votes leave over goes to the
    largest of them.
    """
    shares = list(votes_raw)
    shares[shares.index(max(shares))] += power_raw - sum(shares)
    return tuple(shares)


async def try_out(chain: ChainClient, asked: Mapping[str, str], block: int) -> Tried:
    """The vote on the state of a block."""
    returned, estimated = await chain.try_out(asked, block)
    if isinstance(returned, Refusal):
        is_revert = returned.kind is Kind.REVERTED
        return Tried("reverted", revert_reason(returned), None) if is_revert else _unknown(returned)
    gas = None if isinstance(estimated, Refusal) else int(estimated.value)
    return Tried("ok", "", gas)


def _unknown(refusal: Refusal) -> Tried:
    return Tried("not_simulated", f"{refusal.provider or 'the provider'} says {refusal.message}", None)


def revert_reason(refusal: Refusal) -> str:
    """The contract's error by name and what it means; its text or data where the name is not known."""
    data = refusal.data.lower() if refusal.data.startswith("0x") else ""
    signature = _REVERTS.get(data[:10])
    if signature is not None:
        return f"{signature.split('(')[0]}: {REVERTS[signature]}"
    if data[:10] == _ERROR_STRING:
        return str(Function("e()", returns="string").decode(bytes.fromhex(data[10:])))
    if data[:10] == _PANIC:
        return f"arithmetic or array error {int(data[10:74] or '0', 16):#x} in the contract"
    return f"reverted with {data}" if len(data) > 2 else refusal.message
