"""`foreshore submitted`: record what was really voted, or show what the contracts say stands."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.markup import escape

from extract.config import Config
from extract.errors import RequestError
from extract.json_text import parse_json
from extract.lake import Lake
from extract.seeds import read_seed
from extract.voting.epochs import utc
from extract.voting.submissions import Submission, parse_submission, record_submission
from operate.console import as_text, out, print_json, printable, table
from operate.warehouse import Warehouse, query


def record(
    config: Config,
    name: str,
    submitted_at: str | None,
    transaction_hash: str | None,
    outcome: str | None,
    as_json: bool,
) -> int:
    """Land the submission in file `name`; options overrule what the file says. Exit code 0."""
    document = _read(name)
    if isinstance(document, dict):
        given = {"submitted_at": submitted_at, "transaction_hash": transaction_hash, "outcome": outcome}
        document |= {key: value for key, value in given.items() if value is not None}
    constants = {row["threshold"]: row["value"] for row in read_seed(config.seeds, "thresholds")}
    submission = parse_submission(document, int(constants["votes_decimals"]))
    _within_power(Warehouse.of(config), submission)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    rows = record_submission(Lake.of(config), submission, run_id)
    _say(submission, rows, as_json)
    return 0


def _within_power(warehouse: Warehouse, submission: Submission) -> None:
    """RequestError where more votes are recorded than the voter has, as far as what is published knows its power."""
    if not warehouse.published_file.exists():
        return
    where = (
        f"protocol = '{submission.protocol}' and voter_id = '{submission.voter_id}' and epoch = {submission.epoch} "
        "and power_raw is not null"
    )
    _, rows = query(warehouse, f"select max(power_raw) from main_intermediate.int_voter_windows where {where}")
    power, votes = rows[0][0], sum(submission.votes_raw.values())
    if power is not None and votes > int(power):
        raise RequestError(
            f"the submission has {votes / 1e18:,.2f} votes, voter {submission.voter_id} has {int(power) / 1e18:,.2f} "
            f"in epoch {submission.epoch}: the voter contract would have refused it. Check the amounts"
        )


def _read(name: str) -> Any:
    try:
        return parse_json(Path(name).read_text())
    except OSError as error:
        raise RequestError(f"{name} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{name} is not JSON: {error}") from None


def _say(submission: Submission, rows: int, as_json: bool) -> None:
    if as_json:
        print_json({"recorded": submission.partition.partition_id, "gauges": rows})
        return
    out.print(
        f"Recorded {rows} gauges of {submission.protocol} voter {submission.voter_id}, submitted "
        f"{submission.submitted_at:%Y-%m-%d %H:%M:%S} UTC. From the next build on it is the last allocation, until the "
        "chain shows a later vote."
    )


def show_chain(warehouse: Warehouse, protocol: str | None, voter: str | None, as_json: bool) -> int:
    """What the contracts say the planned voters have standing at the newest block seen; 3 when nothing stands."""
    columns, rows = query(warehouse, _STANDING)
    found = [
        row
        for row in (dict(zip(columns, values, strict=True)) for values in rows)
        if protocol in (None, row["protocol"]) and voter in (None, row["voter_id"])
    ]
    if as_json:
        print_json(found)
    elif found:
        for (name, voter_id), of in groupby(found, lambda row: (row["protocol"], row["voter_id"])):
            _show_standing(name, voter_id, list(of))
    else:
        out.print(
            "No planned voter has standing votes in what was extracted (seeds/voting/voters.csv lists the voters)."
        )
    return 0 if found else 3


def _show_standing(protocol: str, voter: str, rows: list[dict[str, Any]]) -> None:
    """What one voter has standing; the contract's word of one moment."""
    voted, seen = (as_text(rows[0][name]) or "unknown" for name in ("voted_at", "observed_at"))
    out.print(
        f"\n[bold]{escape(protocol)} voter {escape(voter)}[/bold]: epoch {utc(rows[0]['epoch']):%a %Y-%m-%d}, "
        f"voted at {voted}; the contracts said so at {seen} UTC"
    )
    lines = [[escape(printable(row["gauge_name"] or "")), f"{row['votes']:,.0f}", row["gauge_address"]] for row in rows]
    out.print(table("", ["gauge", "votes", "address"], lines, right=["votes"], drop=["address"]))


_STANDING = """
    select own.protocol, own.voter_id, own.epoch, names.gauge_name, own.gauge_address, own.stake_raw as votes_raw,
        own.stake_raw::double / 1e18 as votes, windows.voted_at, windows.observed_at
    from main_intermediate.int_own_votes as own
    inner join main_intermediate.int_voter_windows as windows using (protocol, voter_id, epoch, decision_window)
    left join gauges as names using (protocol, gauge_address)
    where own.stake_raw > 0 and not windows.is_control
    qualify windows.observed_block = max(windows.observed_block) over (partition by own.protocol, own.voter_id)
    order by own.protocol, own.voter_id, own.stake_raw desc
"""
