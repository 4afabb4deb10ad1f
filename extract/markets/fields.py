"""Read one field of a record as what it means; Malformed says which field is wrong and how."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeAlias, TypeVar

from extract.json_text import parse_json
from extract.text import is_storable, storable

T = TypeVar("T")
Record: TypeAlias = Mapping[str, Any]
_LONGEST_VALUE = 200
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}:\d{2})(?:\.(?P<fraction>\d{1,9}))?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?)"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")


class Malformed(ValueError):
    """A record that cannot be used: a code, the field by the source's name, and words."""

    def __init__(self, reason: str, field: str | None, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.field, self.detail = reason, field, detail


def shown(value: Any) -> str:
    """A value as a person reads it in a refusal, cut to 200 characters."""
    return storable(repr(value)[:_LONGEST_VALUE])


def missing(name: str) -> Malformed:
    return Malformed("missing_field", name, f"{name} is absent or empty")


@dataclass
class Notes:
    """What of a record could not be read and was not needed: such a field is null, with a line here that says why."""

    lines: list[str] = field(default_factory=list)

    def reading(self, read: Callable[..., T], record: Record, *names: str, **limits: float) -> T | None:
        """The first of `names` that `read` can make sense of; None, and a note for each that it cannot."""
        for name in names:
            try:
                found = read(record, name, **limits)
            except Malformed as why:
                self.lines.append(why.detail)
                continue
            if found is not None:
                return found
        return None

    def words(self, record: Record, name: str) -> str | None:
        """Text for people; characters that cannot be kept are replaced, with a note."""
        value = record.get(name)
        if isinstance(value, str) and not is_storable(value):
            self.lines.append(f"{name} held characters that cannot be kept (half a character, or U+0000)")
            return storable(value)
        return self.reading(text, record, name)

    def needed_words(self, record: Record, name: str) -> str:
        """As `words`. Errors: Malformed when there is none."""
        value = record.get(name)
        if value is not None and not isinstance(value, str):
            raise Malformed("bad_text", name, f"{name} is {shown(value)}, not text")
        found = self.words(record, name)
        if found is None:
            raise missing(name)
        return found


def text(record: Record, name: str) -> str | None:
    """Text that means something by its letters, an id or a status; None when absent, null or empty."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Malformed("bad_text", name, f"{name} is {shown(value)}, not text")
    if not is_storable(value):
        raise Malformed("bad_text", name, f"{name} holds half a character, or U+0000")
    return value


def needed_text(record: Record, name: str) -> str:
    value = text(record, name)
    if value is None:
        raise missing(name)
    return value


def identity(record: Record, name: str) -> str | None:
    """An id: text, or a whole number that some endpoints write instead."""
    value = record.get(name)
    return str(value) if type(value) is int else text(record, name)


def flag(record: Record, name: str) -> bool | None:
    value = record.get(name)
    if value is not None and not isinstance(value, bool):
        raise Malformed("bad_flag", name, f"{name} is {shown(value)}, neither true nor false")
    return value


def as_number(value: Any, name: str) -> float:
    """A finite number, also where the source writes it as text."""
    is_text = isinstance(value, str) and len(value) <= 100 and _NUMBER.fullmatch(value.strip())
    if not is_text and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Malformed("bad_number", name, f"{name} is {shown(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Malformed("bad_number", name, f"{name} is {shown(value)}, not a finite number")
    return number


def number(record: Record, name: str, low: float = -math.inf, high: float = math.inf) -> float | None:
    """A number within [low, high]; None when absent, null or empty."""
    value = record.get(name)
    if value is None or value == "":
        return None
    found = as_number(value, name)
    if not low <= found <= high:
        raise Malformed("out_of_range", name, f"{name} is {shown(value)}, outside [{low:g}, {high:g}]")
    return found


def moment(record: Record, name: str) -> datetime | None:
    """A time in UTC. The source writes `2026-05-24T05:25:46Z`, `2026-05-24 05:25:46+00` and forms in between; a
    time without an offset, or a date alone, is not a moment and is refused.
    """
    value = text(record, name)
    if value is None:
        return None
    match = _MOMENT.fullmatch(value.strip())
    if match is None:
        raise Malformed("bad_time", name, f"{name} is {shown(value)}, not a time with its offset")
    try:
        found = datetime.fromisoformat(f"{match['date']}T{match['time']}")
        micro = int((match["fraction"] or "0").ljust(6, "0")[:6])
        offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
        zone = timezone(-offset if match["sign"] == "-" else offset)
        return found.replace(microsecond=micro, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed("bad_time", name, f"{name} is {shown(value)}, no date of the calendar") from None


def day_of(record: Record, name: str) -> date | None:
    """The date of a field that holds a date alone, without a time; None when it holds anything else."""
    value = record.get(name)
    if not isinstance(value, str) or _DATE.fullmatch(value.strip()) is None:
        return None
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        return None


def array(record: Record, name: str) -> list[Any] | None:
    """An array, also where the source writes it as JSON inside a string; None when absent, null or empty text."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            raise Malformed("bad_json", name, f"{name} is {shown(value)}, no JSON") from None
    if value is None:
        return None
    if not isinstance(value, list):
        raise Malformed("bad_json", name, f"{name} is {shown(value)}, not an array")
    return value


def texts(record: Record, name: str) -> list[str] | None:
    """An array of non-empty texts; characters that cannot be kept are replaced in them."""
    values = array(record, name)
    if values is None:
        return None
    if not all(isinstance(v, str) and v.strip() for v in values):
        raise Malformed("bad_json", name, f"{name} is {shown(values)}, not an array of names")
    return [storable(value) for value in values]


def objects(record: Record, name: str) -> list[Record]:
    """An array of objects; empty when absent."""
    values = array(record, name) or []
    if not all(isinstance(v, dict) for v in values):
        raise Malformed("bad_json", name, f"{name} is {shown(values)}, not an array of objects")
    return values
