"""Log scan: 200,000 Transfer events in 10,000 blocks, fetched, decoded to Arrow, written as parquet.

`python -m benchmarks.log_scan`: ours against cryo, ethereum-etl (CSV) and web3.py, each in a process of its own that
times itself after its imports, in alternating rounds; and our peak memory for half of the range and for all of it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import ACCOUNT, CHAIN_ID, Contestant, arguments, node, race, require_peer, result, show
from simulate.chain.rpc import Rpc

EMITTER = "0x" + "e1" * 20
RARE = "0x" + "a1" * 20
SIGNATURE = "Transfer(address indexed from, address indexed to, uint256 value)"
TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
PER_BLOCK, GAS = 20, 200_000


def emitter_code(logs: int) -> str:
    """Runtime code that emits `logs` Transfer(caller, counter, counter), counting down."""
    loop = f"8060005280337f{TOPIC}60206000a3"  # mem[0] = n; log3(mem[0..32], Transfer, caller, n)
    return f"0x60{logs:02x}5b{loop}600190038060025700"


def build(rpc: Rpc, blocks: int) -> None:
    """One transaction a block (the block's gas is the transaction's), and a rare event every hundredth."""
    rpc.call("anvil_setCode", EMITTER, emitter_code(PER_BLOCK))
    rpc.call("anvil_setCode", RARE, emitter_code(1))
    started = time.perf_counter()
    for first in range(0, blocks, 500):
        numbers = range(first, min(first + 500, blocks))
        sent = [
            (
                "eth_sendTransaction",
                [{"from": ACCOUNT, "to": EMITTER, "gas": hex(GAS), "gasPrice": "0x0", "nonce": hex(n)}],
            )
            for n in numbers
        ]
        rpc.batch(sent)
        rpc.call("anvil_mine", hex(len(numbers)))
    took = time.perf_counter() - started
    print(f"built {blocks:,} blocks with {blocks * PER_BLOCK:,} events in {took:.0f} s", file=sys.stderr)


def node_options() -> list[str]:
    return ["--gas-limit", str(GAS), "--prune-history"]


def ours(url: str, blocks: int, folder: Path) -> int:
    """Scan, decode, write: one parquet row group a chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from extract.evm.abi import Event
    from extract.evm.client import ChainClient
    from extract.evm.config import ChainSpec, ProviderSpec

    event = Event(SIGNATURE)

    async def scan() -> int:
        spec = ChainSpec("bench", CHAIN_ID, (ProviderSpec("node", url),), finality_depth=0)
        rows, writer = 0, None
        async with ChainClient.open(spec) as chain:
            async for chunk in chain.logs([EMITTER], [[event.topic0]], 1, blocks):
                decoded = event.decode(chunk.table)
                table = pa.Table.from_arrays(
                    [*chunk.table.columns, *decoded.columns], [*chunk.table.column_names, *decoded.column_names]
                )
                writer = writer or pq.ParquetWriter(folder / "logs.parquet", table.schema, compression="zstd")
                writer.write_table(table)
                rows += table.num_rows
        if writer:
            writer.close()
        return rows

    return asyncio.run(scan())


def web3_py(url: str, blocks: int, folder: Path) -> int:
    """web3.py as its documentation shows: get_logs in ranges, process_log, then a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from web3 import Web3

    inputs = [
        {"name": name, "type": kind, "indexed": indexed}
        for name, kind, indexed in (("from", "address", True), ("to", "address", True), ("value", "uint256", False))
    ]
    web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": 120}))
    contract = web3.eth.contract(
        Web3.to_checksum_address(EMITTER),
        abi=[{"type": "event", "name": "Transfer", "anonymous": False, "inputs": inputs}],
    )
    rows = []
    for first in range(1, blocks + 1, 500):
        query = {
            "address": contract.address,
            "fromBlock": first,
            "toBlock": min(first + 499, blocks),
            "topics": ["0x" + TOPIC],
        }
        for log in web3.eth.get_logs(query):
            event = contract.events.Transfer().process_log(log)
            rows.append(
                {
                    "block_number": event["blockNumber"], "transaction_hash": event["transactionHash"].to_0x_hex(),
                    "log_index": event["logIndex"], **{k: str(v) for k, v in event["args"].items()},
                }
            )  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "logs.parquet", compression="zstd")
    return len(rows)


CRYO = """
import sys, time, cryo
url, blocks, folder = sys.argv[1:]
started = time.perf_counter()
cryo.freeze("logs", blocks=[f"1:{int(blocks) + 1}"], rpc=url, output_dir=folder, contract=["%s"], topic0=["0x%s"],
            event_signature="Transfer(address indexed from, address indexed to, uint256 value)",
            inner_request_size=%d, max_concurrent_requests=8, no_report=True, verbose=False)
print("seconds", time.perf_counter() - started)
"""

ETL = """
import sys, time
from ethereumetl.cli import cli
url, blocks, folder = sys.argv[1:]
started = time.perf_counter()
cli(["export_token_transfers", "-s", "1", "-e", blocks, "-p", url, "-b", "100", "-w", "5", "-t", "%s",
     "-o", folder + "/transfers.csv"], standalone_mode=False)
print("seconds", time.perf_counter() - started)
"""


def _checksum(address: str) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(address))


def child(kind: str, url: str, blocks: int) -> dict[str, Any]:
    """Run one of our own two ways in this process: seconds, rows, peak memory."""
    import resource

    for module in ["pyarrow.parquet", *(["extract.evm.client", "extract.evm.abi"] if kind == "ours" else ["web3"])]:
        __import__(module)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = {"ours": ours, "web3": web3_py}[kind](url, blocks, Path(folder))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "rows": rows, "peak_mb": round(peak)}


def in_child(kind: str, url: str, blocks: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.log_scan", "--child", kind, "--url", url, "--blocks", str(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["rows"] != blocks * PER_BLOCK:
        raise RuntimeError(f"{kind} found {found['rows']} events, not {blocks * PER_BLOCK}")
    return found


def peer(requirement: str, script: str, url: str, blocks: int, count: Callable[[Path], int]) -> float:
    """Seconds of a peer's own process; RuntimeError when it did not bring every event."""
    python = require_peer(requirement) if requirement not in _ready else _ready[requirement]
    _ready[requirement] = python
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-c", script, url, str(blocks), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        rows = count(Path(folder))
    if rows != blocks * PER_BLOCK:
        raise RuntimeError(f"{requirement} found {rows} events, not {blocks * PER_BLOCK}")
    return float(done.stdout.split("seconds")[-1])


_ready: dict[str, Path] = {}


def count_parquet(folder: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def count_csv(folder: Path) -> int:
    return sum(1 for _ in (folder / "transfers.csv").open()) - 1


def main() -> int:
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--blocks", type=int, default=10_000, help=f"blocks of {PER_BLOCK} events (default 10000)")
    parser.add_argument("--slow-rounds", type=int, default=2, help="rounds of the peers that take minutes (default 2)")
    parser.add_argument(
        "--child", choices=["ours", "web3"], help="run one contestant here (used by the benchmark itself)"
    )
    parser.add_argument("--url", help="with --child: the node")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.url, options.blocks)))
        return 0
    with node(*node_options()) as rpc:
        build(rpc, options.blocks)
        url, blocks = rpc.url, options.blocks
        fast = [
            Contestant("ours", lambda: in_child("ours", url, blocks)["seconds"]),
            *(
                Contestant(
                    f"cryo freeze, {size} blocks a request",
                    lambda size=size: peer("cryo", CRYO % (EMITTER, TOPIC, size), url, blocks, count_parquet),  # type: ignore[misc]
                )
                for size in (10, 100)
            ),
        ]
        slow = [
            Contestant("web3.py get_logs + process_log", lambda: in_child("web3", url, blocks)["seconds"]),
            Contestant(
                "ethereum-etl export_token_transfers",
                lambda: peer("ethereum-etl", ETL % _checksum(EMITTER), url, blocks, count_csv),
            ),
        ]
        race(fast, options.rounds)
        race(slow, min(options.rounds, options.slow_rounds))
        memory = {f"{b:,} blocks": in_child("ours", url, b)["peak_mb"] for b in (blocks // 2, blocks)}
    found = result("Log scan to parquet", [*fast, *slow], blocks * PER_BLOCK, "events", our_peak_memory_mb=memory)
    show(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
