"""A moment as people write it."""

from __future__ import annotations

from datetime import UTC, datetime

from extract.errors import RequestError


def parse_moment(text: str) -> int:
    """Unix seconds of an ISO time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{text!r} is no time: write it like 2026-03-09T13:25:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
