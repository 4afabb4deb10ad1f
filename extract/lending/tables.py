"""The raw tables of the lending line: one Arrow schema each.

Integers of the chain are decimal text: exact, and readable by every engine. Times are UTC; `day` is a New York date.
"""

from __future__ import annotations

import pyarrow as pa

UTC = pa.timestamp("us", "UTC")


def _text(*names: str, required: bool = False) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=not required) for name in names]


_FETCHED = [*_text("provider"), pa.field("fetched_at", UTC, nullable=False)]
_DAY = [
    *_text("partition_id", required=True),
    pa.field("chain_id", pa.int64(), nullable=False),
    pa.field("day", pa.date32(), nullable=False),
]
_CSU_DAY = [*_DAY, *_text("csu_id", required=True)]
_OBSERVED = [pa.field("observed_block", pa.int64(), nullable=False), pa.field("observed_at", UTC, nullable=False)]
_CONFIRMED = _text("confirmation")  # of state: proven or unconfirmed; of logs: second_provider, bloom or unconfirmed

DAYS = pa.schema(
    [
        *_DAY,
        *_text("chain", required=True),
        pa.field("window_start_at", UTC, nullable=False),
        pa.field("window_end_at", UTC, nullable=False),
        pa.field("first_block", pa.int64(), nullable=False),  # the first block of the day
        pa.field("last_block", pa.int64(), nullable=False),  # the snapshot block: the last one before midnight
        pa.field("last_block_at", UTC, nullable=False),
        *_text("last_block_hash", required=True),
        pa.field("next_block_at", UTC, nullable=False),  # its successor's time: the proof
        *_FETCHED,
    ]
)
SNAPSHOTS = pa.schema(
    [
        *_CSU_DAY,
        *_text("family", "chain", "registry_address", required=True),
        *_text("status", required=True),  # ok, not_deployed, unsupported, no_archive_state, unreadable
        *_text("reason"),
        pa.field("reserve_count", pa.int64(), nullable=False),
        pa.field("observed_block", pa.int64()),  # null on days before the chain's first block
        pa.field("observed_at", UTC),
        *_CONFIRMED,
        *_FETCHED,
    ]
)
RESERVES = pa.schema(
    [
        *_CSU_DAY,
        *_text("reserve_id", required=True),
        *_text("market_id", "asset_address", "asset_symbol"),
        pa.field("asset_decimals", pa.int16()),
        *_text("role", required=True),  # lent (can be borrowed), collateral (security only), minted (no lender)
        *_text("supplied_raw", "borrowed_variable_raw", "borrowed_stable_raw", "available_raw"),
        *_text("held_raw"),  # tokens that really stand in the protocol's contract, where that was asked
        *_text("minted_raw", "deficit_raw", "absorbed_raw", required=True),  # see extract.lending.families.base.Reserve
        *_text("accrual", required=True),  # interest: at_block, or as_stored at the market's last transaction
        *_text("read_status", required=True),
        pa.field("is_frozen", pa.bool_()),
        pa.field("is_paused", pa.bool_()),
        *_OBSERVED,
        *_CONFIRMED,
        *_FETCHED,
    ]
)
LIQUIDATIONS = pa.schema(
    [
        *_CSU_DAY,
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_at", UTC, nullable=False),
        *_text("transaction_hash", required=True),
        pa.field("log_index", pa.int64(), nullable=False),
        *_text("emitter_address", "event_kind", required=True),
        *_text("market_id", "liquidator", "borrower"),
        *_text("debt_asset", "debt_raw", "bad_debt_raw"),
        pa.field("debt_decimals", pa.int16()),
        *_text("collateral_token", "collateral_token_raw"),  # what was seized: an asset, or shares of one
        *_text("seized_token_raw", "received_token_raw"),  # with and without what the protocol keeps
        *_text("protocol_fee_status"),  # read, none, whole (it absorbs all), unknown
        *_text("collateral_asset", "collateral_raw"),  # the asset behind it, in its own units
        pa.field("collateral_decimals", pa.int16()),
        *_text("stated_usd_raw"),
        *_text("decode_status", required=True),
        pa.field("topics", pa.list_(pa.string()), nullable=False),
        *_text("data", required=True),
        *_CONFIRMED,
        *_FETCHED,
    ]
)
PRICES = pa.schema(
    [
        *_CSU_DAY,
        *_text("asset_address", required=True),
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_at", UTC, nullable=False),
        pa.field("is_asked", pa.bool_(), nullable=False),  # false: here only because a price counts in it
        *_text("price_status", required=True),  # ok, missing
        *_text("price_source"),  # oracle, feed, or the name of a configured source
        *_text("price_control"),  # who chose it: protocol, market (its maker), feed, source
        pa.field("price_confidence", pa.float64()),  # the source's own, 0 to 1
        *_text("price_raw"),  # what the oracle or feed answered; null for other sources
        pa.field("price_decimals", pa.int16()),
        *_text("unit_asset"),  # null: USD; otherwise the asset that the raw price counts in
        pa.field("unit_price_usd", pa.float64()),
        pa.field("price_usd", pa.float64()),
        pa.field("price_at", UTC),  # when the price was made, where its source says so
        pa.field("check_usd", pa.float64()),  # what a feed or source says of an asset that its maker prices
        *_text("check_source"),
        *_text("oracle_status", required=True),  # what the oracle answered, whoever priced the asset in the end
        *_text("oracle_raw"),
        pa.field("oracle_decimals", pa.int16()),
        *_text("oracle_unit", "oracle_control"),
        pa.field("oracle_at", UTC),
        *_text("tried", required=True),  # every source that was asked and what it said
        *_FETCHED,
    ]
)
FLOWS = pa.schema(
    [
        *_CSU_DAY,
        *_text("reserve_id", required=True),
        *_text("asset_address"),
        *_text("measure", required=True),  # flow: a day's change against its events; held: tokens against the books
        pa.field("opening_block", pa.int64(), nullable=False),  # the last block before the day
        pa.field("closing_block", pa.int64(), nullable=False),
        *_text("opening_raw", "closing_raw"),  # null where the reserve could not be read
        *_text("moved_in_raw", "moved_out_raw", required=True),
        *_text("difference_raw"),  # closing - opening - in + out, exact
        *_text("rounding_raw", required=True),  # what the protocol's own rounding may explain
        pa.field("is_book", pa.bool_(), nullable=False),  # false: a balance that anybody may raise by a gift
        pa.field("event_count", pa.int64(), nullable=False),
        pa.field("undecoded_count", pa.int64(), nullable=False),  # of the CSU's events that nobody could decode
        *_FETCHED,
    ]
)
MARKETS = pa.schema(
    [
        *_CSU_DAY,
        *_text("market_id", "loan_asset", "collateral_asset", "oracle", "rate_model", "lltv", required=True),
        *_text("collateral_raw", required=True),  # what stands as collateral after the day's last block, from all logs
        *_OBSERVED,
        *_CONFIRMED,
        *_FETCHED,
    ]
)

LENDING_TABLES = {
    "lending_days": DAYS,
    "lending_snapshots": SNAPSHOTS,
    "lending_reserves": RESERVES,
    "lending_liquidations": LIQUIDATIONS,
    "lending_flows": FLOWS,
    "lending_prices": PRICES,
    "lending_markets": MARKETS,
}
