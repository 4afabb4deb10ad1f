"""Bars out of CSV and parquet files, whoever wrote them: column names and times in the spellings that occur.

A file belongs to a symbol when its name is the symbol, or starts with it and one of `_ - . space` (`HOOD_5min.csv`);
with a symbol column, only its rows of that symbol count. Files are opened for reading only.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from extract.bars.http import number
from extract.bars.provider import SECONDS, Answer, Bar, BarProviderError, UnknownSymbol

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
FORMATS = (
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M", "%Y%m%d %H%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DIGITS = {9: 1, 10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}  # digits -> units per second


class Files:
    """A folder of bar files (or one file). `time_zone`: of times without an offset; `label`: what their time means."""

    def __init__(
        self, name: str, feed: str, path: Path, time_zone: str, label: str = "open", timeframe: str = "M5"
    ) -> None:
        self.name, self.feed, self.path = name, feed, path
        self._zone, self._shift = ZoneInfo(time_zone), SECONDS[timeframe] if label == "close" else 0
        self._timeframe = timeframe
        self._read: dict[tuple[Path, str], list[Bar]] = {}

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        if timeframe != self._timeframe:
            raise BarProviderError(f"bar provider {self.name} has {self._timeframe} bars, not {timeframe}")
        found = {symbol: [b for b in self._bars(symbol) if first <= b.ts <= last] for symbol in symbols}
        return Answer(found, calls=0, bytes=sum(f.stat().st_size for s in symbols for f in self.files(s)))

    def files(self, symbol: str) -> list[Path]:
        """The files of a symbol, in order of their names."""
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise BarProviderError(
                f"bar provider {self.name}: there is no {self.path}; set its `path` in [[bars.providers]]"
            )
        wanted = re.compile(rf"{re.escape(symbol)}([_\-. ].*)?", re.IGNORECASE)
        found = sorted(f for f in self.path.iterdir() if f.is_file() and f.name.lower().endswith(SUFFIXES))
        return [f for f in found if wanted.fullmatch(f.name[: -len(_suffix(f))])]

    def _bars(self, symbol: str) -> list[Bar]:
        files = self.files(symbol)
        if not files:
            raise UnknownSymbol(f"bar provider {self.name} has no file for {symbol} in {self.path} (e.g. {symbol}.csv)")
        for file in files:
            if (file, symbol) not in self._read:
                self._read[file, symbol] = read_bars(file, symbol, self._zone, self._shift)
        steps = {file: step_of(self._read[file, symbol]) for file in files}
        fitting = [file for file in files if steps[file] in (None, SECONDS[self._timeframe])]
        if not fitting:
            raise BarProviderError(
                f"bar provider {self.name}: {files[0]} has a bar every {steps[files[0]]} s, not {self._timeframe} bars"
            )
        return [bar for file in fitting for bar in self._read[file, symbol]]

    def reach(self, symbol: str) -> tuple[int, int]:
        """From the first bar's open to the last one's close: a file says nothing about what lies outside."""
        labels = [bar.ts for bar in self._bars(symbol)]
        return min(labels), max(labels) + SECONDS[self._timeframe]

    def content(self, symbol: str, first: int, last: int) -> str:
        """A hash of the rows in `[first, last]`: where it changed, they are landed anew."""
        rows = [bar for bar in self._bars(symbol) if first <= bar.ts <= last]
        return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()

    async def close(self) -> None:
        self._read.clear()


def step_of(bars: Sequence[Bar]) -> int | None:
    """The most frequent distance between neighbouring labels, in seconds; None for fewer than two bars."""
    labels = sorted({bar.ts for bar in bars})
    steps = Counter(later - earlier for earlier, later in pairwise(labels))
    return steps.most_common(1)[0][0] if steps else None


def read_bars(path: Path, symbol: str, zone: ZoneInfo, shift: int = 0) -> list[Bar]:
    """Every row of a file as a bar, in its order; BarProviderError names the file, the row and what is wrong."""
    columns = _columns(path)
    named = _recognise(path, list(columns))
    count = len(next(iter(columns.values())))
    moments, raw = _moments(path, columns, named, zone)
    texts = columns[named["symbol"]] if "symbol" in named else repeat(symbol, count)
    mine = [_same(str(text).upper(), symbol.upper()) for text in texts]
    if not any(mine) and count:
        raise UnknownSymbol(f"{path} has no row of {symbol}")
    values = {
        name: [_value(path, row, name, v) for row, v in enumerate(columns[named[name]], 2)]
        if name in named
        else [None] * count
        for name in ("open", "high", "low", "close", "volume", "trade_count", "vwap")
    }
    return [
        Bar(
            symbol=symbol,
            ts=moments[i] - shift,
            open=values["open"][i],
            high=values["high"][i],
            low=values["low"][i],
            close=values["close"][i],
            volume=values["volume"][i],
            trade_count=None if values["trade_count"][i] is None else int(values["trade_count"][i] or 0),
            vwap=values["vwap"][i],
            raw_time=raw[i],
        )
        for i in range(count)
        if mine[i]
    ]


def _same(written: str, symbol: str) -> bool:
    """Whether a symbol column means `symbol`: as it is, or with an exchange behind it (`HOOD.US`, not `BRK.B`)."""
    stem, _, exchange = written.rpartition(".")
    return written == symbol or (stem == symbol and len(exchange) > 1)


def _suffix(path: Path) -> str:
    return next(s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s))


def _columns(path: Path) -> dict[str, list[Any]]:
    try:
        if _suffix(path) in (".parquet", ".pq"):
            with path.open("rb") as handle:
                table = pq.read_table(handle)
            return {name: _plain(table.column(name)) for name in table.column_names}
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as handle:
            head = handle.readline().decode("utf-8-sig", "replace")
        delimiter = max(",;\t|", key=head.count)
        options = pacsv.ConvertOptions(
            column_types={name: pa.string() for name in head.strip().replace('"', "").split(delimiter)},
            strings_can_be_null=True,
        )
        table = pacsv.read_csv(path, parse_options=pacsv.ParseOptions(delimiter=delimiter), convert_options=options)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    except (pa.ArrowInvalid, OSError) as error:
        raise BarProviderError(f"{path} cannot be read as bars: {error}") from None


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Timestamps as microseconds-exact datetimes (nanoseconds would need pandas)."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return list(column.to_pylist())


def _recognise(path: Path, names: list[str]) -> dict[str, str]:
    """What -> column name, of `SPELLINGS`; BarProviderError where time or a price is not there."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    found = {what: next((plain[s] for s in spelled if s in plain), "") for what, spelled in SPELLINGS.items()}
    named = {what: name for what, name in found.items() if name}
    if "time" not in named:
        if "date" in named and "clock" not in named:
            named["time"] = named["date"]
        elif "clock" in named and "date" not in named:
            named["time"] = named["clock"]
    lacking = [what for what in ("open", "high", "low", "close") if what not in named]
    if "time" not in named and not {"date", "clock"} <= named.keys():
        lacking.insert(0, "time")
    if lacking:
        spelled = "; ".join(f"{what} ({', '.join(SPELLINGS[what][:4])}, ...)" for what in lacking)
        raise BarProviderError(f"{path} has columns {', '.join(names)}: none of them is known as {spelled}")
    return named


def _moments(
    path: Path, columns: Mapping[str, list[Any]], named: Mapping[str, str], zone: ZoneInfo
) -> tuple[list[int], list[str]]:
    if "time" in named:
        written = columns[named["time"]]
        if re.search("utc|gmt", named["time"], re.IGNORECASE):
            zone = ZoneInfo("UTC")  # the column says so itself
    else:
        written = [f"{d} {c}" for d, c in zip(columns[named["date"]], columns[named["clock"]], strict=True)]
    moments = []
    for row, value in enumerate(written, 2):
        try:
            moments.append(moment_of(value, zone))
        except (ValueError, OverflowError):
            raise BarProviderError(f"{path}, line {row}: {value!r} is not a time that is known here") from None
    return moments, [str(value) for value in written]


def moment_of(value: Any, zone: ZoneInfo) -> int:
    """Unix seconds of a time as files write it; without an offset it is in `zone`. ValueError where it is none.

    Digits alone are seconds (9 or 10 of them), milli-, micro- or nanoseconds (13, 16, 19) since 1970, or a date and
    time run together (12, 14).
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
    for form in FORMATS:
        try:
            return _unix(datetime.strptime(text, form), zone)  # noqa: DTZ007 - the zone is put on in `_unix`
        except ValueError:
            continue
    raise ValueError(text)


def _unix(moment: datetime, zone: ZoneInfo) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (aware - EPOCH) // timedelta(seconds=1)


def _value(path: Path, row: int, name: str, value: Any) -> float | None:
    text = value.strip() if isinstance(value, str) else value
    if text in ("", None) or (isinstance(text, str) and text.lower() in ("nan", "null", "na", "none", "-")):
        return None
    if isinstance(text, float) and text != text:
        return None
    return number(text, f"{path}, line {row}, {name}")
