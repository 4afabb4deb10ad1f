"""How a state read proves the block it was answered at: the chain's own number, time and parent's hash come along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from extract.evm.blocks import Block
from extract.evm.config import ARBSYS_NUMBER, ChainSpec
from extract.evm.errors import DecodeError, Kind, Refusal
from extract.evm.transport import RpcCall

PROVEN, UNCONFIRMED = "proven", "unconfirmed"
ARBSYS = "0x" + f"{0x64:040x}"  # Arbitrum's precompile; there NUMBER is Ethereum's block
_GET_NUMBER, _GET_TIME, _GET_PARENT = "0x42cbb15c", "0x0f28c97d", "0x27e86d6e"  # Multicall3's own views
_ARB_NUMBER, _ARB_HASH = "0xa3b1b31d", "0x2b407a82"  # arbBlockNumber(), arbBlockHash(uint256)
# NUMBER, TIMESTAMP and BLOCKHASH(NUMBER - 1) as three words, from code that is run and never deployed
_PROGRAM = "0x4360005242602052600143034060405260606000f3"
_WORD = 32


@dataclass(frozen=True)
class Prover:
    """The proof of one chain's reads."""

    multicall: str
    is_arbitrum: bool
    has_parent_hash: bool

    @classmethod
    def of(cls, spec: ChainSpec) -> Prover:
        return cls(spec.multicall_address, spec.block_number_from == ARBSYS_NUMBER, spec.evm_parent_hash)

    def targets(self, block: int) -> list[tuple[str, str]]:
        """(address, calldata) of the calls that go first in an aggregate: number, time, parent's hash."""
        if not self.is_arbitrum:
            found = [(self.multicall, _GET_NUMBER), (self.multicall, _GET_TIME), (self.multicall, _GET_PARENT)]
        else:
            parent = f"{_ARB_HASH}{max(block - 1, 0):064x}"
            found = [(ARBSYS, _ARB_NUMBER), (self.multicall, _GET_TIME), (ARBSYS, parent)]
        return found if self.has_parent_hash else found[:2]

    def refuse(self, block: Block, results: Sequence[tuple[bool, bytes]]) -> Refusal | None:
        """What the first results of an aggregate say against its being of `block`; None where they prove it."""
        number, time, *parent = (_number(data) if success else None for success, data in results)
        return self._compare(block, number, time, parent[0] if parent else None)

    def bracket(self, block: Block) -> RpcCall | None:
        """A call that proves the block by itself, for reads without Multicall3; None where the EVM cannot."""
        if self.is_arbitrum:
            return None

        def read(text: str) -> Block | Refusal:
            if len(text) != 2 + 2 * 3 * _WORD:
                return Refusal(Kind.MISMATCH, f"asked which block it answers for, it says {text[:20]!r}")
            number, time, parent = (int(text[2 + 64 * i : 66 + 64 * i], 16) for i in range(3))
            return self._compare(block, number, time, parent if self.has_parent_hash else None) or block

        program: list[Any] = [{"data": _PROGRAM}]
        return RpcCall(
            "eth_call", [*program, hex(block.number)], str, read, by_hash=[*program, {"blockHash": block.hash}]
        )

    def _compare(self, block: Block, number: int | None, time: int | None, parent: int | None) -> Refusal | None:
        if number is None or time is None:
            return Refusal(Kind.MISMATCH, f"its answer for block {block.number} does not say which block it is of")
        if (number, time) != (block.number, block.timestamp):
            asked = f"block {block.number} of {block.timestamp}"
            return Refusal(
                Kind.MISMATCH, f"asked for the state of {asked}, it answers that of block {number} of {time}"
            )
        if parent and parent != _parent(block):  # 0: this EVM, or this node, does not give it
            said = f"the state of block {block.number} it answers has another parent than its header: 0x{parent:064x}"
            return Refusal(Kind.MISMATCH, f"{said} (set evm_parent_hash = false if the chain's EVM has its own hashes)")
        return None


def _number(data: bytes) -> int | None:
    return int.from_bytes(data, "big") if len(data) == _WORD else None


@lru_cache(maxsize=4096)
def _parent(block: Block) -> int:
    try:
        return int(block.parent_hash, 16)
    except ValueError:
        raise DecodeError(f"the parent of block {block.number} is no hash") from None
