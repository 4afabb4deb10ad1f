"""One line of the doctor's."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Line:
    """What was looked at, how it is (`ok`, `warn`: works for now or in part, `fail`), what was found, what cures it."""

    about: str
    verdict: str
    found: str
    cure: str = ""
