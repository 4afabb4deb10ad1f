"""The night as a page on a terminal: the countdown, what would be voted, who answers, and the last things said."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from operate.console import out, printable, table

LINES = 8  # of what was said last
COLUMNS = ("voter", "window", "action", "expected USD", "worst", "best", "stands USD", "gains", "gauges")
DROPPED = ("gauges", "best", "worst", "stands USD", "window")  # where it is narrow, in this order


class Screen:
    """One page that is drawn anew with each event. `update` takes the facts of an event, `line` its words."""

    def __init__(self) -> None:
        self._live = Live(console=out, auto_refresh=False, vertical_overflow="visible")
        self._lines: deque[str] = deque(maxlen=LINES)
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._head, self._left, self._timing = "", "", ""
        self._live.start()

    def update(self, left: str, facts: Mapping[str, Any]) -> None:
        """What an event tells: the time left, and where it is a decision, that."""
        self._left = left or self._left
        row = facts.get("row")
        if row is not None:
            self._rows[row["voter_id"]] = row
            self._head = f"block {facts['block']:,}"
            self._timing = (
                f"read {facts['read_seconds'] * 1000:.0f} ms, decided {facts['decide_seconds'] * 1000:.0f} ms"
            )

    def line(self, marked: str) -> None:
        """Words of an event, marked up: the newest of the lines below the table."""
        self._lines.append(marked)
        self.draw()

    def draw(self) -> None:
        """The page as things stand."""
        self._live.update(self._page(), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _page(self) -> RenderableType:
        head = Text.assemble((self._left or "-", "bold"), "  ", self._head, "  ", (self._timing, "dim"))
        said = [Text.from_markup(line) for line in self._lines]
        return Group(head, self._table(), *said)

    def _table(self) -> RenderableType:
        rows = [[escape(printable(cell)) for cell in (_short(v), *_cells(row))] for v, row in self._rows.items()]
        return table("", COLUMNS, rows, right=COLUMNS[3:], drop=DROPPED)


def _short(voter: str) -> str:
    return voter if len(voter) <= 14 else f"{voter[:6]}…{voter[-4:]}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["outcome"] != "ok":
        return row["decision_window"], row["outcome"], "", "", "", "", "", ""
    gains = row["expected_usd"] - row["standing_usd"]
    money = (row["expected_usd"], row["conservative_usd"], row["aggressive_usd"], row["standing_usd"])
    shown = [f"{usd:,.2f}" for usd in money]
    return row["decision_window"], row["action"], *shown, f"{gains:+,.2f}", str(row["gauges_used"])
