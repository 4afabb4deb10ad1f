"""What goes wrong at the markets' server on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = {  # kind -> what its value is
    "stuck_cursor": "nothing: the first page again and again, always with the same next_cursor",
    "status": "HTTP status in place of the answer",
    "refusal": "text of an HTTP 400 in place of the answer",
    "rate_limit": "seconds of the Retry-After header of a 429; null: no header",
    "garbage": "nothing: a page of HTML with status 200",
    "wrong_shape": "nothing: JSON with status 200 that is not what was asked for",
    "slow": "seconds before the answer",
    "drop": "nothing: the connection breaks in the middle of the answer",
    "short_pages": "most records of a page, whatever `limit` says",
    "empty_page": "nothing: a page without records but with a cursor",
    "ends_early": "nothing: a page without records and without a cursor",
    "text_points": "nothing: prices of a history are texts",
    "late_points": "nothing: times of a history are in milliseconds",
    "late_news": "nothing: articles are dated after what was asked for",
    "undated_news": "nothing: articles have no date",
    "ignore_filters": "nothing: `end_date_*` and `id` are not heeded",
}


@dataclass
class Fault:
    """One of KINDS for paths that start with `path`, after `skip` requests to them, `count` times (None: for ever)."""

    kind: str
    value: Any = None
    path: str = "/"
    count: int | None = None
    skip: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(KINDS)}")

    def strikes(self, path: str) -> bool:
        """Whether it hits this request; counts itself down."""
        if not path.startswith(self.path) or self.count == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            self.count -= 1
        return True
