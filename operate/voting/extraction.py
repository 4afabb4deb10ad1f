"""The verb `extract voting`: ask, plan, land."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import click

from extract.config import Config, load_config
from extract.lake import Lake
from extract.ledger import Ledger, Partition
from extract.voting.epochs import parse_moment
from extract.voting.plan import PlannedPartition, Request, plan_voting
from extract.voting.run import extract_voting
from operate.console import out, print_json, table
from operate.extraction import run_line
from operate.options import config_option, engine_options, json_option, where_of

CALLS_PER_SECOND = 2_000  # a plan's guess of view calls per second for a provider that has not been measured yet


def voting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option(
                "--epochs",
                type=click.IntRange(1),
                help="How many ended epochs, counted back from --until or the head  [default: 1].",
            ),
            click.option("--since", metavar="EPOCH", help="First epoch: unix seconds or an ISO date, e.g. 2026-02-19."),
            click.option(
                "--until", metavar="EPOCH", help="Last epoch, the same way; without it the open epoch comes too."
            ),
            click.option("--protocol", "protocols", multiple=True, help="Only this [voting.NAME]; repeatable."),
            click.option(
                "--resume/--no-resume",
                default=True,
                show_default=True,
                help="Skip what is complete, or fetch everything anew.",
            ),
            click.option(
                "--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Units in flight."
            ),
            engine_options,
            click.option("--plan", is_flag=True, help="Print partitions, calls and estimated time; land nothing."),
            json_option,
            config_option,
        ]
    ):
        command = option(command)
    return command


def run(config_file: str | None, plan: bool, as_json: bool, **asked: Any) -> int:
    """Extract, or print what an extraction would do; its exit code."""
    config = load_config(config_file)
    moments = {key: None if asked[key] is None else parse_moment(asked[key]) for key in ("since", "until")}
    request = Request(where=where_of(asked), **{**asked, **moments})
    return show_plan(config, request, as_json) if plan else run_voting(config, request, as_json)


@click.command("voting")
@voting_options
def extract_voting_command(**options: Any) -> None:
    """Votes, rewards, prices and events of ve(3,3) exchanges, per epoch and decision window.

    \b
    Examples
      foreshore extract voting --epochs 12
      foreshore extract voting --since 2026-01-01 --until 2026-02-19 --protocol hydrex
      foreshore extract voting --epochs 3 --plan --json
    """
    sys.exit(run(**options))


def run_voting(config: Config, request: Request, as_json: bool) -> int:
    """Extract the voting line; exit code 0 done, 1 failed, 2 partial, 3 nothing to do."""
    return run_line(
        config, "voting", request, lambda run_id, report: extract_voting(config, request, run_id, report), as_json
    )


def refetch(config: Config, partitions: Sequence[Partition], as_json: bool) -> list[int]:
    """Fetch partitions again that are complete no more; exit codes, one per epoch."""
    wanted: dict[int, set[str]] = defaultdict(set)
    for partition in partitions:
        name, epoch = partition.key.rsplit("/", 1)
        wanted[int(epoch)].add(name)
    chain_of = {name: str(table.get("chain")) for name, table in config.section("voting").items()}
    codes = []
    for epoch, names in sorted(wanted.items()):  # a chain's exchanges together, as their events are scanned at once
        chains = {chain_of.get(name, name) for name in names}
        protocols = tuple(sorted(name for name, chain in chain_of.items() if chain in chains))
        codes.append(run_voting(config, Request(since=epoch, until=epoch, protocols=protocols), as_json))
    return codes


def show_plan(config: Config, request: Request, as_json: bool) -> int:
    """Print what an extraction would do; lands nothing. Exit code 0, or 3 when nothing is due."""
    planned = asyncio.run(plan_voting(config, request))
    due = [p for p in planned if p.is_due]
    rate = _measured_rate(config)
    seconds = sum(p.calls for p in due) / rate
    if as_json:
        rows = [
            {"partition_id": p.partition.partition_id, "is_due": p.is_due, "calls": p.calls, "why": p.why}
            for p in planned
        ]
        print_json(
            {
                "partitions": rows,
                "due": len(due),
                "calls": sum(p.calls for p in due),
                "estimated_seconds": round(seconds, 1),
            }
        )
        return 0 if due else 3
    heads = ["partitions", "due", "calls", "why"]
    out.print(table("Plan", heads, _plan_rows(planned), right=heads[1:3], prose=["why"]))
    out.print(
        f"\n{len(due)} of {len(planned)} partitions are due: about {sum(p.calls for p in due):,} calls, "
        f"{seconds:.0f} s at {rate:,.0f} calls/s. Nothing was done."
    )
    return 0 if due else 3


def _plan_rows(planned: list[PlannedPartition]) -> list[tuple[Any, ...]]:
    groups: dict[tuple[str, str], list[PlannedPartition]] = defaultdict(list)
    for p in planned:
        groups[f"{p.partition.table_group} {p.partition.key.split('/')[0]} {p.partition.window}", p.why].append(p)
    return [
        (name, sum(p.is_due for p in members), f"{sum(p.calls for p in members):,}", why)
        for (name, why), members in sorted(groups.items())
    ]


def _measured_rate(config: Config) -> float:
    """Calls per second of the newest finished run of this lake, or a careful guess."""
    ledger = Ledger.read(Lake.of(config))
    rows = [s.complete for s in ledger.states.values() if s.complete and s.complete["calls"]]
    if not rows:
        return CALLS_PER_SECOND
    newest = max(rows, key=lambda row: row["finished_at"])["run_id"]
    mine = [row for row in rows if row["run_id"] == newest]
    spent = (max(r["finished_at"] for r in mine) - min(r["started_at"] for r in mine)).total_seconds()
    return max(sum(r["calls"] for r in mine) / spent, 1.0) if spent > 0 else CALLS_PER_SECOND
