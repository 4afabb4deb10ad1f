"""Failures by their cause: forty partitions that one dead provider cost are one line, and the count."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 10  # causes in a list
_PARTICULAR = re.compile(r"0x[0-9a-fA-F]+|\d+")  # blocks, addresses, days and counts tell no two causes apart


def cause_of(message: str) -> str:
    """What messages of one cause have in common."""
    return _PARTICULAR.sub("#", message)


def by_cause(failures: Iterable[tuple[str, str]]) -> list[str]:
    """A line a cause, the most frequent first, from (what failed, why); the first of each stands for all."""
    found: dict[str, list[tuple[str, str]]] = {}
    for what, why in failures:
        found.setdefault(cause_of(why), []).append((what, why))
    ordered = sorted(found.values(), key=len, reverse=True)
    lines = [_line(of) for of in ordered[:SHOWN]]
    if more := sum(map(len, ordered[SHOWN:])):
        lines.append(f"{more} more, of {len(ordered) - SHOWN} other causes (--json lists all)")
    return lines


def _line(failures: list[tuple[str, str]]) -> str:
    what, why = failures[0]
    return f"{what}: {why}" if len(failures) == 1 else f"{len(failures)} for one cause, first {what}: {why}"
