"""The prediction-market researcher's page: are forecasts calibrated, and are they better than the price."""

from __future__ import annotations

from textwrap import dedent

from operate.report.charts import NONE, color, data, intervals, lines, spec
from operate.report.page import Figure, Grid, Note, Page, Section, columns
from operate.report.reading import Reader

RUN = "Run `foreshore markets daily` each day and `foreshore markets resolve`, then `foreshore build`."

_BINS = dedent("""\
    select experiment, mean_probability, happened_share, happened_low, happened_high, forecast_count
    from calibration_bins
    where is_shown and happened_share is not null
    order by experiment, bin""")
_HORIZONS = dedent("""\
    select experiment, horizon, brier_difference, difference_low, difference_high, paired_count, event_count, verdict
    from experiment_scores
    where is_shown and difference_low is not null and horizon_kind <> 'all'
    order by experiment, horizon_position""")
_SCORES = dedent("""\
    select experiment, experiment_version, forecast_count, event_count, happened_count, brier, brier_low, brier_high,
        market_brier, skill_share, verdict, interval_reason
    from experiment_scores
    where horizon_kind = 'all'
    order by brier nulls last""")
_COMPARED = dedent("""\
    select experiment, reference, paired_count, event_count, difference, difference_low, difference_high, p_adjusted,
        if(verdict = 'undecided', detectable_difference, null) as detectable_difference,
        if(verdict = 'undecided', more_forecasts, null) as more_forecasts, verdict, reason
    from experiment_comparisons
    order by p_adjusted nulls last, experiment""")
_COVERAGE = dedent("""\
    select run_date::varchar as run_date, experiment, forecast_count, skip_count, failure_count, coverage_share
    from experiment_runs
    order by run_date, experiment""")
_RUNS = dedent("""\
    select run_date, window_days, status, listed_count, refused_count, processed_count, failing_count, finished_at
    from processing_runs
    order by run_date desc
    limit 30""")


def page(read: Reader) -> Page:
    lead = (
        "Forecasts of every experiment against what happened, scored once markets resolved, and against the price "
        "that stood when they were made."
    )
    sections = [
        Section("Scores", _scores(read)), Section("Calibration", _bins(read)), Section("Runs", _runs(read)),
    ]  # fmt: skip
    if not any(section.blocks for section in sections):
        sections = [Section("No run yet", [Note("Nothing was forecast", RUN)])]
    return Page("markets", "markets", "Markets", lead, sections)


def _scores(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(_SCORES):
        shown = columns(
            ("experiment", "experiment"),
            ("verdict", "against the price"),
            ("brier", "Brier", "score"),
            ("brier_low", "low", "score"),
            ("brier_high", "high", "score"),
            ("market_brier", "price's", "score"),
            ("skill_share", "skill", "share"),
            ("forecast_count", "forecasts", "count"),
            ("event_count", "events", "count"),
            ("happened_count", "happened", "count"),
            ("interval_reason", "why no interval"),
        )
        reading = "Brier score (0 is perfect, 0.25 is a coin), with intervals clustered by event."
        found.append(Grid("Scores", reading, shown, rows, ["experiment_scores"], _SCORES))
    if rows := read.rows(_HORIZONS):
        chart = intervals(
            rows, "horizon:N", "brier_difference", "difference_low", "difference_high", "experiment",
            x_title="Brier difference", x_format="+.3f", reference=0.0, rows_high=14,
        )  # fmt: skip
        reading = "The same markets, forecast by an experiment and by the price: left of the dashed zero is better."
        found.append(Figure("Difference by horizon", reading, chart, ["experiment_scores"], _HORIZONS))
    if rows := read.rows(_COMPARED):
        shown = columns(
            ("experiment", "experiment"),
            ("reference", "against"),
            ("verdict", "verdict"),
            ("difference", "difference", "score"),
            ("difference_low", "low", "score"),
            ("difference_high", "high", "score"),
            ("p_adjusted", "p, adjusted", "score"),
            ("paired_count", "pairs", "count"),
            ("event_count", "events", "count"),
            ("detectable_difference", "visible from", "score"),
            ("more_forecasts", "more needed", "count"),
            ("reason", "why"),
        )
        reading = (
            "Paired Brier differences, corrected for how many were looked at; undecided says from which difference on "
            "these pairs would show one, and how many more of both would show one of interest."
        )
        found.append(Grid("Comparisons", reading, shown, rows, ["experiment_comparisons"], _COMPARED))
    return found


def _bins(read: Reader) -> list[Figure | Grid | Note]:
    rows = read.rows(_BINS)
    if not rows:
        return []
    import altair as alt

    base = alt.Chart(data(rows))
    share = alt.Axis(format=".0%")
    square = alt.Scale(domain=[0, 1])
    chart = alt.layer(
        base.mark_rule().encode(
            x=alt.X("mean_probability:Q", title="forecast", axis=share, scale=square),
            y=alt.Y("happened_low:Q", title="happened", axis=share, scale=square),
            y2="happened_high:Q",
            color=color("experiment", ""),
        ),
        base.mark_circle(size=60, opacity=1).encode(
            x="mean_probability:Q", y="happened_share:Q", color=color("experiment", "")
        ),
    ).properties(width=170, height=170)
    made = spec(chart.facet(facet=alt.Facet("experiment:N", title=None), columns=4))
    made["spec"]["layer"].insert(
        0,
        {
            "data": {"values": [{"at": 0}, {"at": 1}]},
            "mark": {"type": "line", "strokeDash": [4, 4], "color": NONE},
            "encoding": {"x": {"field": "at", "type": "quantitative"}, "y": {"field": "at", "type": "quantitative"}},
        },
    )
    reading = (
        "How often what was forecast happened, with Wilson's band; on the dashed line an experiment is calibrated."
    )
    return [Figure("Reliability", reading, made, ["calibration_bins"], _BINS)]


def _runs(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(_COVERAGE):
        chart = lines(
            rows, "run_date:T", "coverage_share:Q", "experiment", x_title="run", y_title="markets answered",
            y_format=".0%",
        )  # fmt: skip
        chart["encoding"]["y"]["scale"] = {"domain": [0, 1]}
        reading = "The share of a run's markets that each experiment answered; skips and failures under the pointer."
        found.append(Figure("Coverage", reading, chart, ["experiment_runs"], _COVERAGE))
    if rows := read.rows(_RUNS):
        shown = columns(
            ("run_date", "day", "day"),
            ("window_days", "window, days", "count"),
            ("status", "status"),
            ("listed_count", "listed", "count"),
            ("refused_count", "refused", "count"),
            ("processed_count", "processed", "count"),
            ("failing_count", "failing", "count"),
            ("finished_at", "finished, UTC", "time"),
        )
        found.append(Grid("Runs", "The newest thirty daily runs.", shown, rows, ["processing_runs"], _RUNS))
    return found
