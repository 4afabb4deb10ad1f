"""`foreshore demo night`: the last 40 seconds of the embedded world's epoch, watched, voted in, and reviewed."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from extract.config import Config
from extract.errors import ForeshoreError
from extract.voting.families import load_protocols
from extract.voting.plan import Request
from extract.voting.voters import planned_voters
from operate.console import out, table
from operate.rebuild import rebuild, show_publication
from operate.voting.extraction import run_voting
from operate.voting.watch.commands import follow
from operate.voting.watch.review import reviews
from operate.voting.watch.review import show as show_review
from operate.voting.watch.world_claims import claim
from operate.voting.watch.world_clock import BLOCK_SECONDS, FLIP_AFTER, Node, turn
from operate.warehouse import Warehouse, read_tables

PROTOCOL = "hydrex_world"
WALL_SECONDS = 2.0  # for a block of the chain
START_SECONDS = 8.0  # the watch reads the epoch's events first
AFTER = 30  # seconds of chain time after the claims, for finality


def play(config: Config, world: Mapping[str, Any]) -> int:
    """Watch the night to its end while blocks come, then read it again after finality and review it; the exit code.

    `world`: what the embedded world says of itself. Errors: ForeshoreError where its epoch is over already.
    """
    node, boundary = Node(world["node_url"]), world["open_epoch"] + 604_800
    if node.now >= boundary:
        raise ForeshoreError(
            "the embedded world's night is over: `foreshore demo down`, then `foreshore demo up` again"
        )
    warehouse = Warehouse.of(config)
    out.print("The last seconds of the epoch, a block every two of them; votes go through the embedded chain's sender.")
    code = asyncio.run(_night(config, node, boundary))
    turn(node, world["protocols"], boundary, boundary + FLIP_AFTER + 1)
    voters = planned_voters(config.seeds, load_protocols(config.section("voting"))[PROTOCOL])
    tokens = [token["address"] for token in world["tokens"]]
    accounts, nfts = [v.voter_id for v in voters if v.kind != "nft"], [n for v in voters for n in v.rewards_for]
    claim(node, world["protocols"]["hydrex"], tokens, accounts, nfts)
    for at in range(node.now + BLOCK_SECONDS, node.now + AFTER, BLOCK_SECONDS):
        node.mine(at)
    out.print("\nAfter finality: the epoch is read again, built, and held against what was decided live ...")
    if run_voting(config, Request(epochs=1), as_json=False) not in (0, 3):
        return 1
    if failed := show_publication(warehouse, rebuild(warehouse)):
        return failed
    query = "select * from decision_parity order by protocol, voter_id, decision_at"
    rows = read_tables(warehouse, {"parity": query})["parity"].to_pylist()
    heads = ["voter", "window", "live and final", "live USD", "final USD", "read s", "decided s"]
    out.print(table("decisions", heads, [_line(row) for row in rows], right=heads[3:]))
    for review in reviews(warehouse, PROTOCOL, None, world["open_epoch"]):
        show_review(review)
    return code


async def _night(config: Config, node: Node, boundary: int) -> int:
    sender = shlex.join([sys.executable, "-m", "operate.voting.watch.world_sender", node.url])
    watching = asyncio.create_task(follow(config, PROTOCOL, (), sender, as_json=False))
    ticking = asyncio.create_task(_tick(node, boundary, watching))
    try:
        return await watching
    finally:
        await ticking  # a block that is on its way is mined before the next one is asked for


async def _tick(node: Node, boundary: int, watching: asyncio.Task[int]) -> None:
    """Blocks at their pace once the watch has begun, until it is over."""
    await asyncio.sleep(START_SECONDS)
    at = await asyncio.to_thread(lambda: node.now)
    at += (boundary - 1 - at) % BLOCK_SECONDS  # the last block that takes votes is stamped a second before the boundary
    while not watching.done():
        at += BLOCK_SECONDS
        await asyncio.to_thread(node.mine, at)
        await asyncio.sleep(WALL_SECONDS)


def _line(row: Mapping[str, Any]) -> list[str]:
    money = ["" if row[name] is None else f"{row[name]:,.2f}" for name in ("live_expected_usd", "final_expected_usd")]
    times = [f"{row[name]:.2f}" for name in ("read_seconds", "decide_seconds")]
    return [row["voter_id"], row["decision_window"], row["decision_parity"], *money, *times]
