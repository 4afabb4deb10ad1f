"""What a request costs before it runs, in requests to a provider: logs and state, and on lines of their own headers,
the history of CSUs whose markets only logs tell, and samples that confirm logs.

What existed then: a CSU is counted from its first day. Blocks of then: where a chain has a provider, the block numbers
of the period are asked for (a dozen headers), since chains change their pace; otherwise `block_seconds` stands in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil

from extract.config import Config
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec
from extract.evm.errors import BeforeChain
from extract.ledger import Ledger
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.plan import SNAPSHOT, SOURCE, Request, asked_days, by_chain, is_due
from extract.lending.registry import Csu

NAIVE_RANGE = 10  # blocks per request of the first plan
SECONDS_OF_A_DAY = 86_400
HEADERS_PER_DAY = 12  # search, its proof, finality, log times; measured: 6 on regular chains, 18 on irregular ones
ENDS = 2  # a day is read before its first and after its last block
ROUNDS = 8  # rounds of view calls that the deepest family takes; all CSUs of a chain go in step
TOKEN_ROUNDS = 1
CONFIRM_SHARE = ChainSpec.confirm_share  # of log ranges that are confirmed a second way, where nothing is configured
REQUESTS_PER_CSU = 4  # prices, oracles and shares at liquidations, and rounds that overflow one Multicall3


@dataclass(frozen=True)
class Period:
    """Blocks of a chain in the days asked for: the block before the first day and the last one (None: no chain yet)."""

    before: int | None
    last: int | None


@dataclass(frozen=True)
class Cost:
    """Requests of a plan for one chain: the naive way of the first plan, and ours, at a cap of blocks per request."""

    chain: str
    csus: int  # that existed on any of the days
    days: int
    blocks_per_day: int
    is_measured: bool  # blocks are the chain's own, not assumed
    naive_logs: int
    logs: int
    reads: int
    headers: int
    history: int
    samples: int

    @property
    def total(self) -> int:
        """Logs and state: what the first plan counted."""
        return self.logs + self.reads


async def measure(client: ChainClient, days: Sequence[Day]) -> Period:
    """The blocks that bound the days, by timestamp search."""
    found: list[int | None] = []
    for moment in (days[0].start - 1, days[-1].target):
        try:
            found.append((await client.block_at_or_before(moment)).number)
        except BeforeChain:
            found.append(None)
    return Period(*found)


def costs(
    config: Config, request: Request, ledger: Ledger, cap: int, periods: Mapping[str, Period] | None = None
) -> list[Cost]:
    """What a whole request costs by chain at `cap` blocks per request, whether providers are configured or not.

    Naive: every CSU scans every day for itself, 10 blocks a request. Ours: one scan per chain and day.
    """
    days = asked_days(config, request)
    found = [
        _cost(config, request, ledger, chain, csus, days, cap, (periods or {}).get(chain))
        for chain, csus in by_chain(config, request).items()
    ]
    return sorted((cost for cost in found if cost.csus), key=lambda cost: (-cost.naive_logs, cost.chain))


def _cost(
    config: Config,
    request: Request,
    ledger: Ledger,
    chain: str,
    csus: Sequence[Csu],
    days: Sequence[Day],
    cap: int,
    period: Period | None,
) -> Cost:
    table = config.section("chains").get(chain, {})
    blocks = _blocks_per_day(table, days, period)
    due = [day for day in days if not request.resume or is_due(config, ledger, chain, csus, day)]
    living = {day: [c for c in csus if _existed(c, day, period, days)] for day in due}
    scanned = [day for day, of in living.items() if of]
    csu_days = sum(len(of) for of in living.values())
    per_day = ceil(blocks / cap)
    logs = len(scanned) * per_day
    remembering = sum(any(_remembers(c) for c in of) for of in living.values())
    return Cost(
        chain=chain,
        csus=len({c.csu_id for of in living.values() for c in of}),
        days=len(scanned),
        blocks_per_day=blocks,
        is_measured=period is not None and period.last is not None,
        naive_logs=csu_days * ceil(blocks / NAIVE_RANGE),
        logs=logs,
        reads=(
            len(scanned) * (ENDS * ROUNDS + TOKEN_ROUNDS) + remembering * ENDS * ROUNDS + csu_days * REQUESTS_PER_CSU
        ),
        headers=len(due) * HEADERS_PER_DAY,
        history=sum(_history(c, days, blocks, cap, period, ledger) for c in csus if _remembers(c) and scanned),
        samples=ceil(logs * float(table.get("confirm_share", CONFIRM_SHARE))),
    )


def _blocks_per_day(table: Mapping[str, object], days: Sequence[Day], period: Period | None) -> int:
    if period is not None and period.last is not None:
        return ceil((period.last - (-1 if period.before is None else period.before)) / len(days))
    return ceil(SECONDS_OF_A_DAY / float(str(table.get("block_seconds", 2.0))))


def _existed(csu: Csu, day: Day, period: Period | None, days: Sequence[Day]) -> bool:
    """Whether a CSU can have been there on a day: by its start date, or by its block where the chain was asked."""
    if csu.start_date is not None and day.date < csu.start_date:
        return False
    if period is None or csu.start_block is None:
        return True
    if period.last is None:
        return False
    before = -1 if period.before is None else period.before
    at = before + (period.last - before) * (day.end - days[0].start) / (days[-1].end - days[0].start)
    return csu.start_block <= at


def _remembers(csu: Csu) -> bool:
    return csu.family in FAMILIES and FAMILIES[csu.family].has_memory


def _history(csu: Csu, days: Sequence[Day], blocks: int, cap: int, period: Period | None, ledger: Ledger) -> int:
    """Requests for the logs from a CSU's start to the last day's beginning; nothing where the day before has landed.

    Without a provider to ask, a start block says nothing of its distance: the start date stands in, or two years.
    """
    newest = ledger.states.get(f"{SOURCE}/{SNAPSHOT}/{csu.csu_id}/{days[0].date - timedelta(days=1)}")
    if newest is not None and newest.complete is not None:
        return 0  # its checkpoint
    span = ceil(blocks * (len(days) - 1))
    if period is not None and period.before is not None and csu.start_block is not None:
        return ceil(max(period.before - csu.start_block + span, 0) / cap)
    if csu.start_date is not None:
        begun = datetime.combine(csu.start_date, time(), UTC).timestamp()
        if begun > days[-1].end:
            return 0
        return ceil((max(days[0].start - begun, 0) / SECONDS_OF_A_DAY * blocks + span) / cap)
    return ceil((2 * 365 * blocks + span) / cap)
