"""The part of the voter's page that shows how such decisions did: shares of hindsight, gains, promises, criteria."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from operate.report.charts import BAD, GOOD, OPEN, against, heat, intervals, lines
from operate.report.page import Figure, Grid, Note, Row, columns
from operate.report.reading import Reader

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
    left join (select decision_window, position from main_seeds.decision_windows) using (decision_window)
    where protocol = '{protocol}' and strategy = 'foreshore' and is_votable and outcome = 'ok'
        and expected_usd is not null and realised_usd is not null
    order by position, epoch
"""
_MEANS = """
    select decision_window, '{name}' as measure, metric_value, interval_low, interval_high, observations
    from preboundary_backtest_statistics
    left join (select decision_window, position from main_seeds.decision_windows) using (decision_window)
    where protocol = '{protocol}' and voter_id = '{voter}' and metric = '{metric}' and interval_low is not null
    order by position nulls last, decision_window
"""
_VERDICTS = """
    select decision_window, compared_with as criterion,
        case when is_passed then 'pass' when is_passed is null then 'open' else 'fail' end as verdict,
        metric_value, interval_low, interval_high, observations
    from preboundary_backtest_statistics
    left join (select decision_window, position from main_seeds.decision_windows) using (decision_window)
    where protocol = '{protocol}' and voter_id = '{voter}' and metric = 'criterion'
    order by compared_with, position nulls last, decision_window
"""
_CRITERIA = """
    select decision_window, compared_with, metric_value, interval_low as wanted, observations,
        case when is_passed then 'pass' when is_passed is null then 'open' else 'fail' end as verdict, explanation
    from preboundary_backtest_statistics
    left join (select decision_window, position from main_seeds.decision_windows) using (decision_window)
    where protocol = '{protocol}' and voter_id = '{voter}' and metric = 'criterion' and is_passed is not true
    order by position nulls last, decision_window, compared_with
"""


def past(read: Reader, sql: Callable[..., str]) -> list[Figure | Grid | Note]:
    """Figures of every ended epoch; `sql` fills in exchange, voter and what more it is given."""
    return [*_epochs(read, sql), *_means(read, sql), *_criteria(read, sql(_VERDICTS), sql(_CRITERIA))]


def _epochs(read: Reader, sql: Callable[..., str]) -> list[Figure | Grid | Note]:
    """Epoch by epoch: earned, gained, promised."""
    shares, gains, calibration = sql(_SHARES, window="T-5"), sql(_GAINS), sql(_CALIBRATION)
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
        chart["layer"][1]["encoding"]["color"]["sort"] = _order(rows)
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
        chart["encoding"]["x"]["sort"] = _order(rows)
        reading = "What a backtest must show before it is believed: passed, failed, or open for want of epochs."
        found.append(Figure("Criteria", reading, chart, tables, verdicts))
    if rows := read.rows(failing):
        shown = columns(
            ("decision_window", "window"),
            ("compared_with", "criterion"),
            ("verdict", "verdict"),
            ("metric_value", "value", "number"),
            ("wanted", "wanted", "number"),
            ("observations", "epochs", "count"),
            ("explanation", "in words"),
        )
        reading = "Criteria that failed or are open, with what was found."
        found.append(Grid("Criteria not passed", reading, shown, rows, tables, failing))
    return found


def _order(rows: Sequence[Row]) -> list[str]:
    """Windows as the rows have them: towards the boundary, not by the alphabet."""
    return list(dict.fromkeys(str(row["decision_window"]) for row in rows))
