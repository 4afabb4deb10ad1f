"""Findings of the verbs that look after the house: each with its verdict and the command that cures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape

from operate.console import out, print_json

OK, WARN, FAIL = "ok", "warn", "fail"
_STYLES = {OK: "green", WARN: "yellow", FAIL: "red"}


@dataclass(frozen=True)
class Check:
    """What was looked at, the verdict, what was found, and what to do about it."""

    name: str
    verdict: str
    found: str
    cure: str = ""


def show(checks: Sequence[Check], as_json: bool) -> int:
    """One line each; exit code 1 where one failed."""
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        wide = max((len(check.name) for check in checks), default=0)
        for check in checks:
            cure = f" -> {escape(check.cure)}" if check.cure and check.verdict != OK else ""
            mark = f"[{_STYLES[check.verdict]}]{check.verdict:<4}[/]"
            out.print(f"{mark} {escape(check.name):<{wide}}  {escape(check.found)}{cure}", soft_wrap=True)
        counts = [f"{sum(c.verdict == verdict for c in checks)} {verdict}" for verdict in (OK, WARN, FAIL)]
        out.print(", ".join(counts))
    return 1 if any(check.verdict == FAIL for check in checks) else 0


def spoken(checks: Sequence[Check]) -> str:
    """What is not well, for a message."""
    return "\n".join(
        f"{check.verdict}: {check.name}: {check.found}" + (f" -> {check.cure}" if check.cure else "")
        for check in checks
        if check.verdict != OK
    )
