"""State reads: 60 view calls at each of 20 past blocks. `python -m benchmarks.state_reads`

Ours (Multicall3 per block, all blocks in one JSON-RPC batch, each with the proof of its block) against ours without the
proof, web3.py one call at a time, web3.py calling
Multicall3, and the node's own limit: the same request bytes over raw sockets, answers thrown away.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from web3 import Web3

from benchmarks.common import CHAIN_ID, Contestant, arguments, node, race, result, show
from extract.evm.calls import Call, encode_aggregate3
from extract.evm.client import ChainClient
from extract.evm.config import MULTICALL3, ChainSpec, ProviderSpec
from extract.evm.transport import RpcCall, encode_calls
from simulate.chain.contracts import multicall3_code
from simulate.chain.rpc import Rpc

BLOCKS, READS = 20, 60
READER = "0x" + "5e" * 20
READER_CODE = "0x6000546004350160005260206000f3"  # returns argument + storage slot 0
ABI = [
    {
        "type": "function", "name": "aggregate3", "stateMutability": "payable",
        "inputs": [{"name": "calls", "type": "tuple[]", "components": [
            {"name": "target", "type": "address"}, {"name": "allowFailure", "type": "bool"},
            {"name": "callData", "type": "bytes"}]}],
        "outputs": [{"name": "returnData", "type": "tuple[]", "components": [
            {"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}]}],
    }
]  # fmt: skip


def build(rpc: Rpc) -> list[int]:
    """A contract whose answers change every block; returns past blocks to read."""
    rpc.call("anvil_setCode", MULTICALL3, multicall3_code())
    rpc.call("anvil_setCode", READER, READER_CODE)
    for number in range(1, 61):
        rpc.call("anvil_setStorageAt", READER, "0x" + "00" * 32, f"0x{number * 1000:064x}")
        rpc.call("anvil_mine", "0x1")
    return list(range(10, 50, 2))


def expected(blocks: list[int]) -> list[list[int]]:
    return [[(block + 1) * 1000 + i for i in range(READS)] for block in blocks]  # set on the newest block, then mined


def data(number: int) -> str:
    return f"0x12345678{number:064x}"


CALLS = [Call(READER, data(i)) for i in range(READS)]


def ours(url: str, blocks: list[int], loop: asyncio.AbstractEventLoop, client: list[ChainClient]) -> None:
    async def read() -> None:
        replies = await client[0].read_blocks([(block, CALLS) for block in blocks])
        assert [[int.from_bytes(r.data) for r in of_block] for of_block in replies] == expected(blocks)

    loop.run_until_complete(read())


def web3_single(web3: Web3, blocks: list[int]) -> None:
    target = Web3.to_checksum_address(READER)
    found = [
        [int.from_bytes(web3.eth.call({"to": target, "data": data(i)}, block)) for i in range(READS)]
        for block in blocks
    ]
    assert found == expected(blocks)


def web3_multicall(web3: Web3, blocks: list[int]) -> None:
    contract = web3.eth.contract(Web3.to_checksum_address(MULTICALL3), abi=ABI)
    target = Web3.to_checksum_address(READER)
    wanted = [(target, True, data(i)) for i in range(READS)]
    found = []
    for block in blocks:
        answers = contract.functions.aggregate3(wanted).call(block_identifier=block)
        found.append([int.from_bytes(answer) for _, answer in answers])
    assert found == expected(blocks)


class NoProof:
    """A prover that asks for nothing and believes everything: what the proof costs is the difference."""

    def targets(self, block: int) -> list[tuple[str, str]]:
        return []

    def refuse(self, block: object, results: object) -> None:
        return None


class RawSocket:
    """The node's limit: prepared bytes out, bytes back, nothing parsed."""

    def __init__(self, rpc: Rpc, bodies: list[bytes]) -> None:
        self.requests = [
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(b) + b
            for b in bodies
        ]
        self.socket = socket.create_connection((rpc.host, rpc.port))

    def run(self) -> None:
        for request in self.requests:
            self.socket.sendall(request)
            head, _, body = self._more(b"").partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < length:
                body = self._more(body)

    def _more(self, so_far: bytes) -> bytes:
        return so_far + self.socket.recv(1 << 20)


def multicall_body(blocks: list[int]) -> bytes:
    encoded = encode_aggregate3([(call.target, call.data) for call in CALLS])
    return encode_calls([RpcCall("eth_call", [{"to": MULTICALL3, "data": encoded}, hex(b)], str) for b in blocks])


def main() -> int:
    options = arguments(__doc__ or "", rounds=7).parse_args()
    with node() as rpc:
        blocks = build(rpc)
        spec = ChainSpec("bench", CHAIN_ID, (ProviderSpec("node", rpc.url),), finality_depth=0)
        web3 = Web3(Web3.HTTPProvider(rpc.url, request_kwargs={"timeout": 60}))
        raw = RawSocket(rpc, [multicall_body(blocks)])
        loop = asyncio.new_event_loop()
        opened = ChainClient.open(spec)
        client = [loop.run_until_complete(opened.__aenter__())]
        unproven_opened = ChainClient.open(spec)
        unproven = [loop.run_until_complete(unproven_opened.__aenter__())]
        unproven[0]._state._prover = NoProof()  # type: ignore[assignment]
        contestants = [
            Contestant("ours", lambda: ours(rpc.url, blocks, loop, client)),
            Contestant("ours without proof", lambda: ours(rpc.url, blocks, loop, unproven)),
            Contestant("node's limit (raw socket replay)", raw.run),
            Contestant("web3.py calling Multicall3", lambda: web3_multicall(web3, blocks)),
            Contestant("web3.py one call at a time", lambda: web3_single(web3, blocks)),
        ]
        for contestant in contestants:  # the first round fills caches on both sides and is not counted
            contestant.run()
        race(contestants, options.rounds)
        for one in (opened, unproven_opened):
            loop.run_until_complete(one.__aexit__(None, None, None))
    show(result("State reads at past blocks", contestants, BLOCKS * READS, "reads"), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
