"""What counts as an answer of a language model: one JSON object with the market's key and a probability, or nothing.

No number is fished out of prose, no percentage is divided by a hundred, nothing is filled in.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from decide.markets.experiments.protocol import Answer

SCHEMA: dict[str, Any] = {  # what endpoints with structured answers are told
    "name": "forecast",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {
            "market": {"type": "string", "description": "The key of the market, repeated."},
            "reasoning": {"type": "string", "description": "Why, in a few sentences."},
            "probability": {"type": "number", "description": "Of the first outcome, from 0 to 1."},
        },
        "required": ["market", "reasoning", "probability"],
        "additionalProperties": False,
    },
}
FINISHED = "stop"
REFUSED = "refused"
DEEPEST = 50  # of brackets: a parser that recurses must not be led to the end of its stack
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Unusable:
    """Why an answer is none: a code and words."""

    kind: str
    why: str

    @property
    def can_be_repaired(self) -> bool:
        """Asking once more helps against a slip of form, not against a refusal."""
        return self.kind != REFUSED


def read_reply(answer: Answer, key: str) -> float | Unusable:
    """The probability of the first outcome, or why there is none."""
    if answer.finish in (REFUSED, "content_filter"):
        return Unusable(REFUSED, "the model refused to answer")
    if answer.finish == "length":
        return Unusable("truncated", "it was cut off before its end")
    found = _object(answer.text)
    return found if isinstance(found, Unusable) else _probability(found, key)


def _object(text: str) -> dict[str, Any] | Unusable:
    if _depth(text) > DEEPEST:
        return Unusable("not_json", f"it is nested deeper than {DEEPEST} levels")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except ValueError as error:
        return Unusable("not_json", f"it is not one JSON object ({error})"[:200])
    return found if isinstance(found, dict) else Unusable("not_an_object", "it is JSON, but not one object")


def _probability(found: dict[str, Any], key: str) -> float | Unusable:
    if found.get("market") != key:
        return Unusable("wrong_market", f'"market" is {str(found.get("market"))[:40]!r}, not {key!r}')
    value = found.get("probability")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Unusable("no_number", f'"probability" is {str(value)[:40]!r}, not a number')
    if not (math.isfinite(value) and 0 <= value <= 1):
        return Unusable("out_of_range", f'"probability" is {str(value)[:40]}, outside 0 to 1')
    return float(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in _STRING.sub("", text):
        depth += (char in "[{") - (char in "]}")
        deepest = max(deepest, depth)
    return deepest
