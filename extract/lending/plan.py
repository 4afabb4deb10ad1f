"""What a run of the lending line has to do: for each chain and New York day, which partitions of which CSUs are due.

Partitions: (lending, days, CHAIN, DAY), and per CSU and day (lending, snapshot | liquidations | prices, CSU, DAY).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from extract.config import Config
from extract.errors import ConfigError
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, fingerprint, now
from extract.lending.days import Day, requested_days
from extract.lending.families import FAMILIES
from extract.lending.registry import Csu, wanted_csus

SOURCE = "lending"
CODE_VERSION = 2  # raise it when the same chain would land other rows: every partition is then fetched anew
SNAPSHOT, LIQUIDATIONS, PRICES, DAYS = "snapshot", "liquidations", "prices", "days"
KINDS = (SNAPSHOT, LIQUIDATIONS, PRICES)
MISSING_PRICES = "MissingPrices"  # error_class of a price partition that is complete but for some assets
NAIVE_RANGE = 10  # blocks per request of the first plan
SECONDS_OF_A_DAY = 86_400
HEADERS_PER_DAY = 6  # block search of a day, measured on 12 s and 2 s chains
ROUNDS_PER_SNAPSHOT = 7  # rounds of view calls, each one Multicall3 request where it fits
PRICE_ROUNDS = 2


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
    engine: str = "local"
    scheduler: str | None = None
    hosts: tuple[str, ...] = ()


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
    days = _days(config, request)
    by_chain = _by_chain(config, request)
    if not by_chain:
        raise ConfigError(
            f"{config.path} configures no chain of the CSU registry: add [chains.NAME] with its providers"
        )
    without = tuple(chain for chain in by_chain if not _has_provider(config, chain))
    if without and request.csus:
        raise ConfigError(_no_provider(config, without[0]))
    chains = {chain: csus for chain, csus in by_chain.items() if chain not in without}
    return Scope(chains, tuple(days), without)


def is_configured(config: Config) -> bool:
    """Whether any CSU stands on a chain with a provider."""
    return any(_has_provider(config, chain) for chain in _by_chain(config, Request()))


def _by_chain(config: Config, request: Request) -> dict[str, tuple[Csu, ...]]:
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
                wants_prices = request.retry_missing and done is not None and done["error_class"] == MISSING_PRICES
                if done is None or wants_prices or partition.partition_id in changed:
                    due[partition] = _ledger_row(partition, wanted, chain_id, run_id, ledger)
            plan.skipped += 1 + len(KINDS) * len(csus) - len(due)
            if due:
                plan.units.append(Unit(chain, day, csus, due))
    return plan


def _days(config: Config, request: Request) -> list[Day]:
    """The days asked for; `[lending] since` and `until` of the configuration stand in for what was not given."""
    asked = config.section("lending")
    until = request.until or asked.get("until")
    since = request.since or (None if request.days or request.until else asked.get("since"))
    return requested_days(int(time.time()), request.days, since, until)


def _partitions(config: Config, chain: str, csus: Sequence[Csu], day: Day) -> Iterable[tuple[Partition, str, int]]:
    """Every partition of a chain and day with its fingerprint."""
    base = {"version": CODE_VERSION}
    yield Partition(SOURCE, DAYS, chain, day.name), fingerprint(base), csus[0].chain_id
    pricing = base | {"feeds": feeds(config, chain), "sources": _source_names(config, chain)}
    for csu in csus:
        version = FAMILIES[csu.family].version if csu.family in FAMILIES else 0
        state = base | {"csu": csu.facts(), "family": version}
        for kind in KINDS:
            wanted = fingerprint(state | pricing if kind == PRICES else state)
            yield Partition(SOURCE, kind, csu.csu_id, day.name), wanted, csu.chain_id


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


def _has_provider(config: Config, chain: str) -> bool:
    tables = config.section("chains").get(chain, {}).get("providers", [])
    return any("url" in p or config.environ.get(p.get("url_env", "")) for p in tables)


def _no_provider(config: Config, chain: str) -> str:
    tables = config.section("chains").get(chain, {}).get("providers", [])
    names = " or ".join(p["url_env"] for p in tables if p.get("url_env"))
    if not names:
        return f"{config.path} has no [chains.{chain}] with providers: add one to read CSUs of {chain}"
    return f"chain {chain} has no provider to talk to: set {names} to the URL of an archive endpoint"


@dataclass(frozen=True)
class Cost:
    """Calls of a plan for one chain: the naive way of the first plan, and ours, at a cap of blocks per request."""

    chain: str
    csus: int
    days: int
    blocks_per_day: int
    naive_logs: int
    logs: int
    reads: int


def costs(config: Config, request: Request, ledger: Ledger, cap: int) -> list[Cost]:
    """What a whole request costs by chain at `cap` blocks per request, whether providers are configured or not.

    Naive: every CSU scans every day for itself, 10 blocks a request. Ours: one scan per chain and day.
    """
    days = _days(config, request)
    found = []
    for chain, csus in _by_chain(config, request).items():
        seconds = float(config.section("chains").get(chain, {}).get("block_seconds", 2.0))
        blocks = ceil(SECONDS_OF_A_DAY / seconds)
        due = sum(_is_due(config, ledger, chain, csus, day) for day in days) if request.resume else len(days)
        found.append(
            Cost(
                chain=chain,
                csus=len(csus),
                days=due,
                blocks_per_day=blocks,
                naive_logs=len(csus) * due * ceil(blocks / NAIVE_RANGE),
                logs=due * ceil(blocks / cap),
                reads=due * (HEADERS_PER_DAY + len(csus) * (ROUNDS_PER_SNAPSHOT + PRICE_ROUNDS)),
            )
        )
    return sorted(found, key=lambda cost: -cost.naive_logs)


def _is_due(config: Config, ledger: Ledger, chain: str, csus: Sequence[Csu], day: Day) -> bool:
    return any(
        ledger.complete_row(partition, wanted) is None for partition, wanted, _ in _partitions(config, chain, csus, day)
    )
