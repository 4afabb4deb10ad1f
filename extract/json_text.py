"""JSON from outside (a person, a source): parsed with its nesting looked at first.

How deep a parser may go is the interpreter's recursion limit, and a dependency (py_ecc) raises that to 100,000, where a
text of opening brackets ends the process (measured) instead of raising an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

DEEPEST = 100  # no document of ours is nested deeper than ten levels
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")


def parse_json(text: str, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The document; RecursionError when it is nested deeper than DEEPEST, JSONDecodeError when it is no JSON."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > DEEPEST:
            raise RecursionError(f"nested deeper than {DEEPEST} levels")
    return json.loads(text, object_pairs_hook=object_pairs_hook)
