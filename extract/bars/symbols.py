"""A symbol is one security. One canonical name for each, and how files and providers spell it.

Canonical is a root and, for what is not the common share, a class behind a point: `HOOD`, `BRK.B`, preferred `BAC.PRL`,
warrants `BAC.WS`, units `X.U`, rights `X.RT`. An exchange code behind the name (`HOOD.US`) is no part of it.
"""

from __future__ import annotations

import re

from extract.errors import RequestError

# ISO 10383 and the suffixes of EODHD, Yahoo and Bloomberg for US listings; one letter alone is a share class
EXCHANGES = frozenset(
    {"US", "USA", "NYSE", "NASDAQ", "NAS", "NYS", "ARCA", "AMEX", "BATS", "IEX", "OTC", "XNYS", "XNAS", "XASE", "ARCX",
     "IEXG", "NMS", "NYQ", "NGM", "NCM"}
)  # fmt: skip
_CLASSES = {
    "W": "WS", "WT": "WS", "WS": "WS", "WTS": "WS", "UN": "U", "U": "U", "RT": "RT", "RTS": "RT", "R": "RT",
}  # fmt: skip
_PREFERRED = re.compile(r"(?:PR|P)([A-Z])?")
_SPLIT = re.compile(r"[._\-/ ]+")
_TIMEFRAMES = re.compile(
    r"(?:(?P<count>\d+)(?P<unit>s|sec|m|min|mins|minute|minutes|h|hr|hour|hours|d|day|days)|"
    r"(?P<short>[mhd])(?P<many>\d+)|(?P<word>minute|hourly|daily|weekly))",
    re.IGNORECASE,
)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WORDS = {"minute": 60, "hourly": 3_600, "daily": 86_400, "weekly": 604_800}


def canonical(written: str) -> str:
    """The name of the security that `written` means: `brk-b.us` is BRK.B; RequestError where it means none."""
    parts = [part for part in _SPLIT.split(written.strip().upper()) if part]
    if len(parts) > 1 and parts[-1] in EXCHANGES:
        parts = parts[:-1]
    if not parts or len(parts) > 3 or not all(part.isalnum() for part in parts):
        raise RequestError(f"{written!r} is no symbol: write it like HOOD, BRK.B or BAC.PRL")
    root, *rest = parts
    if not rest:
        return root
    if len(rest) == 2 and rest[0] in ("P", "PR", "PF", "PFD") and len(rest[1]) == 1:
        return f"{root}.PR{rest[1]}"
    name = _class_of("".join(rest))
    return f"{root}.{name or '.'.join(rest)}"


def _class_of(text: str) -> str | None:
    """The canonical class that one part behind a root means, or None."""
    preferred = _PREFERRED.fullmatch(text)
    if preferred and len(text) > 1:
        return f"PR{preferred[1] or ''}"
    if text in _CLASSES and len(text) > 1:
        return _CLASSES[text]
    return text if len(text) == 1 and text.isalpha() else None


def of_file(stem: str) -> str:
    """The security that a file's name (without its ending) is about: `BRK-A_5min` is BRK.A, `HOOD.US` is HOOD.

    What stands behind the symbol and is no class and no exchange (a bar length, a year) describes the file.
    """
    parts = [part for part in _SPLIT.split(stem.strip().upper()) if part]
    if not parts:
        return ""
    if len(parts) > 2 and parts[1] in ("P", "PR") and len(parts[2]) == 1 and parts[2].isalpha():
        return f"{parts[0]}.PR{parts[2]}"
    name = _class_of(parts[1]) if len(parts) > 1 else None
    return parts[0] if name is None else f"{parts[0]}.{name}"


def timeframe_of(stem: str) -> int | None:
    """Seconds of a bar as a file's name says (`HOOD_5min`, `hood-m5`, `SPY 1h`), or None."""
    for part in _SPLIT.split(stem)[1:]:
        found = _TIMEFRAMES.fullmatch(part)
        if found is None:
            continue
        if found["word"]:
            return _WORDS[found["word"].lower()]
        count, unit = (found["count"], found["unit"]) if found["count"] else (found["many"], found["short"])
        return int(count) * _UNITS[unit[0].lower()]
    return None


def eodhd(symbol: str, exchange: str) -> str:
    """EODHD's spelling: `BRK-B.US`, `BAC-PL.US`."""
    root, _, kind = symbol.partition(".")
    kind = f"P{kind[2:]}" if kind.startswith("PR") else kind
    return f"{root}-{kind}.{exchange}" if kind else f"{root}.{exchange}"


def alpaca(symbol: str) -> str:
    """Alpaca's spelling is the canonical one."""
    return symbol
