"""Replies of a block to rows of the raw tables: pure, one function per table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from extract.evm.abi import Function
from extract.evm.calls import Reply, joint
from extract.evm.views import status, word
from extract.voting.epochs import utc
from extract.voting.state import BlockState
from extract.voting.tables import EPOCHS, GAUGES, PRICES, REWARDS, WINDOWS
from extract.voting.timeline import Timeline, WindowPoint

Row = dict[str, Any]
MAX_DECIMALS = 38  # a scale beyond this is a broken token; 10^38 still fits the widest exact decimal


def epoch_table(timeline: Timeline, chain_id: int, partition_id: str, provider: str, fetched_at: datetime) -> pa.Table:
    """One row: the epoch's moments. Null where the chain is not there yet; `status` says so."""
    family = timeline.protocol.family
    row: Row = {
        "partition_id": partition_id,
        "protocol": timeline.protocol.name,
        "chain_id": chain_id,
        "epoch": timeline.epoch,
        "epoch_start_at": utc(timeline.epoch),
        "boundary_at": utc(timeline.boundary),
        "epoch_source": family.epoch_source,
        "votes_reset_each_epoch": family.votes_reset_each_epoch,
        "kill_clears_votes": family.kill_clears_votes,
        "vote_log": family.vote_log,
        "status": timeline.status,
        "start_block": timeline.start_block,
        "boundary_block": timeline.boundary_block.number if timeline.boundary_block else None,
        "flip_block": timeline.flip.number if timeline.flip else None,
        "flip_at": utc(timeline.flip.timestamp) if timeline.flip else None,
        "flip_transaction_hash": timeline.flip_transaction,
        "truth_block": timeline.truth.number if timeline.truth else None,
        "truth_at": utc(timeline.truth.timestamp) if timeline.truth else None,
        "provider": provider,
        "fetched_at": fetched_at,
    }
    return pa.Table.from_pylist([row], schema=EPOCHS)


def window_tables(
    timeline: Timeline,
    chain_id: int,
    point: WindowPoint,
    state: BlockState,
    feeds: Mapping[str, str],
    partition_id: str,
    fetched_at: datetime,
) -> dict[str, pa.Table]:
    """The four state tables of one decision window."""
    key: Row = {
        "partition_id": partition_id,
        "protocol": timeline.protocol.name,
        "chain_id": chain_id,
        "epoch": timeline.epoch,
        "decision_window": point.window.decision_window,
        "observed_block": point.observed.number,
        "observed_at": utc(point.observed.timestamp),
        "fetched_at": fetched_at,
    }
    return {
        "voting_windows": _table([_window_row(key, point, state)], WINDOWS),
        "voting_gauges": _table(_gauge_rows(key, state), GAUGES),
        "voting_rewards": _table(_reward_rows(key, state, timeline.protocol.family.reward_word), REWARDS),
        "voting_prices": _table(_price_rows(key, state, feeds), PRICES),
    }


def _table(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _window_row(key: Row, point: WindowPoint, state: BlockState) -> Row:
    return key | {
        "target_at": utc(point.target),
        "decision_block": point.decision.number,
        "decision_at": utc(point.decision.timestamp),
        "decision_block_hash": point.decision.hash,
        "epoch_on_chain": word(state.totals["epoch"]),
        "total_votes_raw": _text(word(state.totals["total"])),
        "gauges": len(state.gauges),
        "confirmation": state.confirmation,
        "provider": state.totals["length"].provider,
    }


def _gauge_rows(key: Row, state: BlockState) -> Iterable[Row]:
    for gauge, pool in state.gauges.items():
        alive, votes = word(state.alive[gauge]), state.votes[pool]
        yield key | {
            "gauge_address": gauge,
            "pool_address": pool,
            "is_alive": None if alive is None else bool(alive),
            "votes_raw": _text(word(votes)),
            "votes_status": status(votes),
            "confirmation": votes.confirmation,
            "provider": votes.provider,
        }


def _reward_rows(key: Row, state: BlockState, reward_word: int) -> Iterable[Row]:
    for (bribe, token), reply in state.rewards.items():
        gauge, kind = state.bribes[bribe]
        yield key | {
            "gauge_address": gauge,
            "bribe_address": bribe,
            "bribe_kind": kind,
            "token_address": token,
            "times_listed": state.listed[bribe][token],
            "reward_raw": _text(word(reply, reward_word)),
            "reward_status": status(reply, reward_word),
            "residual_balance_raw": _text(word(state.balances[bribe, token])),
            "confirmation": joint((reply.confirmation, state.balances[bribe, token].confirmation)),
            "provider": reply.provider,
        }


def _price_rows(key: Row, state: BlockState, feeds: Mapping[str, str]) -> Iterable[Row]:
    for token, reply in state.decimals.items():
        decimals = word(reply)
        known = decimals is not None and decimals <= MAX_DECIMALS
        yield key | {
            "token_address": token,
            "token_symbol": symbol_of(state.symbols[token]),
            "token_decimals": decimals if known else None,
            "decimals_status": "ok" if known else ("malformed" if decimals is not None else status(reply)),
            "confirmation": reply.confirmation,
            "provider": reply.provider,
            **_price(token, state, feeds, int(key["observed_at"].timestamp())),
        }


def _price(token: str, state: BlockState, feeds: Mapping[str, str], block_time: int) -> Row:
    """Price columns: the feed on the chain first, then what a configured source quoted for that moment."""
    from_feed, quote = feed_price(token, state, feeds, block_time), state.quotes.get(token)
    if from_feed["price_usd"] is not None or quote is None:
        return from_feed
    return from_feed | {
        "price_usd": quote.price_usd,
        "price_source": quote.source,
        "price_updated_at": utc(quote.updated_at),
        "price_status": "ok",
    }


def feed_price(token: str, state: BlockState, feeds: Mapping[str, str], block_time: int) -> Row:
    """Price columns from a Chainlink-style feed: answer / 10^decimals, with the round's own time."""
    empty: Row = {
        "price_usd": None,
        "price_raw": None,
        "price_decimals": None,
        "price_source": None,
        "price_updated_at": None,
    }
    if token not in feeds:
        return empty | {"price_status": "no_source"}
    reply, scale = state.rounds[token], word(state.feed_decimals[token])
    answer, updated = word(reply, 1), word(reply, 3)
    source: Row = {"price_source": f"chainlink:{feeds[token]}"}
    if answer is None or updated is None or scale is None or scale > MAX_DECIMALS:
        return empty | source | {"price_status": status(reply, 4) if status(reply, 4) != "ok" else "malformed"}
    if answer == 0 or answer >= 2**255 or updated == 0:
        return empty | source | {"price_status": "not_positive"}
    if updated > block_time:
        return empty | source | {"price_status": "after_block"}
    return source | {
        "price_usd": answer / 10**scale,
        "price_raw": str(answer),
        "price_decimals": scale,
        "price_updated_at": utc(updated),
        "price_status": "ok",
    }


def symbol_of(reply: Reply) -> str | None:
    """An ERC-20 symbol: a string, or the bytes32 of old tokens (MKR); None when neither can be read."""
    if reply.status != "ok" or len(reply.data) < 32:
        return None
    if len(reply.data) == 32:
        return reply.data.rstrip(b"\0").decode("utf-8", "replace") or None
    try:
        return str(Function("symbol()", returns="string").decode(reply.data)) or None
    except Exception:  # any malformed string of a hostile token: the symbol is decoration, the address is the key
        return None


def merge(parts: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """Concatenate the tables of several partitions by name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: pa.concat_tables([part[name] for part in parts if name in part]) for name in names}
