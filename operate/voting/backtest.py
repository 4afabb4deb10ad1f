"""`foreshore backtest`: what the published replay says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from extract.errors import RequestError
from operate.console import out, table
from operate.warehouse import Warehouse, query


def summary(warehouse: Warehouse, protocol: str | None) -> list[dict[str, Any]]:
    """Rows of preboundary_backtest_summary in the order people read them."""
    columns, rows = query(warehouse, _SUMMARY)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    kept = [row for row in found if protocol in (None, row["protocol"])]
    if not kept:
        raise RequestError(
            f"no backtest of {protocol or 'any exchange'} is published: extract ended epochs, then build"
        )
    return kept


_SUMMARY = """
    with criteria as (
        select protocol, voter_id, decision_window, 'foreshore' as strategy,
            list({
                'criterion': compared_with, 'verdict': if(is_passed is null, 'open', 'fail'), 'explanation': explanation
            } order by is_passed nulls last, compared_with) as not_passed
        from preboundary_backtest_statistics
        where metric = 'criterion' and is_passed is not true
        group by all
    )

    select * exclude (position, is_simulated, not_passed), coalesce(not_passed, []) as criteria_not_passed
    from preboundary_backtest_summary
    left join (select strategy, position from main_seeds.backtest_variants) using (strategy)
    left join criteria using (protocol, voter_id, decision_window, strategy)
    order by protocol, voter_id, window_position, position
"""


def show_summary(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table per exchange: what each strategy earned at each window, and how much more ours did."""
    for protocol in sorted({row["protocol"] for row in rows}):
        mine = [row for row in rows if row["protocol"] == protocol]
        heads = [
            "window",
            "strategy",
            "epochs",
            "mean USD",
            "P10 USD",
            "of hindsight",
            "ours above it",
            "won",
            "verdict",
        ]
        title = f"Backtest of {protocol}, voter {mine[0]['voter_id']}: decided with what was known then"
        out.print()
        least_telling = ["P10 USD", "won", "epochs", "mean USD", "ours above it", "verdict"]
        lines = [_summary_line(row) for row in mine]
        out.print(table(title, heads, lines, right=heads[2:8], drop=least_telling))
        _show_criteria(mine)
    out.print(f"\n[dim]{_LEGEND}[/dim]")


_STYLES = {"pass": "green", "fail": "red", "open": "yellow"}
_LEGEND = """of hindsight: of the most that could be earned under the exchange's own limits.
ours above: mean over epochs, in points of hindsight, with its 90 % interval (none while withheld);
an epoch that earned nothing counts as 0. closed: the exchange takes no votes then.
verdict: acceptance criteria passed, in full with
foreshore sql "select * from preboundary_backtest_statistics where metric = 'criterion'\""""


def _show_criteria(rows: Sequence[Mapping[str, Any]]) -> None:
    """Which criteria keep a window from passing, and what was found; a criterion that says the same is said once."""
    told: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        for one in row["criteria_not_passed"]:
            windows = told.setdefault((one["verdict"], one["criterion"], one["explanation"]), [])
            windows += [row["decision_window"]] if row["decision_window"] not in windows else []
    for (verdict, criterion, explanation), windows in told.items():
        style = _STYLES[verdict]
        out.print(f"[{style}]{verdict}[/{style}] {', '.join(windows)}, {criterion}: {escape(explanation)}")


def show_verdicts(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per exchange and window: what ours earned, how far above each baseline, and the verdict."""
    against = ("proportional", "hold", "snapshot")
    heads = [
        "protocol",
        "window",
        "epochs",
        "mean USD",
        "of hindsight",
        *(f"above {name}" for name in against),
        "verdict",
    ]
    lines = []
    for row in rows:
        if row["strategy"] == "foreshore":
            same = [r for r in rows if all(r[k] == row[k] for k in ("protocol", "voter_id", "decision_window"))]
            gains = {r["strategy"]: _gain(r) for r in same}
            lines.append(
                [
                    row["protocol"],
                    row["decision_window"] + ("" if row["is_votable"] else " (closed)"),
                    str(row["voted_count"]),
                    usd(row["mean_realised_usd"]),
                    share(row["mean_hindsight_share"]),
                    *(gains.get(name, "") for name in against),
                    _verdict(row),
                ]
            )
    out.print()
    out.print(table("Backtest: decided with what was known then", heads, lines, right=heads[2:8], drop=heads[5:8]))
    out.print(f"\n[dim]{_LEGEND}[/dim]")


def _summary_line(row: Mapping[str, Any]) -> list[str]:
    return [
        row["decision_window"] + ("" if row["is_votable"] else " (closed)"),
        row["strategy"],
        str(row["voted_count"]),
        usd(row["mean_realised_usd"]),
        usd(row["p10_realised_usd"]),
        share(row["mean_hindsight_share"]),
        _gain(row),
        share(row["win_share"]),
        _verdict(row),
    ]


def _verdict(row: Mapping[str, Any]) -> str:
    style = _STYLES.get(row["acceptance"])
    if style is None:
        return ""
    passed, judged = row["criteria_passed"], row["criteria_passed"] + row["criteria_failed"] + row["criteria_open"]
    return f"[{style}]{row['acceptance']}[/{style}] {passed}/{judged}"


def _gain(row: Mapping[str, Any]) -> str:
    if row["mean_gain_share"] is None:
        return ""
    if row["gain_low_share"] is None:
        return _signed(row["mean_gain_share"])
    low, high = _signed(row["gain_low_share"]), _signed(row["gain_high_share"])
    return f"{_signed(row['mean_gain_share'])} ({low} to {high})"


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.1%}"  # + 0.0: a rounded -0.0 is no loss


def usd(value: float | None) -> str:
    """Whole dollars, or nothing."""
    return "" if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Percent, or nothing."""
    return "" if value is None else f"{value:.1%}"
