"""Do a file's times make sense? Bars of an exchange lie in its sessions; read in a wrong zone most of them do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from extract.bars.files import Files
from extract.bars.provider import Bar, BarProviderError

Ints = npt.NDArray[np.int64]
CANDIDATES = ("America/New_York", "UTC", "America/Chicago", "America/Los_Angeles", "Europe/London", "Europe/Berlin",
              "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney")  # fmt: skip
LEAST_SHARE = 0.5  # of what was traded that lies in sessions; of US volume more than nine tenths do


def check_zone(files: Files, symbol: str, sessions: tuple[Ints, Ints]) -> None:
    """BarProviderError where most of a file's bars lie outside the sessions and in another zone they would not.

    `sessions`: opens and closes, unix seconds. Bars count by their volume where they have one: a file may hold many
    quiet bars before the open and after the close.
    """
    bars = files.bars(symbol)
    told, weights = np.array([bar.ts for bar in bars], np.int64), _weights(bars)
    here = _share(told, weights, sessions)
    if here >= LEAST_SHARE:
        return
    zoned = files.is_zoned(symbol)
    read_in = ZoneInfo("UTC") if zoned else files.zone
    shares = {name: _share(_moved(told, read_in, ZoneInfo(name)), weights, sessions) for name in CANDIDATES}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < LEAST_SHARE:
        return
    where = f"read in {'UTC, as they say' if zoned else read_in}, {here:.0%} of what they hold lies in sessions"
    cure = f"write them with that zone's offset, or without one and set time_zone = {best!r}"
    raise BarProviderError(
        f"bar provider {files.name}: the times of {', '.join(str(path) for path in files.files(symbol))} do not fit: "
        f"{where}, in {best} {shares[best]:.0%} would: "
        + (cure if zoned else f"set time_zone = {best!r} in its [[bars.providers]]")
    )


def _weights(bars: Sequence[Bar]) -> npt.NDArray[np.float64]:
    volumes = np.array([bar.volume or 0.0 for bar in bars])
    usable = np.isfinite(volumes) & (volumes > 0)
    return np.where(usable, volumes, 0.0) if usable.any() else np.ones(len(bars))


def _share(moments: Ints, weights: npt.NDArray[np.float64], sessions: tuple[Ints, Ints]) -> float:
    opens, closes = sessions
    place = np.searchsorted(opens, moments, side="right") - 1
    inside = (place >= 0) & (moments < closes[place])
    return float(weights[inside].sum() / weights.sum())


def _moved(moments: Ints, from_zone: ZoneInfo, to_zone: ZoneInfo) -> Ints:
    """The same clock times, read in another zone."""
    shifts = {}
    for hour in np.unique(moments // 3_600).tolist():
        local = datetime.fromtimestamp(hour * 3_600, UTC).astimezone(from_zone).replace(tzinfo=to_zone)
        shifts[hour] = int(local.timestamp()) - hour * 3_600
    return moments + np.array([shifts[hour] for hour in (moments // 3_600).tolist()], np.int64)
