"""`foreshore submitted`: record what was really voted, or show what the chain's events say was."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from extract.config import Config
from extract.errors import RequestError
from extract.json_text import parse_json
from extract.land import Lake
from extract.seeds import read_seed
from extract.voting.submissions import Submission, parse_submission, record_submission
from operate.console import out, print_json, table
from operate.warehouse import Warehouse, query


def record(config: Config, name: str, submitted_at: str | None, transaction_hash: str | None, as_json: bool) -> int:
    """Land the submission in file `name`; options overrule what the file says. Exit code 0."""
    document = _read(name)
    if isinstance(document, dict):
        given = {"submitted_at": submitted_at, "transaction_hash": transaction_hash}
        document |= {key: value for key, value in given.items() if value is not None}
    constants = {row["threshold"]: row["value"] for row in read_seed(config.seeds, "thresholds")}
    submission = parse_submission(document, int(constants["votes_decimals"]))
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    rows = record_submission(Lake.of(config), submission, run_id)
    _say(submission, rows, as_json)
    return 0


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
    """What the chain's events say the planned voters have standing at the newest block seen; 3 when nothing stands."""
    columns, rows = query(warehouse, _STANDING)
    found = [
        row
        for row in (dict(zip(columns, values, strict=True)) for values in rows)
        if protocol in (None, row["protocol"]) and voter in (None, row["voter_id"])
    ]
    if as_json:
        print_json(found)
    elif found:
        heads = ["protocol", "voter", "epoch", "gauge", "votes", "voted at", "seen at"]
        lines = [
            [
                row["protocol"],
                row["voter_id"],
                str(row["epoch"]),
                row["gauge_address"],
                f"{row['votes']:,.0f}",
                row["voted_at"],
                row["observed_at"],
            ]
            for row in found
        ]
        out.print(table("Standing votes, from the chain's events", heads, lines, right=["votes"]))
    else:
        out.print(
            "No planned voter has standing votes in what was extracted (seeds/voting/voters.csv lists the voters)."
        )
    return 0 if found else 3


_STANDING = """
    select votes.protocol, votes.voter_id, votes.epoch, votes.gauge_address, votes.votes_raw,
        votes.votes_raw::double / 1e18 as votes, votes.voted_at, votes.observed_at
    from main_intermediate.int_votes_by_voter as votes
    inner join main_intermediate.int_voters as voters using (protocol, voter_id)
    qualify votes.observed_block = max(votes.observed_block) over (partition by votes.protocol, votes.voter_id)
        and votes.decision_window <> 'boundary'
    order by votes.protocol, votes.voter_id, votes.votes_raw desc
"""
