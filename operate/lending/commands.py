"""The verbs of the lending line: extract it, plan it, see how far it is."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from extract.config import Config, load_config
from extract.lake import Lake
from extract.ledger import Ledger, Partition, PartitionState
from extract.lending.cost import Cost, costs
from extract.lending.days import parse_day
from extract.lending.plan import DAYS, KINDS, MISSING_PRICES, SOURCE, Request
from extract.lending.registry import load_registry
from extract.lending.run import extract_lending as run_extraction
from extract.lending.run import measure_periods
from operate.causes import by_cause
from operate.console import err, print_json, table
from operate.console import out as console
from operate.extraction import run_line
from operate.lending.package import FORMATS, Wanted, pack
from operate.options import config_option, engine_options, json_option, where_of
from operate.status import running_now, told_failing
from operate.warehouse import Warehouse, WarehouseError, query

FIRST_PLAN_CALLS = 720  # 7,200 blocks a day, 10 a request
CAPS = (10, 2_000, 10_000)  # blocks per eth_getLogs that providers allow: free tiers, most, the widest


@click.command("lending")
@click.option(
    "--csu",
    "csus",
    metavar="ID,ID,...",
    help="CSUs of the registry, or `planned` for the 43  [default: every one with a provider].",
)
@click.option("--since", metavar="DAY", help="First New York day, e.g. 2024-12-01.")
@click.option("--until", metavar="DAY", help="Last New York day  [default: the last ended one].")
@click.option("--days", type=click.IntRange(1), help="How many days, counted back from --until  [default: 1].")
@click.option("--workers", type=click.IntRange(1, 64), default=5, show_default=True, help="Chain-days in flight.")
@click.option("--resume/--no-resume", default=True, show_default=True, help="Skip what is complete, or fetch anew.")
@click.option("--retry-missing", is_flag=True, help="Ask again for prices that nobody had; scans nothing anew.")
@engine_options
@click.option("--plan", is_flag=True, help="Print requests by chain and cap; reads a dozen headers, lands nothing.")
@json_option
@config_option
def extract_lending(csus: str | None, plan: bool, as_json: bool, config_file: str | None, **asked: Any) -> None:
    """Daily supply, debt and liquidations of lending deployments (CSUs), New York days.

    \b
    Examples
      foreshore extract lending --csu aave_v3_ethereum --since 2024-12-01 --until 2024-12-31 --plan
      foreshore extract lending --csu aave_v3_ethereum,compound_v3_eth_usdc --since 2024-12-01 --until 2024-12-31
      foreshore extract lending --days 7 --engine dask --workers 2
      foreshore extract lending --days 7 --retry-missing
    """
    request = Request(csus=_names(csus), where=where_of(asked), **asked)
    sys.exit(run(load_config(config_file), request, plan, as_json))


@click.command("lending")
@click.option("--since", required=True, metavar="DAY", help="First New York day, e.g. 2024-12-01.")
@click.option("--until", required=True, metavar="DAY", help="Last New York day.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="parquet", show_default=True, help="Of tables."
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@json_option
@config_option
def export_lending(since: str, until: str, format_: str, out: Path, as_json: bool, config_file: str | None) -> None:
    """The researcher's package: panel, reserves, liquidations, codebook, registry, blocks, hashes, commands.

    \b
    Examples
      foreshore export lending --since 2024-12-01 --until 2024-12-31 --out december
      foreshore export lending --since 2024-12-01 --until 2024-12-31 --format dta --out december_stata
    """
    wanted = Wanted(parse_day(since), parse_day(until), format_, out)
    manifest = pack(load_config(config_file), wanted, err.print)
    if as_json:
        print_json(manifest)
    else:
        rows = sum(of["rows"] for of in manifest["files"].values())
        console.print(f"{len(manifest['files'])} files, {rows:,} rows in {wanted.folder}; README.md says what is what.")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def run(config: Config, request: Request, plan: bool, as_json: bool) -> int:
    """Extract the lending line, or print its plan."""
    if plan:
        return show_plan(config, request, as_json)
    return run_line(
        config, SOURCE, request, lambda run_id, report: run_extraction(config, request, run_id, report), as_json
    )


def refetch(config: Config, partitions: Sequence[Partition], as_json: bool) -> list[int]:
    """Fetch partitions again that are complete no more; exit codes, one per day."""
    registry = load_registry(config)
    wanted: dict[str, set[str]] = defaultdict(set)
    for partition in partitions:  # the day of a chain is fetched with what was asked of it before
        is_chain = partition.table_group == DAYS
        wanted[partition.window] |= (
            {name for name, csu in registry.items() if csu.chain == partition.key} if is_chain else {partition.key}
        )
    asked = {s.newest["partition_key"] for s in Ledger.read(Lake.of(config)).states.values()}
    return [
        run(config, Request(csus=tuple(sorted(csus & asked)), since=day, until=day), plan=False, as_json=as_json)
        for day, csus in sorted(wanted.items())
    ]


def show_plan(config: Config, request: Request, as_json: bool) -> int:
    """Requests of a plan by chain, at three caps, beside the naive way. Exit code 0, or 3 when nothing is due."""
    ledger, periods = Ledger.read(Lake.of(config)), asyncio.run(measure_periods(config, request))
    by_cap = {cap: costs(config, request, ledger, cap, periods) for cap in CAPS}
    found = by_cap[CAPS[0]]
    naive = sum(cost.naive_logs for cost in found)
    first_plan = sum(cost.csus * cost.days for cost in found) * FIRST_PLAN_CALLS
    if as_json:
        print_json(
            {
                "first_plan_calls": first_plan,
                "naive_calls": naive,
                "caps": {cap: [vars(c) for c in of] for cap, of in by_cap.items()},
            }
        )
        return 0 if naive else 3
    right = ["CSUs", "days", "blocks a day", "state reads", "naive", *(f"at {cap:,}" for cap in CAPS)]
    rows = [_plan_row(i, by_cap) for i in range(len(found))]
    rows.append(
        ("all", sum(c.csus for c in found), max((c.days for c in found), default=0), "", f"{_reads(found):,}",
         f"{naive:,}", *(f"{_logs(by_cap[cap]):,}" for cap in CAPS))
    )  # fmt: skip
    console.print(table("Requests by chain and blocks per request", ["chain", *right], rows, right=right))
    for cap in CAPS:
        _say_cap(cap, by_cap[cap], naive)
    assumed = [cost.chain for cost in found if not cost.is_measured]
    if assumed:
        console.print(f"Blocks a day are assumed, not the chain's own of then (no provider): {', '.join(assumed)}.")
    console.print(
        "[dim]naive: each CSU scans each day by itself, 10 blocks a request. Ours: one scan per chain and day, ranges "
        "as wide as the provider and its results allow. CSUs that begin later are not counted, by their start date or, "
        "where the chain was asked, their start block. Nothing was done.[/dim]"
    )
    return 0 if naive else 3


def _say_cap(cap: int, costs_: list[Cost], naive: int) -> None:
    """One cap in words: logs and state, and what comes on top."""
    total = _logs(costs_) + _reads(costs_)
    ratio = f"{naive / total:,.0f}x fewer than naive" if total else "nothing is due"
    extra = {name: sum(getattr(c, name) for c in costs_) for name in ("headers", "history", "samples")}
    more = ", ".join(f"{number:,} for {name}" for name, number in extra.items() if number)
    console.print(
        f"At {cap:,} blocks a request: {total:,} requests for logs and state, {ratio}{'; ' + more if more else ''}."
    )


def _plan_row(i: int, by_cap: dict[int, list[Cost]]) -> tuple[Any, ...]:
    cost = by_cap[CAPS[0]][i]
    logs = (f"{by_cap[cap][i].logs:,}" for cap in CAPS)
    blocks = f"{cost.blocks_per_day:,}{'' if cost.is_measured else ' assumed'}"
    return cost.chain, cost.csus, cost.days, blocks, f"{cost.reads:,}", f"{cost.naive_logs:,}", *logs


def _logs(costs_: list[Cost]) -> int:
    return sum(cost.logs for cost in costs_)


def _reads(costs_: list[Cost]) -> int:
    return sum(cost.reads for cost in costs_)


def show_lending_status(config: Config, as_json: bool) -> int:
    """Days done, failing and open by CSU; exit code 2 when something fails."""
    states = [
        s for s in Ledger.read(Lake.of(config)).states.values()
        if s.newest["source"] == SOURCE and s.newest["table_group"] in KINDS
    ]  # fmt: skip
    days = sorted({s.newest["partition_window"] for s in states})
    by_csu: dict[str, list[PartitionState]] = defaultdict(list)
    for state in states:
        by_csu[state.newest["partition_key"]].append(state)
    names = _published_names(config)
    rows = [_status_row(csu, names.get(csu, ""), of, days) for csu, of in sorted(by_csu.items())]
    failing = [s.newest for s in states if s.is_failing]
    running = running_now(config)
    if as_json:
        print_json({"days": days, "csus": rows, "failing": failing, "running": running})
    elif not rows:
        console.print("No CSU has been extracted yet: run `foreshore extract lending --plan`, then without --plan.")
    else:
        heads = ["CSU", "name", "days", "done", "failing", "open", "unpriced"]
        title = f"Lending, {days[0]} to {days[-1]}"
        shown = [[escape(str(value)) for value in row.values()] for row in rows]
        console.print(table(title, heads, shown, right=heads[2:], drop=["name"]))
        for line in by_cause(told_failing(failing)):
            console.print(f"[red]failing[/red] {escape(line)}", soft_wrap=True)
        if running:
            left = running["seconds_left"]
            err.print(f"running: {running['done']} of {running['total']} chain-days, about {left} s left")
    return 2 if failing else 0


def _published_names(config: Config) -> dict[str, str]:
    """What people call each CSU; none before the first publication: the keys do."""
    asked = "select distinct csu_id, csu_name from csu_daily_panel"
    try:
        return dict(query(Warehouse.of(config), asked)[1])
    except WarehouseError:
        return {}


def _status_row(csu: str, name: str, states: list[PartitionState], days: list[str]) -> dict[str, Any]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for state in states:
        if state.complete is not None:
            kinds[state.newest["partition_window"]].add(state.newest["table_group"])
    failing = {s.newest["partition_window"] for s in states if s.is_failing}
    done = {day for day, of in kinds.items() if of == set(KINDS)}
    unpriced = sum(bool(s.complete and s.complete["error_class"] == MISSING_PRICES) for s in states)
    return {
        "csu": csu,
        "name": name,
        "days": len(days),
        "done": len(done),
        "failing": len(failing),
        "open": len(set(days) - done - failing),
        "unpriced_days": unpriced,
    }
