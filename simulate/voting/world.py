"""Build the world: deploy, live through the weeks, keep the books, say what is where."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulate.chain.chain import Chain, account
from simulate.chain.contracts import MULTICALL3, compile_all
from simulate.chain.rpc import Rpc
from simulate.voting import CONTRACTS
from simulate.voting.agents import LATENESS, Act, Agents
from simulate.voting.books import Books
from simulate.voting.clock import DAY, HEAD_AFTER_T1, WEEK, block_times, spread
from simulate.voting.exchange import Exchange, Gauge, Lock, Thena, Velodrome, Voter
from simulate.voting.tokens import ORACLE, Market

CHAIN_ID = 31_337
FIRST_EPOCH = 1_757_548_800  # Thursday 2025-09-11 00:00 UTC
GENESIS = FIRST_EPOCH - 5 * DAY
CONDUIT_ID, HOLDER_ID, MANAGED_ID = 7_001, 8_001, 9_001
FLIP_AFTER = range(9, 14)  # seconds from the calendar boundary to the flip transaction, as on Base


@dataclass(frozen=True)
class Size:
    """How much world: `epochs` that have ended, gauges and voters per exchange, and the seed of it all.

    `stops_before`: seconds before the open epoch's boundary at which the world stops; `lateness`: how late it votes;
    `vote_delay`: seconds that Hydrex wants between two votes of one voter.
    """

    epochs: int
    gauges: int
    voters: int
    seed: int
    stops_before: int = 60 - HEAD_AFTER_T1
    lateness: str = "usual"
    vote_delay: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.gauges < 8 or self.voters < 4:
            raise ValueError("a world needs at least 1 epoch, 8 gauges and 4 voters")
        if self.lateness not in LATENESS:
            raise ValueError(f"lateness is {self.lateness!r}: use one of {', '.join(LATENESS)}")


class World:
    """A world under construction on a fresh node."""

    def __init__(self, rpc: Rpc, size: Size, artifacts: Path, say: Callable[[str], None]) -> None:
        self.size, self.say = size, say
        self.chance = random.Random(size.seed)
        self.chain, self.books = Chain(rpc, GENESIS), Books()
        contracts = compile_all(artifacts, CONTRACTS)
        for hours in (6, 31, 48):  # the chain is older than anything on it
            self.chain.mine(GENESIS + hours * 3_600)
        self.chain.place_multicall3()
        self.market = Market(self.chain, contracts, self.books, self.chance)
        self.thena = Thena("hydrex", self.chain, contracts, self.books, FIRST_EPOCH - WEEK)
        self.velodrome = Velodrome("velodrome", self.chain, contracts, self.books, FIRST_EPOCH - WEEK)
        self.exchanges: list[Exchange] = [self.thena, self.velodrome]
        self.agents = Agents(self.thena, self.velodrome, self.market, self.chance, LATENESS[size.lateness])
        self.deployed_block = 0
        self.flips: list[dict[str, Any]] = []
        self._unborn: list[tuple[Exchange, str]] = []  # gauges created in the block to come, by their pool

    def build(self) -> None:
        """Everything from the deployment to the open epoch's last minute."""
        self.market.post_all()
        self.market.open_pools()
        self.deployed_block = self._mine(GENESIS + 2 * DAY + 12)
        for exchange in self.exchanges:
            self._populate(exchange)
        if self.size.vote_delay:
            self.thena.slow_down(self.size.vote_delay)
        self._mine(GENESIS + 3 * DAY)
        for exchange in self.exchanges:
            self._list_twice(exchange)
        flipped = self._flip(FIRST_EPOCH, [])
        for number in range(self.size.epochs + 1):
            flipped = self._live(number, flipped)
            self.say(f"week {number + 1} of {self.size.epochs + 1} lived, {self.chain.number} blocks")
        transactions = self.chain.check()
        self.say(f"{transactions} transactions, every one as meant")

    def _populate(self, exchange: Exchange) -> None:
        """Voters with heavy-tailed power, the lightest of Velodrome's whitelisted; then the gauges."""
        self.market.fund(exchange.briber)
        for index in range(self.size.voters):
            power = int(self.chance.paretovariate(1.1) * 20_000) * 10**18 + self.chance.randrange(10**18)
            who = Voter(index, account(f"{exchange.name} voter {index}"), index + 1, min(power, 4 * 10**24))
            decays = isinstance(exchange, Velodrome) and index % 3 == 0
            exchange.join(who, GENESIS + (300 + 40 * index) * DAY if decays else 0)
        self._special_voters(exchange)
        if isinstance(exchange, Velodrome):
            ordinary = [voter for voter in exchange.voters if voter.power]
            for voter in sorted(ordinary, key=lambda v: v.power)[: max(2, self.size.voters // 12)]:
                exchange.whitelist(voter)
        for index in range(self.size.gauges):
            self._create(exchange, index)

    def _special_voters(self, exchange: Exchange) -> None:
        """At Hydrex conduits that vote with many NFTs, and a holder; at Velodrome a managed NFT."""
        total, count = sum(voter.power for voter in exchange.voters), self.size.voters
        if isinstance(exchange, Velodrome):
            exchange.create_managed(Voter(count, account(f"{exchange.name} manager"), MANAGED_ID, 0))
            return
        late = LATENESS[self.size.lateness]
        theirs = None if late.share is None else int(total * late.share / (1 - late.share))  # of all conduits' NFTs
        for number in range(late.conduits):
            conduit = Voter(count + number, account(f"{exchange.name} conduit {number}"), 0, 0, is_conduit=True)
            exchange.join(conduit)
            for nft in range(late.nfts):
                token_id = CONDUIT_ID + number * late.nfts + nft
                power = total // (9 + nft) + nft if theirs is None else theirs // (late.conduits * late.nfts) + token_id
                lock = Lock(token_id, account(f"{exchange.name} holder {token_id}"), power)
                exchange.lock(lock)
                lock.moves.append((1, conduit.address))
                self.chain.send(lock.owner, exchange.escrow, "delegate(uint256,address)", token_id, conduit.address)
        exchange.lock(Lock(HOLDER_ID, account(f"{exchange.name} holder {HOLDER_ID}"), total // 25))

    def _create(self, exchange: Exchange, index: int) -> None:
        pool = account(f"{exchange.name} pool {index}") if index == 2 else self._deploy_pool(index)
        exchange.create_gauge(pool)
        self._unborn.append((exchange, pool))

    def _deploy_pool(self, index: int) -> str:
        """A pool that says what it holds: two tokens by its index."""
        tokens = self.market.tokens
        first, second = index % len(tokens), (index + 1 + index // len(tokens)) % len(tokens)
        pair = tokens[first].address, tokens[second if second != first else (first + 1) % len(tokens)].address
        return self.chain.deploy(ORACLE, self.market.contracts["listed_pool"], *pair)

    def _find(self, exchange: Exchange, pool: str) -> None:
        """Take a created gauge's addresses from the chain."""
        gauge = _address(self.chain.view(exchange.voter, "gauges(address)", pool))
        bribes = {kind: _address(self.chain.view(exchange.voter, view, gauge)) for kind, view in exchange.bribe_views()}
        found = self._character(Gauge(len(exchange.gauges), pool, gauge, bribes, [], 0.0))
        exchange.gauges.append(found)
        exchange.note("gauge", found, bribes=bribes, actor=exchange.admin)

    def _character(self, gauge: Gauge) -> Gauge:
        """What a gauge is like: a size, tokens, and the odd ones among the first eight."""
        gauge.usd = min(self.chance.lognormvariate(6.6, 1.1), 20_000.0)
        gauge.tokens = self.chance.sample([t for t in self.market.tokens if t.behaviour == "live"], k=2)
        odd = {1: ("NOPE", "USDX"), 3: ("NOPE",), 5: ("STAL", "DEAD"), 4: ("LONG", "HUGE", "THIN")}.get(gauge.index)
        if odd:
            gauge.tokens = [t for t in self.market.tokens if t.symbol in odd]
        if gauge.index == 6:
            gauge.usd = 40.0
        gauge.votable = gauge.index != 2
        gauge.bribable = gauge.index not in (0, 7)
        return gauge

    def _list_twice(self, exchange: Exchange) -> None:
        """A token in both bribes of a gauge, and twice in the list of one of them."""
        bribes = list(exchange.gauges[1].bribes.values())
        for bribe in (*bribes, bribes[-1]):
            exchange.list_token(bribe, self.market.tokens[0])

    def _live(self, number: int, flipped: int) -> int:
        """Week `number`: actions wait for the first block after their moment; returns the flip's time at its end."""
        start, is_open = FIRST_EPOCH + number * WEEK, number == self.size.epochs
        end = start + WEEK - (self.size.stops_before if is_open else 0)
        chance = random.Random(self.size.seed * 1_000 + number)
        hourly = LATENESS[self.size.lateness].is_hourly
        times = [t for t in block_times(number, start, chance, hourly) if flipped < t <= end]
        plan = self.agents.week(number, start, lambda exchange: self._create(exchange, len(exchange.gauges))).ordered()
        acts: list[list[Act]] = [[] for _ in times]
        tail: list[tuple[int, Act]] = []
        for (moment, act), slot in zip(plan, spread([moment for moment, _ in plan], times), strict=True):
            if slot < len(times):
                acts[slot].append(act)
            else:
                tail.append((moment, act))
        for time, due in zip(times, acts, strict=True):
            self._mine(time, due)
        return flipped if is_open else self._flip(start + WEEK, tail)

    def _flip(self, boundary: int, tail: list[tuple[int, Act]]) -> int:
        """The seconds after a boundary: late actions, then the transactions that turn the epoch; returns when."""
        turns = {exchange: boundary + self.chance.choice(FLIP_AFTER) for exchange in self.exchanges}
        for time in range(max(boundary, self.chain.timestamp) + 2, min(turns.values()) - 1, 4):
            self._mine(time, [act for moment, act in tail if moment <= time])
            tail = [(moment, act) for moment, act in tail if moment > time]
        flip: dict[str, Any] = {"boundary": boundary}
        for time in sorted(set(turns.values())):
            turning = [exchange for exchange, turn in turns.items() if turn == time]
            for exchange in turning:
                exchange.flip(boundary)
            block = self._mine(time)
            flip |= {exchange.name: {"block": block, "timestamp": time} for exchange in turning}
        self.flips.append(flip)
        return self.chain.timestamp

    def _mine(self, time: int, acts: Sequence[Act] = ()) -> int:
        for act in acts:
            act(time)
        number = self.chain.mine(time)
        unborn, self._unborn = self._unborn, []
        for exchange, pool in unborn:
            self._find(exchange, pool)
        self.books.mined(number, time)
        return number

    def info(self) -> dict[str, Any]:
        """What a reader needs to find everything, and what tests check against."""
        return {
            "chain_id": CHAIN_ID,
            "seed": self.size.seed,
            "lateness": self.size.lateness,
            "sizes": {"epochs": self.size.epochs, "gauges": self.size.gauges, "voters": self.size.voters},
            "genesis_timestamp": GENESIS,
            "head": {"number": self.chain.number, "timestamp": self.chain.timestamp},
            "deployed_block": self.deployed_block,
            "multicall3": MULTICALL3,
            "flips": self.flips,
            "epochs": [self._epoch(number) for number in range(self.size.epochs + 1)],
            "open_epoch": FIRST_EPOCH + self.size.epochs * WEEK,
            "protocols": {exchange.name: _addresses(exchange) for exchange in self.exchanges},
            "tokens": [
                {
                    "symbol": t.symbol,
                    "address": t.address,
                    "decimals": t.decimals,
                    "feed": t.feed,
                    "behaviour": t.behaviour,
                    "tax_bps": t.tax_bps,
                    "pool": t.pool,
                    "depth_usd": t.depth_usd,
                }
                for t in self.market.tokens
            ],
        }

    def _epoch(self, number: int) -> dict[str, Any]:
        """An epoch with the flips that ended it; none for the open one."""
        start = FIRST_EPOCH + number * WEEK
        ended = (
            {k: v for k, v in self.flips[number + 1].items() if k != "boundary"} if number < self.size.epochs else None
        )
        return {"start": start, "boundary": start + WEEK, "is_complete": ended is not None, "flips": ended}

    def write(self, folder: Path, **urls: str) -> None:
        """`actions.jsonl`, then `world.json`: whoever sees the second may rely on the first."""
        self.books.write(folder / "actions.jsonl")
        part = folder / "world.json.part"
        part.write_text(json.dumps({**urls, **self.info()}, indent=1))
        part.replace(folder / "world.json")


def _addresses(exchange: Exchange) -> dict[str, Any]:
    return {
        "voter": exchange.voter,
        "minter": exchange.minter,
        "escrow": exchange.escrow,
        "admin": exchange.admin,
        "gauges": [{"gauge": g.address, "pool": g.pool, "bribes": g.bribes} for g in exchange.gauges],
        "voters": [{**asdict(voter), "power": str(voter.power)} for voter in exchange.voters],
        "locks": [{"token_id": k.token_id, "owner": k.owner, "end": k.end} for k in exchange.locks.values()],
    }


def _address(word: str) -> str:
    return "0x" + word[-40:]
