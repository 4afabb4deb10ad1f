"""From block to block: what a reading asks at once, and what it finds by itself, is what a whole reading finds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web

import simulate.voting
from extract.evm.blocks import Block
from extract.seeds import decision_windows
from extract.voting.live import OpenEpoch, open_epoch
from operate.worlds import world_config
from simulate.chain.contracts import ARTIFACTS, calldata, compile_all
from simulate.voting import CONTRACTS
from tests.line_fixtures import ROOT, Line
from tests.world_fixtures import ask

pytestmark = pytest.mark.node
WINDOW = next(w for w in decision_windows(ROOT / "seeds") if w.decision_window == "T-1")
WHEN = ["fetched_at", "provider"]
STILL = {"voting_rewards": ["residual_balance_raw"], "voting_pools": None}  # asked in turns


class Chain:
    """The embedded chain in our hands: what is sent lands in the next block."""

    def __init__(self, world: simulate.RunningWorld) -> None:
        self.node, self.hydrex = world.info["node_url"], world.info["protocols"]["hydrex"]
        self.tokens = [token["address"] for token in world.info["tokens"]]

    def send(self, sender: str, to: str | None, data: str) -> str:
        asked = {"from": sender, "data": data, "gas": hex(12_000_000), "gasPrice": "0x0"}
        return str(ask(self.node, "eth_sendTransaction", asked | ({"to": to} if to else {})))

    def admin(self, to: str, function: str, *arguments: Any) -> None:
        self.send(self.hydrex["admin"], to, calldata(function, *arguments))

    def mine(self) -> None:
        now = int(ask(self.node, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        ask(self.node, "evm_mine", {"timestamp": now + 1})

    async def head(self, epoch: OpenEpoch) -> Block:
        """The newest block, once the providers tell of it."""
        newest = int(ask(self.node, "eth_blockNumber"), 16)
        found = await epoch.providers.head(newest - 1, 10)
        assert found is not None
        return found

    def vote(self, number: int, *gauges: int) -> str:
        voter = [v["address"] for v in self.hydrex["voters"] if int(v["power"])][number]
        pools = [self.hydrex["gauges"][gauge]["pool"] for gauge in gauges]
        return self.send(voter, self.hydrex["voter"], calldata("vote(address[],uint256[])", pools, [1] * len(pools)))

    def deployed(self, transaction: str) -> str:
        return str(ask(self.node, "eth_getTransactionReceipt", transaction)["contractAddress"])


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chain, Line]]:
    folder: Path = tmp_path_factory.mktemp("live")
    with simulate.voting.running(folder / "world", epochs=1, gauges=8, voters=6) as world:
        yield Chain(world), Line(world, folder)


def bare(name: str, table: pa.Table) -> list[dict[str, Any]]:
    kept = table.drop_columns([c for c in (*WHEN, *(STILL.get(name) or [])) if c in table.column_names])
    return sorted(kept.to_pylist(), key=repr)


async def compare(world: Chain, config: Any, epoch: OpenEpoch, before: int = 0) -> dict[str, Any]:
    """The next block (or one `before` it) read as the night does, and by somebody who comes new; the first's tables."""
    head = await world.head(epoch)
    block = await epoch.run.client.block(head.number - before) if before else head
    ours = await epoch.read(block, WINDOW)
    async with open_epoch(config, "hydrex_world") as fresh:
        whole = await fresh.read(block, WINDOW)
    for name, table in whole.tables.items():
        if name != "extract_ledger" and STILL.get(name, []) is not None:
            assert bare(name, ours.tables[name]) == bare(name, table), name
    return {name: table.to_pylist() for name, table in ours.tables.items()}


def test_whatever_happens_in_a_block_is_found(chain: tuple[Chain, Line]) -> None:
    world, line = chain
    config, voter, gauges = line.configure(), world.hydrex["voter"], world.hydrex["gauges"]

    async def night() -> None:
        async with open_epoch(config, "hydrex_world") as epoch:
            head = await world.head(epoch)
            first = await epoch.read(head, WINDOW)
            count = first.tables["voting_gauges"].num_rows

            world.vote(0, 3, 4)
            world.mine()
            tables = await compare(world, config, epoch)
            assert any(e["block_number"] == head.number + 1 for e in tables["voting_events"])

            world.admin(gauges[4]["bribes"]["external"], "addRewardToken(address)", world.tokens[-1])
            world.mine()
            tables = await compare(world, config, epoch)
            listed = {(r["bribe_address"], r["token_address"]) for r in tables["voting_rewards"]}
            assert (gauges[4]["bribes"]["external"], world.tokens[-1]) in listed

            world.admin(voter, "killGauge(address)", gauges[3]["gauge"])
            world.mine()
            tables = await compare(world, config, epoch)
            assert {g["gauge_address"]: g["is_alive"] for g in tables["voting_gauges"]}[gauges[3]["gauge"]] is False

            world.admin(voter, "createGauge(address,uint256)", "0x" + "77" * 20, 0)
            world.vote(1, 5)
            world.mine()
            tables = await compare(world, config, epoch)
            assert len(tables["voting_gauges"]) == count + 1

            code = compile_all(ARTIFACTS, CONTRACTS)["thena_bribe"].deployment()
            made = world.send(world.hydrex["admin"], None, code)
            world.mine()
            bribe, of = world.deployed(made), (voter, world.hydrex["minter"], world.hydrex["escrow"], "external")
            world.admin(bribe, "setup(address,address,address,string)", *of)
            world.admin(voter, "setExternalBribeFor(address,address)", gauges[5]["gauge"], bribe)
            world.vote(0, 5)
            world.mine()
            tables = await compare(world, config, epoch)
            replaced = {b["bribe_address"]: b["is_replaced"] for b in tables["voting_bribes"]}
            assert replaced[bribe] is False and replaced[gauges[5]["bribes"]["external"]] is True

            newest = max(event["block_number"] for event in tables["voting_events"])
            tables = await compare(world, config, epoch, before=3)
            seen = max(event["block_number"] for event in tables["voting_events"])
            assert seen <= newest - 3, "what came after a block is not in its reading, however much was read since"

    asyncio.run(night())


def test_a_quiet_block_costs_three_requests(chain: tuple[Chain, Line]) -> None:
    world, line = chain

    async def quiet() -> list[int]:
        async with open_epoch(line.configure(), "hydrex_world") as epoch:
            head = await world.head(epoch)
            await epoch.read(head, WINDOW)
            found = []
            for _ in range(3):
                before = sum(epoch.providers.requests.values())
                world.mine()
                head = await world.head(epoch)
                await epoch.read(head, WINDOW)
                found.append(sum(epoch.providers.requests.values()) - before)
            return found

    assert max(asyncio.run(quiet())) <= 3


def test_what_a_planned_voter_has_is_asked_where_it_may_have_moved_and_only_there(chain: tuple[Chain, Line]) -> None:
    """His own vote, also where another moves the weight back in the same block; what others do costs no request."""
    world, line = chain
    config, planned = line.configure(), set[str]()
    accounts = [v["address"] for v in world.hydrex["voters"] if int(v["power"])]

    def own(tables: dict[str, Any], account: str) -> set[str]:
        rows = [r for r in tables["voting_own_votes"] if r["voter_id"] == account and r["asked"] == "voter"]
        return {r["gauge_address"] for r in rows}

    async def night() -> None:
        async with open_epoch(config, "hydrex_world") as epoch:
            planned.update(of.voter_id for of in epoch.run.voters["hydrex_world"])
            me = next(n for n, account in enumerate(accounts) if account in planned)
            other = next(n for n, account in enumerate(accounts) if account not in planned)
            world.vote(other, 6, 2)
            world.mine()
            head = await world.head(epoch)
            await epoch.read(head, WINDOW)

            world.vote(other, 6)
            world.mine()
            head = await world.head(epoch)
            before = sum(epoch.providers.requests.values())
            await epoch.read(head, WINDOW)
            assert sum(epoch.providers.requests.values()) - before <= 2, (
                "the aggregate and the logs, as in a quiet block"
            )

            world.vote(me, 6)
            world.mine()
            tables = await compare(world, config, epoch)
            assert own(tables, accounts[me]) == {world.hydrex["gauges"][6]["gauge"]}
            world.vote(me, 2)
            world.vote(other, 6, 2)
            world.mine()
            tables = await compare(world, config, epoch)
            assert own(tables, accounts[me]) == {world.hydrex["gauges"][2]["gauge"]}

    asyncio.run(night())


def test_a_provider_that_hangs_in_the_last_minute_costs_a_quarter_of_a_second(chain: tuple[Chain, Line]) -> None:
    """Heads, state, logs, searches by time and receipts go on through the other one."""
    world, line = chain
    first = '[[chains.world.providers]]\nname = "world"'
    second = f'[[chains.world.providers]]\nname = "other"\nurl = "{line.world.profile_url("second")}"\n'
    config = line.configure(world_config(line.world.info).replace(first, second + first))

    async def night() -> tuple[float, int]:
        async with open_epoch(config, "hydrex_world") as epoch:
            head = await world.head(epoch)
            await epoch.read(head, WINDOW)
            sent = world.vote(0, 4)
            world.mine()
            line.world.control("hang", 60, profile="clean")
            loop = asyncio.get_running_loop()
            started = loop.time()
            head = await world.head(epoch)
            found = await epoch.read(head, WINDOW)
            await epoch.providers.first(lambda client: client.block_at_or_before(head.timestamp - 2))
            landed = await epoch.providers.first(lambda client: client.receipt(sent))
            assert landed == (head.number, True)
            return loop.time() - started, found.tables["voting_gauges"].num_rows

    try:
        seconds, gauges = asyncio.run(night())
    finally:
        line.world.heal()
    assert gauges and seconds < 5, seconds


def test_a_price_source_that_hangs_or_fails_costs_no_block(chain: tuple[Chain, Line]) -> None:
    """Asked beside the readings: what it said last stands; one that never answered leaves its tokens unpriced."""
    world, line = chain
    asked, answers = list[float](), dict[str, float]()

    async def serve(request: web.Request) -> web.Response:
        asked.append(answers["hangs"])
        await asyncio.sleep(answers["hangs"])
        moment, names = request.match_info["moment"], request.match_info["names"].split(",")
        coins = {name: {"price": answers["price"], "timestamp": int(moment) - 5, "confidence": 0.99} for name in names}
        return web.json_response({"coins": coins}, status=int(answers["status"]))

    def priced(tables: dict[str, Any]) -> int:
        return sum(row["quote_source"] == "outside" for row in tables["voting_quotes"].to_pylist())

    async def night(first_status: int) -> tuple[list[int], float, str]:
        answers.update(hangs=0, status=first_status, price=2.5)
        app = web.Application()
        app.router.add_get("/prices/historical/{moment}/{names}", serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        source = f'[[chains.world.price_sources]]\nname = "outside"\nchain_key = "x"\nurl = "http://127.0.0.1:{port}"\n'
        config = line.configure(world_config(line.world.info) + source)
        try:
            async with open_epoch(config, "hydrex_world") as epoch:
                epoch.whole_seconds = 1
                found = [priced((await epoch.read(await world.head(epoch), WINDOW)).tables)]
                answers.update(price=3.0)
                world.mine()
                world.mine()  # a window hours later: its prices are its own
                later = (await epoch.read(await world.head(epoch), WINDOW)).tables["voting_quotes"].to_pylist()
                outside = {row["price_usd"] for row in later if row["quote_source"] == "outside"}
                assert outside == ({3.0} if first_status == 200 else set())
                answers.update(hangs=30)
                loop = asyncio.get_running_loop()
                started = loop.time()
                for _ in range(3):
                    world.mine()
                    found.append(priced((await epoch.read(await world.head(epoch), WINDOW)).tables))
                    await asyncio.sleep(0.1)
                return found, loop.time() - started, epoch.providers.trouble.get("price sources", "")
        finally:
            await runner.cleanup()

    found, seconds, trouble = asyncio.run(night(200))
    assert found[0] > 0 and found == [found[0]] * 4 and not trouble and seconds < 10
    assert asked == [0, 0, 30], "asked once more, and no second time while it hangs"
    found, seconds, trouble = asyncio.run(night(404))
    assert found == [0] * 4 and seconds < 10
    assert "outside" in trouble
