"""The voter's page: what to do now and why, what others did, how forecasts and decisions held up."""

from __future__ import annotations

from textwrap import dedent

from operate.report.charts import bars
from operate.report.page import Figure, Grid, Note, Page, Section, columns
from operate.report.reading import Reader
from operate.voting.page_others import others
from operate.voting.page_past import past
from operate.voting.watch.page import section as week_after

EXTRACT = "Run `foreshore extract voting`, then `foreshore build`."

_NOW = """
    select
        decision_window, recommended_action, expected_usd, conservative_usd, aggressive_usd, standing_usd,
        inclusion_prob, reason, to_timestamp(epoch)::date as epoch_at, voter_id
    from preboundary_recommendations
    where protocol = '{protocol}' and outcome is not null
    qualify row_number() over (partition by decision_window order by epoch desc, voter_id = '{voter}' desc) = 1
    order by epoch desc, decision_at
"""
_CHANGES = """
    with newest as (
        select voter_id, epoch, decision_window, risk_profile
        from preboundary_recommendations
        where protocol = '{protocol}' and voter_id = '{voter}' and recommended_action = 'submit'
        order by decision_at desc
        limit 1
    )

    select
        gauge_name, gauge_address, round(previous_votes) as previous_votes, recommended_votes,
        recommended_votes - round(previous_votes) as change_votes, expected_usd,
        base_rewards_usd, gauge_confidence, decision_window
    from preboundary_recommended_votes
    inner join newest using (voter_id, epoch, decision_window, risk_profile)
    where protocol = '{protocol}'
    order by recommended_votes desc, gauge_address
"""
_LIMITS = """
    with newest as (
        from preboundary_recommendations
        where protocol = '{protocol}' and voter_id = '{voter}' and unlimited_usd is not null
        qualify row_number() over (partition by decision_window order by epoch desc, risk_profile) = 1
    ),

    costs as (
        unpivot newest
        on k_max_cost_usd, max_pools_cost_usd, min_votes_cost_usd, max_turnover_cost_usd, max_share_cost_usd,
            gauge_lists_cost_usd
        into name limit_name value cost_usd
    )

    select
        decision_window,
        case limit_name
            when 'k_max_cost_usd' then 'number of gauges'
            when 'max_pools_cost_usd' then 'number of pools'
            when 'min_votes_cost_usd' then 'least votes on a gauge'
            when 'max_turnover_cost_usd' then 'votes that may move'
            when 'max_share_cost_usd' then 'share on one gauge'
            else 'allowed and denied gauges'
        end as limit_name,
        cost_usd,
        cost_usd / nullif(unlimited_usd, 0) as cost_share
    from costs
    where cost_usd > 0.005
    order by decision_at, limit_name
"""


def page(read: Reader) -> Page:
    found = read.rows("select distinct protocol from epoch_boundaries order by protocol")
    sections = [section for row in found for section in _exchange(read, str(row["protocol"]))]
    if not sections:
        sections = [Section("No exchange yet", [Note("Nothing was extracted", EXTRACT)])]
    lead = (
        "What to vote at each decision window of the newest epoch, what stands, and how such decisions did before: "
        "every number was decided with what was visible then."
    )
    return Page("voting", "voting", "Voting", lead, sections)


def _exchange(read: Reader, protocol: str) -> list[Section]:
    name = protocol.replace("'", "''")
    asked = "select min(voter_id) as voter_id from preboundary_backtest_summary where protocol = '{}' group by protocol"
    voters = read.rows(asked.format(name))
    voter = str(voters[0]["voter_id"]).replace("'", "''") if voters else ""

    def sql(text: str, **more: object) -> str:
        return dedent(text).strip().format(protocol=name, voter=voter, **more)

    return [
        Section(f"{protocol}: this epoch", _now(read, sql(_NOW), sql(_CHANGES), sql(_LIMITS))),
        Section(f"{protocol}: what others do", others(read, sql)),
        Section(
            f"{protocol}: how such decisions did",
            past(read, sql) or [Note("No backtest", f"It takes ended epochs before others. {EXTRACT}")],
        ),
        week_after(read, protocol, sql),
    ]


def _now(read: Reader, now: str, changes: str, limits: str) -> list[Figure | Grid | Note]:
    decided = read.rows(now)
    if not decided:
        return [Note("No recommendation", f"No epoch of this exchange was decided yet. {EXTRACT}")]
    shown = columns(
        ("decision_window", "window"),
        ("recommended_action", "do"),
        ("expected_usd", "expected USD", "usd"),
        ("conservative_usd", "worst", "usd"),
        ("aggressive_usd", "best", "usd"),
        ("standing_usd", "what stands", "usd"),
        ("inclusion_prob", "lands", "share"),
        ("epoch_at", "epoch", "day"),
        ("reason", "why"),
    )
    reading = f"The newest decision at each window, for voter {decided[0]['voter_id']}; nothing is sent."
    found: list[Figure | Grid | Note] = [
        Grid("What to do", reading, shown, decided, ["preboundary_recommendations"], now)
    ]
    votes = read.rows(changes)
    if votes:
        shown = columns(
            ("gauge_name", "gauge", "name"),
            ("recommended_votes", "votes to cast", "count"),
            ("change_votes", "change", "count"),
            ("previous_votes", "votes that stand", "count"),
            ("expected_usd", "worth USD", "usd"),
            ("base_rewards_usd", "rewards USD", "usd"),
            ("gauge_confidence", "confidence", "share"),
            ("gauge_address", "address", "address"),
        )
        reading = (
            f"The newest vote worth sending, at {votes[0]['decision_window']}; addresses in full under the pointer."
        )
        found.append(Grid("Change set", reading, shown, votes, ["preboundary_recommended_votes"], changes))
    if costs := read.rows(limits):
        chart = bars(costs, "cost_usd:Q", "decision_window:N", "limit_name", x_title="USD given up", y_title="",
                     y_format="")  # fmt: skip
        chart["height"] = max(80, 24 * len({row["decision_window"] for row in costs}))
        chart["encoding"]["y"]["sort"] = None
        reading = (
            "What the newest answer at each window would be worth more without each limit of the risk profile, one at "
            "a time; a window that is not here lost nothing to any."
        )
        found.append(Figure("What each limit costs", reading, chart, ["preboundary_recommendations"], limits))
    else:
        found.append(Note("What each limit costs", "Nothing: no limit of the profile binds the newest answers."))
    return found
