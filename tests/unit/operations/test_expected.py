"""The calendar against the ledger: what ended and was not fetched is named, and nothing before its time."""

from __future__ import annotations

from datetime import UTC, datetime

from extract.ledger import Ledger, LedgerRow, Partition, ledger_table, now
from operate.expected import Unusual, expectations, unusual


def ledger(*partitions: Partition) -> Ledger:
    rows = [LedgerRow(partition, "complete", "f", "r", now(), now(), rows=40) for partition in partitions]
    return Ledger(ledger_table(rows).to_pylist())


def test_a_missing_day_is_named_and_a_new_one_rests_first() -> None:
    held = ledger(*(Partition("lending", "panel", "a", f"2026-11-{d}") for d in range(18, 26) if d != 22))
    (one,) = expectations(held, datetime(2026, 11, 26, 19, tzinfo=UTC))
    assert one.missing == ("2026-11-22",) and one.cure.endswith("--since 2026-11-22 --until 2026-11-22")
    (later,) = expectations(held, datetime(2026, 11, 27, 19, tzinfo=UTC))
    assert later.missing == ("2026-11-22", "2026-11-26")


def test_nothing_before_the_first_is_expected() -> None:
    held = ledger(Partition("lending", "panel", "a", "2026-11-25"))
    (one,) = expectations(held, datetime(2026, 11, 26, 19, tzinfo=UTC))
    assert (one.expected, one.actual) == (1, 1)


def test_an_epoch_that_ended_is_expected_at_every_window() -> None:
    week, first = 604_800, 1_771_459_200
    held = ledger(
        *(Partition("voting", "state", f"hydrex/{first + n * week}", w) for n in (0, 1) for w in ("day", "T-1")),
        Partition("voting", "state", f"hydrex/{first + 2 * week}", "day"),
    )
    told = expectations(held, datetime.fromtimestamp(first + 3 * week + 2 * 86_400, UTC))
    missing = {one.family: one.missing for one in told}
    assert missing == {"state hydrex day": (), "state hydrex T-1": (str(first + 2 * week),)}


def test_markets_are_expected_by_run_date_and_resolutions_never() -> None:
    held = ledger(
        *(Partition("markets", "listing", f"2026-11-{d}", "7d") for d in (20, 21, 23)),
        Partition("markets", "resolutions", "x", "2026-11-20T000000"),
    )
    (one,) = expectations(held, datetime(2026, 11, 24, 13, tzinfo=UTC))
    assert one.missing == ("2026-11-22",)


def of_rows(*numbers: int, wing: str = "lending") -> Ledger:
    rows = [
        LedgerRow(Partition(wing, "panel", "a", f"2026-11-{day:02}"), "complete", "f", "r", now(), now(), rows=number)
        for day, number in enumerate(numbers, 1)
    ]
    return Ledger(ledger_table(rows).to_pylist())


def test_half_an_answer_is_held_against_the_usual() -> None:
    assert unusual(of_rows(40, 44, 38, 19)) == [Unusual("lending", "panel a", "2026-11-04", 19, 40)]
    assert unusual(of_rows(40, 44, 38, 21)) == [], "half of it is still usual"
    assert unusual(of_rows(40, 44, 1)) == [], "three are too few to say"
    assert unusual(of_rows(*[400] * 5, *[40] * 9, 30)) == [], "the usual is of the last eight"
    assert unusual(of_rows(4, 4, 4, 4, 0)) == [], "small numbers vary by themselves"
    assert unusual(of_rows(40, 44, 38, 1, wing="bars")) == [], "a month that is not over"
