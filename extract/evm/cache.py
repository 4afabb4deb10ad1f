"""What a chain taught us, kept between runs in one small JSON file: range caps and block search guesses.

Nothing in it is trusted: a cap is forgotten after a week because plans change, and a remembered block is
proven again before it is used, so a stale or foreign file costs calls and never a wrong answer.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

_CAP_LIVES_SECONDS = 7 * 86_400
_MOST_GUESSES = 50_000


class Cap(msgspec.Struct):
    """The widest eth_getLogs range a provider takes, in blocks, and when it said so (unix seconds)."""

    blocks: int
    learned_at: float


class Memory(msgspec.Struct):
    """caps by provider name; guesses: unix second asked for -> block number found."""

    caps: dict[str, Cap] = {}
    guesses: dict[int, int] = {}


class Cache:
    """The file as objects. `path` None keeps it in memory."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.time) -> None:
        self._path, self._now, self._dirty = path, now, False
        self._memory = self._load()

    def _load(self) -> Memory:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Memory) if self._path else Memory()
        except (OSError, msgspec.DecodeError):
            return Memory()  # absent or damaged: it is only a cache

    def cap(self, provider: str) -> int | None:
        """Remembered range cap in blocks, None when unknown or old."""
        cap = self._memory.caps.get(provider)
        return cap.blocks if cap and self._now() - cap.learned_at < _CAP_LIVES_SECONDS else None

    def learn_cap(self, provider: str, blocks: int) -> None:
        self._memory.caps[provider] = Cap(blocks, self._now())
        self._dirty = True

    def guess(self, timestamp: int) -> int | None:
        return self._memory.guesses.get(timestamp)

    def learn_block(self, timestamp: int, number: int) -> None:
        if self._memory.guesses.get(timestamp) != number:
            self._memory.guesses[timestamp] = number
            self._dirty = True

    def save(self) -> None:
        """Write the file whole or not at all."""
        if self._path is None or not self._dirty:
            return
        guesses = self._memory.guesses
        for timestamp in list(guesses)[: max(0, len(guesses) - _MOST_GUESSES)]:
            del guesses[timestamp]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(self._memory))
        Path(name).replace(self._path)
        self._dirty = False
