"""Build the lending world: deploy, live through New York days, keep the truth, say what is where."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulate.chain.chain import Chain, account
from simulate.chain.contracts import MULTICALL3, compile_all
from simulate.chain.rpc import Rpc
from simulate.lending import CONTRACTS
from simulate.lending.books import Liquidation, Row, locate
from simulate.lending.cast import cast, ghost
from simulate.lending.clock import Day, block_times, days
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import ORACLE, Market
from simulate.lending.story import Moment, story

CHAIN_ID = 31_338
HOUR, DAY = 3_600, 86_400
LEAD = 3 * DAY  # the chain is older than the first day
ACTS_PER_DAY = 2  # of each deployment
WALKS_PER_DAY = 3
RICH = 10**30  # wei of those who deal in the chain's own coin


@dataclass(frozen=True)
class Size:
    """How much world: New York days, and every deployment or (`is_small`) one per shape."""

    days: int
    seed: int
    is_small: bool

    @property
    def genesis(self) -> int:
        return days(self.days)[0].start - LEAD


class LendingWorld:
    """A world under construction on a fresh node."""

    def __init__(self, rpc: Rpc, size: Size, artifacts: Path, say: Callable[[str], None]) -> None:
        self.size, self.say = size, say
        self.days = days(size.days)
        self.chance = random.Random(size.seed)
        self.chain = Chain(rpc, size.genesis)
        contracts = compile_all(artifacts, CONTRACTS)
        self.chain.place_multicall3()
        market = Market(self.chain, contracts, self.chance)
        self.scene = Scene(self.chain, contracts, market, self.chance)
        self.csus = {csu.csu_id: csu for csu in cast(self.scene, size.is_small)}
        self.late = {moment.csu for moment in story(self.csus) if moment.verb == "deploy"}
        self.stranger = ""
        self.blocks: dict[int, int] = {}  # number -> time
        self.liquidations: list[Liquidation] = []
        self.snapshots: list[Row] = []
        self.spans: list[Row] = []

    def build(self) -> None:
        """Everything from the first contract to the head."""
        start = self.days[0].start
        for name in self.csus:
            self.chain.rpc.call("anvil_setBalance", account(f"{name} whale"), hex(RICH))
        self._mine(start - 2 * DAY)
        self.stranger = self.chain.deploy(ORACLE, self.scene.contracts["stranger"])
        self._mine(start - 2 * DAY + 12, lambda at: self.scene.market.post(at))
        for stale in ("STAL / USD",):
            self.scene.market.still(stale)
        for name, csu in self.csus.items():
            if name not in self.late:
                self._mine(self.chain.timestamp + 600, lambda at, c=csu: self._deploy(c, at))  # type: ignore[misc]
        self._mine(self.chain.timestamp + 600, lambda at: self.scene.market.post(at))
        for day in self.days:
            self._live(day)
            self.say(f"{day.date} lived, {self.chain.number} blocks")
        self._after()
        self.say(f"{self.chain.check()} transactions, every one as meant")

    def _deploy(self, csu: Csu, at: int) -> None:
        csu.deploy(at)
        csu.start_block = self.chain.number + 1

    def _live(self, day: Day) -> None:
        """A day: everyday actions and price steps at random blocks, the story at its moments; then the snapshot."""
        times = block_times(day, random.Random(self.size.seed * 1_000 + day.offset))
        due: dict[int, list[Callable[[int], None]]] = defaultdict(list)
        inner = range(1, len(times) - 1)
        for _ in range(WALKS_PER_DAY):
            due[self.chance.choice(inner)].append(self.scene.market.walk)
        for csu in self.csus.values():
            for _ in range(ACTS_PER_DAY):
                due[self.chance.choice(inner)].append(lambda at, c=csu: self._act(c, at))  # type: ignore[misc]
        for moment in story(self.csus):
            if moment.offset == day.offset:
                due[moment.slot(times, day.end)].append(lambda at, m=moment: self._tell(m, at))  # type: ignore[misc]
        first = self.chain.number + 1
        for index, time in enumerate(times):
            self._mine(time, *due[index])
        self._snapshot(day, first)

    def _act(self, csu: Csu, at: int) -> None:
        if csu.start_block is not None:
            csu.act(at)

    def _tell(self, moment: Moment, at: int) -> None:
        """One event of the story."""
        if moment.csu == "market":
            getattr(self.scene.market, moment.verb)(*((at,) if moment.is_timed else ()), **moment.how)
        elif moment.csu == "stranger":
            token = self.scene.market.tokens["WETX"].address
            self.chain.send(account("stranger"), self.stranger, "pretend(address,uint256)", token, 10**24)
        elif moment.verb == "deploy":
            self._deploy(self.csus[moment.csu], at)
        else:
            getattr(self.csus[moment.csu], moment.verb)(*((at,) if moment.is_timed else ()), **moment.how)

    def _after(self) -> None:
        """Blocks after the last midnight, with some life in them, so that the head is not the last snapshot."""
        start = self.days[-1].end
        for seconds in (4, 16, 28, 600, 1_200, 1_800, 3_600, 5_400, 7_200):
            csu = self.chance.choice(list(self.csus.values()))
            self._mine(start + seconds, lambda at, c=csu: self._act(c, at))  # type: ignore[misc]

    def _mine(self, time: int, *acts: Callable[[int], None]) -> int:
        """One block with these acts; what was liquidated in it is priced as of its end."""
        for act in acts:
            act(time)
        number = self.chain.mine(time)
        self.blocks[number] = time
        for one in self.scene.liquidations:
            one.block, one.timestamp = number, time
            self.csus[one.csu_id].price(one, time, number)
        self.liquidations += self.scene.liquidations
        self.scene.liquidations = []
        return number

    def _snapshot(self, day: Day, first: int) -> None:
        block, time = self.chain.number, self.chain.timestamp
        hours = (day.end - day.start) // HOUR
        self.spans.append(
            {
                "date": day.date.isoformat(),
                "start": day.start,
                "end": day.end,
                "hours": hours,
                "first_block": first,
                "snapshot_block": block,
                "snapshot_timestamp": time,
            }
        )
        head = {"date": day.date.isoformat(), "block": block, "timestamp": time}
        for csu in self.csus.values():
            is_there = csu.start_block is not None
            reserves = [h.row() for h in csu.holdings(time, block)] if is_there else []
            status = "ok" if is_there else "not_deployed"
            self.snapshots.append({"csu_id": csu.csu_id, **head, "status": status, "reserves": reserves})
        self.snapshots.append({"csu_id": ghost()["csu_id"], **head, "status": "not_deployed", "reserves": []})

    def _day_of(self, timestamp: int) -> str:
        return str(next(s["date"] for s in self.spans if s["start"] <= timestamp < s["end"]))

    def info(self) -> dict[str, Any]:
        """What a reader needs to find everything, and the truth to compare with."""
        market = self.scene.market
        return {
            "chain_id": CHAIN_ID,
            "seed": self.size.seed,
            "sizes": {"days": self.size.days, "small": self.size.is_small},
            "genesis_timestamp": self.size.genesis,
            "head": {"number": self.chain.number, "timestamp": self.chain.timestamp},
            "multicall3": MULTICALL3,
            "days": self.spans,
            "csus": [self._csu(csu) for csu in self.csus.values()] + [ghost()],
            "tokens": [
                {
                    "symbol": t.symbol,
                    "address": t.address,
                    "decimals": t.known_decimals,
                    "true_decimals": t.decimals,
                    "feed": t.feed and t.feed.address,
                }
                for t in (*market.tokens.values(), market.eth)
            ],
            "feeds": [
                {"name": f.name, "address": f.address, "decimals": f.decimals, "is_dead": f.is_dead}
                for f in market.feeds.values()
            ],
            "stranger": self.stranger,
            "truth": {
                "snapshots": self.snapshots,
                "liquidations": self._located(is_readable=True),
                "undecodable": self._located(is_readable=False),
            },
        }

    def _located(self, is_readable: bool) -> list[Row]:
        """Logs of liquidations in the order of the chain, with their New York day."""
        rows = locate(self.chain, [one for one in self.liquidations if one.is_readable == is_readable])
        rows.sort(key=lambda row: (row["block"], row["log_index"]))
        return [{"date": self._day_of(row["timestamp"]), **row} for row in rows]

    def _csu(self, csu: Csu) -> Row:
        block = csu.start_block
        return {
            "csu_id": csu.csu_id,
            "family": csu.family,
            "registry": csu.registry,
            "price_unit": "base" if getattr(csu, "unit", "USD") == "ETH" else "usd",
            "start_block": block,
            "start_at": None if block is None else self.blocks[block],
            "addresses": csu.addresses,
        }

    def write(self, folder: Path, **urls: str) -> None:
        """`lending_world.json`, whole or not at all."""
        part = folder / "lending_world.json.part"
        part.write_text(json.dumps({**urls, **self.info()}, indent=1))
        part.replace(folder / "lending_world.json")
