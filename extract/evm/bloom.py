"""What a header's logsBloom says about logs: never that one is there, but surely that none is.

Yellow paper, section 4.3.1: three bits of 2,048 for each address and topic of the block's logs, from the low eleven
bits of the first three pairs of bytes of its keccak.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from eth_hash.auto import keccak

_BITS, _BYTES = 2048, 256


@lru_cache(maxsize=65_536)
def _mask(item: str) -> int:
    digest = keccak(bytes.fromhex(item[2:]))
    bits = (int.from_bytes(digest[i : i + 2], "big") & (_BITS - 1) for i in (0, 2, 4))
    return sum(1 << bit for bit in set(bits))


class Bloom:
    """A block's bloom: 256 bytes."""

    def __init__(self, raw: bytes) -> None:
        self.bits = int.from_bytes(raw, "big") if len(raw) == _BYTES else 0

    @property
    def is_empty(self) -> bool:
        return self.bits == 0

    def may_hold(self, item: str) -> bool:
        """Whether an address or topic (0x hex) may be in it."""
        mask = _mask(item)
        return self.bits & mask == mask

    def may_match(self, addresses: Sequence[str], topics: Sequence[Sequence[str] | None]) -> bool:
        """Whether a log of any of the addresses (none: all) with one alternative of every topic may be in the block."""
        found = not addresses or any(self.may_hold(a) for a in addresses)
        return found and all(of is None or any(self.may_hold(t) for t in of) for of in topics)

    def chance(self, addresses: Sequence[str], topics: Sequence[Sequence[str] | None]) -> float:
        """How likely a match is that means nothing: each item by the share of set bits, cubed."""
        share = (self.bits.bit_count() / _BITS) ** 3
        chance = min(1.0, len(addresses) * share) if addresses else 1.0
        for of in topics:
            chance *= 1.0 if of is None else min(1.0, len(of) * share)
        return chance
