"""Text that every store takes: what half of them refuse is replaced here, and nowhere else.

UTF-8 has no half characters (lone surrogates), PostgreSQL no U+0000; DuckDB, Arrow and JSON differ on both. Whatever
comes from outside, a source's words or an experiment's, becomes U+FFFD in those places before it is kept.
"""

from __future__ import annotations

import re
from typing import Any

REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether every store takes the text as it is."""
    return _UNSTORABLE.search(text) is None


def storable(text: str) -> str:
    """The text with U+FFFD for every half character and U+0000."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def all_storable(value: Any) -> Any:
    """A JSON value whose every text, names included, is storable; anything else in it stays as it is."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key) if isinstance(key, str) else key: all_storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(all_storable(item) for item in value)
    return value
