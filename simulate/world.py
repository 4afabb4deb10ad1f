"""Build the world: deploy, live through the weeks, keep the books, say what is where."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulate.agents import DAY, Act, Agents
from simulate.chain import Chain, account
from simulate.contracts import MULTICALL3, compile_all
from simulate.exchange import WEEK, Exchange, Gauge, Thena, Velodrome, Voter
from simulate.market import Market
from simulate.rpc import Rpc

CHAIN_ID = 31_337
FIRST_EPOCH = 1_757_548_800  # Thursday 2025-09-11 00:00 UTC
GENESIS = FIRST_EPOCH - 3 * DAY
HEAD_AFTER_T1 = 34  # the open epoch's head stands this many seconds after its T-1 moment, some blocks past finality


@dataclass(frozen=True)
class Size:
    """How much world: `epochs` that have ended, gauges and voters per exchange, and the seed of it all."""

    epochs: int
    gauges: int
    voters: int
    seed: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.gauges < 8 or self.voters < 4:
            raise ValueError("a world needs at least 1 epoch, 8 gauges and 4 voters")


class World:
    """A world under construction on a fresh node."""

    def __init__(self, rpc: Rpc, size: Size, artifacts: Path, say: Callable[[str], None]) -> None:
        self.size, self.say = size, say
        self.chance = random.Random(size.seed)
        self.chain = Chain(rpc, GENESIS)
        contracts = compile_all(artifacts)
        self.chain.mine(GENESIS + DAY)
        self.chain.place_multicall3()
        self.market = Market(self.chain, contracts, self.chance)
        self.thena = Thena("hydrex", self.chain, contracts, FIRST_EPOCH - WEEK)
        self.velodrome = Velodrome("velodrome", self.chain, contracts, FIRST_EPOCH - WEEK)
        self.exchanges: list[Exchange] = [self.thena, self.velodrome]
        self.agents = Agents(self.thena, self.velodrome, self.market, self.chance)
        self.epochs: list[dict[str, Any]] = []
        self._born: list[tuple[Exchange, int]] = []

    def build(self) -> None:
        """Everything from the deployment to the open epoch's last minute."""
        self.chain.mine(GENESIS + DAY + 12)
        self.market.post_all()
        for exchange in self.exchanges:
            self._open(exchange)
        self.chain.mine(GENESIS + 2 * DAY)
        for exchange in self.exchanges:
            for index in range(self.size.gauges):
                self._find(exchange, index)
            self._list_twice(exchange)
        flip = self._flip(FIRST_EPOCH, [])
        for number in range(self.size.epochs + 1):
            flip = self._live(number, FIRST_EPOCH + number * WEEK, flip, is_open=number == self.size.epochs)
        transactions = self.chain.check()
        self.say(f"{self.chain.number} blocks, {transactions} transactions, every one as meant")

    def _open(self, exchange: Exchange) -> None:
        self.market.fund(exchange.briber)
        for index in range(self.size.voters):
            power = int(self.chance.paretovariate(1.1) * 20_000) * 10**18 + self.chance.randrange(10**18)
            exchange.lock(Voter(index, account(f"{exchange.name} voter {index}"), index + 1, min(power, 4 * 10**24)))
        if isinstance(exchange, Velodrome):
            for voter in sorted(exchange.voters, key=lambda v: v.power)[: max(1, self.size.voters // 12)]:
                exchange.whitelist(voter)
        for index in range(self.size.gauges):
            exchange.create_gauge(account(f"{exchange.name} pool {index}"))  # type: ignore[attr-defined]

    def _find(self, exchange: Exchange, index: int) -> Gauge:
        """Take a created gauge's addresses from the chain and decide what it is like."""
        pool = account(f"{exchange.name} pool {index}")
        gauge = _address(self.chain.view(exchange.voter, "gauges(address)", pool))
        views = exchange.bribe_views()  # type: ignore[attr-defined]
        bribes = {kind: _address(self.chain.view(exchange.voter, view, gauge)) for kind, view in views}
        usd = min(self.chance.lognormvariate(6.6, 1.1), 20_000.0)
        tokens = self.chance.sample(self.market.tokens[:5], k=2)
        if index == 1:
            tokens = [t for t in self.market.tokens if t.symbol in ("NOPE", "USDX")]
        elif index == 3:
            tokens = [t for t in self.market.tokens if t.symbol == "NOPE"]
        elif index == 5:
            tokens = [t for t in self.market.tokens if t.symbol in ("STAL", "DEAD")]
        elif index == 6:
            usd = 40.0
        found = Gauge(index, pool, gauge, bribes, tokens, usd, votable=index != 2, bribable=index not in (0, 7))
        exchange.gauges.append(found)
        exchange.note(self.chain.timestamp, "gauge", gauge=gauge, pool=pool, bribes=bribes)
        return found

    def _list_twice(self, exchange: Exchange) -> None:
        """A token in both bribes of a gauge, and twice in the list of one of them."""
        gauge, adder = (
            exchange.gauges[1],
            "addRewardToken(address)" if isinstance(exchange, Thena) else "addReward(address)",
        )
        for bribe in (*gauge.bribes.values(), list(gauge.bribes.values())[-1]):
            self.chain.send(exchange.admin, bribe, adder, self.market.tokens[0].address)

    def _create_late(self, exchange: Exchange) -> None:
        """A gauge created in mid-epoch; it can be voted for from the next block on."""
        index = len(exchange.gauges)
        exchange.create_gauge(account(f"{exchange.name} pool {index}"))  # type: ignore[attr-defined]
        self._born.append((exchange, index))

    def _live(self, number: int, start: int, flip: int, is_open: bool) -> int:
        """One week: actions wait for the next block after their moment; returns the flip block's time at its end."""
        end = start + WEEK - 60 + HEAD_AFTER_T1 if is_open else start + WEEK
        times = [t for t in _block_times(start, random.Random(self.size.seed * 1_000 + number)) if flip < t <= end]
        plan = self.agents.week(number, start, self._create_late).ordered()
        waiting: list[list[tuple[int, Act]]] = [[] for _ in times]
        tail: list[tuple[int, Act]] = []
        for moment, act in plan:
            slot = bisect_left(times, moment)
            if slot < len(times):
                waiting[slot].append((moment, act))
            elif not is_open:
                tail.append((moment, act))
        for time, acts in zip(times, waiting, strict=True):
            self._mine(time, acts)
        self.say(f"epoch {start} lived, {self.chain.number} blocks")
        return flip if is_open else self._flip(start + WEEK, tail)

    def _flip(self, boundary: int, tail: list[tuple[int, Act]]) -> int:
        """The seconds after a boundary: late deposits, then the transactions that turn the epoch, 9-13 s late."""
        late = boundary + 9 + self.chance.randrange(5)
        for time in range(max(boundary, self.chain.timestamp) + 2, late - 1, 4):
            due = [(m, act) for m, act in tail if m <= time]
            tail = [pair for pair in tail if pair not in due]
            self._mine(time, due)
        for exchange in self.exchanges:
            exchange.flip(late)  # type: ignore[attr-defined]
        block = self._mine(late, [])
        self.epochs.append({"boundary": boundary, "flip_block": block, "flip_timestamp": late})
        return late

    def _mine(self, time: int, acts: list[tuple[int, Act]]) -> int:
        for _, act in acts:
            act(time)
        number = self.chain.mine(time)
        for exchange in self.exchanges:
            exchange.mined(number, time)
        for exchange, index in self._born:
            self._find(exchange, index)
            exchange.mined(number, time)
        self._born = []
        return number

    def info(self) -> dict[str, Any]:
        """What a reader needs to find everything, and what tests check against."""
        return {
            "chain_id": CHAIN_ID,
            "seed": self.size.seed,
            "sizes": {"epochs": self.size.epochs, "gauges": self.size.gauges, "voters": self.size.voters},
            "genesis_timestamp": GENESIS,
            "head": {"number": self.chain.number, "timestamp": self.chain.timestamp},
            "multicall3": MULTICALL3,
            "flips": self.epochs,
            "epochs": [FIRST_EPOCH + n * WEEK for n in range(self.size.epochs)],
            "open_epoch": FIRST_EPOCH + self.size.epochs * WEEK,
            "protocols": {
                e.name: {
                    "voter": e.voter,
                    "minter": e.minter,
                    "escrow": e.escrow,
                    "gauges": [{"gauge": g.address, "pool": g.pool, "bribes": g.bribes} for g in e.gauges],
                    "voters": [{"address": v.address, "token_id": v.token_id, "power": str(v.power)} for v in e.voters],
                }
                for e in self.exchanges
            },
            "tokens": [
                {
                    "symbol": t.symbol,
                    "address": t.address,
                    "decimals": t.decimals,
                    "feed": t.feed,
                    "behaviour": t.behaviour,
                }
                for t in self.market.tokens
            ],
        }

    def write(self, folder: Path, rpc_url: str) -> dict[str, Any]:
        """`actions.jsonl`, then `world.json`: whoever sees the second may rely on the first."""
        rows = sorted((r for e in self.exchanges for r in e.books), key=lambda r: r["block"] or 0)
        (folder / "actions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        info = {"rpc_url": rpc_url, **self.info()}
        part = folder / "world.json.part"
        part.write_text(json.dumps(info, indent=1))
        part.replace(folder / "world.json")
        return info


def _block_times(start: int, chance: random.Random) -> list[int]:
    """Times of a week's blocks: sparse and irregular in the week, every 2 s around the windows, with missed slots.

    The node copies its whole state at each block, so blocks are what a world costs (15-25 ms each).
    """
    end = start + WEEK
    times = {start + int(chance.uniform(0.002, 0.995) * (WEEK - DAY // 2)) for _ in range(14)}
    times |= {end - DAY + offset for offset in (-4, -2, 0, 2)}
    times |= {end - before for before in range(3_600, 700, -580)}
    times |= {end - before + chance.randrange(3) for before in range(660, 310, -70)}
    times |= {end - 300 + offset for offset in (-4, -2, 0, 2)}
    times |= {end - before + chance.randrange(2) for before in range(280, 80, -40)}
    times |= {end - 60 + offset for offset in (-4, -2, 0, 2, 4)}
    times |= {end - before + chance.randrange(3) for before in range(50, 18, -6)}
    times |= {end - before for before in range(16, 0, -2)}
    times.discard(end - chance.randrange(2, 8, 2))
    if chance.random() < 0.5:
        times.add(end)  # a block exactly on the boundary in some epochs, a missed slot in the others
    for second in (end - DAY, end - 300, end - 60):
        if chance.random() < 0.3:
            times.discard(second)
    return sorted(times)


def _address(word: str) -> str:
    return "0x" + word[-40:]
