"""What a night says: lines, JSON, messages that matter, and nothing twice a second."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from operate.notify import Notifier
from operate.voting.watch.voice import Voice, countdown


@dataclass(frozen=True)
class Ear(Notifier):
    """A notifier that keeps what it is told."""

    heard: list[str] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        return False

    def tell(self, title: str, text: str) -> bool:
        self.heard.append(f"{title}: {text}")
        return True


def said(voice: Voice, *events: tuple[str, str]) -> None:
    async def night() -> None:
        for event, text in events:
            voice.say(event, text, 61)
        await voice.end()

    asyncio.run(night())


def test_a_line_says_the_time_left_and_a_strangers_words_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    said(Voice(Notifier()), ("decided", "submit on [bold]EVIL[/bold]\x1b[31m"))
    line = capsys.readouterr().out
    assert line.startswith("-0:01:01 decided submit on [bold]EVIL[/bold]") and "\x1b[31m" not in line


def test_json_is_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    said(Voice(Notifier(), is_json=True), ("started", "hydrex"), ("over", "done"))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e["event"], e["seconds_left"]) for e in events] == [("started", 61), ("over", 61)]


def test_what_matters_is_told_and_what_comes_at_every_block_once_a_minute() -> None:
    ear = Ear()
    said(Voice(ear, is_json=True), ("decided", "a"), ("blind", "b"), ("blind", "c"), ("landed", "d"), ("landed", "e"))
    assert [line.split(": ", 2)[1] for line in sorted(ear.heard)] == ["blind", "landed", "landed"]


def test_something_is_said_once_that_is_said_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice(Notifier(), is_json=True)
    for _ in range(3):
        voice.once("provider", "one is behind")
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(("seconds", "text"), [(3_725, "-1:02:05"), (0, "-0:00:00"), (-7, "+0:00:07")])
def test_a_countdown_reads_as_a_clock(seconds: int, text: str) -> None:
    assert countdown(seconds) == text
