"""The night and the week after, on the voter's page: live against final, and from promised to received."""

from __future__ import annotations

from collections.abc import Callable

from operate.report.charts import waterfall
from operate.report.page import Figure, Grid, Note, Section, columns
from operate.report.reading import Reader

_WEEK = """
    with review as (
        select * from epoch_reviews
        where protocol = '{protocol}' and voter_id = '{voter}' and promised_usd is not null
        order by epoch desc, decision_at
        limit 1
    )

    select
        'promised at ' || decision_window as step, 1 as place, 'total' as kind, 0.0 as from_usd, promised_usd as to_usd
    from review
    union all
    select
        'forecast error', 2, case when forecast_error_usd < 0 then 'less' else 'more' end, promised_usd,
        promised_usd + forecast_error_usd
    from review
    where forecast_error_usd is not null
    union all
    select
        'voted otherwise', 3, case when voted_otherwise_usd < 0 then 'less' else 'more' end,
        promised_usd + forecast_error_usd, entitled_usd
    from review
    where voted_otherwise_usd is not null
    union all
    select 'earned', 4, 'total', 0.0, entitled_usd from review where entitled_usd is not null
    union all
    select
        'not received', 5, case when not_received_usd > 0 then 'less' else 'more' end, entitled_usd, received_then_usd
    from review where received_then_usd is not null
    union all
    select 'received', 6, 'total', 0.0, received_then_usd from review where received_then_usd is not null
    union all
    select 'best possible', 7, 'total', 0.0, best_usd from review where best_usd is not null
    order by place
"""
_WINDOWS = """
    select
        strftime(to_timestamp(epoch), '%Y-%m-%d') as epoch_date, decision_window, recommended_action, promised_usd,
        forecast_error_usd, voted_otherwise_usd, entitled_usd, as_it_stood_usd, others_votes_usd, later_rewards_usd,
        price_moves_usd, received_then_usd, best_usd
    from epoch_reviews
    where protocol = '{protocol}' and voter_id = '{voter}'
        and epoch = (select max(epoch) from epoch_reviews where protocol = '{protocol}')
    order by decision_at
"""
_NIGHT = """
    select
        strftime(to_timestamp(epoch), '%Y-%m-%d') as epoch_date, voter_id, decision_window, decision_parity,
        live_action, final_action, live_expected_usd, final_expected_usd, read_seconds, decide_seconds
    from decision_parity
    where protocol = '{protocol}'
    order by epoch desc, voter_id, decision_at
    limit 40
"""


def section(read: Reader, protocol: str, sql: Callable[[str], str]) -> Section:
    """The newest ended epoch in review, and every decision that was made live; `sql` fills in exchange and voter."""
    found: list[Figure | Grid | Note] = []
    week, windows, night = sql(_WEEK), sql(_WINDOWS), sql(_NIGHT)
    if rows := read.rows(week):
        reading = (
            "From the first promise of the newest ended epoch to what its votes earned, what claims have paid of that "
            "so far, at the prices of its end, and the best there was."
        )
        chart = waterfall(rows, "step", "from_usd", "to_usd", y_title="USD")
        found.append(Figure("The week in review", reading, chart, ["epoch_reviews"], week))
    if rows := read.rows(windows):
        for title, reading, shown in (
            ("Every window in review", "Promised, error and votes cast otherwise add up to earned.", _REVIEWED),
            (
                "What moved after each window",
                "What stood at the window and what came after it add up to earned.",
                _MOVED,
            ),
        ):
            found.append(Grid(title, reading, shown, rows, ["epoch_reviews"], windows))
    if rows := read.rows(night):
        reading = "Decided on the head of the chain, and again after finality: `equal` is bit for bit."
        found.append(Grid("Live and final", reading, _DECIDED, rows, ["decision_parity"], night))
    empty = Note("No ended epoch with votes of this voter", "Its review appears with the epoch's truth.")
    return Section(f"{protocol}: the week after", found or [empty])


_REVIEWED = columns(
    ("epoch_date", "epoch", "name"),
    ("decision_window", "window"),
    ("recommended_action", "action"),
    ("promised_usd", "promised", "usd"),
    ("forecast_error_usd", "forecast error", "usd"),
    ("voted_otherwise_usd", "voted otherwise", "usd"),
    ("entitled_usd", "earned", "usd"),
    ("best_usd", "best", "usd"),
)
_MOVED = columns(
    ("epoch_date", "epoch", "name"),
    ("decision_window", "window"),
    ("as_it_stood_usd", "as it stood", "usd"),
    ("others_votes_usd", "others' votes", "usd"),
    ("later_rewards_usd", "later rewards", "usd"),
    ("price_moves_usd", "prices", "usd"),
    ("entitled_usd", "earned", "usd"),
    ("received_then_usd", "received", "usd"),
)
_DECIDED = columns(
    ("epoch_date", "epoch", "name"),
    ("voter_id", "voter", "address"),
    ("decision_window", "window"),
    ("decision_parity", "live and final"),
    ("live_action", "action"),
    ("live_expected_usd", "live", "usd"),
    ("final_expected_usd", "final", "usd"),
    ("read_seconds", "read, s", "number"),
    ("decide_seconds", "decided, s", "number"),
)
