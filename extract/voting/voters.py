"""What the planned voters have at a block, asked of the contracts: power, standing votes, stakes, when they voted.

Events are only the check: where the past was not extracted they cannot say what stands, and a poke looks like a vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extract.errors import ConfigError
from extract.evm.calls import Call, Reply
from extract.evm.views import Views, address, call, status, word
from extract.seeds import read_seed
from extract.voting.families import Family, Protocol
from extract.voting.state import BlockState, ask, per_epoch

KINDS = ("account", "nft", "delegatee")
OBSERVER = "observer"


@dataclass(frozen=True)
class PlannedVoter:
    """One line of `seeds/voting/voters.csv`.

    `kind`: `account` and `delegatee` are addresses that vote with the power delegated to them (their own included);
    `nft` is a veNFT id, which votes itself or, where accounts vote, through the account it is delegated to.
    `sender` is the address that sends the vote ("": the owner). `rewards_for` are the NFTs whose share of the rewards
    is counted; none: everything the votes earn.
    """

    voter_id: str
    kind: str
    sender: str
    rewards_for: tuple[int, ...]


@dataclass
class VoterState:
    """Replies about one voter at one block. `votes` by pool, `stakes` by bribe; both only where somebody can vote."""

    voter: PlannedVoter
    account: str | None = None  # who votes where accounts do; None: not known
    token_id: int | None = None
    is_by_account: bool = True
    answers: dict[str, Reply] = field(default_factory=dict)
    votes: dict[str, Reply] = field(default_factory=dict)
    stakes: dict[str, Reply] = field(default_factory=dict)
    shares: dict[tuple[str, int], Reply] = field(default_factory=dict)  # ("power" | "delegatee", NFT)

    @property
    def asked_as(self) -> str | int | None:
        """How the contracts know the voter: by account or by NFT."""
        return self.account if self.is_by_account else self.token_id

    def votes_status(self) -> str:
        """`ok`, or the first reason why what stands is not known."""
        if self.asked_as is None:
            return "no_delegatee"
        replies = [self.answers["last_voted"], *self.votes.values(), *self.stakes.values()]
        return next((status(reply) for reply in replies if status(reply) != "ok"), "ok")

    def power_status(self) -> str:
        return "no_delegatee" if self.asked_as is None else status(self.answers["power"])

    def number(self, name: str) -> int | None:
        return word(self.answers[name]) if name in self.answers else None

    def rewarded_power(self) -> int | None:
        """Power of the NFTs whose rewards are counted, as far as it votes here; None where everything is counted."""
        if not self.voter.rewards_for:
            return None
        found = 0
        for token in self.voter.rewards_for:
            delegatee = self.shares.get(("delegatee", token))
            if delegatee is None or address(delegatee) == self.account:
                found += word(self.shares["power", token]) or 0
        return found


def planned_voters(seeds: Path, protocol: Protocol) -> tuple[PlannedVoter, ...]:
    """The voters of an exchange, in the order of the seed; ConfigError names the line that cannot be read."""
    lines = sorted(read_seed(seeds, "voting/voters"), key=lambda row: int(row["position"]))
    wanted = [row for row in lines if row["protocol"] == protocol.name and row["voter_id"] != OBSERVER]
    return tuple(_planned(row, protocol.family) for row in wanted)


def _planned(row: Mapping[str, str], family: Family) -> PlannedVoter:
    kind, voter = row["voter_kind"], row["voter_id"]
    where = f"seeds/voting/voters.csv, voter {voter}"
    allowed = KINDS if family.voter_kind == "account" else ("nft",)
    if kind not in allowed:
        raise ConfigError(f"{where}: voter_kind = {kind!r}; on {row['protocol']} use {' or '.join(allowed)}")
    is_address = len(voter) == 42 and voter.startswith("0x")
    if (kind == "nft") != voter.isdigit() or (kind != "nft") != is_address:
        shape = "the number of a veNFT" if kind == "nft" else "a 20-byte hex address"
        raise ConfigError(f"{where} is of kind {kind}: its voter_id must be {shape}")
    tokens = [part.strip() for part in row["rewards_for"].split(";") if part.strip()]
    if not all(part.isdigit() for part in tokens):
        raise ConfigError(
            f"{where}: rewards_for = {row['rewards_for']!r}; give veNFT ids, e.g. 12;15, or leave it empty"
        )
    if kind == "nft" and family.voter_kind == "account" and not tokens:
        tokens = [voter]  # its account votes for others too
    return PlannedVoter(voter, kind, row["sender"].lower(), tuple(int(part) for part in tokens))


async def read_voters(
    chain: Views, protocol: Protocol, voters: Sequence[PlannedVoter], states: Sequence[BlockState]
) -> dict[int, list[VoterState]]:
    """Every voter at every block whose state was read, in the order of `voters`."""
    found = {s.block: [_state(protocol.family, voter) for voter in voters] for s in states if s.problem is None}
    there = [state for state in states if state.block in found]
    if there and voters:
        escrows = await _escrows(chain, protocol, there)
        await _read_shares(chain, protocol.family, found, there, escrows)
        await _read_power(chain, protocol, found, there, escrows)
        await _read_votes(chain, protocol, found, there)
    return found


def _state(family: Family, voter: PlannedVoter) -> VoterState:
    is_by_account = family.voter_kind == "account"
    if voter.kind != "nft":
        return VoterState(voter, account=voter.voter_id, is_by_account=is_by_account)
    return VoterState(voter, token_id=int(voter.voter_id), is_by_account=is_by_account)


async def _escrows(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> dict[int, str]:
    replies = await ask(chain, states, [{"ve": call(protocol.voter, "ve()")} for _ in states])
    return {s.block: address(reply["ve"]) or "0x" + 40 * "0" for s, reply in zip(states, replies, strict=True)}


async def _read_shares(
    chain: Views,
    family: Family,
    found: Mapping[int, list[VoterState]],
    states: Sequence[BlockState],
    escrows: Mapping[int, str],
) -> None:
    """Whose NFT is delegated to whom, and with what power, when the epoch's power was fixed."""
    asked: list[dict[tuple[int, str, int], Call]] = []
    for state in states:
        questions, escrow = {}, escrows[state.block]
        for n, of in enumerate(found[state.block]):
            for token in dict.fromkeys((*of.voter.rewards_for, *([] if of.token_id is None else [of.token_id]))):
                when = [state.epoch] if family.nft_power_view.count(",") else []
                questions[n, "power", token] = call(escrow, family.nft_power_view, token, *when)
                if family.delegate_view:
                    questions[n, "delegatee", token] = call(escrow, family.delegate_view, token, state.epoch)
        asked.append(questions)
    for state, replies in zip(states, await ask(chain, states, asked), strict=True):
        for (n, what, token), reply in replies.items():
            of = found[state.block][n]
            of.shares[what, token] = reply
            if what == "delegatee" and token == of.token_id:
                of.account = address(reply)


async def _read_power(
    chain: Views,
    protocol: Protocol,
    found: Mapping[int, list[VoterState]],
    states: Sequence[BlockState],
    escrows: Mapping[int, str],
) -> None:
    family = protocol.family
    asked: list[dict[tuple[int, str], Call]] = []
    for state in states:
        questions: dict[tuple[int, str], Call] = {}
        for n, of in enumerate(found[state.block]):
            who, escrow = of.asked_as, escrows[state.block]
            if who is None:
                continue
            when = [state.epoch] if family.power_view.count(",") else []
            questions[n, "power"] = call(escrow, family.power_view, who, *when)
            questions[n, "last_voted"] = call(protocol.voter, family.last_voted_view, who)
            if of.token_id is not None:
                questions |= {(n, name): asked for name, asked in _about_nft(protocol, of, escrow).items()}
            if family.vote_delay_view:
                questions[n, "vote_delay"] = call(protocol.voter, family.vote_delay_view)
        asked.append(questions)
    for state, replies in zip(states, await ask(chain, states, asked), strict=True):
        for (n, name), reply in replies.items():
            found[state.block][n].answers[name] = reply


def _about_nft(protocol: Protocol, of: VoterState, escrow: str) -> dict[str, Call]:
    questions = {"owner": call(escrow, "ownerOf(uint256)", of.token_id)}
    if of.voter.sender:
        questions["approved"] = call(escrow, "isApprovedOrOwner(address,uint256)", of.voter.sender, of.token_id)
    if protocol.family.exempt_view:
        questions["exempt"] = call(protocol.voter, protocol.family.exempt_view, of.token_id)
    return questions


async def _read_votes(
    chain: Views, protocol: Protocol, found: Mapping[int, list[VoterState]], states: Sequence[BlockState]
) -> None:
    family = protocol.family
    asked: list[dict[tuple[int, str, str], Call]] = []
    for state in states:
        questions: dict[tuple[int, str, str], Call] = {}
        key = per_epoch(family.stake_view, state, family)
        for n, of in enumerate(found[state.block]):
            if of.asked_as is None:
                continue
            for pool in state.gauges.values():
                questions[n, "votes", pool] = call(protocol.voter, family.own_votes_view, of.asked_as, pool)
            for bribe in state.bribes:
                questions[n, "stakes", bribe] = call(bribe, family.stake_view, of.asked_as, *key)
        asked.append(questions)
    for state, replies in zip(states, await ask(chain, states, asked), strict=True):
        for (n, name, where), reply in replies.items():
            of = found[state.block][n]
            (of.votes if name == "votes" else of.stakes)[where] = reply
