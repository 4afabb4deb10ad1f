"""The `sessions` seed out of exchange_calendars: `python -m tests.calendar_rows > seeds/bars/sessions.csv`.

The library is needed here only: what runs reads the seed.
"""

from __future__ import annotations

import csv
import sys
from datetime import timedelta

import exchange_calendars

FIRST, LAST = "2015-01-01", "2027-12-31"
COLUMNS = ("date", "open_utc", "close_utc", "early")


def calendar_rows(first: str = FIRST, last: str = LAST) -> list[dict[str, str]]:
    """One row per XNYS session from `first` to `last`, as text."""
    calendar = exchange_calendars.get_calendar("XNYS", start=first, end=last)
    return [
        {
            "date": f"{date:%Y-%m-%d}",
            "open_utc": f"{row.open:%Y-%m-%dT%H:%M:%SZ}",
            "close_utc": f"{row.close:%Y-%m-%dT%H:%M:%SZ}",
            "early": str(row.close - row.open < timedelta(hours=6.5)).lower(),
        }
        for date, row in calendar.schedule.iterrows()
    ]


if __name__ == "__main__":
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(calendar_rows())
