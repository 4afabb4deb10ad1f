"""How markets ended, in the run ledger: the newest answer of each, and every answer that ever stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operate.markets.engines import Run
from operate.markets.rows import OutcomeRow


def record_answers(run: Run, rows: Sequence[OutcomeRow]) -> None:
    """Newest answers over the earlier ones, and a row more where what stands has changed."""
    marks = ", ".join("?" * len(rows))
    seen = run(_STANDING.format(marks=marks), [row.market_id for row in rows])
    standing = {market: (said, known_at) for market, *said, known_at in seen}
    new = []
    for row in rows:
        said, known_at = standing.get(row.market_id, (["undetermined", None, None], None))
        if known_at is not None and row.checked_at < known_at:
            continue  # an answer from before what stands
        if _differs(said, row):
            new.append((row.market_id, row.checked_at, *row.said, row.resolved_at))
    if new:
        line = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(new))
        run(_INSERT_ANSWERS.format(values=line), [value for row in new for value in row])
    values = [(r.market_id, r.status, r.label, r.resolved_at, r.checked_at) for r in rows]
    line = ", ".join(["(?, ?, ?, ?, null, ?)"] * len(values))
    run(_UPSERT_OUTCOMES.format(values=line), [value for row in values for value in row])
    run(_SINCE.format(marks=marks), [row.market_id for row in rows])


def _differs(stands: Sequence[Any], row: OutcomeRow) -> bool:
    """Whether an answer is another than what stands; rows of older ledgers do not name the token that won."""
    status, label, token = stands
    if status != row.status:
        return True
    return row.is_final and (
        label != row.label or (None not in (token, row.winning_token_id) and token != row.winning_token_id)
    )


_STANDING = """
    select market_id, status, label, winning_token_id, known_at from (
        select *, row_number() over (partition by market_id order by known_at desc) as newest
        from market_answers where market_id in ({marks})
    ) as answers
    where newest = 1
"""
_INSERT_ANSWERS = """
    insert into market_answers (market_id, known_at, status, label, winning_token_id, resolved_at) values {values}
    on conflict do nothing
"""
_UPSERT_OUTCOMES = """
    insert into market_outcomes (market_id, status, label, resolved_at, known_at, checked_at) values {values}
    on conflict (market_id) do update set
        status = excluded.status, label = excluded.label, resolved_at = excluded.resolved_at,
        known_at = excluded.known_at, checked_at = excluded.checked_at
    where market_outcomes.checked_at <= excluded.checked_at
"""
_SINCE = """
    update market_outcomes set known_at = (
        select max(answers.known_at) from market_answers as answers
        where answers.market_id = market_outcomes.market_id and answers.status = market_outcomes.status
    )
    where market_id in ({marks}) and status in ('resolved', 'void')
"""
