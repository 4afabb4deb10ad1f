"""What a run leaves for people and machines: a table, summary.json, a Prometheus text file, artifacts on request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.markup import escape

from decide.markets.experiments.protocol import canonical
from operate.console import err, out, print_json, printable, table, to_json
from operate.markets.calls import Call
from operate.markets.daily import NOTHING, Summary
from operate.markets.dry import DryStore
from operate.markets.rows import MarketRow
from operate.markets.settings import MarketSettings
from operate.markets.transcript import FILE_NAME, transcript
from operate.whole import whole_file

METRICS_NAME = "foreshore_markets.prom"
KINDS = ("forecast", "stake", "skip", "failure")


def leave(
    settings: MarketSettings, summary: Summary, artifacts: Iterable[MarketRow] = (), calls: Sequence[Call] = ()
) -> Path:
    """summary.json of the run, the metrics of the newest run, one artifact per market if kept, a transcript where
    models were asked; the run's folder."""
    folder = settings.run_folder(summary.run_id)
    text = json.dumps(to_json(vars(summary)), indent=2, default=str)
    whole_file(folder / "summary.json", text + "\n")
    whole_file(settings.root / "markets" / METRICS_NAME, metrics(summary))
    for row in artifacts:
        whole_file(folder / "artifacts" / f"{row.market_id}.json", canonical(row.payload) + "\n")
    if calls:
        whole_file(folder / FILE_NAME, transcript(calls))
    return folder


def metrics(summary: Summary) -> str:
    """Prometheus' text format, for node_exporter's textfile collector."""
    window = f'window_days="{summary.window_days}"'
    lines = []

    def gauge(name: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.extend([f"# HELP foreshore_markets_{name} {text}", f"# TYPE foreshore_markets_{name} gauge"])
        lines.extend(f"foreshore_markets_{name}{{{labels}}} {value:g}" for labels, value in samples)

    day = (summary.run_date - date(1970, 1, 1)).days
    gauge("run_day", "Day of the newest run, days since 1970-01-01.", [(window, day)])
    gauge("exit_code", "0 complete, 1 failed, 2 partial, 3 nothing to do.", [(window, summary.exit_code)])
    for name in ("listed", "refused", "processed", "failing", "excluded"):
        gauge(name, f"Markets {name} in the newest run.", [(window, getattr(summary, name))])
    stages = [(f'{window},stage="{stage}"', seconds) for stage, seconds in sorted(summary.seconds.items())]
    gauge("seconds", "Seconds of the newest run by stage.", stages)
    counts = [
        (f'{window},experiment="{name}",kind="{kind}"', found[kind])
        for name, found in sorted(summary.results.items())
        for kind in KINDS
    ]
    gauge("results", "Results of the newest run by experiment and kind.", counts)
    return "\n".join(lines) + "\n"


def show(summary: Summary, as_json: bool, folder: Path | None) -> None:
    """The outcome for the terminal, or the summary for a program."""
    if as_json:
        print_json(vars(summary))
        return
    about = f"Run {summary.run_id} (markets that end on {summary.target_date})"
    if summary.exit_code == NOTHING:
        reason = {"done": "it is complete already (--force writes it anew)", "busy": summary.note}
        out.print(f"{about}: nothing to do, {escape(reason.get(summary.kind, summary.note))}.")
        return
    rows = [(name, *(found[kind] for kind in KINDS)) for name, found in sorted(summary.results.items())]
    if rows:
        out.print(table("", ["experiment", *(f"{kind}s" for kind in KINDS)], rows, right=[f"{k}s" for k in KINDS]))
    verb = "would be written" if summary.is_dry_run else "written"
    out.print(
        f"{about}: [bold]{summary.status}[/bold]. {summary.listed} listed, {summary.refused} refused, "
        f"{summary.written} {verb} now, {summary.processed} in all, {summary.failing} failing, "
        f"{summary.seconds.get('total', 0):.1f} s."
    )
    if summary.model_calls:
        spent = f"{summary.model_tokens:,} tokens and {summary.model_usd:.4f} USD"
        out.print(f"{summary.model_calls} calls of language models; {spent} of the run's budget are spent.")
    if summary.dropped_points:
        out.print(f"{summary.dropped_points} points of price history were none and are left out.")
    for failure in summary.failures[:10]:
        where = " ".join(filter(None, (failure["stage"], failure["experiment"], failure["market_id"])))
        err.print(f"[red]failed[/red] {escape(where)}: {escape(failure['error_class'])}: {escape(failure['message'])}")
    if summary.failure_count > 10:
        err.print(f"... {summary.failure_count} failures in all")
    if summary.failures and not summary.is_dry_run:
        err.print("Run the same command again to retry what failed; what is written stays.")
    if folder is not None:
        out.print(f"[dim]{folder}/summary.json[/dim]")


def show_dry(store: DryStore, as_json: bool, summary: Summary) -> None:
    """What a dry run would have written."""
    if as_json:
        markets = [{"market_id": row.market_id, **row.payload} for row in store.markets]
        print_json({**vars(summary), "markets": json.loads(canonical(markets))})
        return
    asked = (escape(printable(row.payload["snapshot"]["question"])) for row in store.markets)
    rows = [(row.market_id, question, *_results(row)) for row, question in zip(store.markets, asked, strict=True)]
    if rows:
        out.print(table("Would be written", ["market", "question", "forecasts", "skips"], rows, prose=["question"]))
    show(summary, False, None)


def _results(row: MarketRow) -> tuple[str, str]:
    results: list[dict[str, Any]] = row.payload["results"]
    forecasts = [f"{r['experiment']} {r['probability']:.3f}" for r in results if r["kind"] == "forecast"]
    return ", ".join(forecasts), str(sum(r["kind"] == "skip" for r in results))
