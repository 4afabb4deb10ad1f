"""`[bars]` of foreshore.toml: which providers there are. Keys come from environment variables and are never printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from extract.bars.alpaca import Alpaca
from extract.bars.alpaca_socket import AlpacaSocket
from extract.bars.eodhd import Eodhd
from extract.bars.files import Files
from extract.bars.http import JsonClient
from extract.bars.provider import BarProvider
from extract.config import Config
from extract.errors import ConfigError
from extract.evm.redact import LOOPBACK, remember

KINDS = ("files", "eodhd", "alpaca")
_SPOKEN = {"str": "text", "int": "a whole number", "float": "a number"}
_KINDS_OF_VALUE = {("str", str), ("int", int), ("float", int), ("float", float)}  # of a field, and what may stand there


@dataclass(frozen=True)
class BarSource:
    """One `[[bars.providers]]` table. `feed` names the series (`sip`, `iex`, ...): backtest and live run must agree.

    files: `path`, `time_zone` (of times without an offset), `label` (`open` or `close`), `date_order` (`day` or `month`
    first in 03/04/2026, where a file does not tell). eodhd: `key_env`, `exchange`.
    alpaca: `key_env`, `secret_env`, `stream_url`. `settle_minutes`: how long after its close a session is
    complete at the provider; younger ones are not landed.
    """

    name: str
    kind: str
    feed: str
    url: str = ""
    stream_url: str = ""
    path: str = ""
    time_zone: str = "America/New_York"
    label: str = "open"
    date_order: str = ""
    exchange: str = "US"
    timeout_seconds: float = 30.0
    max_in_flight: int = 4
    requests_per_second: float = 0.0  # 0: as fast as the provider lets us, and slower where it says so
    settle_minutes: int = 0
    key_env: str = ""
    secret_env: str = ""
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    folder: Path = field(default=Path(), repr=False)  # `path` from where the configuration lies

    def facts(self) -> dict[str, Any]:
        """What landed bars depend on besides the provider's own data: part of a partition's fingerprint."""
        told = ("kind", "feed", "path", "time_zone", "label", "date_order", "exchange")
        return {name: getattr(self, name) for name in told}

    def open(self) -> BarProvider:
        """A client for it."""
        if self.kind == "files":
            return Files(self.name, self.feed, self.folder, self.time_zone, self.label, date_order=self.date_order)
        headers = {"APCA-API-KEY-ID": self.key, "APCA-API-SECRET-KEY": self.secret} if self.kind == "alpaca" else {}
        client = JsonClient(
            self.name, self.url, headers, self.timeout_seconds, self.max_in_flight, self.requests_per_second
        )
        if self.kind == "eodhd":
            return Eodhd(self.name, self.feed, client, self.key, self.exchange)
        return Alpaca(self.name, self.feed, client)

    def socket(self) -> AlpacaSocket:
        """A client for its live bars; ConfigError where it has none (EODHD's socket has trades and quotes only)."""
        if self.kind != "alpaca" or not self.stream_url:
            raise ConfigError(f"bar provider {self.name} has no live bars: use one of kind alpaca with a stream_url")
        return AlpacaSocket(
            self.name, self.feed, f"{self.stream_url.rstrip('/')}/v2/{self.feed}", self.key, self.secret
        )


def bar_source(config: Config, name: str | None = None) -> BarSource:
    """The provider called `name`, or `[bars] provider`; ConfigError names what is missing and what to set."""
    tables = config.section("bars").get("providers", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{config.path} has no [[bars.providers]]: add one with name, kind and feed")
    wanted = name or config.section("bars").get("provider") or tables[0].get("name")
    for table in tables:
        if table.get("name") == wanted:
            return _source(table, config)
    known = ", ".join(str(table.get("name")) for table in tables)
    raise ConfigError(f"{config.path} has no bar provider {wanted!r}; it has: {known}")


def _source(table: Mapping[str, Any], config: Config) -> BarSource:
    where = f"[[bars.providers]] {table.get('name', '')}".rstrip()
    known = {f.name: f.type for f in fields(BarSource) if f.name not in ("key", "secret", "folder")}
    for key in table:
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key}: it may have {', '.join(sorted(known))}")
    for key in ("name", "kind", "feed"):
        if not isinstance(table.get(key), str) or not table[key] or "/" in table[key]:
            raise ConfigError(f'{where} lacks {key}: add `{key} = "..."`')
    if table["kind"] not in KINDS:
        raise ConfigError(f"{where}: kind {table['kind']!r} is not one of {', '.join(KINDS)}")
    if table.get("label", "open") not in ("open", "close"):
        raise ConfigError(f"{where}: label {table['label']!r}: times are bars' `open` or `close`")
    if table.get("date_order", "") not in ("", "day", "month"):
        raise ConfigError(f"{where}: date_order {table['date_order']!r}: use `day` or `month`")
    if table["kind"] == "files" and not table.get("path"):
        raise ConfigError(f"{where} lacks path: add the folder of its files")
    for key in ("url", "stream_url"):
        _check_url(f"{where} {key}", table.get(key, ""), required=key == "url" and table["kind"] != "files")
    for f in fields(BarSource):
        if f.name in table and (f.type, type(table[f.name])) not in _KINDS_OF_VALUE:
            raise ConfigError(f"{where} {f.name} = {table[f.name]!r} must be {_SPOKEN[str(f.type)]}")
    secrets: dict[str, Any] = {part: _secret(where, table, part, config.environ) for part in _secrets_of(table["kind"])}
    return BarSource(**table, **secrets, folder=config.beside(str(table.get("path", ""))))


def _secrets_of(kind: str) -> tuple[str, ...]:
    return {"files": (), "eodhd": ("key",), "alpaca": ("key", "secret")}[kind]


def _check_url(where: str, url: str, required: bool) -> None:
    parts = urlsplit(url)
    if (url or required) and parts.scheme not in ("http", "https", "ws", "wss"):
        raise ConfigError(f"{where} is not a URL: write https://... (or wss://... for a stream)")
    if parts.query or parts.username or parts.password:
        raise ConfigError(f"{where} holds a key: put it into an environment variable and name that in key_env")
    if parts.scheme in ("http", "ws") and parts.hostname not in LOOPBACK:
        raise ConfigError(f"{where} would send keys in the clear: use https or wss")


def _secret(where: str, table: Mapping[str, Any], part: str, environ: Mapping[str, str]) -> str:
    variable = table.get(f"{part}_env")
    if not variable:
        raise ConfigError(f"{where} lacks {part}_env: name the environment variable that holds its {part}")
    value = environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"{where}: set {variable} to the provider's {part}")
    remember(f"http://localhost/?key={quote(value, safe='')}")
    return value
