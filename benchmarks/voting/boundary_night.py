"""The boundary night: from a block to a decision with its transaction, 415 gauges with 8 reward tokens each.

    python -m benchmarks.voting.boundary_night [--blocks 60] [--gauges 415] [--json]

A world of one ended epoch, extracted, built and published; then blocks every two seconds, each with a vote in it,
through an endpoint with 80 ms latency. Timed to the decision of all voters that are planned for: from the moment the
node is told to make the block, and from the block's arrival, when the night hears of it. Beside it the same views
through web3.py: in one Multicall3 call, and one by one (timed on a sample, scaled to all of them).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from web3 import Web3

import simulate
import simulate.voting
from benchmarks.state_reads import ABI
from extract.config import Config, load_config
from extract.evm.blocks import Block
from extract.evm.config import MULTICALL3
from extract.voting.live import open_epoch
from extract.voting.plan import Request
from operate.notify import Notifier
from operate.rebuild import rebuild
from operate.voting.extraction import run_voting
from operate.voting.watch.decisions import Decider
from operate.voting.watch.hands import Hands
from operate.voting.watch.models import LiveModels, load_models
from operate.voting.watch.night import Night
from operate.voting.watch.voice import Voice
from operate.voting.watch.world_clock import Node
from operate.warehouse import Warehouse
from operate.worlds import world_config
from simulate.chain.contracts import calldata

PROTOCOL = "hydrex_world"
TOKENS_EACH = 4  # of each of a gauge's two bribes
BLOCK_SECONDS = 2
LEAD_SECONDS = 600
SINGLY = 40  # views that are asked one by one
WAIT_SECONDS = 600.0


class Ear(Voice):
    """Notes when a block arrived and was decided."""

    def __init__(self) -> None:
        super().__init__(Notifier())
        self.arrived: dict[int, float] = {}
        self.decided: dict[int, float] = {}
        self.facts: dict[int, dict[str, Any]] = {}
        self._heard = asyncio.Event()

    async def hears(self, block: int) -> None:
        """Wait until a block is decided."""
        while block not in self.decided:
            self._heard.clear()
            await self._heard.wait()

    def say(self, event: str, text: str, seconds_left: int | None = None, **facts: Any) -> None:
        if event == "decided":
            self.decided[facts["block"]] = time.perf_counter()
            self.facts[facts["block"]] = facts
            self._heard.set()
        elif event in ("blind", "provider", "refused"):
            print(f"{event}: {text}", flush=True)


def prepare(world: simulate.RunningWorld, folder: Path) -> Config:
    """The world with its tokens listed, extracted, built and published; the configuration names the slow endpoint."""
    list_tokens(world)
    made = world_config(world.info).replace(world.rpc_url, world.profile_url("slow"))
    storage = f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nis_simulated = true\n'
    (folder / "foreshore.toml").write_text(storage + f'seeds = "{Path.cwd() / "seeds"}"\n' + made)
    config = load_config(str(folder / "foreshore.toml"))
    assert run_voting(config, Request(epochs=1), as_json=True) == 0
    assert not rebuild(Warehouse.of(config)).held_back.get("voting")
    return config


def list_tokens(world: simulate.RunningWorld) -> None:
    """Every bribe of Hydrex lists as many tokens as asked for."""
    node, where = Node(world.info["node_url"]), world.info["protocols"]["hydrex"]
    tokens = [token["address"] for token in world.info["tokens"]][:TOKENS_EACH]
    for gauge in where["gauges"]:
        for bribe in gauge["bribes"].values():
            for token in tokens:
                data = calldata("addRewardToken(address)", token)
                send(node, where["admin"], bribe, data)
    for _ in range(8):  # the listing is final before anything is extracted
        node.mine(node.now + BLOCK_SECONDS)


def send(node: Node, sender: str, to: str, data: str) -> None:
    asked = {"from": sender, "to": to, "data": data, "gas": hex(12_000_000), "gasPrice": "0x0"}
    node.ask("eth_sendTransaction", asked)


class TimedNight(Night):
    """Notes when a head arrives."""

    async def _note(self, head: Block) -> None:
        assert isinstance(self.voice, Ear)
        self.voice.arrived[head.number] = time.perf_counter()
        await super()._note(head)


async def night(
    config: Config,
    world: simulate.RunningWorld,
    blocks: int,
    lead: int = LEAD_SECONDS,
    pace: float = BLOCK_SECONDS,
    heard: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Latencies of `blocks` decisions from `lead` seconds before the boundary on, requests each, and how many views one
    took. A block at most every `pace` seconds; `heard` is told how many were decided.
    """
    warehouse, ear = Warehouse.of(config), Ear()
    models = load_models(warehouse)
    node = Node(world.info["node_url"])
    async with open_epoch(config, PROTOCOL) as epoch:
        live = LiveModels(warehouse, models, PROTOCOL, epoch.epoch)
        decider = Decider(warehouse, PROTOCOL, epoch.epoch)
        with closing(live), closing(Hands(config, epoch, [], None, ear, "benchmark")) as hands:
            await asyncio.to_thread(node.mine, epoch.boundary - lead - 1)  # from here on heads are waited for closely
            watching = asyncio.create_task(TimedNight(config, epoch, live, decider, hands, ear, "benchmark").run())
            ticking = asyncio.create_task(tick(node, world, ear, epoch.boundary - lead + 1, blocks, pace, heard))
            try:
                done, _ = await asyncio.wait({watching, ticking}, return_when=asyncio.FIRST_COMPLETED)
                if watching in done:
                    raise RuntimeError("the night ended before its blocks did") from watching.exception()
                mined = ticking.result()
            finally:
                watching.cancel()
                ticking.cancel()
        usual = list(epoch.views)
        return {"mined": mined, "ear": ear, "requests": dict(epoch.providers.requests), "views": usual}


async def tick(
    node: Node,
    world: simulate.RunningWorld,
    ear: Ear,
    at: int,
    blocks: int,
    pace: float,
    heard: Callable[[int], None],
) -> dict[int, float]:
    """Blocks two seconds apart from `at` on, each with a vote in it and after the one before was decided; when each was
    there.
    """
    where, mined = world.info["protocols"]["hydrex"], dict[int, float]()
    voters = [voter["address"] for voter in where["voters"] if int(voter["power"])]
    pools = [gauge["pool"] for gauge in where["gauges"][8:]]
    for number in range(blocks + 1):
        chosen = pools[number % len(pools)], pools[(7 * number + 3) % len(pools)]
        vote = calldata("vote(address[],uint256[])", list(dict.fromkeys(chosen)), [1] * len(set(chosen)))
        await asyncio.to_thread(send, node, voters[number % len(voters)], where["voter"], vote)
        started = time.perf_counter()
        await asyncio.to_thread(node.mine, at + BLOCK_SECONDS * number)
        block = int(await asyncio.to_thread(node.ask, "eth_blockNumber"), 16)
        mined[block] = started
        await asyncio.wait_for(ear.hears(block), WAIT_SECONDS)
        await asyncio.sleep(max(0.0, started + pace - time.perf_counter()))
        heard(number)
    return mined


def peers(world: simulate.RunningWorld, views: Sequence[Any]) -> dict[str, float]:
    """Seconds for the same views through web3.py on the same slow endpoint."""
    web3 = Web3(Web3.HTTPProvider(world.profile_url("slow"), request_kwargs={"timeout": 120}))
    contract = web3.eth.contract(Web3.to_checksum_address(MULTICALL3), abi=ABI)
    wanted = [(Web3.to_checksum_address(call.target), True, call.data) for call in views]
    started = time.perf_counter()
    contract.functions.aggregate3(wanted).call()
    together = time.perf_counter() - started
    started = time.perf_counter()
    for call in views[:SINGLY]:
        web3.eth.call({"to": Web3.to_checksum_address(call.target), "data": call.data})
    singly = (time.perf_counter() - started) * len(views) / SINGLY
    return {"web3.py, one Multicall3 call": together, "web3.py, one by one (scaled)": singly}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--gauges", type=int, default=415)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with simulate.voting.running(
            folder / "world", epochs=1, gauges=asked.gauges, voters=8, stops_before=700
        ) as world:
            found = asyncio.run(night(prepare(world, folder), world, asked.blocks))
            others = peers(world, found["views"])
    ear, mined = found["ear"], found["mined"]
    done = sorted(mined.keys() & ear.decided.keys())[1:]  # the first reads everything
    made = [ear.decided[block] - mined[block] for block in done]
    told = [ear.decided[block] - ear.arrived[block] for block in done]
    read = [ear.facts[block]["read_seconds"] for block in done]
    decide = [ear.facts[block]["decide_seconds"] for block in done]
    result = {
        "blocks": len(done),
        "views": len(found["views"]),
        "requests_each": {name: round(n / (len(done) + 1), 1) for name, n in found["requests"].items()},
        "seconds": {
            n: _spread(v)
            for n, v in (
                ("made to decision", made),
                ("arrival to decision", told),
                ("reading", read),
                ("deciding", decide),
            )
        },
        "peers": {name: round(seconds, 3) for name, seconds in others.items()},
        "reading_against": {n: round(s / statistics.median(read), 1) for n, s in others.items()},
        "loop_seconds": round(_loop(), 2),
    }
    print(json.dumps(result, indent=None if asked.json else 1))


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 3), "p99": round(last, 3), "least": round(ordered[0], 3)}


def _loop() -> float:
    """Ten million additions: how fast this machine is."""
    started, total = time.perf_counter(), 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
