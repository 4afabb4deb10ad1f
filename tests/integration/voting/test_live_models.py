"""A decision at the head is the warehouse's: the same state gives the same rows, and what comes later moves none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from extract.config import Config
from extract.seeds import decision_windows
from extract.voting.live import OpenEpoch, open_epoch
from operate.voting.watch.decisions import Decided, Decider
from operate.voting.watch.models import LiveModels, Project, load_models
from operate.warehouse import Warehouse, WarehouseError, publish, read_tables
from tests.line_fixtures import ROOT, Line

pytestmark = pytest.mark.node
EXCHANGES = ("hydrex_world", "velodrome_world")
WINDOWS = decision_windows(ROOT / "seeds")


@pytest.fixture(scope="module")
def published(built_line: Line) -> Iterator[tuple[Config, Warehouse, Project]]:
    config = built_line.configure()
    warehouse = Warehouse.of(config)
    publish(warehouse)
    yield config, warehouse, load_models(warehouse)


@asynccontextmanager
async def night(config: Config, warehouse: Warehouse, models: Project, protocol: str) -> AsyncIterator[Any]:
    async with open_epoch(config, protocol) as epoch:
        live = LiveModels(warehouse, models, protocol, epoch.epoch)
        decider = Decider(warehouse, protocol, epoch.epoch)
        decider.check(live)
        try:
            yield epoch, live, decider
        finally:
            live.close()


async def at(epoch: OpenEpoch, live: LiveModels, decider: Decider, block: int, window: str) -> tuple[Decided, Any, Any]:
    wanted = next(w for w in WINDOWS if w.decision_window == window)
    reading = await epoch.read(await epoch.run.client.block(block), wanted)
    with live.at(reading.tables) as seen:
        decided = decider.decide(seen, window)
        panel, windows = seen.answer("int_forecast_panel"), seen.answer("int_voter_windows")
    return decided, _ordered(panel, epoch, ["voter_id", "gauge_address"]), _ordered(windows, epoch, ["voter_id"])


def _ordered(rows: pa.Table, epoch: OpenEpoch, by: list[str]) -> pa.Table:
    """Rows of the open epoch as `_queries` order them."""
    return rows.filter(pc.equal(rows["epoch"], epoch.epoch)).sort_by([(name, "ascending") for name in by])


def _queries(epoch: OpenEpoch, window: str) -> dict[str, str]:
    where = f"protocol = '{epoch.protocol.name}' and epoch = {epoch.epoch} and decision_window = '{window}'"
    return {
        "panel": f"from main_intermediate.int_forecast_panel where {where} order by voter_id, gauge_address",
        "windows": f"from main_intermediate.int_voter_windows where {where} order by voter_id",
        "made": f"from main_intermediate.vote_recommendations where {where} order by voter_id",
    }


def plain(table: pa.Table) -> pa.Table:
    return table.drop_columns([name for name in ("is_simulated", "seal") if name in table.column_names])


def test_a_store_of_another_version_is_named_before_the_night(published: Any) -> None:
    config, warehouse, models = published

    async def look() -> None:
        async with night(config, warehouse, models, EXCHANGES[0]) as (_, live, decider):
            decider._panel = decider._panel.drop_columns([decider._panel.schema.names[-1]])
            with pytest.raises(WarehouseError, match="another version of Foreshore: run foreshore build"):
                decider.check(live)

    asyncio.run(look())


@pytest.mark.parametrize("protocol", EXCHANGES)
def test_every_window_decided_live_is_the_warehouses_bit_for_bit(published: Any, protocol: str) -> None:
    config, warehouse, models = published

    async def compare() -> list[str]:
        async with night(config, warehouse, models, protocol) as (epoch, live, decider):
            query = f"""select * from decision_points where not is_control and protocol = '{protocol}'
                and epoch = {epoch.epoch} order by window_position"""
            points = read_tables(warehouse, {"points": query})["points"].to_pylist()
            for point in points:
                window = point["decision_window"]
                final = read_tables(warehouse, _queries(epoch, window))
                decided, panel, windows = await at(epoch, live, decider, point["decision_block"], window)
                assert panel.equals(plain(final["panel"])) and panel.num_rows
                assert windows.equals(plain(final["windows"])) and windows.num_rows
                made = plain(final["made"]).to_pylist()
                rows = sorted(decided.rows, key=lambda row: row["voter_id"])
                assert [bare(row, made[0]) for row in rows] == made
            return [point["decision_window"] for point in points]

    assert {"day", "T-5", "T-1"} <= set(asyncio.run(compare()))


def bare(row: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """A placed decision without what `placed` added."""
    votes = [{key: vote[key] for key in VOTE} for vote in row["votes"]]
    return {key: votes if key == "votes" else row[key] for key in like}


VOTE = (
    "gauge_address", "forecast_level", "votes", "previous_votes", "change_votes", "expected_usd", "conservative_usd",
    "base_usd", "aggressive_usd", "base_other_votes", "base_rewards_usd", "confidence",
)  # fmt: skip


def test_a_reading_leaves_nothing_behind_and_asks_once_a_block(published: Any) -> None:
    """Forwards, backwards and again: the same block gives the same decision, in one request for the state."""
    config, warehouse, models = published

    async def again() -> tuple[list[Any], int]:
        async with night(config, warehouse, models, "hydrex_world") as (epoch, live, decider):
            head = await epoch.providers.head(-1, 10)
            assert head is not None
            found = [await at(epoch, live, decider, head.number, "T-1")]
            before = sum(epoch.providers.requests.values())
            found.append(await at(epoch, live, decider, head.number - 1, "T-1"))
            asked = sum(epoch.providers.requests.values()) - before
            found.append(await at(epoch, live, decider, head.number, "T-1"))
            return found, asked

    found, asked = asyncio.run(again())
    assert found[0][1].equals(found[2][1]) and not found[0][1].equals(found[1][1])
    assert found[0][0].states == found[2][0].states
    assert asked <= 3
