"""The raw tables of the voting line: one Arrow schema each.

Integers of the chain that may exceed 64 bits are decimal text: exact, and readable by every engine.
Every row carries its partition, the block it was read at, that block's time (UTC) and the provider's name.
"""

from __future__ import annotations

import pyarrow as pa

UTC = pa.timestamp("us", "UTC")

_KEY = [
    pa.field("partition_id", pa.string(), nullable=False),
    pa.field("protocol", pa.string(), nullable=False),
    pa.field("chain_id", pa.int64(), nullable=False),
    pa.field("epoch", pa.int64(), nullable=False),
]
_STATE_KEY = [*_KEY, pa.field("decision_window", pa.string(), nullable=False)]
_OBSERVED = [
    pa.field("observed_block", pa.int64(), nullable=False),
    pa.field("observed_at", UTC, nullable=False),
    pa.field("confirmation", pa.string()),  # proven (the state by its block) or unconfirmed
    pa.field("provider", pa.string()),
    pa.field("fetched_at", UTC, nullable=False),
]

EPOCHS = pa.schema(
    [
        *_KEY,
        pa.field("epoch_start_at", UTC, nullable=False),
        pa.field("boundary_at", UTC, nullable=False),
        pa.field("epoch_source", pa.string(), nullable=False),
        pa.field("votes_reset_each_epoch", pa.bool_(), nullable=False),
        pa.field("kill_clears_votes", pa.bool_(), nullable=False),
        pa.field("voter_kind", pa.string(), nullable=False),
        pa.field("vote_log", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("start_block", pa.int64(), nullable=False),
        pa.field("boundary_block", pa.int64()),
        pa.field("last_votable_block", pa.int64()),
        pa.field("last_votable_at", UTC),
        pa.field("flip_block", pa.int64()),
        pa.field("flip_at", UTC),
        pa.field("flip_transaction_hash", pa.string()),
        pa.field("truth_block", pa.int64()),
        pa.field("truth_at", UTC),
        pa.field("provider", pa.string()),
        pa.field("fetched_at", UTC, nullable=False),
    ]
)

WINDOWS = pa.schema(
    [
        *_STATE_KEY,
        pa.field("target_at", UTC, nullable=False),
        pa.field("decision_block", pa.int64(), nullable=False),
        pa.field("decision_at", UTC, nullable=False),
        pa.field("decision_block_hash", pa.string(), nullable=False),
        pa.field("epoch_on_chain", pa.int64()),
        pa.field("total_votes_raw", pa.string()),
        pa.field("gauges", pa.int64(), nullable=False),
        *_OBSERVED,
    ]
)

GAUGES = pa.schema(
    [
        *_STATE_KEY,
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("pool_address", pa.string(), nullable=False),
        pa.field("is_alive", pa.bool_()),
        pa.field("votes_raw", pa.string()),
        pa.field("votes_status", pa.string(), nullable=False),
        *_OBSERVED,
    ]
)

POOLS = pa.schema(
    [
        *_STATE_KEY,
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("pool_address", pa.string(), nullable=False),
        pa.field("pool_symbol", pa.string()),  # as strangers wrote it: decoration, never a key
        pa.field("token0_address", pa.string()),
        pa.field("token1_address", pa.string()),
        pa.field("token0_symbol", pa.string()),
        pa.field("token1_symbol", pa.string()),
        *_OBSERVED,
    ]
)

BRIBES = pa.schema(
    [
        *_STATE_KEY,
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("bribe_kind", pa.string(), nullable=False),
        pa.field("bribe_address", pa.string()),
        pa.field("is_replaced", pa.bool_(), nullable=False),
        pa.field("supply_raw", pa.string()),
        pa.field("supply_status", pa.string(), nullable=False),
        pa.field("list_status", pa.string(), nullable=False),
        pa.field("tokens_listed", pa.int32()),
        pa.field("tokens_unread", pa.int32(), nullable=False),
        *_OBSERVED,
    ]
)

VOTERS = pa.schema(
    [
        *_STATE_KEY,
        pa.field("voter_id", pa.string(), nullable=False),
        pa.field("voter_kind", pa.string(), nullable=False),
        pa.field("account_address", pa.string()),
        pa.field("token_id", pa.string()),
        pa.field("power_raw", pa.string()),
        pa.field("power_status", pa.string(), nullable=False),
        pa.field("votes_status", pa.string(), nullable=False),
        pa.field("last_voted_at", UTC),
        pa.field("rewarded_power_raw", pa.string()),
        pa.field("owner_address", pa.string()),
        pa.field("is_approved", pa.bool_()),
        pa.field("is_exempt", pa.bool_()),
        pa.field("vote_delay_seconds", pa.int64()),
        *_OBSERVED,
    ]
)

OWN_VOTES = pa.schema(
    [
        *_STATE_KEY,
        pa.field("voter_id", pa.string(), nullable=False),
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("asked", pa.string(), nullable=False),
        pa.field("contract_address", pa.string(), nullable=False),
        pa.field("bribe_kind", pa.string()),
        pa.field("votes_raw", pa.string(), nullable=False),
        *_OBSERVED,
    ]
)

REWARDS = pa.schema(
    [
        *_STATE_KEY,
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("bribe_address", pa.string(), nullable=False),
        pa.field("bribe_kind", pa.string(), nullable=False),
        pa.field("token_address", pa.string(), nullable=False),
        pa.field("times_listed", pa.int32(), nullable=False),
        pa.field("reward_raw", pa.string()),
        pa.field("reward_status", pa.string(), nullable=False),
        pa.field("residual_balance_raw", pa.string()),
        *_OBSERVED,
    ]
)

PRICES = pa.schema(
    [
        *_STATE_KEY,
        pa.field("token_address", pa.string(), nullable=False),
        pa.field("token_symbol", pa.string()),
        pa.field("token_decimals", pa.int32()),
        pa.field("decimals_status", pa.string(), nullable=False),
        pa.field("price_usd", pa.float64()),
        pa.field("price_raw", pa.string()),
        pa.field("price_decimals", pa.int32()),
        pa.field("price_source", pa.string()),
        pa.field("price_updated_at", UTC),
        pa.field("price_status", pa.string(), nullable=False),
        pa.field("price_support", pa.string()),
        pa.field("liquidity_usd", pa.float64()),
        *_OBSERVED,
    ]
)

QUOTES = pa.schema(
    [
        *_STATE_KEY,
        pa.field("token_address", pa.string(), nullable=False),
        pa.field("quote_source", pa.string(), nullable=False),
        pa.field("quote_kind", pa.string(), nullable=False),
        pa.field("price_usd", pa.float64(), nullable=False),
        pa.field("price_updated_at", UTC, nullable=False),
        pa.field("size_usd", pa.float64()),
        pa.field("liquidity_usd", pa.float64()),
        *_OBSERVED,
    ]
)

EVENTS = pa.schema(
    [
        *_KEY,
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_at", UTC, nullable=False),
        pa.field("block_hash", pa.string(), nullable=False),
        pa.field("transaction_hash", pa.string(), nullable=False),
        pa.field("log_index", pa.int32(), nullable=False),
        pa.field("event_kind", pa.string(), nullable=False),
        pa.field("emitter_address", pa.string(), nullable=False),
        pa.field("bribe_kind", pa.string()),
        pa.field("is_counted", pa.bool_(), nullable=False),
        pa.field("gauge_address", pa.string()),
        pa.field("pool_address", pa.string()),
        pa.field("token_address", pa.string()),
        pa.field("actor", pa.string()),
        pa.field("amount_raw", pa.string()),
        pa.field("sign", pa.int8(), nullable=False),
        pa.field("total_after_raw", pa.string()),
        pa.field("event_epoch", pa.int64()),
        pa.field("decode_status", pa.string(), nullable=False),
        pa.field("topics", pa.list_(pa.string()), nullable=False),
        pa.field("data", pa.string(), nullable=False),
        pa.field("confirmation", pa.string()),  # second_provider, bloom or unconfirmed
        pa.field("provider", pa.string()),
        pa.field("fetched_at", UTC, nullable=False),
    ]
)

VOTING_TABLES = {
    "voting_epochs": EPOCHS,
    "voting_windows": WINDOWS,
    "voting_gauges": GAUGES,
    "voting_pools": POOLS,
    "voting_bribes": BRIBES,
    "voting_rewards": REWARDS,
    "voting_prices": PRICES,
    "voting_quotes": QUOTES,
    "voting_voters": VOTERS,
    "voting_own_votes": OWN_VOTES,
    "voting_events": EVENTS,
}
