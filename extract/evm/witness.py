"""What one run saw of a chain: headers must fit each other, whoever gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from extract.evm.blocks import Block


@dataclass(frozen=True)
class Seen:
    """A final header and who gave it."""

    block: Block
    provider: str


@dataclass
class Witness:
    """Final headers by number, as first seen."""

    seen: dict[int, Seen] = field(default_factory=dict)

    def contradiction(self, block: Block, provider: str) -> str | None:
        """How a header contradicts what was seen before, in words; None where it fits."""
        before = self.seen.get(block.number)
        if before is not None and before.block != block:
            return f"block {block.number}: {_said(before.block, before.provider)}, {_said(block, provider)}"
        parent = self.seen.get(block.number - 1)
        if parent is not None and parent.block.hash != block.parent_hash:
            child = f"{provider} says the parent of block {block.number} is {block.parent_hash}"
            return f"block {parent.block.number}: {_said(parent.block, parent.provider)}, {child}"
        child_of = self.seen.get(block.number + 1)
        if child_of is not None and child_of.block.parent_hash != block.hash:
            other = f"{child_of.provider} says that of block {block.number + 1} is {child_of.block.parent_hash}"
            return f"block {block.number}: {_said(block, provider)}, {other} as its parent's hash"
        return None

    def note(self, block: Block, provider: str) -> None:
        self.seen.setdefault(block.number, Seen(block, provider))

    def forget(self, number: int) -> None:
        self.seen.pop(number, None)

    def get(self, number: int) -> Block | None:
        found = self.seen.get(number)
        return found.block if found else None


def _said(block: Block, provider: str) -> str:
    return f"{provider} says hash {block.hash} at {block.timestamp}"


def majority(answers: Mapping[str, Block]) -> Block | None:
    """What more than half of the providers say, and at least two; None where nobody has such a majority."""
    if not answers:
        return None
    [(block, votes)] = Counter(answers.values()).most_common(1)
    return block if votes >= 2 and 2 * votes > len(answers) else None
