"""`make demo`: every line on the embedded worlds, from extraction to what it tells."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from rich.markup import escape

from extract.config import read_config
from extract.lending.plan import Request as LendingRequest
from extract.voting.epochs import utc
from extract.voting.plan import Request
from operate import worlds
from operate.bars.pre_paper import demo as pre_paper_demo
from operate.console import out, table
from operate.gates import show_verdicts as show_verdicts_of_gates
from operate.lending import commands as lending
from operate.markets import demo as markets_demo
from operate.rebuild import rebuild, run_dbt, show_publication
from operate.report.site import DOCS
from operate.report.site import build as build_site
from operate.voting.backtest import show_verdicts, summary
from operate.voting.extraction import run_voting
from operate.voting.recommend_view import ACTION_STYLE
from operate.warehouse import Warehouse, query


def run(**sizes: int) -> int:
    """Every line on the embedded worlds, in one process; returns the exit code."""
    clock = _Clock()
    was_up = worlds.is_up()
    processes = None if was_up else worlds.start(**sizes)
    out.print(
        f"Building a chain with two exchanges and {sizes['epochs']} weekly epochs, and one with lending markets "
        "(about 30 s) ..."
    )
    try:
        warehouse = Warehouse.of(read_config(worlds.config_file()))
        if processes is not None:
            run_dbt(warehouse, ["--quiet", "parse"])  # while the worlds build
            worlds.ready(processes)
        clock.lap("worlds")
        config = read_config(worlds.config_file())
        codes = [
            run_voting(config, Request(epochs=sizes["epochs"]), as_json=False),
            lending.run(config, LendingRequest(), plan=False, as_json=False),
            pre_paper_demo.extract(config),
        ]
        clock.lap("extract")
        if any(code not in (0, 3) for code in codes):
            return max(codes)
    finally:
        if not was_up:
            worlds.down()
    markets_demo.run_history(config)
    clock.lap("markets")
    out.print("Building and testing the warehouse, then its docs ...")
    made = rebuild(warehouse)
    clock.lap("build, test and publish")
    if code := show_publication(warehouse, made):
        return code
    if not run_dbt(warehouse, ["--quiet", "docs", "generate", "--static"]):
        return 1
    site = build_site(warehouse, config.root / "report", DOCS)
    clock.lap("docs and report")
    show_result(warehouse)
    show_decisions(warehouse)
    show_panel(warehouse)
    code = pre_paper_demo.show(config, warehouse)
    clock.lap("pre-paper")
    markets_demo.show_scores(warehouse)
    show_verdicts_of_gates(warehouse)
    show_places(warehouse, site[0])
    out.print(clock.summary())
    return code


def night(**sizes: int) -> int:
    """A boundary night on the embedded world, started for it where it is not up; the exit code."""
    from operate.voting.watch.demo import play  # a night needs what no other demo does

    was_up = worlds.is_up()
    if not was_up:
        out.print("Building the embedded world as it was (about 30 s) ...")
        worlds.up(**sizes)
    try:
        world = json.loads((worlds.VOTING.folder / worlds.VOTING.told).read_text())
        config = read_config(worlds.config_file())
        if not was_up:  # attempts of a night before were on a chain that is gone: they would never be settled
            shutil.rmtree(config.root / "nights", ignore_errors=True)
        return play(config, world)
    finally:
        if not was_up:
            worlds.down()


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
    out.print(
        table(
            "What was visible at each decision window",
            heads,
            shown,
            right=heads[2:8],
            drop=["rows", "with rewards", "epochs"],
        )
    )
    caught = all(r[heads.index("leakage")].startswith(("[green]", "clean")) for r in shown)
    out.print(
        "\nThe control holds final state on purpose and must be caught; every other window must be clean: "
        + ("[green]so it is[/green]." if caught else "[red]not so[/red].")
    )


def show_places(warehouse: Warehouse, report: Path) -> None:
    """Where to look next."""
    out.print(f"\nWarehouse  {warehouse.published_file}")
    out.print('Query it   [bold].venv/bin/foreshore sql "select * from preboundary_leakage_checks"[/bold]')
    out.print(f"Parquet    {warehouse.exports}/<wing>/*.parquet")
    out.print(f"Report     {report} (opens offline: figures for every user)")
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
        table(
            "What to do at each window, newest epoch",
            heads,
            [_decision_row(row) for row in found],
            right=right,
            drop=["limits cost", "worst to best", "what stands"],
        )
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


_PANEL = """
    select
        csu_name, count(*) as days, count(*) filter (where panel_status = 'complete') as complete,
        max_by(gross_tvl_usd, day) as gross, max_by(debt_usd, day) as debt, max_by(net_tvl_usd, day) as net,
        sum(liquidation_count) as liquidations, sum(repaid_debt_usd) as repaid, sum(bad_debt_usd) as bad_debt,
        sum(missing_price_count) as missing,
        string_agg(distinct panel_status, ', ') filter (where panel_status <> 'complete') as otherwise
    from csu_daily_panel
    group by csu_name
    order by net desc nulls last, csu_name
"""


def show_panel(warehouse: Warehouse) -> None:
    """Each CSU over all days: its newest net TVL, its liquidations, and how complete its panel is."""
    columns, rows = query(warehouse, _PANEL)
    heads = [
        "csu",
        "days",
        "complete",
        "gross USD",
        "debt USD",
        "net USD",
        "liquidations",
        "repaid USD",
        "no price",
        "else",
    ]
    shown = [_panel_row(dict(zip(columns, row, strict=True))) for row in rows]
    out.print()
    out.print(
        table(
            "Lending markets, New York days, newest TVL",
            heads,
            shown,
            right=heads[1:-1],
            drop=["no price", "gross USD", "repaid USD"],
        )
    )


def _panel_row(row: dict[str, Any]) -> list[str]:
    def usd(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}"

    return [
        escape(row["csu_name"]),
        str(row["days"]),
        str(row["complete"]),
        usd(row["gross"]),
        usd(row["debt"]),
        usd(row["net"]),
        "" if row["liquidations"] is None else f"{int(row['liquidations'])}",
        usd(row["repaid"]),
        "" if row["missing"] is None else f"{int(row['missing'])}",
        row["otherwise"] or "",
    ]
