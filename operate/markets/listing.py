"""What a daily run needs of the outside: the markets of a day, and how earlier ones ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from decide.markets.experiments.protocol import Snapshot
from operate.markets.store import OutcomeRow

Say = Callable[[str, str], None]  # (kind, message)


@dataclass(frozen=True)
class Listing:
    """The markets of a target day; `problems` says what is missing and why."""

    snapshots: list[Snapshot]
    refused: int = 0
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """What a daily run needs of the outside."""

    def listing(
        self, run_date: date, window_days: int, run_id: str, needs: Sequence[str], save: bool, say: Say
    ) -> Listing:
        """The markets that end on run_date + window_days, landed when `save`."""
        ...

    def outcomes(self, market_ids: Sequence[str], run_id: str, say: Say) -> tuple[list[OutcomeRow], list[str]]:
        """How these markets ended, and problems in words."""
        ...
