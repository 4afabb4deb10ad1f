"""A minter that idles for two days: what was extracted meanwhile says so, and is made up once the epoch has turned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import simulate
import simulate.voting
from extract.lake import Lake
from extract.ledger import LEDGER_SCHEMA
from extract.seeds import WEEK
from extract.voting.tables import VOTING_TABLES
from tests.line_fixtures import Line
from tests.world_fixtures import ask

pytestmark = pytest.mark.node
NAME, DAY = "hydrex_world", 86_400


class Idle:
    """A small world whose clock we hold from its head on, 40 s before the boundary, and a lake in front of it."""

    def __init__(self, world: simulate.RunningWorld, folder: Path) -> None:
        self.world, self.line = world, Line(world, folder)
        self.boundary = world.info["open_epoch"] + WEEK
        self.minter = world.info["protocols"]["hydrex"]["minter"]

    def mine(self, *after: int) -> int:
        """Blocks at some seconds after the boundary; the number of the last."""
        for seconds in after:
            ask(self.world.info["node_url"], "evm_mine", {"timestamp": self.boundary + seconds})
        return int(ask(self.world.info["node_url"], "eth_blockNumber"), 16)

    def turn(self, after: int) -> int:
        """The minter is called at last; the block of the flip, made final."""
        vote = {"from": self.world.info["protocols"]["hydrex"]["admin"], "to": self.minter, "data": "0xed29fc11"}
        ask(self.world.info["node_url"], "eth_sendTransaction", {**vote, "gas": hex(10**7), "gasPrice": "0x0"})
        flip = self.mine(after)
        self.mine(*range(after + 2, after + 18, 2))
        return flip

    def extract(self) -> int:
        return self.line.extract(epochs=3, protocols=(NAME,))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The newest committed row of each epoch (and window) from the one that ends at the boundary on."""
        lake = Lake(f"{self.line.folder}/raw")
        ledger = lake.read_committed("extract_ledger", LEDGER_SCHEMA).to_pylist()
        moment = {row["load_id"]: row["finished_at"] for row in ledger}
        rows = lake.read_committed(table, VOTING_TABLES[table]).to_pylist()
        ordered = sorted(rows, key=lambda row: moment[row["load_id"]])
        found = {(r["epoch"], r.get("decision_window")): r for r in ordered if r["epoch"] >= self.boundary - WEEK}
        return [found[key] for key in sorted(found, key=str)]


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idle]:
    folder = tmp_path_factory.mktemp("idle")
    with simulate.voting.running(folder / "world", epochs=1, gauges=8, voters=4) as world:
        yield Idle(world, folder)


def test_an_idle_minter_is_said_and_its_epoch_is_made_up_when_it_turns(idle: Idle) -> None:
    idle.mine(*range(-38, 20, 2), DAY, 2 * DAY, *range(2 * DAY + 2, 2 * DAY + 20, 2))
    assert idle.extract() == 0
    epoch, begun = idle.rows("voting_epochs")
    assert (epoch["status"], epoch["flip_block"], epoch["truth_block"]) == ("idle", None, None)
    assert epoch["last_votable_at"] == datetime.fromtimestamp(idle.boundary, UTC)
    assert begun["status"] == "open", "the calendar has begun it, and no vote counts for it yet"
    windows = {r["decision_window"] for r in idle.rows("voting_windows") if r["epoch"] == epoch["epoch"]}
    assert windows == {"day", "T-5", "T-1", "T-0"}, "nothing is known of the end, so no row says what it was"

    flip = idle.turn(2 * DAY + 60)
    assert idle.extract() == 0
    ended, current = idle.rows("voting_epochs")
    assert (ended["status"], ended["flip_block"], ended["truth_block"]) == ("ended", flip, flip - 1)
    assert (current["status"], current["start_block"]) == ("open", flip)
    finals = [r for r in idle.rows("voting_windows") if r["decision_window"] == "boundary"]
    assert [row["epoch"] for row in finals] == [ended["epoch"]]
    assert idle.extract() == 3, "nothing is left to do"
