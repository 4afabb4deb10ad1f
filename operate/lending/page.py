"""The lending researcher's page: value and liquidations by CSU and day, and how complete they are."""

from __future__ import annotations

from textwrap import dedent

from operate.report.charts import BAD, GOOD, NONE, OPEN, areas, bars, heat, lines
from operate.report.page import Figure, Grid, Note, Page, Section, columns
from operate.report.reading import Reader

EXTRACT = "Run `foreshore extract lending --days 7`, then `foreshore build`."
STATUS = {
    "complete": GOOD,
    "incomplete": OPEN,
    "failed": BAD,
    "gate_failed": BAD,
    "not_deployed": "#B8B8B8",
    "not_extracted": NONE,
    "unreadable": BAD,
    "no_archive": BAD,
    "unsupported": "#B8B8B8",
}

_TVL = dedent("""\
    select day, csu_name, net_tvl_usd
    from csu_daily_panel
    where net_tvl_usd is not null
    order by day, csu_id""")
_LIQUIDATIONS = dedent("""\
    select day, csu_name, liquidation_count, repaid_debt_usd
    from csu_daily_panel
    order by day, csu_id""")
_STATUS = dedent("""\
    select csu_name, day::varchar as day, panel_status, coalesce(reason, 'whole') as reason, confirmed_by
    from csu_daily_panel
    order by csu_id, day""")
_SOURCES = dedent("""\
    select csu_name, coalesce(price_source, 'none') as price_source, count(*) as prices
    from csu_reserve_daily
    group by all
    order by csu_name, price_source""")
_JUMPS = dedent("""\
    with names as (
        select distinct csu_id, csu_name
        from csu_daily_panel
    )

    select coalesce(names.csu_name, verdicts.subject) as csu, verdicts.period as day, verdicts.evidence, verdicts.cure
    from gate_verdicts as verdicts
    left join names on verdicts.subject = names.csu_id
    where verdicts.gate = 'moves_gently' and verdicts.verdict <> 'ok'
    order by csu, day""")
_PANEL = dedent("""\
    select csu_name, csu_id, day, panel_status, gross_tvl_usd, debt_usd, net_tvl_usd, unverified_usd,
        liquidation_count, repaid_debt_usd, confirmed_by, reason
    from csu_daily_panel
    where day = (select max(day) from csu_daily_panel where panel_status = 'complete')
    order by net_tvl_usd desc nulls last, csu_id""")
PANEL = ["csu_daily_panel"]


def page(read: Reader) -> Page:
    lead = (
        "Net value and liquidations of every lending deployment on every New York day, priced by its own oracle, and "
        "what is missing with the reason."
    )
    value, health = _value(read), _health(read)
    if not value and not health:
        return Page("lending", "lending", "Lending", lead, [Section("No day yet", [Note("Nothing yet", EXTRACT)])])
    return Page("lending", "lending", "Lending", lead, [Section("Value", value), Section("Completeness", health)])


def _value(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(_TVL):
        chart = areas(rows, "day:T", "net_tvl_usd:Q", "csu_name", x_title="New York day", y_title="net TVL, USD")
        reading = "Supplied less borrowed, at prices that somebody but the market's maker vouches for, stacked by CSU."
        found.append(Figure("Net TVL", reading, chart, PANEL, _TVL))
        small = lines(rows, "day:T", "net_tvl_usd:Q", "csu_name", x_title="", y_title="", y_format="~s")
        small["encoding"]["facet"] = {"field": "csu_name", "type": "nominal", "columns": 4, "title": None}
        small["encoding"]["color"] = {"value": "#0072B2"}
        small |= {"width": 190, "height": 90, "resolve": {"scale": {"y": "independent"}}}
        reading = "The same, each CSU on a scale of its own: a jump that the sum hides is seen here."
        found.append(Figure("Net TVL, one by one", reading, small, PANEL, _TVL))
    rows = read.rows(_LIQUIDATIONS)  # days without one, too: a day that is left out looks like one that was not
    if any(row["liquidation_count"] for row in rows):
        chart = bars(
            rows,
            "day:O",
            "repaid_debt_usd:Q",
            "csu_name",
            x_title="New York day",
            y_title="debt repaid, USD",
            y_format="~s",
        )
        reading = "Debt that liquidators repaid, at the oracle's price in the block of each liquidation."
        found.append(Figure("Liquidations", reading, chart, PANEL, _LIQUIDATIONS))
    if rows := read.rows(_PANEL):
        shown = columns(
            ("csu_name", "CSU", "name"),
            ("net_tvl_usd", "net USD", "usd"),
            ("debt_usd", "debt USD", "usd"),
            ("gross_tvl_usd", "gross USD", "usd"),
            ("unverified_usd", "unverified USD", "usd"),
            ("liquidation_count", "liquidations", "count"),
            ("panel_status", "status"),
            ("confirmed_by", "confirmed by"),
            ("reason", "what is missing"),
        )
        reading = (
            f"{rows[0]['day']}, the newest day that any CSU completes; what only a market's maker prices stands apart."
        )
        found.append(Grid("Newest day", reading, shown, rows, PANEL, _PANEL))
    return found


def _health(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(_STATUS):
        domain = {name: colour for name, colour in STATUS.items() if any(r["panel_status"] == name for r in rows)}
        chart = heat(rows, "day:O", "csu_name:N", "panel_status", domain, x_title="New York day")
        reading = "Each cell is a CSU's day; the reason and the way it was confirmed stand under the pointer."
        found.append(Figure("Completeness", reading, chart, PANEL, _STATUS))
    if rows := read.rows(_SOURCES):
        chart = bars(rows, "prices:Q", "csu_name:N", "price_source", x_title="prices", y_title="", y_format="")
        chart["height"] = max(90, 20 * len({row["csu_name"] for row in rows}))
        reading = "Where the prices of a CSU's reserves came from: its own oracle, a public feed, a configured source."
        found.append(Figure("Prices by source", reading, chart, ["csu_reserve_daily"], _SOURCES))
    if rows := read.rows(_JUMPS):
        shown = columns(
            ("csu", "CSU", "name"),
            ("day", "day"),
            ("evidence", "what moved"),
            ("cure", "look at"),
        )
        reading = "Days on which a CSU gained or lost more than the seed `thresholds` calls gentle."
        found.append(Grid("Jumps", reading, shown, rows, ["gate_verdicts"], _JUMPS))
    return found
