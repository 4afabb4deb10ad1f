"""When the bars of a file opened: time columns in every spelling that occurs, and what to make of two of them.

A column that says its zone (unix seconds, an offset, UTC or GMT in its name) beats a naive text. Where both stand
side by side the text must say the same moments in the configured zone, the exchange's, or UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from extract.bars.provider import BarProviderError

EXCHANGE = "America/New_York"
FORMATS = (
    "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M",
)  # fmt: skip
MONTH_FIRST = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p")
DAY_FIRST = tuple(form.replace("%m/%d", "%d/%m") for form in MONTH_FIRST)
SLASHED = re.compile(r"\s*(\d{1,2})[/-](\d{1,2})[/-](\d{4})\b")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1970, 2199  # 9999 is how "never" is written, not a time of a bar
EPOCH_DIGITS = {9: 1, 10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}  # digits -> units per second
_OFFSET = re.compile(r"(Z|[+-]\d{2}:?\d{2})\s*$")


@dataclass(frozen=True)
class TimeColumn:
    """A column (or a date and a clock column together) that may say when bars opened."""

    name: str
    values: Sequence[Any]

    @property
    def says_utc(self) -> bool:
        return bool(re.search("utc|gmt(?!offset)", self.name, re.IGNORECASE))

    @property
    def is_plain(self) -> bool:
        """Whether every value says its zone by itself."""
        return self.says_utc or all(_says_its_zone(value) for value in self.values if not _is_empty(value))

    def is_time(self) -> bool:
        """Whether its first value is a moment with a time of day."""
        value = next((v for v in self.values if not _is_empty(v)), None)
        if value is None or _is_date_only(value):
            return False
        try:
            moment_of(value, ZoneInfo("UTC"), MONTH_FIRST + DAY_FIRST)
        except (ValueError, OverflowError):
            return False
        return True


def moments(
    path: Path, columns: Sequence[TimeColumn], zone: ZoneInfo, date_order: str = ""
) -> tuple[list[int], Sequence[Any], bool]:
    """Unix seconds per row, what was written there, and whether the column says its zone by itself.

    `date_order`: `day` or `month` first in 03/04/2026; empty: the file has to tell. BarProviderError names the row that
    is no time, or the two columns that contradict each other and where.
    """
    plain = [column for column in columns if column.is_plain]
    chosen = plain[0] if plain else columns[0]
    slashes = {"day": DAY_FIRST, "month": MONTH_FIRST}.get(date_order) or _slashes(path, columns)
    told = _read(path, chosen, ZoneInfo("UTC") if chosen.says_utc else zone, slashes)
    for other in columns:
        if other is not chosen:
            _agree(path, chosen, told, other, zone, slashes)
    return told, chosen.values, chosen in plain


def _agree(
    path: Path, chosen: TimeColumn, told: Sequence[int], other: TimeColumn, zone: ZoneInfo, slashes: tuple[str, ...]
) -> None:
    zones = [ZoneInfo("UTC")] if other.says_utc else [zone, ZoneInfo(EXCHANGE), ZoneInfo("UTC")]
    nearest: tuple[int, list[int]] | None = None
    for candidate in zones:
        said = _read(path, other, candidate, slashes)
        row = next((n for n, (a, b) in enumerate(zip(told, said, strict=True)) if a != b), None)
        if row is None:
            return
        if nearest is None or row > nearest[0]:
            nearest = row, said
    assert nearest is not None
    row = nearest[0]
    names = ", ".join(dict.fromkeys(str(candidate) for candidate in zones))
    raise BarProviderError(
        f"{path}, line {row + 2}: the columns {chosen.name} ({chosen.values[row]}) and {other.name} "
        f"({other.values[row]}) say different times, whether {other.name} is read in {names}: "
        "remove the one that is wrong"
    )


def _read(path: Path, column: TimeColumn, zone: ZoneInfo, slashes: tuple[str, ...]) -> list[int]:
    found = []
    for row, value in enumerate(column.values, 2):
        try:
            found.append(moment_of(value, zone, slashes))
        except (ValueError, OverflowError):
            raise BarProviderError(f"{path}, line {row}: {value!r} is not a time that is known here") from None
    return found


def _slashes(path: Path, columns: Sequence[TimeColumn]) -> tuple[str, ...]:
    """How to read 03/04/2026 in this file: by a row that can only be one of them, else it is asked."""
    pairs = [found for column in columns for v in column.values if (found := SLASHED.match(str(v))) is not None]
    if not pairs:
        return MONTH_FIRST
    day_first = any(int(found[1]) > 12 for found in pairs)
    month_first = any(int(found[2]) > 12 for found in pairs)
    if day_first and month_first:
        raise BarProviderError(f"{path}: its dates are written day first in some rows and month first in others")
    if day_first or month_first:
        return DAY_FIRST if day_first else MONTH_FIRST
    if all(found[1] == found[2] for found in pairs):
        return MONTH_FIRST  # the same either way
    seen = sorted({found[0].strip() for found in pairs})
    raise BarProviderError(
        f"{path}: is the day or the month first in {next(f[0].strip() for f in pairs if f[1] != f[2])}? None of its "
        f'{len(seen)} dates tells: set date_order = "month" or "day" in its [[bars.providers]]'
    )


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_date_only(value: Any) -> bool:
    if isinstance(value, datetime):
        return False
    text = str(value).strip()
    return (text.isdigit() and len(text) == 8) or (":" not in text and not re.search(r"\d{9}|T\d|\d \d", text))


def _says_its_zone(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None
    text = str(value).strip()
    digits = text.removesuffix(".0")
    return (digits.isdigit() and len(digits) in EPOCH_DIGITS) or bool(":" in text and _OFFSET.search(text))


def moment_of(value: Any, zone: ZoneInfo, slashes: Sequence[str] = MONTH_FIRST) -> int:
    """Unix seconds of a time as files write it; without an offset it is in `zone`. ValueError where it is none.

    Digits alone are seconds (9 or 10 of them), milli-, micro- or nanoseconds (13, 16, 19) since 1970, or a date and
    time run together (12, 14). `slashes`: the forms of dates such as 03/04/2026.
    """
    if isinstance(value, datetime):
        return _unix(value, zone)
    text = str(value).strip()
    digits = text.removesuffix(".0")
    if digits.isdigit() and len(digits) in EPOCH_DIGITS:
        return int(digits) // EPOCH_DIGITS[len(digits)]
    if digits.isdigit() and len(digits) in (12, 14):
        text = f"{digits[:8]} {digits[8:10]}:{digits[10:12]}:{digits[12:] or '00'}"
    try:
        return _unix(datetime.fromisoformat(text), zone)
    except ValueError:
        pass
    spelled = text.replace("-", "/") if SLASHED.match(text) else text
    for form in (*slashes, *FORMATS):
        try:
            return _unix(datetime.strptime(spelled, form), zone)  # noqa: DTZ007 - the zone is put on in `_unix`
        except ValueError:
            continue
    raise ValueError(text)


def _unix(moment: datetime, zone: ZoneInfo) -> int:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(moment)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (aware - EPOCH) // timedelta(seconds=1)


def time_columns(
    columns: Mapping[str, Sequence[Any]], spelled: Sequence[str], plain: Callable[[str], str], named: Mapping[str, str]
) -> list[TimeColumn]:
    """Every column that says times, in the order of `spelled`, then a date and a clock column joined.

    `named`: which columns are time, date and clock, as far as they are there.
    """
    ranked = sorted((n for n in columns if plain(n) in spelled), key=lambda name: spelled.index(plain(name)))
    if not ranked and "time" in named:
        ranked = [named["time"]]
    found = [TimeColumn(name, columns[name]) for name in ranked]
    if {"date", "clock"} <= named.keys():
        pairs = zip(columns[named["date"]], columns[named["clock"]], strict=True)
        found.append(TimeColumn(f"{named['date']} {named['clock']}", [f"{d} {c}" for d, c in pairs]))
    if len(found) < 2:
        return found
    return [column for column in found if column.is_time()] or found[:1]
