"""Vote and reward state of an exchange at given blocks: fetch (rounds of view calls), then decode to tables.

Each round asks all blocks at once, because one answer (which gauges, which bribes, which tokens) names
the next questions. Nothing is carried from one block to another: a gauge that did not exist yet is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from extract.errors import ForeshoreError
from extract.evm.calls import Call, Reply, joint
from extract.evm.client import ChainClient
from extract.evm.proof import PROVEN
from extract.evm.views import Views, address, call, status, word
from extract.voting.families import Family, Protocol
from extract.voting.pools import Pool, of_tokens
from extract.voting.pricing import PriceQuote

K = TypeVar("K", bound=Hashable)
Questions = dict[K, Call]
Answers = dict[K, Reply]


class StateError(ForeshoreError):
    """A block has no readable state of the exchange, or one of another epoch."""


@dataclass
class BlockState:
    """Raw replies of one block, keyed by what was asked."""

    block: int
    epoch: int
    totals: Answers[str] = field(default_factory=dict)
    pools: list[str] = field(default_factory=list)
    gauges: dict[str, str] = field(default_factory=dict)  # gauge -> pool
    votes: Answers[str] = field(default_factory=dict)  # by pool
    alive: Answers[str] = field(default_factory=dict)  # by gauge
    bribes: dict[str, tuple[str, str]] = field(default_factory=dict)  # bribe -> (gauge, kind)
    replaced: set[str] = field(default_factory=set)  # those of `bribes` that take no votes any more
    bribe_reads: Answers[tuple[str, str]] = field(default_factory=dict)  # by (gauge, kind)
    supplies: Answers[str] = field(default_factory=dict)  # stakes that share the epoch's rewards, by bribe
    lengths: Answers[str] = field(default_factory=dict)  # of the list of reward tokens, by bribe
    unread_tokens: Counter[str] = field(default_factory=Counter)  # places of a bribe's list that do not answer
    listed: dict[str, Counter[str]] = field(default_factory=dict)  # bribe -> token -> times listed
    rewards: Answers[tuple[str, str]] = field(default_factory=dict)  # (bribe, token)
    balances: Answers[tuple[str, str]] = field(default_factory=dict)
    decimals: Answers[str] = field(default_factory=dict)  # by token
    symbols: Answers[str] = field(default_factory=dict)
    rounds: Answers[str] = field(default_factory=dict)  # latestRoundData by token
    feed_decimals: Answers[str] = field(default_factory=dict)
    quote_decimals: Answers[str] = field(default_factory=dict)  # by quote token of a pool
    sales: dict[Pool, Answers[str]] = field(default_factory=dict)  # what pools say that tokens are sold in
    quotes: dict[str, list[PriceQuote]] = field(default_factory=dict)  # by token, from configured sources and pools
    calls: int = 0
    confirmation: str = PROVEN  # of everything asked at this block together
    problem: str | None = None  # why this block has no state; the other blocks are not lost with it


async def read_places(
    chain: Views, protocol: Protocol, epoch: int, blocks: Sequence[int], start_block: int
) -> dict[int, BlockState]:
    """Gauges and bribes of `protocol` at each of `blocks` (distinct, ascending or not).

    Bribes that were replaced since `start_block`, the epoch's first, still pay what was deposited and voted there: they
    are among the bribes. A block whose state cannot be read, or of another epoch, has `problem` set and nothing else.
    """
    states = [BlockState(block, epoch) for block in dict.fromkeys(blocks)]
    await _read_totals(chain, protocol, states)
    readable = [state for state in states if state.problem is None]
    await _read_gauges(chain, protocol, readable)
    await _read_bribes(chain, protocol, readable)
    if readable and protocol.family.votes_reset_each_epoch:
        before = await read_bribes(chain, protocol, epoch, [start_block])
        for state in readable:
            gone = {b: key for b, key in before.items() if b not in state.bribes and key[0] in state.gauges}
            state.bribes |= gone
            state.replaced = set(gone)
    return {state.block: state for state in states}


async def read_states(
    chain: Views,
    protocol: Protocol,
    feeds: Mapping[str, str],
    pools: Sequence[Pool],
    states: Sequence[BlockState],
) -> None:
    """Votes, rewards and tokens of the places found at each block."""
    readable = [state for state in states if state.problem is None]
    await _read_listed(chain, protocol, readable)
    await _read_rewards(chain, protocol, readable)
    await _read_tokens(chain, feeds, pools, readable)


async def read_bribes(
    chain: Views, protocol: Protocol, epoch: int, blocks: Sequence[int]
) -> dict[str, tuple[str, str]]:
    """Every bribe contract known at any of `blocks`: address -> (gauge, kind)."""
    states = [BlockState(block, epoch) for block in dict.fromkeys(blocks)]
    await _read_totals(chain, protocol, states)
    there = [state for state in states if word(state.totals["length"]) is not None]
    await _read_gauges(chain, protocol, there)
    await _read_bribes(chain, protocol, there)
    return {bribe: key for state in states for bribe, key in state.bribes.items()}


async def count_gauges(chain: ChainClient, protocol: Protocol, block: int) -> int:
    """How many pools the voter lists at a block; 0 where it does not answer."""
    (reply,) = await chain.read([call(protocol.voter, "length()")], block)
    return word(reply) or 0


async def ask(chain: Views, states: Sequence[BlockState], questions: Sequence[Questions[K]]) -> list[Answers[K]]:
    requests = [(s.block, list(q.values())) for s, q in zip(states, questions, strict=True)]
    replies = await chain.read_blocks(requests)
    for state, of_block in zip(states, replies, strict=True):
        state.calls += len(of_block)
        state.confirmation = joint({state.confirmation} | {reply.confirmation for reply in of_block})
    return [dict(zip(q, r, strict=True)) for q, r in zip(questions, replies, strict=True)]


async def _read_totals(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> None:
    family, voter = protocol.family, protocol.voter
    takes_epoch = "uint256" in family.total_votes_view
    asked = [
        {
            "length": call(voter, "length()"),
            "total": call(voter, family.total_votes_view, *([s.epoch] if takes_epoch else [])),
            "epoch": call(protocol.minter, family.epoch_view),
        }
        for s in states
    ]
    for state, totals in zip(states, await ask(chain, states, asked), strict=True):
        state.totals = totals
        state.problem = _problem(chain, protocol, state)


def _problem(chain: Views, protocol: Protocol, state: BlockState) -> str | None:
    length, on_chain = state.totals["length"], word(state.totals["epoch"])
    if length.status == "no_archive_state":
        return f"no provider keeps the state of block {state.block}: add an archive provider to chain {protocol.chain}"
    if word(length) is None:
        return (
            f"{protocol.name}: {protocol.voter} on chain {chain.chain_id} does not answer length() at block "
            f"{state.block} ({status(length)}): check `voter`, or ask for epochs after its deployment"
        )
    if on_chain != state.epoch:
        return (
            f"{protocol.name}: the minter {protocol.minter} is in epoch {on_chain} at block {state.block}, "
            f"not in {state.epoch}: the epoch turned late, or `minter` in the configuration is wrong"
        )
    return None


async def _read_gauges(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> None:
    family, voter = protocol.family, protocol.voter
    indexes = [{i: call(voter, "pools(uint256)", i) for i in range(word(s.totals["length"]) or 0)} for s in states]
    for state, pools in zip(states, await ask(chain, states, indexes), strict=True):
        state.pools = [found for reply in pools.values() if (found := address(reply))]
    gauges = await ask(chain, states, [{p: call(voter, "gauges(address)", p) for p in s.pools} for s in states])
    per_epoch = "uint256" in family.votes_view
    votes = [{p: call(voter, family.votes_view, p, *([s.epoch] if per_epoch else [])) for p in s.pools} for s in states]
    for state, of_pool, voted in zip(states, gauges, await ask(chain, states, votes), strict=True):
        state.gauges = {g: pool for pool, reply in of_pool.items() if (g := address(reply))}
        state.votes = voted


async def _read_bribes(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> None:
    voter, kinds = protocol.voter, protocol.family.bribe_views
    alive = [{g: call(voter, "isAlive(address)", g) for g in s.gauges} for s in states]
    for state, answers in zip(states, await ask(chain, states, alive), strict=True):
        state.alive = answers
    asked = [{(g, kind): call(voter, v, g) for g in s.gauges for kind, v in kinds.items()} for s in states]
    for state, found in zip(states, await ask(chain, states, asked), strict=True):
        state.bribe_reads = found
        state.bribes = {bribe: key for key, reply in found.items() if (bribe := address(reply))}


async def _read_listed(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> None:
    family = protocol.family
    keys = [per_epoch(family.supply_view, state, family) for state in states]
    asked = [{b: call(b, family.supply_view, *key) for b in s.bribes} for s, key in zip(states, keys, strict=True)]
    for state, supplies in zip(states, await ask(chain, states, asked), strict=True):
        state.supplies = supplies
    lengths = await ask(chain, states, [{b: call(b, "rewardsListLength()") for b in s.bribes} for s in states])
    tokens = [
        {(b, i): call(b, family.reward_token_view, i) for b, r in answers.items() for i in range(word(r) or 0)}
        for answers in lengths
    ]
    for state, answers, listed in zip(states, lengths, await ask(chain, states, tokens), strict=True):
        state.lengths = answers
        state.listed = {bribe: Counter() for bribe in state.bribes}
        for (bribe, _), reply in listed.items():
            if token := address(reply):
                state.listed[bribe][token] += 1
            else:
                state.unread_tokens[bribe] += 1


def per_epoch(view: str, state: BlockState, family: Family) -> list[int]:
    """The epoch's key as the last argument of a view that takes one: what a bribe keeps for it."""
    takes_epoch = view.split("(")[1].split(",")[-1].startswith("uint256)") and family.votes_reset_each_epoch
    return [state.epoch + family.reward_epoch_offset] if takes_epoch else []


async def _read_rewards(chain: Views, protocol: Protocol, states: Sequence[BlockState]) -> None:
    family = protocol.family
    pairs = [[(b, t) for b, tokens in s.listed.items() for t in tokens] for s in states]
    rewards = [
        {(b, t): call(b, family.reward_view, t, s.epoch + family.reward_epoch_offset) for b, t in of}
        for s, of in zip(states, pairs, strict=True)
    ]
    balances = [{(b, t): call(t, "balanceOf(address)", b) for b, t in of} for of in pairs]
    for state, found in zip(states, await ask(chain, states, rewards), strict=True):
        state.rewards = found
    for state, held in zip(states, await ask(chain, states, balances), strict=True):
        state.balances = held


async def _read_tokens(
    chain: Views, feeds: Mapping[str, str], pools: Sequence[Pool], states: Sequence[BlockState]
) -> None:
    tokens = [sorted({t for _, t in s.rewards}) for s in states]
    sold = [of_tokens(pools, of) for of in tokens]
    quotes = [sorted({pool.quote for pool in of}) for of in sold]
    fed = [sorted({t for t in (*of, *into) if t in feeds}) for of, into in zip(tokens, quotes, strict=True)]
    asked: list[tuple[str, list[Questions[str]]]] = [
        ("decimals", [{t: call(t, "decimals()") for t in of} for of in tokens]),
        ("symbols", [{t: call(t, "symbol()") for t in of} for of in tokens]),
        ("rounds", [{t: call(feeds[t], "latestRoundData()") for t in of} for of in fed]),
        ("feed_decimals", [{t: call(feeds[t], "decimals()") for t in of} for of in fed]),
    ]
    for name, questions in asked:
        for state, answers in zip(states, await ask(chain, states, questions), strict=True):
            setattr(state, name, answers)
    into = await ask(chain, states, [{t: call(t, "decimals()") for t in of} for of in quotes])
    said = await ask(chain, states, [{(p, n): c for p in of for n, c in p.questions().items()} for of in sold])
    for state, of, decimals, replies in zip(states, sold, into, said, strict=True):
        state.quote_decimals = decimals
        state.sales = {pool: {n: r for (p, n), r in replies.items() if p == pool} for pool in of}
