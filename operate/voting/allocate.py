"""`foreshore allocate`: one allocation from a file, with its proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from decide.errors import DecisionError, Infeasible, NothingToGain
from decide.voting import instance, joint_instance
from decide.voting.optimum.branch import Effort
from extract.errors import RequestError
from extract.json_text import parse_json
from operate.console import out, print_json, table

STATUS: dict[type[Exception], str] = {Infeasible: "infeasible", NothingToGain: "nothing_to_gain"}


def read(file: str) -> object:
    """The JSON of a file, or of standard input for '-'."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read: {error}. Give a JSON file, or '-' for standard input") from error
    try:
        return parse_json(text, _unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError(
            f"{file} is not JSON: {error.msg} at {where}. `foreshore allocate --help` shows it"
        ) from error
    except RecursionError as error:
        raise RequestError(f"{file} is nested too deeply to be an instance") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise RequestError(f"the key {key!r} stands twice in one object: keep one")
    return dict(pairs)


def show(found: dict[str, Any]) -> None:
    """The allocation as a table, then what it is worth and how sure that is."""
    columns = ["gauge", "votes", "share", "expected USD", "USD per 1,000 more", "previous"]
    voted = sorted((row for row in found["per_gauge"] if row["votes"]), key=lambda row: -row["votes"])
    rows = [
        [
            row["id"],
            f"{row['votes']:,}",
            f"{row['share']:.2%}",
            f"{row['expected_return']:,.2f}",
            f"{1000 * row['marginal_value']:,.4f}",
            f"{row['prev']:,.0f}",
        ]
        for row in voted
    ]
    out.print(table("Allocation", columns, rows, right=columns[1:]))
    scenarios = ", ".join(f"{value:,.2f}" for value in found["scenario_returns"])
    limit = "" if found["turnover_limit"] is None else f" of at most {found['turnover_limit']:,.0f}"
    facts = [
        ["status", found["status"]],
        ["expected return", f"{found['expected_return']:,.4f} USD (by scenario: {scenarios})"],
        ["risk term", f"{found['risk_term']:,.4f} USD (downside {found['downside']:,.4f})"],
        ["objective", f"{found['objective']:,.6f} USD"],
        ["no allocation exceeds", f"{found['bound']:,.6f} USD (gap {found['gap']:.1e}, before rounding {_gap(found)})"],
        ["gauges", f"{found['gauges_used']}"],
        ["votes that move", f"{found['turnover']:,.0f}{limit} ({found['turnover_share']:.1%})"],
    ]
    out.print(table("", ["", ""], facts))


def show_together(found: dict[str, Any]) -> None:
    """A table of votes per NFT, then what they are worth together and how sure that is."""
    columns = ["gauge", "votes", "change"]
    for nft in found["nfts"]:
        names = sorted({*nft["allocation"], *nft["change"]}, key=lambda name: -nft["allocation"].get(name, 0))
        rows = [[name, f"{nft['allocation'].get(name, 0):,}", f"{nft['change'].get(name, 0):+,.0f}"] for name in names]
        title = f"NFT {nft['id']}, {nft['votes']:,} votes" + (", fixed" if nft["fixed"] else "")
        out.print(table(title, columns, rows, right=columns[1:]))
    scenarios = ", ".join(f"{value:,.2f}" for value in found["scenario_returns"])
    facts = [
        ["status", found["status"]],
        ["expected return", f"{found['expected_return']:,.4f} USD together (by scenario: {scenarios})"],
        ["objective", f"{found['objective']:,.6f} USD"],
        ["no votes exceed", f"{found['bound']:,.6f} USD (gap {found['gap']:.1e})"],
    ]
    out.print(table("", ["", ""], facts))


def _gap(found: dict[str, Any]) -> str:
    return f"{found['continuous']['gap']:.1e}"


@click.command("allocate")
@click.option("--instance", "file", metavar="FILE", required=True, help="JSON instance; '-' reads standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option(
    "--max-nodes", type=click.IntRange(1), default=2000, show_default=True, help="Search nodes before it gives up."
)
def allocate(file: str, as_json: bool, max_nodes: int) -> None:
    """The best votes for one instance, with an upper bound that proves them.

    With "nfts", the votes of several NFTs of one voter are decided together, with a change set each.
    Exit code 0 with an allocation, 1 without: the reason is printed (with --json as status and reason).

    \b
    An instance
      {"voting_power": 1774908, "min_votes": 50000, "k_max": 5,
       "scenario_weights": [0.25, 0.5, 0.25], "risk": "worst", "lambda": 0.2, "alpha": 0.25,
       "max_turnover": 0.8,
       "gauges": [{"id": "0xab..", "votes": [120000, 110000, 100000], "rewards": [90, 100, 120],
                   "prev": 0, "cap": null}]}
      votes are everybody else's, rewards USD, one per scenario; prev your last votes.
      risk: none, worst, cvar, semidev, regret; lambda between 0 and 1 says how much it counts.

    \b
    Several NFTs
      {"scenario_weights": [1], "k_max": 5, "min_votes": 1000,
       "nfts": [{"id": "8", "voting_power": 900000, "prev": {"0xab..": 900000}},
                {"id": "34", "voting_power": 70000, "k_max": 2, "max_turnover": 0.8, "fixed": false}],
       "gauges": [{"id": "0xab..", "votes": [120000], "rewards": [90]}]}
      votes leave out those of all your NFTs; limits at the top hold where an NFT has none of its own;
      caps: {"0xab..": 50000} is the most an NFT may give a gauge; a fixed NFT cannot vote now, its prev stays.

    \b
    Examples
      foreshore allocate --instance week.json
      foreshore allocate --instance week.json --json | jq .allocation
      cat week.json | foreshore allocate --instance -
    """
    try:
        given = read(file)
        together = isinstance(given, dict) and "nfts" in given
        found = (joint_instance if together else instance).allocate(given, Effort(max_nodes=max_nodes))
    except (DecisionError, RequestError) as error:
        if not as_json:
            raise RequestError(str(error)) from error
        print_json({"status": STATUS.get(type(error), "invalid"), "reason": str(error)})
        sys.exit(1)
    if as_json:
        print_json(found)
    elif together:
        show_together(found)
    else:
        show(found)
