"""Words of synthetic markets: questions that read like markets, and their slugs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

_QUESTIONS: Final = {
    "election": "Will the incumbent party win the regional election of {day}?",
    "match": "Will the home side win on {day}?",
    "price": "Will the index close above its level of last month on {day}?",
    "launch": "Will the launch take place by {day}?",
    "verdict": "Will the court rule for the plaintiff by {day}?",
    "updown": "Bitcoin Up or Down - {day}, {time} UTC",
}
_NAMES: Final = ("Amber", "Birch", "Cedar", "Dale", "Elm", "Fern", "Grove", "Heath")


def question(topic: str, end_at: datetime, name: str | None) -> str:
    asked = _QUESTIONS[topic].format(day=f"{end_at:%B %d, %Y}", time=f"{end_at:%H:%M}")
    return asked if name is None else f"{name}: {asked}"


def group_titles(topic: str, count: int) -> list[str]:
    """Names of the outcomes of a group."""
    return [f"{name} {topic}" for name in _NAMES[:count]]


def slugged(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
