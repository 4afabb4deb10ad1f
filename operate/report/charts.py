"""The few kinds of chart the report draws, in Vega-Lite through altair; colours come from the page's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt

from operate.report.page import Row, plain

# Okabe and Ito (2008), then Tol's muted (2021): told apart by people who see colours differently, on light and dark
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F7F7F"),
    *("#6A5ACD", "#88CCEE", "#117733", "#DDCC77", "#AA4466", "#44AA99", "#999933", "#AA4499"),
)
GOOD, OPEN, BAD, NONE = "#009E73", "#E69F00", "#D55E00", "#7F7F7F"

Spec = dict[str, Any]


def data(rows: Sequence[Row]) -> alt.Data:
    return alt.Data(values=[{name: plain(value) for name, value in row.items()} for row in rows])


def spec(chart: Any, height: int = 260) -> Spec:
    """The chart as a Vega-Lite specification, as wide as its place; facets and layers keep their own heights."""
    made = (
        chart.properties(width="container", height=height) if isinstance(chart, alt.Chart | alt.LayerChart) else chart
    )
    found: Spec = made.to_dict()
    found.pop("config", None)  # the page's own theme
    return found


def color(name: str, title: str, domain: Mapping[str, str] | None = None, kind: str = "N") -> alt.Color:
    """A colour by a column: of the palette in order, or stated ones."""
    scale = alt.Scale(domain=list(domain), range=list(domain.values())) if domain else alt.Scale(range=list(PALETTE))
    return alt.Color(f"{name}:{kind}", title=title, scale=scale, legend=alt.Legend(orient="top", columns=4))


MOST_TICKS = 10  # dates that stand beside each other on a page's width; a phone leaves out what does not fit


def _along(rows: Sequence[Row], x: str, title: str, most: int = MOST_TICKS) -> alt.X:
    """The axis along which a chart runs, times in UTC wherever the reader is: west of Greenwich a browser would show
    the evening before. Days are labelled where rows are.
    """
    name, _, kind = x.partition(":")
    if kind != "T":
        return alt.X(x, title=title)
    told = sorted({str(plain(row[name])) for row in rows if row[name] is not None})
    utc, axis = alt.Scale(type="utc"), alt.Axis(tickCount=most, labelOverlap=True)
    if all(len(text) == len("2026-11-28") for text in told):
        every = max(1, -(-len(told) // most))
        at = [int(datetime.fromisoformat(f"{text}T00:00Z").timestamp() * 1000) for text in told[::-every]]
        axis = alt.Axis(values=at[::-1], format="%d %b", labelOverlap=True)
    return alt.X(x, title=title, axis=axis, scale=utc)


def lines(rows: Sequence[Row], x: str, y: str, by: str, *, x_title: str, y_title: str, y_format: str) -> Spec:
    """One line a group, with its points. `x`, `y` with their types, e.g. `epoch:T`."""
    chart = (
        alt.Chart(data(rows))
        .mark_line(point=alt.OverlayMarkDef(size=25, filled=True), strokeWidth=2)
        .encode(
            x=_along(rows, x, x_title),
            y=alt.Y(y, title=y_title, axis=alt.Axis(format=y_format), scale=alt.Scale(zero=False)),
            color=color(by, ""),
            tooltip=_tips(rows),
        )
    )
    return spec(chart)


def bands(rows: Sequence[Row], x: str, low: str, value: str, high: str, by: str, *, x_title: str, y_title: str,
          y_format: str) -> Spec:  # fmt: skip
    """Small multiples, one a group: a line, and the band between two columns where there is one."""
    base = alt.Chart(data(rows)).encode(x=_along(rows, x, x_title, 4))
    axis, scale = alt.Axis(format=y_format, tickCount=5), alt.Scale(zero=False)
    parts = [
        base.mark_area(opacity=0.25, color=PALETTE[0]).encode(
            y=alt.Y(f"{low}:Q", title=y_title, axis=axis, scale=scale), y2=f"{high}:Q"
        ),
        base.mark_line(color=PALETTE[0], strokeWidth=2).encode(y=f"{value}:Q", tooltip=_tips(rows)),
    ]
    chart = alt.layer(*parts).properties(width=280, height=150)
    return spec(chart.facet(facet=alt.Facet(f"{by}:N", title=None), columns=3))


def areas(rows: Sequence[Row], x: str, y: str, by: str, *, x_title: str, y_title: str) -> Spec:
    """Stacked areas."""
    chart = (
        alt.Chart(data(rows))
        .mark_area(opacity=0.85)
        .encode(
            x=_along(rows, x, x_title),
            y=alt.Y(y, title=y_title, stack=True, axis=alt.Axis(format="~s")),
            color=color(by, ""),
            tooltip=_tips(rows),
        )
    )
    return spec(chart)


def bars(rows: Sequence[Row], x: str, y: str, by: str | None, *, x_title: str, y_title: str, y_format: str,
         domain: Mapping[str, str] | None = None) -> Spec:  # fmt: skip
    """Bars, stacked by a group where one is named."""
    encoding: dict[str, Any] = {
        "x": alt.X(x, title=x_title),
        "y": alt.Y(y, title=y_title, axis=alt.Axis(format=y_format)),
        "tooltip": _tips(rows),
    }
    encoding["color"] = color(by, "", domain) if by else alt.value(PALETTE[0])
    return spec(alt.Chart(data(rows)).mark_bar().encode(**encoding))


def waterfall(rows: Sequence[Row], step: str, start: str, end: str, *, y_title: str) -> Spec:
    """Steps from one total to another; `kind` of a row says what it does: `total` stands on zero, `more`, `less`."""
    domain = {"total": PALETTE[0], "more": GOOD, "less": BAD}
    chart = alt.Chart(data(rows)).mark_bar()
    words = alt.Axis(labelAngle=0, labelExpr="split(datum.label, ' ')")  # a line a word, on a phone too
    axis = alt.Y(f"{start}:Q", title=y_title, axis=alt.Axis(format="~s"))
    return spec(
        chart.encode(
            x=alt.X(f"{step}:N", title=None, sort=None, axis=words), y=axis, y2=f"{end}:Q",
            color=color("kind", "", domain), tooltip=_tips(rows),
        )
    )  # fmt: skip


def intervals(rows: Sequence[Row], y: str, value: str, low: str, high: str, by: str | None, *, x_title: str,
              x_format: str, reference: float | None = None, rows_high: int = 22) -> Spec:  # fmt: skip
    """A point and its interval a line, groups side by side, and a rule at a reference value."""
    offset = {"yOffset": alt.YOffset(f"{by}:N")} if by else {}
    shade = {"color": color(by, "")} if by else {"color": alt.value(PALETTE[0])}
    base = alt.Chart(data(rows)).encode(y=alt.Y(y, title=None, sort=None), tooltip=_tips(rows), **offset, **shade)
    axis = alt.Axis(format=x_format)
    parts = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X(f"{low}:Q", title=x_title, axis=axis), x2=f"{high}:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=f"{value}:Q"),
    ]
    if reference is not None:
        ruled = alt.Chart(alt.Data(values=[{"at": reference}])).mark_rule(strokeDash=[4, 4], color=NONE)
        parts.insert(0, ruled.encode(x="at:Q"))
    name = y.split(":")[0]
    groups = len({row[by] for row in rows}) if by else 1
    return spec(alt.layer(*parts), height=max(90, rows_high * groups * len({row[name] for row in rows})))


SHORT = 6  # letters of a label that needs no turning


def heat(rows: Sequence[Row], x: str, y: str, by: str, domain: Mapping[str, str], *, x_title: str) -> Spec:
    """A cell a row, coloured by a verdict."""
    name = y.split(":")[0]
    is_long = any(len(str(row[x.split(":")[0]])) > SHORT for row in rows)
    chart = (
        alt.Chart(data(rows))
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X(x, title=x_title, axis=alt.Axis(labelAngle=-45 if is_long else 0, labelOverlap=True)),
            y=alt.Y(y, title=None),
            color=color(by, "", domain),
            tooltip=_tips(rows),
        )
    )
    return spec(chart, height=max(90, 20 * len({row[name] for row in rows})))


def against(rows: Sequence[Row], x: str, y: str, by: str, *, x_title: str, y_title: str, form: str) -> Spec:
    """Points of two measures of one thing, and the line where they are equal."""
    values = [float(row[name]) for row in rows for name in (x, y) if row[name] is not None]
    ends = [{"at": min(values, default=0.0)}, {"at": max(values, default=1.0)}]
    axis, scale = alt.Axis(format=form), alt.Scale(zero=False)
    points = (
        alt.Chart(data(rows))
        .mark_circle(size=45, opacity=0.75)
        .encode(
            x=alt.X(f"{x}:Q", title=x_title, axis=axis, scale=scale),
            y=alt.Y(f"{y}:Q", title=y_title, axis=axis, scale=scale),
            color=color(by, ""),
            tooltip=_tips(rows),
        )
    )
    diagonal = alt.Chart(alt.Data(values=ends)).mark_line(strokeDash=[4, 4], color=NONE).encode(x="at:Q", y="at:Q")
    return spec(alt.layer(diagonal, points), height=320)


def fans(rows: Sequence[Row], x: str, low: str, middle: str, high: str, truth: str, by: str, *, x_title: str,
         y_title: str) -> Spec:  # fmt: skip
    """Small multiples: the band between two columns with its middle, by steps of `x` as the rows are, and the truth."""
    base = alt.Chart(data(rows)).encode(x=alt.X(x, title=x_title, sort=None, axis=alt.Axis(labelAngle=0)))
    size = alt.Axis(format="~s", tickCount=4)
    parts = [
        base.mark_area(opacity=0.3, color=PALETTE[0]).encode(
            y=alt.Y(f"{low}:Q", title=y_title, axis=size, scale=alt.Scale(zero=False)), y2=f"{high}:Q"
        ),
        base.mark_line(color=PALETTE[0], point=True).encode(y=f"{middle}:Q", tooltip=_tips(rows)),
        base.mark_line(color=BAD, strokeDash=[5, 3], strokeWidth=2).encode(y=f"{truth}:Q"),
    ]
    chart = alt.layer(*parts).properties(width=190, height=120)
    faceted = chart.facet(facet=alt.Facet(f"{by}:N", title=None, sort=None), columns=4)
    return spec(faceted.resolve_scale(y="independent"))


def _tips(rows: Sequence[Row]) -> list[alt.Tooltip]:
    """Every column of the rows under the pointer."""
    if not rows:
        return []
    return [alt.Tooltip(f"{name}:{_type(value)}", title=name) for name, value in rows[0].items()]


def _type(value: object) -> str:
    return "Q" if isinstance(value, int | float) and not isinstance(value, bool) else "N"
