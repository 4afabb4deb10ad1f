"""When a vote counts: the vote decided at T-0 is sent, and lands; one block later it reverts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import simulate
import simulate.voting
from decide.voting.revote import Guardrails, Stage, VotingRule, decide_stage
from extract.evm.client import ChainClient
from extract.evm.config import load_chains
from extract.evm.views import call, word
from extract.seeds import WEEK, decision_windows
from extract.voting.ballot import Ballot, exact_shares, transaction, try_out
from extract.voting.families import Protocol, load_protocols
from extract.voting.timeline import Timeline, resolve
from simulate.chain.contracts import calldata
from tests.line_fixtures import ROOT, Line
from tests.world_fixtures import ask

pytestmark = pytest.mark.node


class Late:
    """A world whose clock we hold from its head on, 40 s before the boundary."""

    def __init__(self, world: simulate.RunningWorld, folder: Path) -> None:
        self.world, self.node = world, world.info["node_url"]
        self.boundary = world.info["open_epoch"] + WEEK
        self.config = Line(world, folder).configure()
        self.hydrex: Protocol = load_protocols(self.config.section("voting"))["hydrex_world"]
        self.blocks: dict[int, int] = {}  # seconds after the boundary -> block

    def mine(self, after: int) -> int:
        ask(self.node, "evm_mine", {"timestamp": self.boundary + after})
        self.blocks[after] = int(ask(self.node, "eth_blockNumber"), 16)
        return self.blocks[after]

    def send(self, asked: dict[str, str]) -> str:
        return str(ask(self.node, "eth_sendTransaction", {**asked, "gas": hex(12_000_000), "gasPrice": "0x0"}))

    def landed(self, transaction_hash: str) -> bool:
        return bool(int(ask(self.node, "eth_getTransactionReceipt", transaction_hash)["status"], 16))

    def chain(self, act: Any) -> Any:
        async def run() -> Any:
            spec = load_chains(self.config.section("chains"), self.config.environ)[self.hydrex.chain]
            async with ChainClient.open(spec) as client:
                return await act(client)

        return asyncio.run(run())


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("late")
    with simulate.voting.running(folder / "world", epochs=1, gauges=8, voters=4) as world:
        yield Late(world, folder)


def test_a_vote_within_the_contracts_delay_reverts_and_is_not_recommended(late: Late) -> None:
    """20 s between votes: the one 20 s later reverts, one two seconds on lands, and the plan knows both."""
    where = late.world.info["protocols"]["hydrex"]
    account, admin = where["voters"][1]["address"], where["admin"]
    late.send({"from": admin, "to": late.hydrex.voter, "data": calldata("setVoteDelay(uint256)", 20)})
    asked = transaction(late.hydrex, Ballot(tuple(g["pool"] for g in where["gauges"][3:5]), (1, 1), account))
    first = late.send(asked)
    late.mine(-35)
    early, before = late.send(asked), late.mine(-15)
    again, after = late.send(asked), late.mine(-13)
    assert [late.landed(sent) for sent in (first, early, again)] == [True, False, True]

    async def state(client: ChainClient) -> tuple[int, list[int], Any]:
        (delay,) = await client.read([call(late.hydrex.voter, late.hydrex.family.vote_delay_view)], before)
        asks = [call(late.hydrex.voter, late.hydrex.family.last_voted_view, account)]
        landed = [word((await client.read(asks, block))[0]) for block in (before, after)]
        return word(delay), landed, await try_out(client, asked, before - 1)

    delay, landed, tried = late.chain(state)
    assert (delay, landed) == (20, [late.boundary - 35, late.boundary - 13])
    assert tried.status == "reverted" and tried.reason.startswith("VoteDelayNotMet")
    stage = Stage("T-0", 0, "last_vote", 1.0)
    rule = VotingRule("hydrex_world", None, None, 0, 1, vote_delay_seconds=delay)
    guard = Guardrails(10, 5, 0.95, 0.8, 0.02)
    for at, action in ((-19, "keep"), (-15, "submit")):  # decided on this block, lands in a later one
        since = late.boundary + at - landed[0]
        assert decide_stage(stage, (stage,), rule, guard, 1, 9, since_vote=since).action == action
    late.send({"from": admin, "to": late.hydrex.voter, "data": calldata("setVoteDelay(uint256)", 0)})
    late.mine(-9)


def test_the_vote_decided_at_t0_lands_and_one_a_block_later_reverts(late: Late) -> None:
    where = late.world.info["protocols"]["hydrex"]
    account = where["voters"][0]["address"]
    pools = tuple(g["pool"] for g in where["gauges"][3:6])
    late.mine(-5)
    decision = late.mine(-3)

    async def state(client: ChainClient) -> tuple[int, Any]:
        escrow = f"0x{word((await client.read([call(late.hydrex.voter, 've()')], decision))[0]):040x}"
        (power,) = await client.read(
            [call(escrow, late.hydrex.family.power_view, account, late.boundary - WEEK)], decision
        )
        assert word(power), "the voter has power"
        wanted = exact_shares([word(power) // 4, word(power) // 4, word(power) // 3], word(power))
        asked = transaction(late.hydrex, Ballot(pools, wanted, account))
        return wanted, asked, await try_out(client, asked, decision)

    shares, asked, tried = late.chain(state)
    assert tried.status == "ok" and 50_000 < tried.gas < 3_000_000
    first = late.send(asked)
    landing = late.mine(-1)
    second = late.send(asked)
    stale = late.mine(1)
    for after in (3, 5, 7, 9, 11, 13):
        late.mine(after)
    assert late.landed(first) and not late.landed(second), "the state of T-0 is one a vote can still be decided on"

    async def after(client: ChainClient) -> tuple[Timeline, list[int | None], Any]:
        final = await client.finalized()
        timeline = await resolve(client, late.hydrex, late.boundary - WEEK, decision_windows(ROOT / "seeds"), final)
        votes = await client.read(
            [call(late.hydrex.voter, "votes(address,address)", account, p) for p in pools], landing
        )
        return timeline, [word(v) for v in votes], await try_out(client, asked, stale)

    timeline, votes, refused = late.chain(after)
    assert timeline.last_votable is not None and timeline.last_votable.number == landing
    (t0,) = [p for p in timeline.points if p.window.decision_window == "T-0"]
    assert (t0.decision.number, t0.observed.number, t0.decision.timestamp) == (decision, decision, late.boundary - 3)
    assert votes == list(shares), "the contract's rounding gives the votes exactly"
    assert refused.status == "reverted" and refused.reason.startswith("EpochStale")
    assert "T-61" not in {p.window.decision_window for p in timeline.points}, "only where voting closes early"


def test_a_flip_missed_for_weeks_closes_its_epoch_and_skips_the_others(late: Late) -> None:
    """The minter is idle for two weeks: the epoch ends with the late flip, the two in between never were."""
    epoch = late.boundary - WEEK
    for after in (86_400, WEEK, 2 * WEEK - 60, 2 * WEEK + 60):
        late.mine(after)

    async def idle(client: ChainClient) -> Timeline:
        return await resolve(client, late.hydrex, epoch, decision_windows(ROOT / "seeds"), await client.finalized())

    for n in range(8):
        late.mine(2 * WEEK + 70 + 2 * n)
    assert late.chain(idle).status == "idle"
    admin = late.world.info["protocols"]["hydrex"]["admin"]
    data = "0xed29fc11"  # update_period()
    sent = late.send({"from": admin, "to": late.hydrex.minter, "data": data})
    flip = late.mine(2 * WEEK + 100)
    assert late.landed(sent)
    for n in range(8):
        late.mine(2 * WEEK + 102 + 2 * n)

    async def closed(client: ChainClient) -> list[Timeline]:
        windows, final = decision_windows(ROOT / "seeds"), await client.finalized()
        return [await resolve(client, late.hydrex, epoch + n * WEEK, windows, final) for n in range(4)]

    ended, skipped, also, current = late.chain(closed)
    assert (ended.status, ended.flip.number) == ("ended", flip)
    assert [t.status for t in (skipped, also, current)] == ["skipped", "skipped", "open"] and not skipped.points
    assert current.start_block == flip


def test_epochs_before_the_chain_have_no_blocks(late: Late) -> None:
    async def before(client: ChainClient) -> Timeline:
        genesis = late.world.info["genesis_timestamp"]
        windows, final = decision_windows(ROOT / "seeds"), await client.finalized()
        return await resolve(client, late.hydrex, genesis // WEEK * WEEK - 3 * WEEK, windows, final)

    timeline = late.chain(before)
    assert timeline.status == "before_chain" and timeline.points == ()
