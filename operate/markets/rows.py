"""What the run ledger holds, as values: a claim of a run, its markets and failures, and how markets ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from decide.markets.experiments.protocol import sha256_of
from extract.markets.resolve import REFUSED


@dataclass(frozen=True)
class Claim:
    """A run and what it means to us: `new`, `resumed` or `forced` are ours; `done` and `busy` are not."""

    run_id: str
    run_date: date
    window_days: int
    kind: str
    attempt: int
    owner: str
    note: str = ""

    @property
    def is_ours(self) -> bool:
        return self.kind in ("new", "resumed", "forced")

    @property
    def target_date(self) -> date:
        return self.run_date + timedelta(days=self.window_days)


@dataclass(frozen=True)
class MarketRow:
    """One market of a run, as it is written."""

    market_id: str
    event_id: str | None
    snapshot_at: datetime
    midpoint: float | None
    payload: dict[str, Any]

    @property
    def sha256(self) -> str:
        return sha256_of(self.payload)

    @property
    def inputs_sha256(self) -> str:
        """Of what the results rest on, without the times at which it was read."""
        return inputs_sha256(self.payload)


def inputs_sha256(payload: Mapping[str, Any]) -> str:
    """Of a market's snapshot and documents without the moments of reading: the market is due again when it changes."""
    snapshot = {k: v for k, v in payload["snapshot"].items() if k not in ("snapshot_at", "observed_at")}
    return sha256_of([snapshot, payload.get("documents", [])])


@dataclass(frozen=True)
class Stored:
    """One market of a run, as it was written."""

    market_id: str
    event_id: str | None
    payload: dict[str, Any]
    payload_sha256: str


@dataclass(frozen=True)
class Failure:
    """What went wrong, where. Empty market: the run as a whole; empty experiment: not in one."""

    market_id: str
    stage: str
    error_class: str
    message: str
    experiment: str = ""
    is_retriable: bool = True
    is_stale_success: bool = False

    @property
    def problem(self) -> str:
        """What tells two problems of one place apart."""
        return sha256_of([self.error_class, self.message])[:12]


@dataclass(frozen=True)
class OutcomeRow:
    """What the source says of a market's end, in the terms of its newest snapshot."""

    market_id: str
    status: str
    label: int | None
    resolved_at: datetime | None
    checked_at: datetime
    winning_token_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status in ("resolved", "void")

    @property
    def says_nothing(self) -> bool:
        """About another market, or not readable: what was known before stands."""
        return self.status == REFUSED

    @property
    def said(self) -> tuple[str, int | None, str | None]:
        return (self.status, self.label, self.winning_token_id)


def run_id_of(run_date: date, window_days: int) -> str:
    """The one name of a run, e.g. 2026-11-21-w7."""
    return f"{run_date.isoformat()}-w{window_days}"


def owner_name() -> str:
    """This process: host, process id, and when it began to ask (a reused id is another owner)."""
    return f"{socket.gethostname()}/{os.getpid()}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def is_dead(owner: str) -> bool:
    """Whether the owner ran on this host and no process has its id any more."""
    host, pid, *_ = owner.split("/")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
