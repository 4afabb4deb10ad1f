"""The verb `repair`: put damaged raw files aside and fetch exactly their partitions again."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence

import click
from rich.markup import escape

from extract.config import Config, load_config
from extract.integrity import audit, put_aside
from extract.lake import Lake
from extract.ledger import Ledger, Partition, partition_of
from operate.bars import extraction as bars
from operate.console import err, out, print_json
from operate.lending import commands as lending
from operate.markets import extraction as markets
from operate.options import config_option, json_option
from operate.status import show_damages
from operate.voting import extraction as voting

Refetch = Callable[[Config, Sequence[Partition], bool], list[int]]
WINGS: dict[str, Refetch] = {
    "voting": voting.refetch,
    "lending": lending.refetch,
    "bars": bars.refetch,
    "markets": markets.refetch,
}
BY_HAND = {  # what a person landed, a person lands again
    "decisions": "record it again: foreshore submitted --file FILE",
    "pre_paper": "land it again: foreshore pre-paper land --run RUN",
}
NEVER_AGAIN = {"nights"}  # decided live, once: what the warehouse decided after finality stands without it


@click.command()
@click.option("--verify", is_flag=True, help="Read every file, also those unchanged since they were verified.")
@click.option("--plan", is_flag=True, help="Say what is damaged and what would be fetched again; do nothing.")
@json_option
@config_option
def repair(verify: bool, plan: bool, as_json: bool, config_file: str | None) -> None:
    """Fetch again exactly what is not as it was landed: edited, damaged or deleted raw files.

    Damaged loads are kept beside the raw zone's tables (`_damaged`). What a newer load holds is not fetched again.

    \b
    Examples
      foreshore repair --plan
      foreshore repair
      foreshore repair --verify --json
    """
    config = load_config(config_file)
    lake = Lake.of(config)
    if plan:
        damages = audit(lake, verify)
        print_json({"damaged": [vars(damage) for damage in damages]}) if as_json else show_damages(damages)
        sys.exit(0 if damages else _nothing(as_json))
    with lake.lock():
        damages = audit(lake, verify)
        put_aside(lake, damages)
        lake.sweep()
    for damage in damages:
        err.print(f"[red]damaged[/red] {escape(damage.spoken())}")
    due = _lost(lake)
    if not due and not damages:
        sys.exit(_nothing(as_json))
    codes = [code for source, partitions in due.items() for code in _again(config, source, partitions, as_json)]
    open_still = [name for partitions in _lost(lake).values() for name in (p.partition_id for p in partitions)]
    if as_json:
        print_json({"damaged": [vars(damage) for damage in damages], "open": open_still})
    elif open_still:
        err.print(f"Still missing: {escape(', '.join(open_still))}")
    else:
        out.print(f"Repaired: {sum(map(len, due.values()))} partitions fetched again. Build again to publish them.")
        if any(NEVER_AGAIN & {partition.split("/")[0] for partition in damage.partitions} for damage in damages):
            out.print("Decisions of a night cannot be made live again: those made after finality stand without them.")
    sys.exit(0 if not open_still else 1 if codes and all(code == 1 for code in codes) else 2)


def _lost(lake: Lake) -> dict[str, list[Partition]]:
    """Partitions whose data were damaged and that nothing has replaced yet, by source."""
    found: dict[str, list[Partition]] = defaultdict(list)
    for name, state in Ledger.read(lake).states.items():
        is_lost = state.complete is None and state.was_damaged
        if is_lost and state.newest["source"] not in NEVER_AGAIN:
            found[state.newest["source"]].append(partition_of(name))
    return dict(found)


def _again(config: Config, source: str, partitions: Sequence[Partition], as_json: bool) -> list[int]:
    if source in WINGS:
        return WINGS[source](config, partitions, as_json)
    for partition in partitions:
        err.print(f"{escape(partition.partition_id)} was landed by a person: {escape(BY_HAND[source])}")
    return [2]


def _nothing(as_json: bool) -> int:
    if not as_json:
        out.print("Nothing to repair: every raw file is as it was landed.")
    else:
        print_json({"damaged": [], "open": []})
    return 3
