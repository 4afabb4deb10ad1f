"""The trader's page: what a strategy would have earned, on which bars, and whether live agrees."""

from __future__ import annotations

from textwrap import dedent

from operate.report.charts import BAD, GOOD, NONE, OPEN, bands, bars, heat, intervals
from operate.report.page import Figure, Grid, Note, Page, Section, columns, plain
from operate.report.reading import Reader

EXTRACT = "Run `foreshore extract bars --symbol AAPL`, then `foreshore build`."
TRADE = "#CC79A7"  # on green and orange candles, in light and dark
COVERAGE = {"complete": GOOD, "cut": "#56B4E9", "gap": OPEN, "no_data": BAD, "no_session": NONE}

_RUNS = dedent("""\
    select strategy_key, symbol, run_status, sessions, trades, win_share, net_usd, mean_r, mean_r_low, mean_r_high,
        sharpe, max_drawdown_share, coverage_share, coalesce(failure_reason, interval_reason) as remark,
        strategy_key || ' ' || symbol as run
    from inside_bar_backtest
    order by strategy_key, symbol""")
_EQUITY = dedent("""\
    select exit_at, strategy_key || ' ' || symbol as run, equity_usd, equity_low_usd, equity_high_usd, net_usd
    from inside_bar_signals
    where equity_usd is not null and exit_at is not null
    order by exit_at, run""")
_R = dedent("""\
    select strategy_key, floor(r_multiple * 4) / 4 as r_from, r_from + 0.25 as r_to, count(*) as trades
    from inside_bar_signals
    where r_multiple is not null
    group by all
    order by strategy_key, r_from""")
_LAST = dedent("""\
    select symbol, session_date, strategy_key
    from inside_bar_signals
    inner join bars_m5 using (symbol, feed)
    where fill_at is not null and exit_at is not null and session_date = fill_at::date
    order by fill_at desc
    limit 1""")
_BARS = """\
select bar_at, open, high, low, close
from bars_m5
where symbol = '{symbol}' and session_date = '{day}'
order by bar_at"""
_TRADES = """\
select fill_at, fill_price, exit_at, exit_price, side, net_usd
from inside_bar_signals
where symbol = '{symbol}' and strategy_key = '{strategy}' and fill_at::date = '{day}' and exit_at is not null
order by fill_at"""
_COVERAGE = dedent("""\
    select symbol, session_date::varchar as session_date, coverage_status, present_count, expected_count, missing_count
    from bar_coverage
    where session_date >= (select max(session_date) from bar_coverage) - 60
    order by symbol, session_date""")
_PARITY = dedent("""\
    select symbol, strategy_key, close_at, parity, decision, status, reason, entry_ticks_apart, stop_ticks_apart
    from pre_paper_parity
    order by close_at desc, symbol
    limit 60""")


def page(read: Reader) -> Page:
    lead = (
        "What each strategy would have earned after costs on the bars that were known then, the gaps in those bars, "
        "and live signals against the backtest's."
    )
    sections = [Section("Backtests", _runs(read)), Section("Trades on bars", _session(read)),
                Section("Sessions and gaps", _gaps(read)), Section("Live against backtest", _parity(read))]  # fmt: skip
    if not any(section.blocks for section in sections[:3]):
        sections = [Section("No bars yet", [Note("Nothing was extracted", EXTRACT)])]
    return Page("bars", "bars", "Bars", lead, sections)


def _runs(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    rows = read.rows(_RUNS)
    if rows:
        shown = columns(
            ("strategy_key", "strategy"),
            ("symbol", "symbol"),
            ("net_usd", "net USD", "usd"),
            ("mean_r", "mean R", "number"),
            ("trades", "trades", "count"),
            ("win_share", "wins", "share"),
            ("sharpe", "Sharpe", "number"),
            ("max_drawdown_share", "drawdown", "share"),
            ("sessions", "sessions", "count"),
            ("run_status", "status"),
            ("coverage_share", "bars there", "share"),
            ("remark", "remark"),
        )
        reading = (
            "Every strategy of the seed on every symbol, after costs. The command foreshore backtest bars says what "
            "is promotable."
        )
        found.append(Grid("Runs", reading, shown, rows, ["inside_bar_backtest"], _RUNS))
        known = [row for row in rows if row["mean_r_low"] is not None]
        if known:
            chart = intervals(
                known, "run:N", "mean_r", "mean_r_low", "mean_r_high", None, x_title="mean R a trade",
                x_format="+.2f", reference=0.0,
            )  # fmt: skip
            reading = (
                "Mean R of a run's trades and its interval; one that covers the dashed zero has shown nothing yet."
            )
            found.append(Figure("Mean R", reading, chart, ["inside_bar_backtest"], _RUNS))
    if rows := read.rows(_EQUITY):
        chart = bands(
            rows, "exit_at:T", "equity_low_usd", "equity_usd", "equity_high_usd", "run", x_title="",
            y_title="equity, USD", y_format="~s",
        )  # fmt: skip
        reading = (
            "Equity after each trade, costs taken off. At each trade by itself the band holds nine of ten curves that "
            "the same trades would have drawn in another order and mixture."
        )
        found.append(Figure("Equity", reading, chart, ["inside_bar_signals"], _EQUITY))
    if rows := read.rows(_R):
        chart = bars(
            rows, "r_from:Q", "trades:Q", "strategy_key", x_title="R, in quarters", y_title="trades", y_format="d"
        )
        chart["encoding"]["x"] |= {"bin": {"binned": True, "step": 0.25}, "axis": {"format": "+.2f"}}
        chart["encoding"]["x2"] = {"field": "r_to"}
        reading = "How many trades ended at which multiple of the risk taken."
        found.append(Figure("Distribution of R", reading, chart, ["inside_bar_signals"], _R))
    return found


def _session(read: Reader) -> list[Figure | Grid | Note]:
    newest = read.rows(_LAST)
    if not newest:
        return []
    (last,) = newest
    named = {"symbol": str(last["symbol"]).replace("'", "''"), "day": last["session_date"],
             "strategy": str(last["strategy_key"]).replace("'", "''")}  # fmt: skip
    bars_sql, trades_sql = _BARS.format(**named), _TRADES.format(**named)
    values = [{name: plain(value) for name, value in row.items()} for row in read.rows(bars_sql)]
    trades = [{name: plain(value) for name, value in row.items()} for row in read.rows(trades_sql)]
    x = {"field": "bar_at", "type": "temporal", "title": "UTC", "timeUnit": "utcyearmonthdatehoursminutes",
         "axis": {"format": "%H:%M"}}  # fmt: skip
    price = {"type": "quantitative", "scale": {"zero": False}, "title": "USD"}
    up = {"condition": {"test": "datum.close >= datum.open", "value": "#009E73"}, "value": "#D55E00"}
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": 320,
        "layer": [
            {
                "data": {"values": values},
                "mark": "rule",
                "encoding": {"x": x, "y": {"field": "low", **price}, "y2": {"field": "high"}, "color": up},
            },
            {
                "data": {"values": values},
                "mark": {"type": "bar", "size": 4},
                "encoding": {"x": x, "y": {"field": "open", **price}, "y2": {"field": "close"}, "color": up},
            },
            {
                "data": {"values": trades},
                "mark": {"type": "rule", "strokeWidth": 3, "color": TRADE},
                "encoding": {
                    "x": {"field": "fill_at", "type": "temporal"}, "x2": {"field": "exit_at"},
                    "y": {"field": "fill_price", **price}, "y2": {"field": "exit_price"},
                },
            },
            {
                "data": {"values": trades},
                "mark": {"type": "point", "filled": True, "size": 110, "color": TRADE, "shape": "triangle-right"},
                "encoding": {"x": {"field": "fill_at", "type": "temporal"}, "y": {"field": "fill_price", **price}},
            },
            {
                "data": {"values": trades},
                "mark": {"type": "point", "filled": True, "size": 80, "color": TRADE, "shape": "square"},
                "encoding": {"x": {"field": "exit_at", "type": "temporal"}, "y": {"field": "exit_price", **price}},
            },
        ],
    }  # fmt: skip
    reading = (
        f"{last['symbol']} on {last['session_date']} in five-minute bars; a line leads from each fill of "
        f"{last['strategy_key']} (triangle) to its exit (square)."
    )
    return [Figure("Newest session with a trade", reading, spec, ["bars_m5", "inside_bar_signals"],
                   f"{bars_sql};\n\n{trades_sql}")]  # fmt: skip


def _gaps(read: Reader) -> list[Figure | Grid | Note]:
    rows = read.rows(_COVERAGE)
    if not rows:
        return []
    domain = {name: colour for name, colour in COVERAGE.items() if any(r["coverage_status"] == name for r in rows)}
    chart = heat(rows, "session_date:O", "symbol:N", "coverage_status", domain, x_title="New York session")
    reading = "Each cell is a symbol's session. No signal is given where the history a strategy needs has a hole."
    return [Figure("Bars that are there", reading, chart, ["bar_coverage"], _COVERAGE)]


def _parity(read: Reader) -> list[Figure | Grid | Note]:
    rows = read.rows(_PARITY)
    if not rows:
        text = (
            "Nothing ran live yet: promote a backtest, then `foreshore pre-paper run --manifest PATH`, land and build."
        )
        return [Note("No pre-paper run", text)]
    shown = columns(
        ("close_at", "bar's close, UTC", "time"),
        ("symbol", "symbol"),
        ("strategy_key", "strategy"),
        ("parity", "parity"),
        ("decision", "live said"),
        ("entry_ticks_apart", "entry, ticks apart", "number"),
        ("stop_ticks_apart", "stop, ticks apart", "number"),
        ("reason", "reason"),
    )
    reading = "Every live signal beside the backtest's on the same rules: equal, different, or on one side only."
    return [Grid("Parity", reading, shown, rows, ["pre_paper_parity"], _PARITY)]
