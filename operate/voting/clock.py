"""What a recommendation is worth at this hour: which window is open by the clock, and whether it is the one decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from decide.voting.revote import Stage

LIVE = "`foreshore recommend --live` extracts and decides it"


def by_the_clock(row: Mapping[str, Any], stages: Sequence[Stage], now: datetime) -> str | None:
    """What stands between a decided window (`boundary_at`, `decision_window`, `last_votable_at`) and `now` (UTC), in
    words; None where the window that is open now is the one that was decided.
    """
    boundary: datetime | None = row["boundary_at"]
    if boundary is None:
        return None
    if now >= boundary:
        return (
            f"its epoch ended at {boundary:%Y-%m-%d %H:%M} UTC, and no vote lands in it any more: "
            f"{LIVE.replace('it', 'the open one')}"
        )
    reached = [stage for stage in stages if boundary - timedelta(seconds=stage.seconds_before) <= now]
    if not reached:
        return None
    newest = min(reached, key=lambda stage: stage.seconds_before)
    if newest.name == row["decision_window"]:
        return None
    since = boundary - timedelta(seconds=newest.seconds_before)
    return f"by the clock {newest.name} is open since {since:%H:%M:%S} UTC, and what is published is older: {LIVE}"
