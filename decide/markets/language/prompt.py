"""From a market to the messages that a language model is asked with.

A prompt is a text of two parts under the lines `# system` and `# user`, with places `$market`, `$documents` and `$key`
(a dollar sign of its own is `$$`). What the world wrote (questions, rules, headlines) enters as JSON with its angle
brackets escaped, in one pass: it can neither close the block it stands in nor name a place of the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from decide.errors import DecisionError
from decide.markets.experiments.protocol import Document, Snapshot, sha256_of

PLACES = frozenset({"market", "documents", "key"})
_PARTS = re.compile(r"\A\s*# system\n(?P<system>.+?)\n# user\n(?P<user>.+)\Z", re.DOTALL)
_KEY_LENGTH = 12
LONGEST_ANSWER = 4_000  # characters of an unusable answer that go back to its model

Messages = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Prompt:
    """A prompt as its file has it, and the two templates in it. Errors: DecisionError names what is wrong with it."""

    text: str
    system: Template = field(init=False, compare=False, repr=False)
    user: Template = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parts = _PARTS.match(self.text)
        if parts is None:
            raise DecisionError("a prompt needs a line `# system`, its text, a line `# user` and its text")
        for name in ("system", "user"):
            made = Template(parts[name].strip())
            if not made.is_valid():
                raise DecisionError(f"the {name} part has a dollar sign that names no place: write $$ for the sign")
            if unknown := sorted(set(made.get_identifiers()) - PLACES):
                raise DecisionError(
                    f"the prompt names ${', $'.join(unknown)}; there is only ${', $'.join(sorted(PLACES))}"
                )
            object.__setattr__(self, name, made)
        if missing := {"market", "key"} - {*self.system.get_identifiers(), *self.user.get_identifiers()}:
            raise DecisionError(f"the prompt lacks ${', $'.join(sorted(missing))}")

    @property
    def sha256(self) -> str:
        """Of the text: a prompt that differs in one letter is another prompt."""
        return sha256_of(self.text)

    @property
    def asks_for_documents(self) -> bool:
        return "documents" in {*self.system.get_identifiers(), *self.user.get_identifiers()}


@dataclass(frozen=True)
class Lengths:
    """How much of what the world wrote is passed on, in characters; beyond it the text is cut and says so."""

    question: int = 500
    rules: int = 4_000
    document: int = 600
    documents: int = 10


def market_key(snapshot: Snapshot) -> str:
    """What an answer must repeat to be about this market and moment: 12 hex digits that no market's text contains."""
    return sha256_of([snapshot.market_id, snapshot.condition_id, snapshot.snapshot_at])[:_KEY_LENGTH]


def messages_for(
    prompt: Prompt, snapshot: Snapshot, documents: Sequence[Document], *, sees_price: bool, lengths: Lengths
) -> Messages:
    """The messages of one market. Without `sees_price` no number of the market's own trading is in them."""
    places = {
        "key": market_key(snapshot),
        "market": _quoted(_facts(snapshot, sees_price, lengths)),
        "documents": _quoted([_document(each, lengths) for each in documents[: lengths.documents]]),
    }
    return (
        {"role": "system", "content": prompt.system.substitute(places)},
        {"role": "user", "content": prompt.user.substitute(places)},
    )


def repair_messages(asked: Messages, answer: str, why: str, key: str) -> Messages:
    """The same messages, the answer, and what was wrong with it: asked once."""
    again = (
        f"That answer cannot be used: {why}. Answer once more with one JSON object and nothing else: "
        f'{{"market": "{key}", "reasoning": "...", "probability": <number from 0 to 1>}}'
    )
    shown = {"role": "assistant", "content": _cut(answer, LONGEST_ANSWER)}
    return (*asked, shown, {"role": "user", "content": again})


def _facts(snapshot: Snapshot, sees_price: bool, lengths: Lengths) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "question": _cut(snapshot.question, lengths.question),
        "first_outcome": _cut(snapshot.outcomes[0], lengths.question),
        "second_outcome": _cut(snapshot.outcomes[1], lengths.question),
        "rules": _cut(snapshot.description or "", lengths.rules),
        "category": _cut(snapshot.category or "", lengths.question),
        "asked_at": f"{snapshot.snapshot_at:%Y-%m-%d %H:%M} UTC",
        "scheduled_end": f"{snapshot.end_at:%Y-%m-%d %H:%M} UTC" if snapshot.end_at else None,
    }
    if sees_price:
        facts |= {
            "market_price": snapshot.midpoint if snapshot.midpoint is not None else snapshot.price,
            "best_bid": snapshot.best_bid,
            "best_ask": snapshot.best_ask,
            "price_change_1d": snapshot.day_change,
            "price_change_1w": snapshot.week_change,
        }
    return facts


def _document(document: Document, lengths: Lengths) -> dict[str, Any]:
    return {
        "published": f"{document.published_at:%Y-%m-%d %H:%M} UTC" if document.published_at else None,
        "source": _cut(document.source, lengths.question),
        "title": _cut(document.title, lengths.document),
        "text": _cut(document.text or "", lengths.document),
    }


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} [cut]"


def _quoted(value: Any) -> str:
    """JSON that holds no angle bracket, so that no text inside can end the block around it."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
