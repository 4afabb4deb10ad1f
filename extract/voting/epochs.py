"""Which epochs are asked for: everything stands on the weekly grid, and nothing is rounded silently."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from extract.errors import RequestError

_SECONDS = re.compile(r"-?[0-9]{1,12}")  # ASCII only: other digits are no numbers to a chain


def utc(timestamp: int) -> datetime:
    """Unix seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp, UTC)


def spoken(timestamp: int) -> str:
    """A timestamp as people check it: `1771459200 (Thu 2026-02-19 00:00 UTC)`."""
    return f"{timestamp} ({utc(timestamp):%a %Y-%m-%d %H:%M} UTC)"


def parse_moment(text: str) -> int:
    """Unix seconds from `1771459200` or an ISO date or time (UTC unless it says otherwise)."""
    try:
        if _SECONDS.fullmatch(text):
            return int(utc(int(text)).timestamp())  # what is no time of any calendar is refused here
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError):
        raise RequestError(f"{text!r} is neither unix seconds nor an ISO date such as 2026-02-19") from None


def check_epoch(epoch: int, newest: int, week: int) -> int:
    """`epoch` itself if it stands on the grid and has begun; RequestError names the nearest valid ones."""
    if epoch % week:
        before = epoch - epoch % week
        nearest = [e for e in (before, before + week) if 0 < e <= newest] or [newest]
        raise RequestError(
            f"{spoken(epoch)} is not an epoch: epochs start every {week} s (Thursday 00:00 UTC). "
            f"Nearest valid: {' or '.join(spoken(e) for e in nearest)}"
        )
    if epoch > newest:
        raise RequestError(
            f"epoch {spoken(epoch)} is in the future of the chain's final head. "
            f"Nearest valid: {spoken(newest)} (open now) or {spoken(newest - week)} (the last that ended)"
        )
    if epoch <= 0:
        raise RequestError(f"epoch {epoch} is before the chain began. Nearest valid: {spoken(newest)}")
    return epoch


def requested_epochs(
    head: int, week: int, count: int | None = None, since: int | None = None, until: int | None = None
) -> list[int]:
    """Epochs (vote epoch starts, unix seconds) asked for, oldest first.

    `count` is how many epochs that have ended, counted back from `until` or the head; the open epoch at
    the head comes on top when `until` is not given. With `since`, everything from there on.
    """
    newest = head - head % week
    last = newest if until is None else check_epoch(until, newest, week)
    if since is None:
        ended = last - week if until is None else last
        first = ended - ((count or 1) - 1) * week
    else:
        first = check_epoch(since, newest, week)
    if first > last:
        raise RequestError(f"--since {spoken(first)} is after --until {spoken(last)}: swap them")
    return list(range(max(first, week), last + 1, week))
