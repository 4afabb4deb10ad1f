"""Ambiguous files, through `foreshore extract bars`: what is taken for what, what is refused, and what lands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extract.bars import symbols
from extract.bars.tables import ACTIONS, BARS
from extract.errors import RequestError
from extract.lake import Lake
from operate.cli import cli
from tests.bar_fixtures import ROOT

DAY = date(2026, 3, 2)  # a Monday; the exchange opens at 14:30 UTC
HEAD = "datetime,open,high,low,close,volume\n"


def rows(
    minutes: int = 5, count: int = 78, form: str = "%Y-%m-%d %H:%M:%S", shift: int = 0, price: float = 100.0
) -> str:
    """A session's rows in New York time (shifted by hours)."""
    start = datetime(2026, 3, 2, 9, 30) + timedelta(hours=shift)  # noqa: DTZ001 - a clock on a wall
    stamps = [start + timedelta(minutes=minutes * n) for n in range(count)]
    return "".join(f"{stamp.strftime(form)},{price},{price + 1},{price - 1},{price},100\n" for stamp in stamps)


class Desk:
    """A folder of files and what an extraction makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "bars"
        self.files.mkdir()

    def put(self, files: Mapping[str, str]) -> Desk:
        for name, text in files.items():
            (self.files / name).write_text(text)
        return self

    def run(self, *arguments: str, path: str = "bars", **options: str) -> Any:
        settings = "\n".join(f'{name} = "{value}"' for name, value in options.items())
        (self.folder / "foreshore.toml").write_text(
            f'[storage]\nroot = "{self.folder}/data"\nraw = "{self.folder}/data/raw"\nseeds = "{ROOT}/seeds"\n'
            f'[bars]\nprovider = "files"\n[[bars.providers]]\nname = "files"\nkind = "files"\nfeed = "f"\n'
            f'path = "{self.folder / path}"\n{settings}\n'
        )
        command = ["extract", "bars", "--config", str(self.folder / "foreshore.toml"), *arguments]
        return CliRunner().invoke(cli, command)

    def landed(self, *symbols_: str, **options: str) -> list[dict[str, Any]]:
        done = self.run(*(part for s in symbols_ for part in ("--symbol", s)), **options)
        assert done.exit_code == 0, (done.output, done.exception)
        return list(Lake(f"{self.folder}/data/raw").read_committed("bars", BARS).to_pylist())

    def refusal(self, *arguments: str, **options: str) -> str:
        done = self.run(*arguments, **options)
        assert done.exit_code != 0
        assert done.exception is None or type(done.exception).__name__ != "SystemExit" or done.exit_code
        from extract.errors import ForeshoreError

        assert isinstance(done.exception, ForeshoreError), (done.output, done.exception)
        return str(done.exception)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


EXPORT = (
    "Timestamp,Gmtoffset,Datetime,Open,High,Low,Close,Volume\n"
    "1772461800,0,2026-03-02 14:30:00,80.1,80.5,80.0,80.4,1000\n"
    "1772462100,0,2026-03-02 14:35:00,80.4,80.6,80.2,80.3,900\n"
)


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Europe/Berlin"])
def test_unix_seconds_beat_a_text_beside_them_whatever_the_zone(desk: Desk, zone: str) -> None:
    landed = desk.put({"HOOD_5min.csv": EXPORT}).landed("HOOD", time_zone=zone)
    assert [int(row["bar_at"].timestamp()) for row in landed] == [1_772_461_800, 1_772_462_100]


def test_two_times_that_no_zone_reconciles_are_an_error_with_both_and_the_row(desk: Desk) -> None:
    text = "datetime,t,open,high,low,close,volume\n2026-03-02 12:35:00,1772461800000,80.1,80.5,80.0,80.4,1000\n"
    said = desk.put({"HOOD.csv": text}).refusal("--symbol", "HOOD")
    assert "line 2" in said and "columns t " in said and "datetime (2026-03-02 12:35:00)" in said


def test_a_text_in_the_exchanges_zone_beside_unix_seconds_agrees(desk: Desk) -> None:
    text = "datetime,t,open,high,low,close,volume\n2026-03-02 09:30:00,1772461800,80.1,80.5,80.0,80.4,1000\n"
    assert len(desk.put({"HOOD.csv": text}).landed("HOOD", time_zone="UTC")) == 1


def test_a_file_outside_the_sessions_is_refused_with_the_zone_that_fits(desk: Desk) -> None:
    desk.put({"HOOD.csv": HEAD + rows(shift=5)})
    assert "set time_zone = 'UTC'" in desk.refusal("--symbol", "HOOD")
    assert len(desk.landed("HOOD", time_zone="UTC")) == 78


def test_many_quiet_bars_outside_the_session_do_not_make_a_wrong_zone(desk: Desk) -> None:
    quiet = "".join(
        f"2026-03-02 {hour:02}:{minute:02}:00,100,101,99,100,1\n"
        for hour in (4, 5, 6, 7, 8, 16, 17, 18, 19)
        for minute in range(0, 60, 5)
    )
    assert len(desk.put({"HOOD.csv": HEAD + quiet + rows()}).landed("HOOD")) == 78 + 9 * 12


def test_a_symbol_is_one_security_in_a_folder(desk: Desk) -> None:
    desk.put({"BRK.B_5min.csv": HEAD + rows(price=500), "BRK-A.csv": HEAD + rows(price=700_000)})
    desk.put(
        {"BAC.csv": HEAD + rows(price=40), "BAC-PL.csv": HEAD + rows(price=1_180), "HOOD.US_m5.csv": HEAD + rows()}
    )
    closes = {row["symbol"]: row["close"] for row in desk.landed("BAC", "brk-b", "BRK.A", "BAC.PRL", "HOOD")}
    assert closes == {"BAC": 40.0, "BRK.B": 500.0, "BRK.A": 700_000.0, "BAC.PRL": 1_180.0, "HOOD": 100.0}
    said = desk.refusal("--symbol", "BRK")
    assert "has no file for BRK" in said and "BRK-A.csv is taken for BRK.A" in said


def test_a_symbol_column_holds_each_security_apart(desk: Desk) -> None:
    text = (
        "ticker,datetime,open,high,low,close,volume\n"
        "BAC,2026-03-02 09:30:00,100,100.4,99.8,100.2,1000\n"
        "BAC.PRL,2026-03-02 09:30:00,1180,1182,1179,1181,10\n"
        "BAC.WS,2026-03-02 09:30:00,1.00,1.02,0.99,1.01,500\n"
    )
    desk.put({"all.csv": text})
    closes = {row["symbol"]: row["close"] for row in desk.landed("BAC", "BAC.WS", path="bars/all.csv")}
    assert closes == {"BAC": 100.2, "BAC.WS": 1.01}


def test_one_file_answers_for_its_own_symbol_only(desk: Desk) -> None:
    desk.put({"HOOD_5min.csv": HEAD + rows()})
    assert len(desk.landed("HOOD", path="bars/HOOD_5min.csv")) == 78
    assert "taken for HOOD" in desk.refusal("--symbol", "AAPL", path="bars/HOOD_5min.csv")


def test_the_plan_says_which_file_is_taken_for_what(desk: Desk) -> None:
    desk.put({"HOOD_5min.csv": HEAD + rows(), "BRK-B.csv": HEAD + rows()})
    told = json.loads(desk.run("--symbol", "HOOD", "--symbol", "BRK.B", "--plan", "--json").output)
    files = {row["partition_id"]: row["files"] for row in told["partitions"]}
    assert files == {"bars/m5/files/HOOD/2026-03": ["HOOD_5min.csv"], "bars/m5/files/BRK.B/2026-03": ["BRK-B.csv"]}


def test_two_files_that_contradict_are_refused_by_name(desk: Desk) -> None:
    desk.put({"HOOD_raw.csv": HEAD + rows(price=100), "HOOD_adjusted.csv": HEAD + rows(price=25)})
    said = desk.refusal("--symbol", "HOOD")
    assert "HOOD_adjusted.csv" in said and "HOOD_raw.csv" in said and "contradict" in said
    desk.put({"HOOD_adjusted.csv": HEAD + rows(price=100)})
    assert len(desk.landed("HOOD")) == 78  # the same twice is no contradiction, and lands once


def test_one_bad_file_does_not_stop_the_others(desk: Desk) -> None:
    desk.put({"HOOD.csv": HEAD + rows(), "BAD.csv": "nothing of use\n1\n"})
    done = desk.run("--symbol", "HOOD", "--symbol", "BAD", "--json")
    assert done.exit_code == 2 and json.loads(done.stdout[done.stdout.index("{") :])["complete"] == 1


def test_a_thin_symbol_is_of_its_smallest_common_step(desk: Desk) -> None:
    lines = (HEAD + rows()).splitlines(keepends=True)
    thin = [lines[0], *(lines[1 + n] for n in (0, 3, 6, 9, 12, 20, 23, 25, 40, 43))]  # mostly fifteen minutes apart
    assert len(desk.put({"HOOD.csv": "".join(thin)}).landed("HOOD")) == 10


def test_one_bar_does_not_join_every_length(desk: Desk) -> None:
    daily = HEAD + "2026-03-02 09:30:00,1,2,0.5,1,7\n"
    desk.put({"HOOD_5min.csv": HEAD + rows(), "HOOD_1day.csv": daily})
    assert {row["volume"] for row in desk.landed("HOOD")} == {100.0}
    desk.put({"AAPL_1day.csv": daily})
    assert "one bar, which does not tell its length" in desk.refusal("--symbol", "AAPL")


def test_prices_have_at_most_six_places(desk: Desk) -> None:
    text = HEAD + "2026-03-02 09:30:00,12.340000000000001,12.5,12.1,12.3456789,9\n"
    (row,) = desk.put({"HOOD.csv": text}).landed("HOOD")
    assert (row["open"], row["close"]) == (12.34, 12.345679)


BROKEN = {
    "no head line": ("2026-03-02 09:30:00,1,2,0.5,1,7\n" * 2, "no head line"),
    "a head line only": (HEAD, "no rows"),
    "nothing at all": ("", "is empty"),
    "a column twice": (
        "datetime,open,open,high,low,close\n2026-03-02 09:30:00,1,1,2,0.5,1\n",
        "two columns called 'open'",
    ),
    "an endless count": ("datetime,open,high,low,close,n\n2026-03-02 09:30:00,1,2,0.5,1,inf\n", "line 2, trade_count"),
    "the year 9999": (HEAD + "9999-12-31 09:30:00,1,2,0.5,1,7\n", "line 2: '9999-12-31 09:30:00' is not a time"),
    "day or month": (HEAD + "03/02/2026 09:30:00,1,2,0.5,1,7\n", "is the day or the month first in 03/02/2026"),
    "both orders": (
        HEAD + "03/13/2026 09:30:00,1,2,0.5,1,7\n13/03/2026 09:35:00,1,2,0.5,1,7\n",
        "day first in some rows",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_one_line_that_names_it(desk: Desk, case: str) -> None:
    text, said = BROKEN[case]
    told = desk.put({"HOOD.csv": text}).refusal("--symbol", "HOOD")
    assert "HOOD.csv" in told and said in told


@pytest.mark.parametrize(("order", "month"), [("month", 3), ("day", 2)])
def test_an_ambiguous_date_is_read_as_it_is_told(desk: Desk, order: str, month: int) -> None:
    text = HEAD + "03/02/2026 09:30:00,1,2,0.5,1,7\n"
    (row,) = desk.put({"HOOD.csv": text}).landed("HOOD", date_order=order)
    assert row["bar_at"].month == month


def test_a_date_that_only_reads_one_way_tells_of_the_others(desk: Desk) -> None:
    text = HEAD + "02/03/2026 09:30:00,1,2,0.5,1,7\n13/03/2026 09:30:00,1,2,0.5,1,7\n"
    landed = desk.put({"HOOD_5min.csv": text}).landed("HOOD")
    assert [row["bar_at"].date() for row in landed] == [date(2026, 3, 2), date(2026, 3, 13)]


def test_a_conflict_within_a_file_lands_and_is_told(desk: Desk) -> None:
    text = HEAD + rows() + "2026-03-02 09:30:00,100,101,99,100.5,100\n2026-03-02 09:35:00,100.0,101.0,99.0,100.0,100\n"
    done = desk.put({"HOOD.csv": text}).run("--symbol", "HOOD")
    assert done.exit_code == 0 and "1 bars came more than once with different values (conflict)" in done.stderr


def test_corporate_actions_of_a_file_land_beside_the_bars(desk: Desk) -> None:
    told = "symbol,kind,ex_date,old_shares,new_shares,cash_usd\nHOOD,split,2026-03-02,1,4,\n"
    told += "HOOD,dividend,2026-03-02,,,0.5\n"
    desk.put({"HOOD.csv": HEAD + rows(), "corporate_actions.csv": told}).landed("HOOD")
    found = Lake(f"{desk.folder}/data/raw").read_committed("bar_actions", ACTIONS).to_pylist()
    assert [(row["kind"], row["old_shares"], row["new_shares"], row["cash_usd"]) for row in found] == [
        ("dividend", None, None, 0.5),
        ("split", 1.0, 4.0, None),
    ]
    assert {row["ex_date"] for row in found} == {date(2026, 3, 2)}


NAMES = [
    ("brk-b", "BRK.B", "BRK-B.US"),
    ("BRK/B", "BRK.B", "BRK-B.US"),
    ("BRK.B.US", "BRK.B", "BRK-B.US"),
    ("HOOD.US", "HOOD", "HOOD.US"),
    ("BAC-PL", "BAC.PRL", "BAC-PL.US"),
    ("BAC.PR.L", "BAC.PRL", "BAC-PL.US"),
    ("BAC.WS", "BAC.WS", "BAC-WS.US"),
    ("X-WT", "X.WS", "X-WS.US"),
]


@pytest.mark.parametrize(("written", "name", "at_eodhd"), NAMES)
def test_one_name_for_each_security_and_every_providers_spelling(written: str, name: str, at_eodhd: str) -> None:
    assert symbols.canonical(written) == name
    assert symbols.eodhd(name, "US") == at_eodhd and symbols.alpaca(name) == name


def test_what_is_no_symbol_is_said() -> None:
    for wrong in ("", "A/../B/C/D", "HO OD X Y", "$$"):
        with pytest.raises(RequestError, match="no symbol"):
            symbols.canonical(wrong)


def test_times_stay_what_they_were(desk: Desk) -> None:
    landed = desk.put({"HOOD.csv": HEAD + rows()}).landed("HOOD")
    assert landed[0]["bar_at"] == datetime(2026, 3, 2, 14, 30, tzinfo=UTC) and landed[0]["bar_at"].date() == DAY
