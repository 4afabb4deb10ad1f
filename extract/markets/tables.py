"""The raw tables of the Polymarket line: one Arrow schema each.

Two clocks stand in every row. `observed_at` is the server's own (the `Date` of its answer): what the row is about.
`fetched_at` is ours. A forecast may use rows whose `observed_at` is its snapshot's or earlier, never later.
A number that the source does not give is null, never zero.
"""

from __future__ import annotations

import pyarrow as pa

UTC = pa.timestamp("us", "UTC")

_FETCHED = [
    pa.field("observed_at", UTC, nullable=False),  # server's clock when it answered
    pa.field("fetched_at", UTC, nullable=False),  # our clock
]
_DAY = [
    pa.field("partition_id", pa.string(), nullable=False),
    pa.field("run_date", pa.date32(), nullable=False),  # day of the daily run (UTC), given, never read off a clock
    pa.field("window_days", pa.int32(), nullable=False),  # N: the target day is run_date + N
]

# One row per page of an answer, as it came.
PAGES = pa.schema(
    [
        *_DAY,
        pa.field("page_number", pa.int32(), nullable=False),  # 1 is the first
        pa.field("endpoint", pa.string(), nullable=False),  # path, e.g. /markets/keyset
        pa.field("query", pa.string(), nullable=False),  # the query's parameters as JSON, cursor included
        pa.field("body", pa.string(), nullable=False),  # the answer, byte for byte (UTF-8)
        pa.field("body_sha256", pa.string(), nullable=False),
        pa.field("record_count", pa.int32(), nullable=False),  # records on the page
        pa.field("next_cursor", pa.string()),  # null on the last page
        *_FETCHED,
    ]
)

# One row per market and snapshot: every column that an experiment may see, and nothing from later.
MARKETS = pa.schema(
    [
        *_DAY,
        # what it is
        pa.field("market_id", pa.string(), nullable=False),  # Gamma's id; resolutions are fetched by it
        pa.field("condition_id", pa.string(), nullable=False),  # 0x hex, 32 bytes
        pa.field("slug", pa.string()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("description", pa.string()),  # resolution rules in words
        pa.field("category", pa.string()),
        pa.field("event_id", pa.string()),  # its (first) event; scores are bootstrapped by it
        pa.field("event_slug", pa.string()),
        pa.field("event_title", pa.string()),
        pa.field("series_slug", pa.string()),  # series of events, e.g. btc-up-or-down-5m
        pa.field("series_recurrence", pa.string()),  # 5m, hourly, daily, weekly ..., null for single series
        # the two outcomes, in the source's order; the first is the one that `price` and every probability is about
        pa.field("outcomes", pa.list_(pa.string()), nullable=False),  # exactly 2 names
        pa.field("outcome_prices", pa.list_(pa.float64()), nullable=False),  # 2 prices in [0, 1]
        pa.field("token_ids", pa.list_(pa.string()), nullable=False),  # 2 CLOB tokens (up to 78 digits: text)
        # prices of the first outcome, each 0..1
        pa.field("price", pa.float64(), nullable=False),  # displayed price: outcome_prices[0]
        pa.field("best_bid", pa.float64()),  # null: nobody bids (the source's 0 too)
        pa.field("best_ask", pa.float64()),  # null: nobody asks (the source's 1 too)
        pa.field("midpoint", pa.float64()),  # (bid + ask) / 2 of a two-sided book, else null
        pa.field("spread", pa.float64()),  # ask - bid of a two-sided book, else null
        pa.field(
            "book_status", pa.string(), nullable=False
        ),  # two_sided, bid_only, ask_only, empty, crossed, unreadable
        pa.field("last_trade_price", pa.float64()),  # null: never traded (the source's 0 too)
        pa.field("price_change_1h", pa.float64()),  # price now minus price then
        pa.field("price_change_1d", pa.float64()),
        pa.field("price_change_1w", pa.float64()),
        pa.field("price_change_1m", pa.float64()),
        pa.field("tick_size", pa.float64()),
        # size, in USD
        pa.field("volume_usd", pa.float64()),
        pa.field("volume_24h_usd", pa.float64()),
        pa.field("volume_1w_usd", pa.float64()),
        pa.field("liquidity_usd", pa.float64()),
        # negRisk: markets of one group exclude each other, their first outcomes' prices should add up to 1
        pa.field("is_neg_risk", pa.bool_(), nullable=False),
        pa.field("neg_risk_market_id", pa.string()),  # the group; null outside negRisk
        pa.field("is_neg_risk_placeholder", pa.bool_(), nullable=False),  # "other" and not yet named outcomes
        pa.field("is_neg_risk_augmented", pa.bool_(), nullable=False),  # its event may still get outcomes
        # over all open markets of the group in the same listing, also those left out by a filter
        pa.field("neg_risk_group_count", pa.int32()),
        pa.field("neg_risk_group_price_sum", pa.float64()),
        # fees: fee = shares * fee_rate * (p * (1 - p)) ** fee_exponent, as the schedule says; null: none published
        pa.field("is_fee_enabled", pa.bool_()),
        pa.field("fee_rate", pa.float64()),
        pa.field("fee_exponent", pa.float64()),
        pa.field("fee_taker_only", pa.bool_()),
        # state, as the source words it; none of it means "resolved" (see resolve.py)
        pa.field("is_active", pa.bool_(), nullable=False),
        pa.field("is_closed", pa.bool_(), nullable=False),
        pa.field("is_archived", pa.bool_()),
        pa.field("is_accepting_orders", pa.bool_()),
        pa.field("uma_status", pa.string()),  # what UMA says now: proposed, disputed, resolved; null: nothing yet
        # times
        pa.field("start_at", UTC),
        pa.field("end_at", UTC),  # endDate: scheduled end, neither cutoff nor resolution; null: a date without a time
        pa.field("end_date", pa.date32()),  # its day, UTC (null in rows landed before there was this column)
        pa.field("updated_at", UTC),  # as the source says
        pa.field("notes", pa.list_(pa.string())),  # fields that could not be read and are null, each with the reason
        *_FETCHED,  # observed_at IS the snapshot's time
    ]
)

# One row per record that is not in MARKETS, with the reason.
REFUSALS = pa.schema(
    [
        *_DAY,
        pa.field("page_number", pa.int32(), nullable=False),
        pa.field("record_number", pa.int32(), nullable=False),  # position on the page, 1 is the first
        pa.field("market_id", pa.string()),  # null: the record has none
        pa.field("refusal_kind", pa.string(), nullable=False),  # malformed (bad record) or filtered (not wanted)
        pa.field("reason", pa.string(), nullable=False),  # code, e.g. not_binary, below_min_liquidity
        pa.field("field", pa.string()),  # the field it is about, by the source's name
        pa.field("detail", pa.string(), nullable=False),  # in words, with the value cut to 200 characters
        *_FETCHED,
    ]
)

# One row per market and answer to "how did it end?".
RESOLUTIONS = pa.schema(
    [
        pa.field("partition_id", pa.string(), nullable=False),
        pa.field("market_id", pa.string(), nullable=False),
        pa.field("condition_id", pa.string()),
        pa.field("status", pa.string(), nullable=False),  # resolved, void, undetermined; refused: about another market
        pa.field("reason", pa.string(), nullable=False),  # why: one_hot, half_half, not_closed, not_final, ...
        pa.field("label", pa.int8()),  # 1: the snapshot's first outcome happened, 0: its second; null unless resolved
        pa.field("winning_token_id", pa.string()),  # its token: what a label of any snapshot is told by
        pa.field("winning_outcome", pa.string()),  # its name; null unless resolved
        pa.field("outcomes", pa.list_(pa.string())),  # in the source's order at the end
        pa.field("is_turned", pa.bool_()),  # whether that is the other order than the snapshot's
        pa.field("outcome_prices_text", pa.list_(pa.string())),  # as the source wrote them
        pa.field("is_closed", pa.bool_()),
        pa.field("uma_status", pa.string()),
        pa.field("uma_statuses", pa.list_(pa.string())),
        pa.field("is_automatically_resolved", pa.bool_()),
        pa.field("clob_winning_token_id", pa.string()),  # what the CLOB says, where it was asked
        pa.field("closed_at", UTC),  # closedTime
        pa.field("uma_end_at", UTC),  # umaEndDate
        pa.field("resolved_at", UTC),  # closedTime, else umaEndDate; null unless resolved or void
        pa.field("end_at", UTC),
        pa.field("notes", pa.list_(pa.string())),  # fields that could not be read and are null; why it was refused
        pa.field("body", pa.string(), nullable=False),  # the record as it came ('' when there was none)
        *_FETCHED,  # observed_at: when this answer was known
    ]
)

# One row per token and point of its price history.
PRICE_HISTORY = pa.schema(
    [
        *_DAY,
        pa.field("market_id", pa.string(), nullable=False),
        pa.field("token_id", pa.string(), nullable=False),  # the market's first token
        pa.field("fidelity_minutes", pa.int32(), nullable=False),
        pa.field("price_at", UTC, nullable=False),  # never after observed_at
        pa.field("price", pa.float64(), nullable=False),  # what p means is not documented by the source
        *_FETCHED,
    ]
)

# One row per token whose order book was asked for.
BOOKS = pa.schema(
    [
        *_DAY,
        pa.field("market_id", pa.string(), nullable=False),
        pa.field("token_id", pa.string(), nullable=False),  # the market's first token
        pa.field("book_status", pa.string(), nullable=False),  # as in MARKETS, or missing (the CLOB has no book)
        pa.field("best_bid", pa.float64()),
        pa.field("best_ask", pa.float64()),
        pa.field("midpoint", pa.float64()),  # null unless two_sided
        pa.field("bid_size", pa.float64()),  # shares at the best bid
        pa.field("ask_size", pa.float64()),
        pa.field("book_at", UTC),  # the book's own timestamp
        *_FETCHED,
    ]
)

# One row per market and document that research found, also of those that no forecast may use.
DOCUMENTS = pa.schema(
    [
        *_DAY,
        pa.field("market_id", pa.string(), nullable=False),
        pa.field("document_number", pa.int32(), nullable=False),  # 0 is the first of the answer
        pa.field("query", pa.string(), nullable=False),  # what was searched for
        pa.field("title", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # site
        pa.field("url", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("text", pa.string()),  # null: headlines only
        pa.field("published_at", UTC),  # when it was first seen in public; null: undated, so not usable
        *_FETCHED,  # observed_at: when it was retrieved
    ]
)

POLYMARKET_TABLES = {
    "polymarket_pages": PAGES,
    "polymarket_markets": MARKETS,
    "polymarket_refusals": REFUSALS,
    "polymarket_resolutions": RESOLUTIONS,
    "polymarket_price_history": PRICE_HISTORY,
    "polymarket_books": BOOKS,
    "polymarket_documents": DOCUMENTS,
}
