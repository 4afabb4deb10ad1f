"""The voter's page: what to do now and why, what others did, how forecasts and decisions held up."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

from operate.report.charts import BAD, GOOD, OPEN, against, bars, fans, heat, intervals, lines
from operate.report.page import Figure, Grid, Note, Page, Section, columns
from operate.report.reading import Reader
from operate.voting.watch.page import section as week_after

SHOWN = 8  # gauges in one chart
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
_MOVING = """
    with newest as (
        select max(epoch) as epoch from preboundary_truth_labels where protocol = '{protocol}'
    ),

    shown as (
        select gauge_address
        from preboundary_truth_labels
        inner join newest using (epoch)
        where protocol = '{protocol}'
        order by final_votes desc nulls last, gauge_address
        limit {shown}
    )

    select
        names.gauge_name as gauge,
        round((epoch(boundary_at) - epoch(decision_at)) / 60, 1) as minutes_before,
        votes_now
    from preboundary_snapshots
    inner join newest using (epoch)
    inner join shown using (gauge_address)
    inner join gauges as names using (protocol, gauge_address)
    where protocol = '{protocol}' and votes_now is not null and decision_at <= boundary_at
    order by gauge, decision_at
"""
_ENDED = """
    with newest as (
        select max(epoch) as epoch from preboundary_truth_labels where protocol = '{protocol}'
    ),

    ended as (  -- what others' votes came to: the voter's own are no part of a forecast
        select panel.gauge_address, names.gauge_name as gauge, max(panel.other_votes_final) as final_votes,
            row_number() over (order by max(panel.other_votes_final) desc, panel.gauge_address) as place
        from main_intermediate.int_forecast_panel as panel
        inner join newest using (epoch)
        inner join gauges as names using (protocol, gauge_address)
        where protocol = '{protocol}' and voter_id = '{voter}' and panel.other_votes_final is not null
        group by panel.gauge_address, names.gauge_name
    )
"""
_FORECASTS = """
    from preboundary_forecasts
    inner join newest using (epoch)
    inner join ended using (gauge_address)
    inner join decision_points as points using (protocol, epoch, decision_window)
    where protocol = '{protocol}' and voter_id = '{voter}'
        and scenario_set = (select min(scenario_set) from preboundary_forecasts)
"""
_SPREAD = """
        min(other_votes_forecast) as low, max(other_votes_forecast) as high,
        sum(scenario_weight * other_votes_forecast) / sum(scenario_weight) as expected
"""
_FANS = f"""{_ENDED}
    select gauge, any_value(ended.final_votes) as final_votes, {_SPREAD.strip()}
    {_FORECASTS.strip()} and decision_window = 'day' and ended.place <= 12
    group by gauge
    order by min(ended.place)
"""
_FANS_BY_WINDOW = f"""{_ENDED}
    select gauge, decision_window, any_value(ended.final_votes) as final_votes, {_SPREAD.strip()}
    {_FORECASTS.strip()} and ended.place <= {{shown}}
    group by gauge, decision_window
    order by min(ended.place), min(points.window_position)
"""
_SHARES = """
    select
        strftime(to_timestamp(epoch), '%Y-%m-%d') as epoch_date,
        strategy,
        round(hindsight_share, 6) as hindsight_share,
        realised_usd
    from preboundary_backtest_results
    where protocol = '{protocol}' and decision_window = '{window}' and hindsight_share is not null
        and strategy in ('foreshore', 'snapshot', 'proportional', 'hold', 'equal')
    order by epoch, strategy
"""
_GAINS = """
    select
        decision_window, 'above ' || strategy as baseline, mean_gain_share, gain_low_share, gain_high_share, epoch_count
    from preboundary_backtest_summary
    where protocol = '{protocol}' and mean_gain_share is not null and gain_low_share is not null
    order by window_position, strategy
"""
_CALIBRATION = """
    select decision_window, expected_usd, realised_usd, strftime(to_timestamp(epoch), '%Y-%m-%d') as epoch_date
    from preboundary_backtest_results
    where protocol = '{protocol}' and strategy = 'foreshore' and is_votable and outcome = 'ok'
        and expected_usd is not null and realised_usd is not null
    order by epoch, decision_window
"""
_MEANS = """
    select decision_window, '{name}' as measure, metric_value, interval_low, interval_high, observations
    from preboundary_backtest_statistics
    where protocol = '{protocol}' and voter_id = '{voter}' and metric = '{metric}' and interval_low is not null
    order by decision_window
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
        decision_window, replace(replace(limit_name, '_cost_usd', ''), '_', ' ') as limit_name, cost_usd,
        cost_usd / nullif(unlimited_usd, 0) as cost_share
    from costs
    where cost_usd > 0.005
    order by decision_at, limit_name
"""
_VERDICTS = """
    select decision_window, compared_with as criterion,
        case when is_passed then 'pass' when is_passed is null then 'open' else 'fail' end as verdict,
        metric_value, interval_low, interval_high, observations
    from preboundary_backtest_statistics
    where protocol = '{protocol}' and metric = 'criterion'
    order by compared_with, decision_window
"""
_CRITERIA = """
    select decision_window, compared_with, metric_value, interval_low, interval_high, observations,
        case when is_passed then 'pass' when is_passed is null then 'open' else 'fail' end as verdict, explanation
    from preboundary_backtest_statistics
    where protocol = '{protocol}' and metric = 'criterion' and is_passed is not true
    order by decision_window, compared_with
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
    voters = read.rows(
        "select voter_id from preboundary_backtest_summary where protocol = '" + name + "' group by all limit 1"
    )
    voter = str(voters[0]["voter_id"]).replace("'", "''") if voters else ""

    def sql(text: str, **more: object) -> str:
        return dedent(text).strip().format(protocol=name, voter=voter, shown=SHOWN, **more)

    return [
        Section(f"{protocol}: this epoch", _now(read, sql(_NOW), sql(_CHANGES), sql(_LIMITS))),
        Section(f"{protocol}: what others do", _others(read, sql(_MOVING), sql(_FANS), sql(_FANS_BY_WINDOW))),
        Section(
            f"{protocol}: how such decisions did",
            [
                *_past(read, sql(_SHARES, window="T-5"), sql(_GAINS), sql(_CALIBRATION)),
                *_means(read, sql),
                *_criteria(read, sql(_VERDICTS), sql(_CRITERIA)),
            ]
            or [Note("No backtest", f"It takes ended epochs before others. {EXTRACT}")],
        ),
        week_after(read, protocol, sql),
    ]


def _now(read: Reader, now: str, changes: str, limits: str) -> list[Figure | Grid | Note]:
    decided = read.rows(now)
    if not decided:
        return [Note("No recommendation", f"No epoch of this exchange was decided yet. {EXTRACT}")]
    shown = columns(
        ("decision_window", "window"),
        ("epoch_at", "epoch", "day"),
        ("recommended_action", "do"),
        ("expected_usd", "expected USD", "usd"),
        ("conservative_usd", "worst", "usd"),
        ("aggressive_usd", "best", "usd"),
        ("standing_usd", "what stands", "usd"),
        ("inclusion_prob", "lands", "share"),
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
            ("previous_votes", "votes that stand", "count"),
            ("recommended_votes", "votes to cast", "count"),
            ("change_votes", "change", "count"),
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


def _others(read: Reader, moving: str, newest: str, by_window: str) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(moving):
        chart = lines(
            rows, "minutes_before:Q", "votes_now:Q", "gauge", x_title="minutes before the boundary",
            y_title="votes", y_format="~s",
        )  # fmt: skip
        chart["encoding"]["x"]["scale"] = {"type": "symlog", "reverse": True}
        chart["encoding"]["x"]["axis"] = {"values": [1440, 240, 60, 15, 5, 1, 0]}
        reading = f"Votes of the {SHOWN} largest gauges at the windows of the newest ended epoch, towards the boundary."
        found.append(Figure("Votes moving", reading, chart, ["preboundary_snapshots"], moving))
    tables = ["preboundary_forecasts", "int_forecast_panel"]
    if rows := read.rows(newest):
        chart = intervals(rows, "gauge:N", "expected", "low", "high", None, x_title="votes of others", x_format="~s")
        truth = {
            "data": chart["data"],
            "mark": {"type": "tick", "thickness": 3, "size": 16, "color": "#D55E00"},
            "encoding": {
                "x": {"field": "final_votes", "type": "quantitative"},
                "y": {"field": "gauge", "type": "nominal", "sort": None},
            },
        }
        chart["layer"].append(truth)
        reading = (
            "What was forecast of others' votes a day before the boundary, from the least to the most of all scenarios "
            "with their mean, and the orange tick where they ended."
        )
        found.append(Figure("Forecast and truth", reading, chart, tables, newest))
    if rows := read.rows(by_window):
        chart = fans(rows, "decision_window:N", "low", "expected", "high", "final_votes", "gauge",
                     x_title="forecast at", y_title="votes")  # fmt: skip
        reading = (
            f"How the forecast of others' votes for the {SHOWN} largest gauges narrowed towards the boundary: the "
            "band of all scenarios with its mean, and dashed where they ended."
        )
        found.append(Figure("Forecast fans", reading, chart, tables, by_window))
    return found


def _past(read: Reader, shares: str, gains: str, calibration: str) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(shares):
        chart = lines(
            rows, "epoch_date:T", "hindsight_share:Q", "strategy", x_title="epoch", y_title="share of hindsight",
            y_format=".0%",
        )  # fmt: skip
        reading = "Earned, as a share of the most that could have been earned with the truth in hand, decided at T-5."
        found.append(Figure("Share of hindsight", reading, chart, ["preboundary_backtest_results"], shares))
    if rows := read.rows(gains):
        chart = intervals(
            rows, "decision_window:N", "mean_gain_share", "gain_low_share", "gain_high_share", "baseline",
            x_title="gain above the baseline", x_format="+.1%", reference=0.0,
        )  # fmt: skip
        reading = "Mean gain of our decisions above each baseline, epoch by epoch, with its interval; zero is dashed."
        found.append(Figure("Gain above baselines", reading, chart, ["preboundary_backtest_summary"], gains))
    if rows := read.rows(calibration):
        chart = against(
            rows, "expected_usd", "realised_usd", "decision_window", x_title="promised USD",
            y_title="entitled USD", form="~s",
        )  # fmt: skip
        reading = "What a decision promised and what it was entitled to; on the dashed line it kept its word."
        found.append(Figure("Promised and entitled", reading, chart, ["preboundary_backtest_results"], calibration))
    return found


def _means(read: Reader, sql: Callable[..., str]) -> list[Figure | Grid | Note]:
    """What is known of the means over epochs, with intervals: of hindsight, and of what was promised."""
    told = (
        ("mean_hindsight_share", "Share of hindsight, with interval", ".0%", 1.0, "share of hindsight",
         "Mean over epochs; what is left to the dashed line is the regret."),
        ("mean_realised_over_expected", "Promises kept, with interval", ".2f", 1.0, "entitled over promised",
         "Mean over epochs; on the dashed line a decision earns what it promised, left of it less."),
    )  # fmt: skip
    found: list[Figure | Grid | Note] = []
    for metric, title, form, reference, x_title, reading in told:
        asked = sql(_MEANS, metric=metric, name=x_title)
        if rows := read.rows(asked):
            chart = intervals(
                rows, "decision_window:N", "metric_value", "interval_low", "interval_high", None, x_title=x_title,
                x_format=form, reference=reference,
            )  # fmt: skip
            for part in chart["layer"]:
                part["encoding"]["x"]["scale"] = {"zero": False}
            found.append(Figure(title, reading, chart, ["preboundary_backtest_statistics"], asked))
    return found


def _criteria(read: Reader, verdicts: str, failing: str) -> list[Figure | Grid | Note]:
    """Which criteria are passed at which window, and those that are not, with their numbers."""
    found: list[Figure | Grid | Note] = []
    tables = ["preboundary_backtest_statistics"]
    if rows := read.rows(verdicts):
        domain = {
            name: colour
            for name, colour in (("pass", GOOD), ("open", OPEN), ("fail", BAD))
            if any(row["verdict"] == name for row in rows)
        }
        chart = heat(rows, "decision_window:N", "criterion:N", "verdict", domain, x_title="window")
        reading = "What a backtest must show before it is believed: passed, failed, or open for want of epochs."
        found.append(Figure("Criteria", reading, chart, tables, verdicts))
    if rows := read.rows(failing):
        shown = columns(
            ("decision_window", "window"),
            ("compared_with", "criterion"),
            ("verdict", "verdict"),
            ("metric_value", "value", "number"),
            ("interval_low", "low", "number"),
            ("interval_high", "high", "number"),
            ("observations", "epochs", "count"),
            ("explanation", "in words"),
        )
        reading = "Criteria that failed or are open, with what was found."
        found.append(Grid("Criteria not passed", reading, shown, rows, tables, failing))
    return found
