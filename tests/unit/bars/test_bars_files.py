"""Bar files as they come: names, separators, times, labels; what cannot be read is named."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.bars.files import Files
from extract.bars.provider import Bar, BarProviderError, UnknownSymbol
from extract.bars.times import moment_of

NEW_YORK = "America/New_York"
WINTER, SUMMER = datetime(2026, 3, 6, 14, 30, tzinfo=UTC), datetime(2026, 3, 9, 13, 30, tzinfo=UTC)


def read(folder: Path, name: str, text: str, symbol: str = "HOOD", **options: str) -> list[Bar]:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    files = Files("files", "sip", folder, options.pop("zone", NEW_YORK), **options)
    return [*asyncio.run(files.fetch([symbol], "M5", 0, 2**40)).bars[symbol]]


SPELLED = {
    "naive New York": ("HOOD_5min.csv", "datetime,open,high,low,close,volume\n{ny},1,3,0.5,2,9\n", "%Y-%m-%d %H:%M:%S"),
    "utc with an offset": (
        "HOOD.csv",
        "timestamp,Open,High,Low,Close,Volume\n{utc}+00:00,1,3,0.5,2,9\n",
        "%Y-%m-%dT%H:%M:%S",
    ),
    "zulu, gzip": ("hood-m5.csv.gz", "t,o,h,l,c,v\n{utc}Z,1,3,0.5,2,9\n", "%Y-%m-%dT%H:%M:%S"),
    "unix seconds": ("HOOD.csv", "ts;o;h;l;c;vol\n{unix};1;3;0.5;2;9\n", ""),
    "milliseconds": ("HOOD.csv", "window_start\tOpen\tHigh\tLow\tClose\tvolume\n{unix}000\t1\t3\t0.5\t2\t9\n", ""),
    "nanoseconds": ("HOOD.txt", "start,open,high,low,close,volume\n{unix}000000000,1,3,0.5,2,9\n", ""),
    "date and time apart": (
        "HOOD.csv",
        "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n{ny},1,3,0.5,2,9\n",
        "%Y%m%d,%H%M%S",
    ),
    "american": (
        "HOOD.csv",
        '"Date","Time","Open","High","Low","Close","Volume"\n{ny},1,3,0.5,2,9\n',
        "%m/%d/%Y,%H:%M",
    ),
    "german": ("HOOD.csv", "Gmt time,Open,High,Low,Close,Volume\n{utc},1,3,0.5,2,9\n", "%d.%m.%Y %H:%M:%S.000"),
    "numbered": (
        "HOOD.csv",
        "timestamp,1. open,2. high,3. low,4. close,5. volume\n{ny},1,3,0.5,2,9\n",
        "%Y-%m-%d %H:%M:%S",
    ),
    "run together": ("HOOD.csv", "datetime|open|high|low|close|volume\n{ny}|1|3|0.5|2|9\n", "%Y%m%d%H%M"),
    "byte order mark": (
        "HOOD.csv",
        "\ufeffDatetime,Open,High,Low,Close,Adj Close,Volume\n{ny},1,3,0.5,2,7,9\n",
        "%Y-%m-%d %H:%M",
    ),
}


@pytest.mark.parametrize("case", SPELLED)
def test_every_spelling_says_the_same_bar(tmp_path: Path, case: str) -> None:
    name, text, form = SPELLED[case]
    for moment in (WINTER, SUMMER):
        local = moment.astimezone(ZoneInfo(NEW_YORK))
        filled = text.format(ny=local.strftime(form), utc=moment.strftime(form), unix=int(moment.timestamp()))
        bars = read(tmp_path, name, filled, date_order="month" if case == "american" else "")
        assert [(b.ts, b.open, b.high, b.low, b.close, b.volume) for b in bars] == [
            (int(moment.timestamp()), 1.0, 3.0, 0.5, 2.0, 9.0)
        ]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.timestamp("ms", NEW_YORK), pa.int64()]
)
def test_parquet_says_it_too(tmp_path: Path, kind: pa.DataType) -> None:
    moment = (
        WINTER
        if getattr(kind, "tz", None) or kind == pa.int64()
        else WINTER.astimezone(ZoneInfo(NEW_YORK)).replace(tzinfo=None)
    )
    value = int(WINTER.timestamp()) if kind == pa.int64() else moment
    columns = {"Timestamp": pa.array([value], kind), **{n: pa.array([2.0]) for n in ("Open", "High", "Low", "Close")}}
    pq.write_table(pa.table(columns), tmp_path / "HOOD.parquet")
    files = Files("files", "sip", tmp_path, NEW_YORK)
    (bar,) = asyncio.run(files.fetch(["HOOD"], "M5", 0, 2**40)).bars["HOOD"]
    assert (bar.ts, bar.close, bar.volume) == (int(WINTER.timestamp()), 2.0, None)


def test_close_labels_become_open_labels(tmp_path: Path) -> None:
    text = "datetime,open,high,low,close,volume\n2026-03-09 09:35:00,1,3,0.5,2,9\n"
    assert read(tmp_path, "HOOD.csv", text, label="close")[0].ts == int(SUMMER.timestamp())


def test_a_file_of_many_symbols_gives_each_its_own(tmp_path: Path) -> None:
    text = "ticker,ts,open,high,low,close,volume\nHOOD.US,1773063000,1,3,0.5,2,9\nAAPL.US,1773063000,5,6,4,5,9\n"
    (tmp_path / "all.csv").write_text(text)
    files = Files("files", "sip", tmp_path / "all.csv", NEW_YORK)
    found = asyncio.run(files.fetch(["AAPL", "HOOD"], "M5", 0, 2**40)).bars
    assert {symbol: [bar.close for bar in bars] for symbol, bars in found.items()} == {"AAPL": [5.0], "HOOD": [2.0]}
    (tmp_path / "all.csv").write_text(text.replace("HOOD.US", "BRK.B").replace("AAPL.US", "BRK.A"))
    shares = Files("files", "sip", tmp_path / "all.csv", NEW_YORK)
    assert [bar.close for bar in asyncio.run(shares.fetch(["BRK.B"], "M5", 0, 2**40)).bars["BRK.B"]] == [2.0]
    with pytest.raises(UnknownSymbol, match="no row of TSLA"):
        asyncio.run(files.fetch(["TSLA"], "M5", 0, 2**40))


def test_empty_cells_are_no_numbers_and_duplicates_stay(tmp_path: Path) -> None:
    """What came is kept as it came: staging decides what of it counts."""
    text = "datetime,open,high,low,close,volume\n" + "2026-03-09 09:30:00,1,3,0.5,NaN,\n" * 2
    bars = read(tmp_path, "HOOD.csv", text)
    assert [(bar.close, bar.volume, bar.is_whole) for bar in bars] == [(None, None, False)] * 2


def test_one_minute_files_beside_five_minute_files_are_not_mixed(tmp_path: Path) -> None:
    head = "datetime,open,high,low,close,volume\n"
    minutes = head + "".join(f"2026-03-09 09:{30 + i}:00,1,3,0.5,2,9\n" for i in range(12))
    with pytest.raises(BarProviderError, match="a bar every 60 s, not M5"):
        read(tmp_path, "HOOD_1min.csv", minutes)
    fives = head + "".join(f"2026-03-09 09:{30 + 5 * i}:00,1,3,0.5,2,9\n" for i in range(3))
    assert len(read(tmp_path, "HOOD_5min.csv", fives)) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("datetime,open,high,low,volume\n2026-03-09 09:30,1,3,2,9\n", "known as close"),
        ("when,open,high,low,close\n2026-03-09 09:30,1,3,2,9\n", "known as time"),
        ("datetime,open,high,low,close\nyesterday,1,3,2,9\n", "line 2: 'yesterday' is not a time"),
        ("datetime,open,high,low,close\n2026-03-09 09:30,1,3,cheap,9\n", "line 2, low is 'cheap'"),
        ("datetime,open,high,low,close\n2026-03-09 09:30,1,3\n", "cannot be read as bars"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BarProviderError, match=said):
        read(tmp_path, "HOOD.csv", text)


def test_a_symbol_without_a_file_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "HOODIE.csv").write_text("datetime,open,high,low,close\n")
    with pytest.raises(UnknownSymbol, match=r"no file for HOOD in .* \(e\.g\. HOOD\.csv\)"):
        asyncio.run(Files("files", "sip", tmp_path, NEW_YORK).fetch(["HOOD"], "M5", 0, 1))
    with pytest.raises(BarProviderError, match="set its `path`"):
        asyncio.run(Files("files", "sip", tmp_path / "gone", NEW_YORK).fetch(["HOOD"], "M5", 0, 1))


def test_times_between_the_clock_changes() -> None:
    zone = ZoneInfo(NEW_YORK)
    assert moment_of("2025-11-02 09:30", zone) - moment_of("2025-11-01 09:30", zone) == 25 * 3_600
    assert moment_of(datetime(2026, 3, 9, 9, 30), zone) == int(SUMMER.timestamp())  # noqa: DTZ001
    for wrong in ("never", "2026-13-01 09:30", "12345", "nan"):
        with pytest.raises(ValueError, match=wrong):
            moment_of(wrong, zone)
