"""Hex quantities as the execution APIs define them, read strictly: `0x` and ASCII hex digits, nothing else."""

from __future__ import annotations

import re

from extract.evm.errors import DecodeError

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,15}", re.ASCII)  # below 2^60: an int64 holds it whatever it is
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_EXCERPT = 24


def quantity(text: object, what: str) -> int:
    """The integer below 2^60 that `text` writes in hex. DecodeError names `what` for any other word."""
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise DecodeError(f"{what} is {excerpt(text)}, which is no hex quantity")
    return int(text, 16)


def hash32(text: object, what: str) -> str:
    """A 32-byte hash as lower-case 0x text. DecodeError for anything else."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise DecodeError(f"{what} is {excerpt(text)}, which is no hash")
    return text.lower()


def excerpt(value: object) -> str:
    """The beginning of what came, fit to be shown."""
    text = value if isinstance(value, str) else f"{type(value).__name__}"
    return ascii(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "...")
