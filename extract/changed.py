"""Blocks that are no longer what they were: partitions read from them are fetched again."""

from __future__ import annotations

from extract.evm.blocks import Block
from extract.evm.client import ChainClient
from extract.ledger import Ledger


async def changed_partitions(client: ChainClient, ledger: Ledger, chain_id: int, final: Block) -> frozenset[str]:
    """Partitions whose last block no longer has the hash it was read under."""
    held = [
        (name, state.complete)
        for name, state in ledger.states.items()
        if state.complete and state.complete["chain_id"] == chain_id and state.complete["to_block_hash"]
    ]
    numbers = sorted({row["to_block"] for _, row in held if row["to_block"] <= final.number})
    hashes = {block.number: block.hash for block in await client.blocks(numbers, fresh=True)} if numbers else {}
    # a block beyond the final head is not known to have changed: the provider may only be behind
    return frozenset(n for n, row in held if hashes.get(row["to_block"], row["to_block_hash"]) != row["to_block_hash"])
