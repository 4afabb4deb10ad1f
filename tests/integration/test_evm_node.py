"""The client against a real node behind providers with real limits: every profile tells the same story."""

from __future__ import annotations

import asyncio
import bisect
from typing import Any

import pyarrow as pa
import pytest

from extract.evm.abi import Event, Function
from extract.evm.calls import Call
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import AfterHead, ChainError

pytestmark = pytest.mark.node

PROFILES = [
    "alchemy", "alchemy_free", "infura", "quicknode", "quicknode_free", "reth", "drpc", "blockpi",
    "one_rpc", "tenderly", "polygon", "ankr", "few_addresses", "small_batches",
]  # fmt: skip


def spec(world: Any, *profiles: str, chain_id: int | None = None, **provider: Any) -> ChainSpec:
    providers = tuple(ProviderSpec(name, world.profile_url(name), **provider) for name in profiles)
    return ChainSpec("world", chain_id or world.info["chain_id"], providers, finality_depth=0, max_lag_seconds=10**6)


async def all_logs(world: Any, *profiles: str, **provider: Any) -> pa.Table:
    async with ChainClient.open(spec(world, *profiles, **provider)) as chain:
        final = await chain.finalized()
        tables = [chunk.table async for chunk in chain.logs([], [], 0, final.number)]
    return pa.concat_tables(tables)


@pytest.fixture(scope="module")
def truth(small_world: Any) -> pa.Table:
    return asyncio.run(all_logs(small_world, "clean"))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_provider_gives_the_same_logs(small_world: Any, truth: pa.Table, profile: str) -> None:
    assert asyncio.run(all_logs(small_world, profile)).equals(truth)


def test_a_block_too_full_for_one_answer_is_asked_by_address(small_world: Any, truth: pa.Table) -> None:
    addresses = sorted(set(truth["address"].to_pylist()))

    async def inner() -> pa.Table:
        async with ChainClient.open(spec(small_world, "small_results")) as chain:
            final = await chain.finalized()
            return pa.concat_tables([c.table async for c in chain.logs(addresses, [], 0, final.number)])

    assert asyncio.run(inner()).equals(truth)


def test_logs_are_whole(truth: pa.Table) -> None:
    keys = list(zip(truth["block_number"].to_pylist(), truth["log_index"].to_pylist(), strict=True))
    assert keys == sorted(set(keys)) and len(keys) > 300
    assert truth["block_timestamp"].null_count == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "value": 503, "count": 4},
        {"kind": "status", "value": 429, "count": 3},
        {"kind": "malformed", "count": 3},
        {"kind": "reset", "count": 3},
        {"kind": "hang", "value": 5, "count": 1},
        {"kind": "wrong_id", "count": 3},
        {"kind": "drop_items", "count": 3},
    ],
    ids=lambda fault: fault["kind"],
)
def test_faults_change_nothing(healthy_world: Any, truth: pa.Table, fault: dict[str, Any]) -> None:
    kind = fault["kind"]
    healthy_world.control(kind, fault.get("value"), **{k: v for k, v in fault.items() if k not in ("kind", "value")})
    assert asyncio.run(all_logs(healthy_world, "alchemy", "infura", timeout_seconds=2)).equals(truth)


def test_blocks_by_time_equal_brute_force(small_world: Any) -> None:
    async def inner() -> None:
        async with ChainClient.open(spec(small_world, "clean", max_batch=100)) as chain:
            head = await chain.head()
            blocks = await chain.blocks(range(head.number + 1))
            times = [block.timestamp for block in blocks]
            targets = [
                t + shift for t in times[1:-1:7] for shift in (-1, 0, 1) if times[0] <= t + shift < head.timestamp
            ]
            found = await chain.blocks_at_or_before(targets)
            assert [block.number for block in found] == [bisect.bisect_right(times, t) - 1 for t in targets]
            with pytest.raises(AfterHead):
                await chain.block_at_or_before(head.timestamp)

    asyncio.run(inner())


def test_a_wrong_chain_is_refused(small_world: Any) -> None:
    async def inner() -> None:
        async with ChainClient.open(spec(small_world, "clean", chain_id=8453 + 1)):
            pass

    with pytest.raises(ChainError, match="clean: it serves chain id"):
        asyncio.run(inner())


def test_state_before_and_after_deployment(small_world: Any, truth: pa.Table) -> None:
    """The first emitter is asked before it existed and now: missing, never zero."""
    voter, length = truth["address"][0].as_py(), Function("length()").encode()

    async def inner() -> tuple[list[str], list[str], bytes]:
        async with ChainClient.open(spec(small_world, "clean")) as chain:
            head = await chain.head()
            calls = [
                Call(voter, length),
                Call("0x" + "77" * 20, length),
                Call(chain.spec.multicall_address, "0x42cbb15c"),
            ]
            early, late = await chain.read_blocks([(0, calls), (head.number, calls)])
            assert int.from_bytes(late[2].data) == head.number  # Multicall3.getBlockNumber
            return [r.status for r in early], [r.status for r in late], late[2].data

    early, late, _ = asyncio.run(inner())
    assert early[0] == "missing" and early[1] == "missing"
    assert late[0] in ("ok", "reverted") and late[1] == "missing" and late[2] == "ok"


def test_a_scan_by_topic_decodes(small_world: Any, truth: pa.Table) -> None:
    transfer = Event("Transfer(address indexed from, address indexed to, uint256 value)")

    async def inner() -> pa.Table:
        async with ChainClient.open(spec(small_world, "reth", "infura")) as chain:
            final = await chain.finalized()
            scan = chain.logs([], [[transfer.topic0]], 0, final.number)
            return pa.concat_tables([chunk.table async for chunk in scan])

    found = asyncio.run(inner())
    assert found.num_rows == sum(topic == transfer.topic0 for topic in truth["topic0"].to_pylist())
    if found.num_rows:
        assert set(transfer.decode(found)["decode_status"].to_pylist()) <= {"ok", "overflow", "malformed"}
