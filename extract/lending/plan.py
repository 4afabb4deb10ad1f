"""What a run of the lending line has to do: for each chain and New York day, which partitions of which CSUs are due.

Partitions: (lending, days, CHAIN, DAY), and per CSU and day (lending, snapshot | liquidations | prices, CSU, DAY).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from extract.config import Config
from extract.errors import ConfigError
from extract.ledger import COMPLETE, SOURCES_DOWN, Ledger, LedgerRow, Partition, fingerprint, now
from extract.lending.days import Day, requested_days
from extract.lending.families import FAMILIES
from extract.lending.registry import Csu, wanted_csus
from extract.prices import LEAST_CONFIDENCE
from extract.seeds import threshold
from extract.where import HERE, Where

SOURCE = "lending"
CODE_VERSION = 3  # raise it when the same chain would land other rows: every partition is then fetched anew
SNAPSHOT, LIQUIDATIONS, PRICES, DAYS = "snapshot", "liquidations", "prices", "days"
KINDS = (SNAPSHOT, LIQUIDATIONS, PRICES)
MISSING_PRICES = "MissingPrices"  # error_class of a price partition that is complete but for some assets
AGE_CAP = "price_stale_seconds"  # threshold: beyond it a feed or a source says nothing about the moment asked for


@dataclass(frozen=True)
class Request:
    """What was asked for; days are New York dates in ISO form."""

    csus: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    days: int | None = None
    resume: bool = True
    retry_missing: bool = False
    workers: int = 5
    where: Where = HERE


@dataclass(frozen=True)
class Unit:
    """The due work of one chain and day: what is fetched together and lands together."""

    chain: str
    day: Day
    csus: tuple[Csu, ...]
    due: Mapping[Partition, LedgerRow]

    def row(self, kind: str, key: str) -> LedgerRow | None:
        return self.due.get(Partition(SOURCE, kind, key, self.day.name))

    def kinds(self, csu: Csu) -> set[str]:
        return {kind for kind in KINDS if self.row(kind, csu.csu_id) is not None}

    @property
    def name(self) -> str:
        return f"{self.chain} {self.day.name}"


@dataclass(frozen=True)
class Scope:
    """The CSUs asked for by chain, the days, and the chains that have no provider."""

    chains: Mapping[str, tuple[Csu, ...]]
    days: tuple[Day, ...]
    unconfigured: tuple[str, ...] = ()


def make_scope(config: Config, request: Request) -> Scope:
    """What was asked for. ConfigError where a CSU named by the user stands on a chain without a provider."""
    days = asked_days(config, request)
    found = by_chain(config, request)
    if not found:
        raise ConfigError(
            f"{config.path} configures no chain of the CSU registry: add [chains.NAME] with its providers"
        )
    without = tuple(chain for chain in found if not has_provider(config, chain))
    if without and request.csus:
        raise ConfigError(_no_provider(config, without[0]))
    chains = {chain: csus for chain, csus in found.items() if chain not in without}
    return Scope(chains, tuple(days), without)


def is_configured(config: Config) -> bool:
    """Whether any CSU stands on a chain with a provider."""
    return any(has_provider(config, chain) for chain in by_chain(config, Request()))


def by_chain(config: Config, request: Request) -> dict[str, tuple[Csu, ...]]:
    found: dict[str, tuple[Csu, ...]] = {}
    for csu in wanted_csus(config, request.csus):
        found[csu.chain] = (*found.get(csu.chain, ()), csu)
    return found


@dataclass
class Plan:
    """Units with due work, in order of day, and how many partitions are complete already."""

    units: list[Unit] = field(default_factory=list)
    skipped: int = 0


def make_plan(
    config: Config, request: Request, scope: Scope, ledger: Ledger, run_id: str, changed: frozenset[str] = frozenset()
) -> Plan:
    """Which partitions of a scope are due: never complete, changed in what they depend on, or in their block's hash."""
    plan = Plan()
    for day in scope.days:
        for chain, csus in scope.chains.items():
            due: dict[Partition, LedgerRow] = {}
            for partition, wanted, chain_id in _partitions(config, chain, csus, day):
                done = ledger.complete_row(partition, wanted) if request.resume else None
                wants_prices = done is not None and _wants_prices(request, done["error_class"])
                if done is None or wants_prices or partition.partition_id in changed:
                    due[partition] = _ledger_row(partition, wanted, chain_id, run_id, ledger)
            plan.skipped += 1 + len(KINDS) * len(csus) - len(due)
            if due:
                plan.units.append(Unit(chain, day, csus, due))
    return plan


def _wants_prices(request: Request, error_class: str | None) -> bool:
    """Whether a complete price partition is to be asked for again: on request, or because its sources were down."""
    return error_class == SOURCES_DOWN or (request.retry_missing and error_class == MISSING_PRICES)


def asked_days(config: Config, request: Request) -> list[Day]:
    """The days asked for; `[lending] since` and `until` of the configuration stand in for what was not given."""
    asked = config.section("lending")
    until = request.until or asked.get("until")
    since = request.since or (None if request.days or request.until else asked.get("since"))
    return requested_days(int(time.time()), request.days, since, until)


def _partitions(config: Config, chain: str, csus: Sequence[Csu], day: Day) -> Iterable[tuple[Partition, str, int]]:
    """Every partition of a chain and day with its fingerprint."""
    base = {"version": CODE_VERSION}
    yield Partition(SOURCE, DAYS, chain, day.name), fingerprint(base), csus[0].chain_id
    sources = {"feeds": feeds(config, chain), "sources": _source_names(config, chain)}
    pricing = base | sources | {"limits": _limits(config.seeds)}
    for csu in csus:
        version = FAMILIES[csu.family].version if csu.family in FAMILIES else 0
        state = base | {"csu": csu.facts(), "family": version}
        for kind in KINDS:
            wanted = fingerprint(state | pricing if kind == PRICES else state)
            yield Partition(SOURCE, kind, csu.csu_id, day.name), wanted, csu.chain_id


@cache
def _limits(seeds: Path) -> tuple[float, ...]:
    """The thresholds that prices depend on."""
    return tuple(threshold(seeds, name) for name in (AGE_CAP, LEAST_CONFIDENCE))


def _ledger_row(partition: Partition, wanted: str, chain_id: int, run_id: str, ledger: Ledger) -> LedgerRow:
    moment = now()
    return LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint=wanted,
        run_id=run_id,
        started_at=moment,
        finished_at=moment,
        attempts=ledger.next_attempt(partition),
        chain_id=chain_id,
    )


def feeds(config: Config, chain: str) -> dict[str, str]:
    """Chainlink feeds of a chain by asset, and `eth` where prices in ether must be turned into dollars."""
    return {a.lower(): f.lower() for a, f in config.section("chains")[chain].get("feeds", {}).items()}


def _source_names(config: Config, chain: str) -> list[str]:
    return [s.get("name", "") for s in config.section("chains")[chain].get("price_sources", [])]


def has_provider(config: Config, chain: str) -> bool:
    tables = config.section("chains").get(chain, {}).get("providers", [])
    return any("url" in p or config.environ.get(p.get("url_env", "")) for p in tables)


def _no_provider(config: Config, chain: str) -> str:
    tables = config.section("chains").get(chain, {}).get("providers", [])
    names = " or ".join(p["url_env"] for p in tables if p.get("url_env"))
    if not names:
        return f"{config.path} has no [chains.{chain}] with providers: add one to read CSUs of {chain}"
    return f"chain {chain} has no provider to talk to: set {names} to the URL of an archive endpoint"


def is_due(config: Config, ledger: Ledger, chain: str, csus: Sequence[Csu], day: Day) -> bool:
    return any(
        ledger.complete_row(partition, wanted) is None for partition, wanted, _ in _partitions(config, chain, csus, day)
    )
