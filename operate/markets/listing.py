"""What a daily run needs of the outside: the markets of a day, and how earlier ones ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from decide.markets.experiments.protocol import Document, Snapshot
from extract.markets.resolve import Asked
from operate.markets.rows import OutcomeRow

Say = Callable[[str, str], None]  # (kind, message)


@dataclass(frozen=True)
class Listing:
    """The markets of a target day; `problems` says what is missing and why."""

    snapshots: list[Snapshot]
    refused: int = 0
    problems: tuple[str, ...] = ()
    documents: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    dropped_points: int = 0


@dataclass(frozen=True)
class Wish:
    """How a day is to be listed."""

    save: bool = True
    refetch: bool = False


class Source(Protocol):
    """What a daily run needs of the outside."""

    def listing(
        self, run_date: date, window_days: int, run_id: str, needs: Sequence[str], wish: Wish, say: Say
    ) -> Listing:
        """The markets that end on run_date + window_days, landed when `wish.save`, anew when `wish.refetch`."""
        ...

    def outcomes(self, asked: Sequence[Asked], run_id: str, say: Say) -> tuple[list[OutcomeRow], list[str]]:
        """How these markets ended, and problems in words."""
        ...
