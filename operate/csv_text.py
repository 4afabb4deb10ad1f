"""Words in CSV that no spreadsheet takes for a formula (OWASP: CSV injection)."""

from __future__ import annotations

import re

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # full-width ones run, too
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def unformulated(text: str) -> str:
    """`text` with an apostrophe in front where a spreadsheet would run it; plain numbers stay as they are."""
    return f"'{text}" if text.startswith(_STARTS) and not _NUMBER.fullmatch(text) else text
