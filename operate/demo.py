"""The embedded world from the outside: start it, point Foreshore at it, run the whole line on it, stop it.

The world is a process of its own, reached over JSON-RPC only, exactly like a real provider.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.markup import escape

from extract.config import DEFAULT_CONFIG, WORLD_CONFIG, load_config
from extract.errors import ForeshoreError
from extract.voting.epochs import utc
from extract.voting.plan import Request
from operate import extraction
from operate.backtest import show_verdicts, summary
from operate.console import err, out, table
from operate.markets import demo as markets_demo
from operate.recommend import ACTION_STYLE
from operate.warehouse import Warehouse, publish, query, run_dbt

WORLD = Path(WORLD_CONFIG).parent
START_SECONDS = 300
FAMILY_OF = {"hydrex": "thena", "velodrome": "velodrome"}  # key in world.json -> family of its contracts


class WorldError(ForeshoreError):
    """The embedded world did not start or stop as it should."""


def up(**sizes: int) -> dict[str, Any]:
    """Start the world, wait until it is ready, write its configuration; returns world.json."""
    process = start(**sizes)
    return ready(process)


def start(**sizes: int) -> subprocess.Popen[bytes]:
    """Start the world's process without waiting for it."""
    if is_up():
        raise WorldError("the embedded world is up already: `foreshore demo down` stops it")
    WORLD.mkdir(parents=True, exist_ok=True)
    _forget()
    arguments = [f"--{name}={value}" for name, value in sizes.items()]
    command = [sys.executable, "-m", "simulate", "serve", "--port=0", f"--out={WORLD}", *arguments]
    with (WORLD / "world.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    (WORLD / "pid").write_text(str(process.pid))
    return process


def ready(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for a started world; WorldError shows the end of its log when it dies or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not (WORLD / "world.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (WORLD / "world.log").read_text(errors="replace")[-2000:]
            down()
            raise WorldError(f"the embedded world did not start; the end of {WORLD / 'world.log'}:\n{tail}")
        time.sleep(0.05)
    world = dict(json.loads((WORLD / "world.json").read_text()))
    Path(WORLD_CONFIG).write_text(world_config(world))
    return world


def is_up() -> bool:
    """Whether a world process of this folder is alive."""
    pid = _pid()
    if pid is None:
        return False
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists() if Path("/proc").exists() else _responds(pid)


def down() -> bool:
    """Stop the world and forget its configuration; False when none was up."""
    was_up, pid = is_up(), _pid()
    if was_up and pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while is_up() and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_up():
            os.kill(pid, signal.SIGKILL)
    _forget()
    return was_up


def _forget() -> None:
    for path in (Path(WORLD_CONFIG), WORLD / "world.json", WORLD / "pid"):
        path.unlink(missing_ok=True)


def _pid() -> int | None:
    try:
        return int((WORLD / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _responds(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def world_config(world: dict[str, Any]) -> str:
    """foreshore.toml for a world: its chain, its feeds, its two exchanges."""
    lines = [
        "# Written by `foreshore demo up`; gone with `foreshore demo down`.",
        "[chains.world]",
        f"chain_id = {world['chain_id']}",
        "block_seconds = 2.0",
        "finality_depth = 5",
        "[[chains.world.providers]]",
        'name = "world"',
        f'url = "{world["rpc_url"]}"',
        "[chains.world.feeds]",
        *(f'"{t["address"]}" = "{t["feed"]}"' for t in world["tokens"] if t.get("feed")),
    ]
    for name, family in FAMILY_OF.items():
        exchange = world["protocols"][name]
        lines += [
            f"[voting.{name}_world]",
            f'family = "{family}"',
            'chain = "world"',
            f'voter = "{exchange["voter"]}"',
            f'minter = "{exchange["minter"]}"',
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def world_if_needed() -> Iterator[None]:
    """The world for the duration, where no provider is configured; says so."""
    if _is_configured():
        yield
        return
    err.print("No RPC provider is configured (BASE_RPC_URL is not set): using the embedded world.")
    up()
    try:
        yield
    finally:
        down()


def _is_configured() -> bool:
    if os.environ.get("FORESHORE_CONFIG") or is_up():
        return True
    chains = load_config(DEFAULT_CONFIG).section("chains").values()
    providers = [p for chain in chains for p in chain.get("providers", [])]
    return any("url" in p or os.environ.get(p.get("url_env", "")) for p in providers)


def run(**sizes: int) -> int:
    """The whole line on the embedded world, in one process; returns the exit code."""
    clock = _Clock()
    was_up = is_up()
    process = None if was_up else start(**sizes)
    out.print(f"Building a chain with two exchanges and {sizes['epochs']} weekly epochs (about 20 s) ...")
    try:
        warehouse = Warehouse.of(load_config(DEFAULT_CONFIG))
        if process is not None:
            run_dbt(warehouse, ["--quiet", "parse"])  # while the world builds on the other core
            ready(process)
        clock.lap("world")
        config = load_config(WORLD_CONFIG)
        code = extraction.run_voting(config, Request(epochs=sizes["epochs"]), as_json=False)
        clock.lap("extract")
        if code not in (0, 3):
            return code
    finally:
        if not was_up:
            down()
    markets_demo.run_history(load_config(DEFAULT_CONFIG))
    clock.lap("markets")
    out.print("Building and testing the warehouse, then its docs ...")
    if not run_dbt(warehouse, ["--quiet", "build"]):
        err.print("[bold red]error[/bold red] the build did not pass; see the failures above")
        return 1
    clock.lap("build and test")
    publish(warehouse)
    clock.lap("publish")
    if not run_dbt(warehouse, ["--quiet", "docs", "generate", "--static"]):
        return 1
    clock.lap("docs")
    show_result(warehouse)
    show_decisions(warehouse)
    markets_demo.show_scores(warehouse)
    show_places(warehouse)
    out.print(clock.summary())
    return 0


class _Clock:
    """Seconds per step, for the last line of the demo."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []
        self.started = self.last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps.append((name, now - self.last))
        self.last = now

    def summary(self) -> str:
        steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.laps)
        return f"[dim]{steps}; {self.last - self.started:.1f} s in all[/dim]"


_RESULT = """
    select
        coverage.protocol, coverage.decision_window, count(*) as epochs, sum(coverage.gauge_count) as rows,
        min(coverage.coverage_share) as coverage, avg(coverage.rewarded_share) as rewarded,
        sum(coverage.mismatch_count) as mismatches,
        count(*) filter (where checks.verdict = 'leak') as leaks,
        count(*) filter (where checks.verdict = 'suspect') as suspects,
        avg(checks.equal_share) as equal_share,
        any_value(points.window_position) as position,
        bool_or(coverage.is_control) as is_control,
        count(checks.verdict) as checked
    from preboundary_snapshot_coverage as coverage
    inner join decision_points as points using (protocol, epoch, decision_window)
    left join preboundary_leakage_checks as checks using (protocol, epoch, decision_window)
    group by all
    order by coverage.protocol, position
"""


def show_result(warehouse: Warehouse) -> None:
    """Epochs x windows x rows, coverage and leakage verdicts of what was published, and where to look next."""
    columns, rows = query(warehouse, _RESULT)
    shown = [_result_row(dict(zip(columns, row, strict=True))) for row in rows]
    heads = [
        "protocol",
        "window",
        "epochs",
        "rows",
        "coverage",
        "with rewards",
        "call = events",
        "equal to truth",
        "leakage",
    ]
    out.print()
    out.print(table("What was visible at each decision window", heads, shown, right=heads[2:8]))
    caught = all(r[heads.index("leakage")].startswith(("[green]", "clean")) for r in shown)
    out.print(
        "\nThe control holds final state on purpose and must be caught; every other window must be clean: "
        + ("[green]so it is[/green]." if caught else "[red]not so[/red].")
    )


def show_places(warehouse: Warehouse) -> None:
    """Where to look next."""
    out.print(f"\nWarehouse  {warehouse.published_file}")
    out.print('Query it   [bold].venv/bin/foreshore sql "select * from preboundary_leakage_checks"[/bold]')
    out.print(f"Parquet    {warehouse.exports}/*.parquet")
    out.print("Docs       target/static_index.html (opens offline: models, columns, lineage)")
    out.print("Decide     [bold].venv/bin/foreshore recommend --window T-5[/bold]")


_DECISIONS = """
    select protocol, decision_window, recommended_action, epoch, expected_usd, conservative_usd, aggressive_usd,
        standing_usd, inclusion_risk, limits_cost_share, reason
    from preboundary_recommendations
    inner join main_intermediate.int_voter_windows as windows using (protocol, voter_id, epoch, decision_window)
    where windows.voter_position = 1
    qualify row_number() over (partition by protocol, decision_window order by epoch desc) = 1
    order by protocol, windows.window_position
"""


def show_decisions(warehouse: Warehouse) -> None:
    """The newest recommendation of every window with its reason, then what a backtest says of such decisions."""
    columns, rows = query(warehouse, _DECISIONS)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    heads = ["protocol", "window", "epoch", "do", "expected USD", "worst to best", "what stands", "risk", "limits cost"]
    right = ["expected USD", "worst to best", "what stands", "limits cost"]
    out.print()
    out.print(
        table("What to do at each window, newest epoch", heads, [_decision_row(row) for row in found], right=right)
    )
    out.print()
    for row in found:
        out.print(f"  {row['protocol']} {row['decision_window']}: {escape(row['reason'])}", soft_wrap=True)
    show_verdicts(summary(warehouse, None))


def _decision_row(row: dict[str, Any]) -> list[str]:
    style, worth = ACTION_STYLE[row["recommended_action"]], row["expected_usd"]
    return [
        row["protocol"],
        row["decision_window"],
        f"{utc(row['epoch']):%Y-%m-%d}",
        f"[{style}]{row['recommended_action']}[/{style}]",
        "" if worth is None else f"{worth:,.0f}",
        "" if worth is None else f"{row['conservative_usd']:,.0f} to {row['aggressive_usd']:,.0f}",
        f"{row['standing_usd']:,.0f}",
        row["inclusion_risk"],
        "" if row["limits_cost_share"] is None else f"{row['limits_cost_share']:.0%}",
    ]


def _result_row(row: dict[str, Any]) -> list[str]:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.0%}"

    if row["is_control"]:
        verdict = "[green]control caught[/green]" if row["leaks"] == row["checked"] > 0 else "[red]control MISSED[/red]"
    elif row["leaks"] or row["suspects"]:
        verdict = f"[red]{row['leaks']} leaks, {row['suspects']} suspects[/red]"
    else:
        verdict = "clean"
    return [
        row["protocol"],
        row["decision_window"],
        str(row["epochs"]),
        f"{int(row['rows']):,}",
        share(row["coverage"]),
        share(row["rewarded"]),
        "all agree" if row["mismatches"] == 0 else f"{row['mismatches']} differ",
        share(row["equal_share"]),
        verdict,
    ]


def run_with_world(arguments: Sequence[str]) -> int:
    """Run a `foreshore` command, with the world for its duration where no provider is configured."""
    with world_if_needed():
        code = subprocess.call([sys.executable, "-m", "operate.cli", *arguments])
    return 0 if code == 3 else code
