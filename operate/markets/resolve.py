"""Ask how markets of ours ended, and remember when we came to know it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from operate.log import DurableLog
from operate.markets.listing import Source
from operate.markets.store import Store

ROWS_PER_COMMIT = 200


@dataclass(frozen=True)
class Spans:
    """Days: how long after its scheduled end a market is asked about, how long one seen final is looked at again."""

    for_days: int = 180
    recheck_days: int = 14


@dataclass
class Resolved:
    """Markets asked, answers by status, problems in words."""

    asked: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if not self.asked:
            return 3
        return (2 if self.counts else 1) if self.problems else 0


def resolve(store: Store, source: Source, spans: Spans, log: DurableLog, run_id: str) -> Resolved:
    """Fetch every end that is not final yet, or only lately, and note it in the ledger."""
    due = store.unresolved(spans.for_days, spans.recheck_days)
    found = Resolved(asked=len(due))
    if not due:
        return found
    rows, found.problems = source.outcomes(
        due, run_id, lambda kind, message: log.write(kind, stage="resolve", message=message)
    )
    for start in range(0, len(rows), ROWS_PER_COMMIT):
        store.record_outcomes(rows[start : start + ROWS_PER_COMMIT])
    found.counts = dict(Counter(row.status for row in rows))
    log.write_all({"event": row.status, "stage": "resolve", "market_id": row.market_id} for row in rows if row.is_final)
    return found
