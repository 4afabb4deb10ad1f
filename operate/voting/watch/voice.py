"""What a night says, as it happens: a line for people, a JSON line for programs, a message where it matters."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rich.markup import escape

from operate.console import out, print_json, printable
from operate.notify import Notifier
from operate.voting.watch.screen import Screen

ALARMS = {"started", "sent", "landed", "failed", "over", "blind"}  # what is also told through the notifier
REPEATED, REPEAT_SECONDS = {"blind"}, 60.0
QUIET = {"decided", "unsent"}  # what a page shows in its table and not as a line
STYLE = {
    "decided": "cyan", "sent": "green", "landed": "bold green", "failed": "bold red", "blind": "bold red",
    "refused": "yellow", "provider": "yellow", "reorg": "yellow",
}  # fmt: skip


@dataclass
class Voice:
    """Says events of one night. `clock` is chain time: seconds to the last moment that takes a vote."""

    notifier: Notifier
    is_json: bool = False
    screen: Screen | None = None  # on a terminal: a page instead of lines
    said: set[tuple[str, str]] = field(default_factory=set)
    _told: dict[str, float] = field(default_factory=dict)
    _telling: list[asyncio.Task[Any]] = field(default_factory=list)

    def say(self, event: str, text: str, seconds_left: int | None = None, **facts: Any) -> None:
        """An event of the night, in words and with its facts."""
        if self.is_json:
            print_json({"event": event, "text": text, "seconds_left": seconds_left, **facts})
        else:
            self._show(event, text, "" if seconds_left is None else countdown(seconds_left), facts)
        if event in ALARMS and not self._was_just_told(event):
            self.tell(event, text)

    def _show(self, event: str, text: str, left: str, facts: Mapping[str, Any]) -> None:
        style = STYLE.get(event, "")
        word = f"[{style}]{event}[/{style}]" if style else event
        said = f"{f'[dim]{left}[/dim] ' if left else ''}{word} {escape(printable(text))}"
        if self.screen is None:
            out.print(said, soft_wrap=True)
            return
        self.screen.update(left, facts)
        if event not in QUIET:
            self.screen.line(said)
        else:
            self.screen.draw()

    def _was_just_told(self, event: str) -> bool:
        """What comes at every block is told once a minute."""
        now, before = time.monotonic(), self._told.get(event, -math.inf)
        is_again = event in REPEATED and now - before < REPEAT_SECONDS
        self._told[event] = before if is_again else now
        return is_again

    def once(self, event: str, text: str, **facts: Any) -> None:
        """Say it unless it was said before."""
        if (event, text) not in self.said:
            self.said.add((event, text))
            self.say(event, text, **facts)

    def tell(self, event: str, text: str) -> None:
        if not self.notifier.is_silent:
            self._apart(lambda: self.notifier.tell(f"Foreshore night: {event}", text))

    def healthy(self) -> None:
        """Tell the dead man's switch that the night is being watched."""
        if self.notifier.ping_url:
            self._apart(lambda: self.notifier.ping(True))

    async def end(self) -> None:
        """Wait until everything is told, and leave the page as it is."""
        if self.screen is not None:
            self.screen.close()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _apart(self, act: Callable[[], object]) -> None:
        """A notifier that is slow holds nobody up."""
        self._telling = [task for task in self._telling if not task.done()]
        self._telling.append(asyncio.create_task(asyncio.to_thread(act)))


def countdown(seconds: int) -> str:
    """Time left as people read it: `-1:02:05`, or `+0:00:07` past it."""
    return f"{'-' if seconds >= 0 else '+'}{timedelta(seconds=abs(seconds))}"


def worth(row: Mapping[str, Any]) -> str:
    """What a decision is, in one line."""
    if row["outcome"] != "ok":
        return f"{row['action']}: {row['outcome']}"
    expected = f"{row['expected_usd']:,.2f} USD ({row['conservative_usd']:,.2f} to {row['aggressive_usd']:,.2f})"
    return (
        f"{row['action']}: {expected} on {row['gauges_used']} gauges, what stands {row['standing_usd']:,.2f}; "
        f"{row['reason']}"
    )
