"""A day of liquidations of 20 markets on one chain: 7,200 blocks on a local node. `python -m benchmarks.lending.scan`

Ours (one scan for all markets, five requests in flight) against the first plan's design (web3.py in five threads, each
market for itself, 10 blocks a request), cryo and ethereum-etl, each in a process of its own; all decode what they find.
The event is a Transfer, the one that ethereum-etl can decode; every tenth block holds one.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import ACCOUNT, CHAIN_ID, Contestant, arguments, node, race, require_peer, result, show
from benchmarks.log_scan import SIGNATURE, TOPIC, count_csv, count_parquet, emitter_code, node_options
from simulate.chain.rpc import Rpc

BLOCKS, EVERY, MARKETS, WORKERS, CHUNK, WIDE = 7_200, 10, 20, 5, 10, 2_000
EVENTS = BLOCKS // EVERY
ADDRESSES = [f"0x{n:02x}{'e1' * 19}" for n in range(1, MARKETS + 1)]


def build(rpc: Rpc) -> None:
    """A transaction in every tenth block, to each market in turn."""
    for address in ADDRESSES:
        rpc.call("anvil_setCode", address, emitter_code(1))
    for n in range(EVENTS):
        to = ADDRESSES[n % MARKETS]
        rpc.call("eth_sendTransaction", {"from": ACCOUNT, "to": to, "gas": hex(100_000), "gasPrice": "0x0"})
        rpc.call("anvil_mine", hex(EVERY))


def ours(url: str) -> int:
    """One scan of all markets, decoded to Arrow."""
    from extract.evm.abi import Event
    from extract.evm.client import ChainClient
    from extract.evm.config import ChainSpec, ProviderSpec

    event = Event(SIGNATURE)

    async def scan() -> int:
        spec = ChainSpec("bench", CHAIN_ID, (ProviderSpec("node", url, max_in_flight=WORKERS),), finality_depth=0)
        async with ChainClient.open(spec) as chain:
            chunks = chain.logs(ADDRESSES, [[event.topic0]], 1, BLOCKS)
            return sum([event.decode(chunk.table).num_rows async for chunk in chunks])

    return asyncio.run(scan())


def web3_threads(url: str) -> int:
    """The first plan's design: every market scans the day by itself."""
    from web3 import Web3

    web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": 120}))
    names = (("from", "address", True), ("to", "address", True), ("value", "uint256", False))
    inputs = [{"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in names]
    abi = [{"type": "event", "name": "Transfer", "anonymous": False, "inputs": inputs}]

    def one(task: tuple[str, int]) -> int:
        market, first = task
        contract = web3.eth.contract(Web3.to_checksum_address(market), abi=abi)
        last = first + CHUNK - 1
        query = {"address": contract.address, "fromBlock": first, "toBlock": last, "topics": ["0x" + TOPIC]}
        return len([contract.events.Transfer().process_log(log) for log in web3.eth.get_logs(query)])

    tasks = [(market, first) for market in ADDRESSES for first in range(1, BLOCKS + 1, CHUNK)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(one, tasks))


CRYO = """
import sys, time, json, cryo
url, folder, addresses = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
started = time.perf_counter()
cryo.freeze("logs", blocks=["1:%d"], rpc=url, output_dir=folder, contract=addresses, topic0=["0x%s"],
            event_signature="Transfer(address indexed from, address indexed to, uint256 value)",
            inner_request_size=%d, max_concurrent_requests=%d, no_report=True, verbose=False)
print("seconds", time.perf_counter() - started)
"""

ETL = """
import sys, time, json
from ethereumetl.cli import cli
url, folder, addresses = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokens = [part for address in addresses for part in ("-t", address)]
started = time.perf_counter()
cli(["export_token_transfers", "-s", "1", "-e", "%d", "-p", url, "-b", "%d", "-w", "%d", *tokens,
     "-o", folder + "/transfers.csv"], standalone_mode=False)
print("seconds", time.perf_counter() - started)
"""


def in_child(kind: str, url: str) -> float:
    command = [sys.executable, "-m", "benchmarks.lending.scan", "--child", kind, "--url", url]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if found["rows"] != EVENTS:
        raise RuntimeError(f"{kind} found {found['rows']} events, not {EVENTS}")
    return float(found["seconds"])


def child(kind: str, url: str) -> dict[str, Any]:
    """One of our own two ways, timed after its imports."""
    for module in ["extract.evm.client", "extract.evm.abi"] if kind == "ours" else ["web3"]:
        __import__(module)
    started = time.perf_counter()
    rows = {"ours": ours, "web3": web3_threads}[kind](url)
    return {"seconds": time.perf_counter() - started, "rows": rows}


def peer(requirement: str, script: str, url: str, count: Callable[[Path], int]) -> float:
    from eth_utils.address import to_checksum_address

    python = require_peer(requirement)
    with tempfile.TemporaryDirectory() as folder:
        addresses = json.dumps([to_checksum_address(address) for address in ADDRESSES])
        command = [str(python), "-c", script, url, folder, addresses]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-300:])
        if (rows := count(Path(folder))) != EVENTS:
            raise RuntimeError(f"{requirement} found {rows} events, not {EVENTS}")
    return float(done.stdout.split("seconds")[-1])


def main() -> int:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--child", choices=["ours", "web3"], help="run one contestant here (used by the benchmark)")
    parser.add_argument("--url", help="with --child: the node")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.url)))
        return 0
    with node(*node_options()) as rpc:
        build(rpc)
        url = rpc.url
        cryo, wide = (CRYO % (BLOCKS + 1, TOPIC, blocks, WORKERS) for blocks in (CHUNK, WIDE))
        etl = ETL % (BLOCKS, CHUNK, WORKERS)
        contestants = [
            Contestant("ours, one scan of 20 markets", lambda: in_child("ours", url)),
            Contestant("web3.py, 5 threads, market by market", lambda: in_child("web3", url)),
            Contestant("cryo, all markets, 10 blocks a request", lambda: peer("cryo", cryo, url, count_parquet)),
            Contestant("cryo, all markets, 2,000 blocks", lambda: peer("cryo", wide, url, count_parquet)),
            Contestant("ethereum-etl, all markets, 10 blocks", lambda: peer("ethereum-etl", etl, url, count_csv)),
        ]
        race(contestants, options.rounds)
    show(result("A day of liquidations of 20 markets", contestants, BLOCKS, "blocks"), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
