"""What a run of the voting line has to do: the partitions of the epochs asked for, and which of them are due.

A partition is due when it was never complete, when what it depends on changed (configuration, code, a newer
final head), or when the block it was read at no longer has the hash it had then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from extract.changed import changed_partitions
from extract.config import Config
from extract.errors import ConfigError
from extract.evm.blocks import Block
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, load_chains
from extract.evm.pool import gather
from extract.ledger import COMPLETE, Ledger, LedgerRow, Partition, fingerprint, now
from extract.prices import LEAST_CONFIDENCE, HttpPrices, load_price_sources
from extract.seeds import WEEK, DecisionWindow, decision_windows, threshold
from extract.tools import Tools
from extract.voting.epochs import requested_epochs
from extract.voting.families import Protocol, load_protocols
from extract.voting.pools import Pool, load_pools
from extract.voting.pricing import PriceRules
from extract.voting.rules import price_rules
from extract.voting.state import count_gauges
from extract.voting.timeline import OPEN, Timeline, Untold, WindowPoint, resolve
from extract.voting.voters import PlannedVoter, planned_voters
from extract.where import HERE, Where

SOURCE = "voting"
CODE_VERSION = 2  # raise it when the same chain would land other rows: every partition is then fetched anew
CALLS_PER_GAUGE = 23  # view calls for one gauge at one block, measured in the embedded world; a plan's guess only


@dataclass(frozen=True)
class Request:
    """What was asked for; `since` and `until` are vote epoch starts in unix seconds."""

    epochs: int | None = None
    since: int | None = None
    until: int | None = None
    protocols: tuple[str, ...] = ()
    resume: bool = True
    workers: int = 4
    where: Where = HERE


@dataclass(frozen=True)
class PlannedPartition:
    """A partition of the plan: whether it is due and why, and what it would cost in calls."""

    partition: Partition
    is_due: bool
    calls: int
    why: str


@dataclass(frozen=True)
class Reading:
    """A chain's open client, and what reading its exchanges at a block stands on."""

    client: ChainClient
    spec: ChainSpec
    feeds: Mapping[str, str]
    price_sources: tuple[HttpPrices, ...]
    pools: tuple[Pool, ...]
    price_rules: PriceRules
    sale_usd: float


@dataclass(frozen=True)
class ChainRun(Reading):
    """What one run knows about a chain."""

    protocols: tuple[Protocol, ...]
    windows: tuple[DecisionWindow, ...]
    voters: Mapping[str, tuple[PlannedVoter, ...]]  # by protocol
    final: Block
    epochs: tuple[int, ...]
    ledger: Ledger
    changed: frozenset[str]
    run_id: str
    resume: bool

    def due(self, partition: Partition, wanted: str, **facts: Any) -> LedgerRow | None:
        """The ledger row to fill if the partition must be fetched; None when it is complete and unchanged."""
        done = self.ledger.complete_row(partition, wanted)
        if self.resume and done is not None and partition.partition_id not in self.changed:
            return None
        return self.row(partition, wanted, **facts)

    def row(self, partition: Partition, wanted: str, **facts: Any) -> LedgerRow:
        """The ledger row to fill."""
        moment = now()
        return LedgerRow(
            partition=partition,
            status=COMPLETE,
            fingerprint=wanted,
            run_id=self.run_id,
            started_at=moment,
            finished_at=moment,
            attempts=self.ledger.next_attempt(partition),
            chain_id=self.spec.chain_id,
            **facts,
        )

    def why(self, partition: Partition) -> str:
        """Why a due partition is due, in words."""
        state = self.ledger.state(partition)
        if state is None:
            return "new"
        if partition.partition_id in self.changed:
            return "block hash changed"
        if state.is_failing:
            return f"failed {state.attempts} times"
        return "newer blocks or configuration" if self.resume else "asked again"

    async def timelines(self) -> list[tuple[int, list[Timeline], list[Untold]]]:
        """Every epoch asked for with its timelines by protocol, and those that could not be told; searched at once, as
        each is mostly waiting.
        """

        async def of_epoch(epoch: int) -> list[Timeline | Untold]:
            found = (resolve(self.client, p, epoch, self.windows, self.final) for p in self.protocols)
            return await gather(found)

        resolved = await gather(of_epoch(epoch) for epoch in self.epochs)
        return [(epoch, *told_apart(found)) for epoch, found in zip(self.epochs, resolved, strict=True)]


def told_apart(found: Sequence[Timeline | Untold]) -> tuple[list[Timeline], list[Untold]]:
    """Timelines, and epochs that have none."""
    return [t for t in found if isinstance(t, Timeline)], [t for t in found if isinstance(t, Untold)]


async def chain_runs(tools: Tools, request: Request, ledger: Ledger, run_id: str) -> AsyncIterator[ChainRun]:
    """Each chain of the wanted protocols, opened, with the epochs asked for on it."""
    wanted = _wanted_protocols(tools.config, request)
    for name in wanted_chains(tools.config, request):
        yield await _chain_run(tools.config, request, ledger, run_id, await tools.chain(name), wanted)


def wanted_chains(config: Config, request: Request) -> tuple[str, ...]:
    """The chains of the wanted protocols. Errors: ConfigError."""
    return tuple(dict.fromkeys(p.chain for p in _wanted_protocols(config, request)))


@asynccontextmanager
async def chain_at_head(config: Config, protocol: str) -> AsyncIterator[ChainRun]:
    """The chain of an exchange with its open epoch, where every block counts at once, also one that may be taken back.
    Nothing is due or landed by it.
    """
    request = Request(protocols=(protocol,))
    wanted = _wanted_protocols(config, request)
    spec = load_chains(config.section("chains"), config.environ)[wanted[0].chain]
    spec = replace(spec, reads_head=True, confirm_share=0)
    async with ChainClient.open(spec) as client:
        yield await _chain_run(config, request, Ledger(()), "live", client, wanted)


async def _chain_run(
    config: Config, request: Request, ledger: Ledger, run_id: str, client: ChainClient, wanted: Sequence[Protocol]
) -> ChainRun:
    spec, final = client.spec, await client.finalized()
    mine = tuple(p for p in wanted if p.chain == spec.name)
    return ChainRun(
        **vars(reading_of(config, client)),
        protocols=mine,
        windows=tuple(decision_windows(config.seeds)),
        voters={p.name: planned_voters(config.seeds, p) for p in mine},
        final=final,
        epochs=tuple(requested_epochs(final.timestamp, WEEK, request.epochs, request.since, request.until)),
        ledger=ledger,
        changed=await changed_partitions(client, ledger, spec.chain_id, final),
        run_id=run_id,
        resume=request.resume,
    )


def reading_of(config: Config, client: ChainClient) -> Reading:
    """What reading a chain's exchanges stands on, as configured."""
    name, least = client.spec.name, threshold(config.seeds, LEAST_CONFIDENCE)
    section, feeds = config.section("chains")[name], _feeds(config, name)
    return Reading(
        client=client,
        spec=client.spec,
        feeds=feeds,
        price_sources=load_price_sources(name, section.get("price_sources"), config.environ, least),
        pools=load_pools(name, section.get("pools"), feeds),
        price_rules=price_rules(config.seeds),
        sale_usd=threshold(config.seeds, "price_sale_usd"),
    )


def _feeds(config: Config, chain: str) -> dict[str, str]:
    return {t.lower(): f.lower() for t, f in config.section("chains")[chain].get("feeds", {}).items()}


def _wanted_protocols(config: Config, request: Request) -> list[Protocol]:
    known = load_protocols(config.section("voting"))
    unknown = [name for name in request.protocols if name not in known]
    if unknown or not known:
        missing = unknown[0] if unknown else "NAME"
        raise ConfigError(f"{config.path} has no [voting.{missing}]; it has: {', '.join(known) or 'none'}")
    return [known[name] for name in (request.protocols or known)]


def state_partitions(chain: ChainRun, timeline: Timeline) -> list[tuple[Partition, LedgerRow | None]]:
    """Every partition of an epoch of a protocol, with the row to fill where it is due."""
    protocol = timeline.protocol
    key = f"{protocol.name}/{timeline.epoch}"
    base = {
        "version": CODE_VERSION,
        "protocol": protocol.facts(),
        "feeds": dict(chain.feeds),
        "prices": [s.name for s in chain.price_sources],
        "pools": [vars(pool) for pool in chain.pools],
        "price_rules": vars(chain.price_rules) | {"sale_usd": chain.sale_usd},
    }
    whole = Partition(SOURCE, "epoch", key, "all")
    last = timeline.flip or timeline.boundary_block
    wanted = fingerprint(base | _ends(timeline))
    facts = {"to_block": last.number, "to_block_hash": last.hash} if last else {}
    found = [(whole, chain.due(whole, wanted, **facts))]
    for point in timeline.points:
        partition = Partition(SOURCE, "state", key, point.window.decision_window)
        wanted = fingerprint(base | {"decision": point.decision.number, "observed": point.observed.number})
        row = chain.due(partition, wanted, to_block=point.observed.number, to_block_hash=point.observed.hash)
        found.append((partition, row))
        found += _voter_partition(chain, timeline, point, key)
    return found


def _ends(timeline: Timeline) -> dict[str, Any]:
    """What of an epoch's own row can still move: how it ends and, while it is open, where it began (a late flip)."""
    last = timeline.flip or timeline.boundary_block
    began = {"start": timeline.start_block} if timeline.status == OPEN else {}
    return {"status": timeline.status, "flip": last.number if last else None} | began


def _voter_partition(
    chain: ChainRun, timeline: Timeline, point: WindowPoint, key: str
) -> list[tuple[Partition, LedgerRow | None]]:
    """What the planned voters have at a window: a partition of its own, so that a new voter costs nothing else."""
    voters = chain.voters[timeline.protocol.name]
    if not voters:
        return []
    partition = Partition(SOURCE, "voters", key, point.window.decision_window)
    base = {"version": CODE_VERSION, "protocol": timeline.protocol.facts(), "voters": [vars(v) for v in voters]}
    wanted = fingerprint(base | {"observed": point.observed.number})
    row = chain.due(partition, wanted, to_block=point.observed.number, to_block_hash=point.observed.hash)
    return [(partition, row)]


def untold_partition(chain: ChainRun, untold: Untold) -> tuple[Partition, LedgerRow]:
    """The epoch's own partition, which fails by name: nothing else of it can be read."""
    partition = Partition(SOURCE, "epoch", f"{untold.protocol.name}/{untold.epoch}", "all")
    return partition, chain.row(partition, "untold")


def untold_events(chain: ChainRun, epoch: int) -> tuple[Partition, LedgerRow]:
    """The scan of an epoch that one of its protocols has no blocks for; what landed before stays as it is."""
    partition = _events_of(chain, epoch)
    return partition, chain.row(partition, "untold")


def _events_of(chain: ChainRun, epoch: int) -> Partition:
    return Partition(SOURCE, "events", f"{chain.spec.name}/{epoch}", "all")


def event_partition(
    chain: ChainRun, epoch: int, timelines: Sequence[Timeline]
) -> tuple[Partition, LedgerRow | None, tuple[int, int]]:
    """The chain's event scan of an epoch, from its first flip to its last, or to the final head while open."""
    partition = _events_of(chain, epoch)
    first = min(t.start_block for t in timelines)
    last = max((t.flip or chain.final for t in timelines), key=lambda block: block.number)
    base = {"version": CODE_VERSION, "protocols": [t.protocol.facts() for t in timelines]}
    wanted = fingerprint(base | {"from": first, "to": last.number})
    row = chain.due(partition, wanted, from_block=first, to_block=last.number, to_block_hash=last.hash)
    return partition, row, (first, last.number)


async def anchor_timelines(chain: ChainRun) -> list[Timeline | Untold]:
    """Where votes carry over, replay needs the final state of the epoch before the first one asked for."""
    control = [w for w in chain.windows if w.reads == "final"]
    found: list[Timeline | Untold] = []
    for protocol in chain.protocols:
        if not protocol.family.votes_reset_each_epoch:
            timeline = await resolve(chain.client, protocol, chain.epochs[0] - WEEK, control, chain.final)
            if isinstance(timeline, Untold):
                found.append(timeline)
                continue
            block = timeline.points[0].observed.number if timeline.points else 0
            if block and await count_gauges(chain.client, protocol, block):
                found.append(timeline)
    return found


async def plan_voting(config: Config, request: Request) -> list[PlannedPartition]:
    """What a run would do, without landing anything."""
    planned = list[PlannedPartition]()
    async with Tools(config) as tools:
        ledger = Ledger.read(tools.lake)
        async for chain in chain_runs(tools, request, ledger, "plan"):
            gauges = {p.name: await count_gauges(chain.client, p, chain.final.number) for p in chain.protocols}

            def add(partition: Partition, row: LedgerRow | None, calls: int, chain: ChainRun = chain) -> None:
                why = chain.why(partition) if row else "complete"
                planned.append(PlannedPartition(partition, row is not None, calls if row else 0, why))

            for epoch, timelines, untold in await chain.timelines():
                for one in untold:
                    add(*untold_partition(chain, one), 0)
                for timeline in timelines:
                    for partition, row in state_partitions(chain, timeline):
                        is_state = partition.table_group == "state"
                        add(partition, row, CALLS_PER_GAUGE * gauges[timeline.protocol.name] if is_state else 0)
                if untold:
                    add(*untold_events(chain, epoch), 0)
                    continue
                partition, row, blocks = event_partition(chain, epoch, timelines)
                add(partition, row, await chain.client.plan_logs(*blocks) if row else 0)
    return planned
