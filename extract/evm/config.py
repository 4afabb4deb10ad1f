"""Which chains there are and who serves them. URLs come from environment variables and are never printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from extract.config import Config
from extract.errors import ConfigError
from extract.evm.redact import LOOPBACK, remember

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"  # same address on nearly every chain: multicall3.com
EVM_NUMBER, ARBSYS_NUMBER = "evm", "arbsys"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class ProviderSpec:
    """One endpoint, and its websocket where it has one: a night is told of blocks by it.

    Every limit is a first guess: what the provider says at run time overrules it. requests_per_second counts calls (an
    item of a batch is a call, as providers bill it); None is no limit. max_batch: calls per HTTP request.
    multicall_size: view calls per Multicall3 call. max_in_flight: HTTP requests at once. max_block_range: blocks per
    eth_getLogs, counted inclusively. timeout_seconds: for a whole request with its answer. max_wait_seconds: the
    longest Retry-After that is kept to. max_body_bytes: the longest answer that is read, unpacked. follow_redirects:
    whether an answer may send requests to another address.
    """

    name: str
    url: str = field(repr=False)
    ws_url: str = field(repr=False, default="")
    requests_per_second: float | None = None
    max_batch: int = 50
    multicall_size: int = 500
    max_in_flight: int = 4
    timeout_seconds: float = 30
    max_block_range: int | None = None
    max_wait_seconds: float = 120
    max_body_bytes: int = 64 * 1024 * 1024
    follow_redirects: bool = False


@dataclass(frozen=True)
class ChainSpec:
    """A chain. finality_depth: blocks behind head that are never read; max_lag_seconds: how far an endpoint
    may stand behind the best one (block time, not wall clock) before it is passed over; block_seconds: a hint
    only.

    block_number_from: `evm`, or `arbsys` where the EVM's own block number is another chain's (Arbitrum).
    evm_parent_hash: whether BLOCKHASH gives the parent's hash (Scroll's does not). confirm_share: share of log
    ranges that are confirmed a second way, 0 to 1. patience_seconds: how long a chain may go without one useful
    answer before it is given up. reads_head: every block counts at once, also one that may be taken back; no key of
    the configuration, a night sets it.
    """

    name: str
    chain_id: int
    providers: tuple[ProviderSpec, ...]
    finality_depth: int
    multicall_address: str = MULTICALL3
    max_lag_seconds: float | None = None
    block_seconds: float = 2.0
    use_finalized_tag: bool = False
    block_number_from: str = EVM_NUMBER
    evm_parent_hash: bool = True
    confirm_share: float = 0.05
    patience_seconds: float = 300.0
    reads_head: bool = False

    @property
    def allowed_lag_seconds(self) -> float:
        """max_lag_seconds, or what finality covers anyway but at least a minute."""
        if self.max_lag_seconds is not None:
            return self.max_lag_seconds
        return max(60.0, self.finality_depth * self.block_seconds)


class Chains(Mapping[str, ChainSpec]):
    """Chains by name. A chain is checked when it is first asked for, so an unused one needs no keys."""

    def __init__(self, tables: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._tables, self._environ = tables, environ
        self._specs: dict[str, ChainSpec] = {}

    def __getitem__(self, name: str) -> ChainSpec:
        if name not in self._tables:
            known = ", ".join(sorted(self._tables)) or "none"
            raise ConfigError(f"no chain {name!r} in the configuration: add [chains.{name}]; it has: {known}")
        if name not in self._specs:
            self._specs[name] = _chain(name, self._tables[name], self._environ)
        return self._specs[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def load_chains(config: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, ChainSpec]:
    """The chains of a configuration (the whole file, or its `chains` table), each validated on first use.

    Errors: ConfigError naming chain, key and cure, raised by the look-up of the chain concerned.
    """
    return Chains(config.get("chains", config), environ)


def has_keys(config: Config, chains: tuple[str, ...]) -> None:
    """Look up every one of these chains. Errors: ConfigError names the variable that is not set."""
    specs = load_chains(config.section("chains"), config.environ)
    for chain in chains:
        specs[chain]


def _chain(name: str, table: Any, environ: Mapping[str, str]) -> ChainSpec:
    where = f"[chains.{name}]"
    values = _values(where, table, ChainSpec, {"name", "providers", "reads_head"}, {"chain_id", "finality_depth"})
    address = values.get("multicall_address", MULTICALL3)
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(f"{where} multicall_address = {address!r} is not an address: write 0x and 40 hex digits")
    values["multicall_address"] = address.lower()
    if values.get("block_number_from", EVM_NUMBER) not in (EVM_NUMBER, ARBSYS_NUMBER):
        raise ConfigError(f"{where} block_number_from: write {EVM_NUMBER!r} or {ARBSYS_NUMBER!r}")
    if not 0 <= values.get("confirm_share", 0) <= 1:
        raise ConfigError(f"{where} confirm_share = {values['confirm_share']!r}: write a share from 0 to 1")
    return ChainSpec(name=name, providers=_providers(name, table.get("providers"), environ), **values)


def _providers(chain: str, tables: Any, environ: Mapping[str, str]) -> tuple[ProviderSpec, ...]:
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"chain {chain} has no providers: add [[chains.{chain}.providers]] with name and url_env")
    found, unset = [], []
    for table in tables:
        where = f"[[chains.{chain}.providers]]"
        extra = {"url", "url_env", "ws_url", "ws_url_env"}
        values = _values(where, table, ProviderSpec, {"url", "ws_url"}, {"name"}, extra)
        variable, place = values.pop("url_env", None), f"{where} {values['name']}"
        url = _url(place, "url", values.pop("url", None), variable, environ)
        socket, of = values.pop("ws_url", None), values.pop("ws_url_env", None)
        ws_url = _url(place, "ws_url", socket, of, environ, ("ws", "wss")) if socket or of else None
        if url:
            found.append(ProviderSpec(url=url, ws_url=ws_url or "", **values))
        else:
            unset.append(str(variable))
    if not found:
        raise ConfigError(
            f"chain {chain} has no provider to talk to: set {' or '.join(unset)} to the URL of an endpoint"
        )
    if len({spec.name for spec in found}) < len(found):
        raise ConfigError(f"chain {chain} has two providers of one name: give each its own `name`")
    return tuple(found)


def _url(
    where: str,
    key: str,
    literal: str | None,
    variable: str | None,
    environ: Mapping[str, str],
    schemes: tuple[str, ...] = ("http", "https"),
) -> str | None:
    """The provider's URL; None when its variable is unset. A literal URL may only point at this machine."""
    if literal is not None:
        if urlsplit(literal).hostname not in LOOPBACK:
            raise ConfigError(
                f"{where}: `{key}` is for loopback only: put the URL in a variable and name it in `{key}_env`"
            )
        return literal
    if not variable:
        raise ConfigError(f"{where}: name the environment variable with its URL in `{key}_env`")
    url = environ.get(variable, "").strip()
    if url:
        remember(url)
    if url and urlsplit(url).scheme not in schemes:
        kinds = f"{schemes[0]}({schemes[1].removeprefix(schemes[0])})"
        raise ConfigError(f"{where}: {variable} does not hold a {kinds} URL: set {variable} to one")
    return url or None


def _values(
    where: str,
    table: Any,
    spec: type,
    given: set[str],
    required: set[str],
    extra: frozenset[str] | set[str] = frozenset(),
) -> dict[str, Any]:
    """The scalars of a TOML table that `spec` has a field for; ConfigError for missing, unknown or senseless
    ones.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table")
    known = {f.name: str(f.type) for f in fields(spec) if f.name not in given} | dict.fromkeys(extra, "str")
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping | list)}
    for key in sorted(required - values.keys()):
        raise ConfigError(f"{where} lacks {key}: add `{key} = ...`")
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key}: it may have {', '.join(sorted(known))}")
        _check(f"{where} {key}", value, known[key])
    return values


_MAY_BE_ZERO = ("finality_depth", "max_lag_seconds", "confirm_share")


def _check(where: str, value: Any, kind: str) -> None:
    kind = kind.removesuffix(" | None")
    wanted: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "bool": bool}
    if not isinstance(value, wanted[kind]) or (kind in ("int", "float") and isinstance(value, bool)):
        raise ConfigError(f"{where} = {value!r}: write a value of type {kind}")
    if kind in ("int", "float") and value < (0 if where.endswith(_MAY_BE_ZERO) else 1e-9):
        raise ConfigError(f"{where} = {value!r}: write a positive number")
