"""One CSV or parquet file of bars, whoever wrote it: column names and times in the spellings that occur."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from extract.bars import symbols as names
from extract.bars.http import count, number, price
from extract.bars.provider import Bar, BarProviderError
from extract.bars.times import moments, time_columns
from extract.errors import RequestError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".parquet", ".pq")
SPELLINGS: Mapping[str, tuple[str, ...]] = {  # lower case, letters and digits only; first that is there wins
    "time": ("datetime", "timestamp", "ts", "barat", "dateandtime", "datetimeutc", "timestamputc", "gmttime", "utctime",
             "opentime", "starttime", "bartime", "windowstart", "begin", "start", "t", "index", "unnamed0"),
    "date": ("date", "day", "dtyyyymmdd"),
    "clock": ("time", "clock", "hour", "timehhmm"),
    "open": ("open", "o", "1open", "openprice", "op", "firstprice", "first"),
    "high": ("high", "h", "2high", "highprice", "hi", "max"),
    "low": ("low", "l", "3low", "lowprice", "lo", "min"),
    "close": ("close", "c", "4close", "closeprice", "cl", "last", "lastprice"),
    "volume": ("volume", "v", "5volume", "vol", "totalvolume", "vol.", "quantity", "tickvol"),
    "trade_count": ("tradecount", "n", "trades", "transactions", "numberoftrades", "count"),
    "vwap": ("vwap", "vw", "wap", "average"),
    "symbol": ("symbol", "ticker", "sym", "s", "code", "instrument"),
}  # fmt: skip
READERS = {
    "open": price, "high": price, "low": price, "close": price, "volume": number, "trade_count": count, "vwap": price,
}  # fmt: skip
PRICES = ("open", "high", "low", "close")
MOST_BYTES = 2**31  # of one file unpacked: forty years of a symbol's bars are 50 MB; more is a mistake or a bomb


@dataclass(frozen=True)
class Sheet:
    """A file as it was read: its bars by canonical symbol in their order, and whether its times say their zone."""

    path: Path
    bars: Mapping[str, Sequence[Bar]]
    is_zoned: bool
    is_named: bool  # its rows say whose they are


def read_sheet(path: Path, zone: ZoneInfo, shift: int = 0, date_order: str = "") -> Sheet:
    """Every row of a file as a bar, in its order; BarProviderError names the file, the row and what is wrong."""
    columns = _columns(path)
    named = _recognise(path, columns)
    times = time_columns(columns, SPELLINGS["time"], _plain_name, named)
    told, written, is_zoned = moments(path, times, zone, date_order)
    values = {
        name: [_value(path, row, name, v) for row, v in enumerate(columns[named[name]], 2)]
        if name in named
        else [None] * len(told)
        for name in READERS
    }
    owners = _owners(path, columns, named, len(told))
    found: dict[str, list[Bar]] = {}
    for i, owner in enumerate(owners):
        bar = Bar(symbol=owner, ts=told[i] - shift, raw_time=str(written[i]), **{n: values[n][i] for n in READERS})
        found.setdefault(owner, []).append(bar)
    return Sheet(path, found, is_zoned, "symbol" in named)


def _owners(path: Path, columns: Mapping[str, Sequence[Any]], named: Mapping[str, str], rows: int) -> list[str]:
    """The security of each row."""
    if "symbol" not in named:
        return [names.of_file(stem(path))] * rows
    known: dict[Any, str] = {}
    for row, text in enumerate(columns[named["symbol"]], 2):
        if text not in known:
            try:
                known[text] = names.canonical(str(text))
            except RequestError:
                raise BarProviderError(f"{path}, line {row}: {text!r} is no symbol") from None
    return [known[text] for text in columns[named["symbol"]]]


def _suffix(path: Path) -> str:
    return next(s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s))


def stem(path: Path) -> str:
    ending = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def _columns(path: Path) -> dict[str, list[Any]]:
    try:
        if _suffix(path) in (".parquet", ".pq"):
            with path.open("rb") as handle:
                _refuse_bomb(path, _unpacked(pq.ParquetFile(handle).metadata))
                table = pq.read_table(handle)
        else:
            table = _read_csv(path)
        titles = table.column_names
        columns = [_plain(table.column(place)) for place in range(len(titles))]
    except (pa.ArrowException, OSError, EOFError, StopIteration, UnicodeError, csv.Error, zlib.error) as error:
        raise BarProviderError(f"{path} cannot be read as bars: {error}") from None
    twice = sorted({name for name in titles if titles.count(name) > 1})
    if twice:
        raise BarProviderError(f"{path} has two columns called {twice[0]!r}: remove or rename one")
    if not table.num_rows:
        raise BarProviderError(f"{path} has no rows under its head line")
    return dict(zip(titles, columns, strict=True))


def _unpacked(metadata: pq.FileMetaData) -> int:
    """Bytes of a parquet file's columns once unpacked; eight a value at least, because encodings shrink them, too."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    return int(max(sum(group.total_byte_size for group in groups), 8 * metadata.num_rows * metadata.num_columns))


def _refuse_bomb(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise BarProviderError(f"{path} unpacks to more than {MOST_BYTES:,} bytes: split it by symbol or year")


def _zipped_size(path: Path) -> int:
    """Bytes that a gzip file unpacks to, counted no further than the limit."""
    size = 0
    with gzip.open(path, "rb") as handle:
        while size <= MOST_BYTES and (part := handle.read(1 << 20)):
            size += len(part)
    return size


def _read_csv(path: Path) -> pa.Table:
    _refuse_bomb(path, _zipped_size(path) if path.name.lower().endswith(".gz") else path.stat().st_size)
    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as handle:
        head = handle.readline().decode("utf-8-sig", "replace").strip()
    if not head:
        raise BarProviderError(f"{path} is empty: its first line should name its columns")
    delimiter = max(",;\t|", key=head.count)
    written = next(csv.reader([head], delimiter=delimiter))
    if sum(_is_number(name) for name in written) >= len(PRICES):
        example = "datetime,open,high,low,close,volume"
        raise BarProviderError(f"{path} has no head line: its first line is {head[:80]!r}. Add one, e.g. {example}")
    options = pacsv.ConvertOptions(column_types={name: pa.string() for name in written}, strings_can_be_null=True)
    return pacsv.read_csv(path, parse_options=pacsv.ParseOptions(delimiter=delimiter), convert_options=options)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Timestamps as microseconds-exact datetimes (nanoseconds would need pandas)."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return list(column.to_pylist())


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _recognise(path: Path, columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """What -> column name, of `SPELLINGS`; BarProviderError where time or a price is not there."""
    plain = {_plain_name(name): name for name in reversed(list(columns))}
    found = {what: next((plain[s] for s in spelled if s in plain), "") for what, spelled in SPELLINGS.items()}
    named = {what: name for what, name in found.items() if name}
    if "time" not in named and ("date" in named) != ("clock" in named):
        named["time"] = named.get("date") or named["clock"]
    lacking = [what for what in PRICES if what not in named]
    if "time" not in named and not {"date", "clock"} <= named.keys():
        lacking.insert(0, "time")
    if lacking:
        spelled = "; ".join(f"{what} ({', '.join(SPELLINGS[what][:4])}, ...)" for what in lacking)
        raise BarProviderError(f"{path} has columns {', '.join(columns)}: none of them is known as {spelled}")
    return named


def _value(path: Path, row: int, name: str, value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else value
    if text in ("", None) or (isinstance(text, str) and text.lower() in ("nan", "null", "na", "none", "-")):
        return None
    if isinstance(text, float) and text != text:
        return None
    return READERS[name](text, f"{path}, line {row}, {name}")
