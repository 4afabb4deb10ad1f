"""Replies of a block to rows of the raw tables: pure, one function per table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from extract.evm.abi import Function
from extract.evm.calls import Reply, joint
from extract.evm.views import address, status, text, word
from extract.voting.epochs import utc
from extract.voting.names import VIEWS, PoolNames
from extract.voting.pricing import PriceRules, judge
from extract.voting.state import BlockState
from extract.voting.tables import BRIBES, EPOCHS, GAUGES, OWN_VOTES, POOLS, PRICES, QUOTES, REWARDS, VOTERS, WINDOWS
from extract.voting.timeline import Timeline, WindowPoint
from extract.voting.voters import VoterState

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
        "voter_kind": family.voter_kind,
        "vote_log": family.vote_log,
        "status": timeline.status,
        "start_block": timeline.start_block,
        "boundary_block": timeline.boundary_block.number if timeline.boundary_block else None,
        "last_votable_block": timeline.last_votable.number if timeline.last_votable else None,
        "last_votable_at": utc(timeline.last_votable.timestamp) if timeline.last_votable else None,
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
    rules: PriceRules,
    names: PoolNames,
    partition_id: str,
    fetched_at: datetime,
) -> dict[str, pa.Table]:
    """The state tables of one decision window."""
    key = _key(timeline, chain_id, point, partition_id, fetched_at)
    return {
        "voting_windows": _table(key, [_window_row(point, state)], WINDOWS),
        "voting_gauges": _table(key, _gauge_rows(state), GAUGES),
        "voting_pools": _table(key, _pool_rows(state, names), POOLS),
        "voting_bribes": _table(key, _bribe_rows(state), BRIBES),
        "voting_rewards": _reward_table(key, state, timeline.protocol.family.reward_word),
        "voting_prices": _table(key, _price_rows(state, feeds, point.observed.timestamp, rules), PRICES),
        "voting_quotes": _table(key, _quote_rows(state), QUOTES),
    }


def voter_tables(
    timeline: Timeline,
    chain_id: int,
    point: WindowPoint,
    state: BlockState,
    voters: Sequence[VoterState],
    partition_id: str,
    fetched_at: datetime,
) -> dict[str, pa.Table]:
    """What the planned voters have at one decision window."""
    key = _key(timeline, chain_id, point, partition_id, fetched_at) | {"provider": state.totals["length"].provider}
    return {
        "voting_voters": _table(key, [_voter_row(of) for of in voters], VOTERS),
        "voting_own_votes": _table(
            key, (row for of in voters for row in _own_rows(state, of, timeline.protocol.voter)), OWN_VOTES
        ),
    }


def _key(timeline: Timeline, chain_id: int, point: WindowPoint, partition_id: str, fetched_at: datetime) -> Row:
    return {
        "partition_id": partition_id,
        "protocol": timeline.protocol.name,
        "chain_id": chain_id,
        "epoch": timeline.epoch,
        "decision_window": point.window.decision_window,
        "observed_block": point.observed.number,
        "observed_at": utc(point.observed.timestamp),
        "fetched_at": fetched_at,
    }


def _table(key: Row, rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    """Rows with the key's columns in each of them; what neither has is null."""
    found = list(rows)
    names = [field.name for field in schema if field.name not in key]
    return _filled(key, {name: [row.get(name) for row in found] for name in names}, len(found), schema)


def _filled(key: Row, columns: Mapping[str, Sequence[Any]], count: int, schema: pa.Schema) -> pa.Table:
    """Columns of `count` rows, with the key's in each of them."""
    filled = [
        pa.array(columns[field.name], field.type)
        if field.name not in key
        else pa.repeat(pa.scalar(key[field.name], field.type), count)
        for field in schema
    ]
    return pa.table(filled, schema=schema)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _window_row(point: WindowPoint, state: BlockState) -> Row:
    return {
        "target_at": utc(point.target),
        "decision_block": point.decision.number,
        "decision_at": utc(point.decision.timestamp),
        "decision_block_hash": point.decision.hash,
        "epoch_on_chain": word(state.totals["epoch"]),
        "total_votes_raw": text(state.totals["total"]),
        "gauges": len(state.gauges),
        "confirmation": state.confirmation,
        "provider": state.totals["length"].provider,
    }


def _gauge_rows(state: BlockState) -> Iterable[Row]:
    for gauge, pool in state.gauges.items():
        alive, votes = word(state.alive[gauge]), state.votes[pool]
        yield {
            "gauge_address": gauge,
            "pool_address": pool,
            "is_alive": None if alive is None else bool(alive),
            "votes_raw": text(votes),
            "votes_status": status(votes),
            "confirmation": votes.confirmation,
            "provider": votes.provider,
        }


def _pool_rows(state: BlockState, names: PoolNames) -> Iterable[Row]:
    for gauge, pool in state.gauges.items():
        symbol = names.pools.get((pool, VIEWS[0]))
        if symbol is None:
            continue
        tokens = [names.token(pool, view) for view in VIEWS[1:]]
        held = [symbol_of(names.tokens[token]) if token else None for token in tokens]
        yield {
            "gauge_address": gauge,
            "pool_address": pool,
            "pool_symbol": symbol_of(symbol),
            "token0_address": tokens[0],
            "token1_address": tokens[1],
            "token0_symbol": held[0],
            "token1_symbol": held[1],
            "confirmation": symbol.confirmation,
            "provider": symbol.provider,
        }


def _bribe_rows(state: BlockState) -> Iterable[Row]:
    """A row per bribe, and one without an address where the voter does not say which bribe a gauge has."""
    for (gauge, kind), reply in state.bribe_reads.items():
        if word(reply) is None:
            unread = {"supply_status": status(reply), "list_status": status(reply), "tokens_unread": 0}
            yield {
                "gauge_address": gauge,
                "bribe_kind": kind,
                "is_replaced": False,
                "provider": reply.provider,
            } | unread
    for bribe, (gauge, kind) in state.bribes.items():
        supply, length = state.supplies[bribe], state.lengths[bribe]
        yield {
            "gauge_address": gauge,
            "bribe_kind": kind,
            "bribe_address": bribe,
            "is_replaced": bribe in state.replaced,
            "supply_raw": text(supply),
            "supply_status": status(supply),
            "list_status": status(length),
            "tokens_listed": word(length),
            "tokens_unread": state.unread_tokens[bribe],
            "provider": supply.provider,
        }


def _voter_row(of: VoterState) -> Row:
    voted, approved, exempt = of.number("last_voted"), of.number("approved"), of.number("exempt")
    owner = of.answers.get("owner")
    is_own = of.voter.sender in ("", of.account) if of.is_by_account else None
    return {
        "voter_id": of.voter.voter_id,
        "voter_kind": of.voter.kind,
        "account_address": of.account,
        "token_id": _text(of.token_id),
        "power_raw": _text(of.number("power")),
        "power_status": of.power_status(),
        "votes_status": of.votes_status(),
        "last_voted_at": utc(voted) if voted else None,
        "rewarded_power_raw": _text(of.rewarded_power()),
        "owner_address": address(owner) if owner else None,
        "is_approved": is_own if approved is None else bool(approved),
        "is_exempt": None if exempt is None else bool(exempt),
        "vote_delay_seconds": of.number("vote_delay"),
    }


def _own_rows(state: BlockState, of: VoterState, voter: str) -> Iterable[Row]:
    """Only what is not zero: `votes_status` of the voter says whether everything was read."""
    gauges = {pool: gauge for gauge, pool in state.gauges.items()}
    mine = {"voter_id": of.voter.voter_id}
    for pool, reply in of.votes.items():
        if votes := word(reply):
            found = {"gauge_address": gauges[pool], "asked": "voter", "contract_address": voter}
            yield mine | found | {"votes_raw": str(votes)}
    for bribe, reply in of.stakes.items():
        if stake := word(reply):
            gauge, kind = state.bribes[bribe]
            found = {"gauge_address": gauge, "asked": "bribe", "contract_address": bribe, "bribe_kind": kind}
            yield mine | found | {"votes_raw": str(stake)}


def _reward_table(key: Row, state: BlockState, reward_word: int) -> pa.Table:
    """A row per bribe and listed token, column by column: of an exchange's rows nine tenths are these."""
    replies, held = state.rewards.values(), [state.balances[pair] for pair in state.rewards]
    columns: dict[str, Sequence[Any]] = {
        "gauge_address": [state.bribes[bribe][0] for bribe, _ in state.rewards],
        "bribe_address": [bribe for bribe, _ in state.rewards],
        "bribe_kind": [state.bribes[bribe][1] for bribe, _ in state.rewards],
        "token_address": [token for _, token in state.rewards],
        "times_listed": [state.listed[bribe][token] for bribe, token in state.rewards],
        "reward_raw": [text(reply, reward_word) for reply in replies],
        "reward_status": [status(reply, reward_word) for reply in replies],
        "residual_balance_raw": [text(balance) for balance in held],
        "confirmation": [joint((r.confirmation, b.confirmation)) for r, b in zip(replies, held, strict=True)],
        "provider": [reply.provider for reply in replies],
    }
    return _filled(key, columns, len(held), REWARDS)


def _price_rows(state: BlockState, feeds: Mapping[str, str], block_time: int, rules: PriceRules) -> Iterable[Row]:
    for token, reply in state.decimals.items():
        decimals = word(reply)
        known = decimals is not None and decimals <= MAX_DECIMALS
        yield {
            "token_address": token,
            "token_symbol": symbol_of(state.symbols[token]),
            "token_decimals": decimals if known else None,
            "decimals_status": "ok" if known else ("malformed" if decimals is not None else status(reply)),
            "confirmation": reply.confirmation,
            "provider": reply.provider,
            **_price(token, state, feeds, block_time, rules),
        }


def _price(token: str, state: BlockState, feeds: Mapping[str, str], block_time: int, rules: PriceRules) -> Row:
    """Price columns: the feed on the chain first, else what is left of all quotes; what pools hold, either way."""
    from_feed = feed_price(token, state, feeds, block_time)
    judged = judge(state.quotes.get(token, []), block_time, rules)
    depth: Row = {"liquidity_usd": judged.liquidity_usd}
    if from_feed["price_usd"] is not None:
        return from_feed | depth | {"price_support": "feed"}
    if judged.status == "no_source":
        return from_feed | depth
    if judged.quote is None:
        return from_feed | depth | {"price_status": judged.status}
    return (
        from_feed
        | depth
        | {
            "price_usd": judged.price_usd,
            "price_source": judged.quote.source,
            "price_updated_at": utc(judged.quote.made_at),
            "price_status": "ok",
            "price_support": judged.support,
        }
    )


def _quote_rows(state: BlockState) -> Iterable[Row]:
    """Every quote that was at hand: one row per token, source and size of sale."""
    provider = state.totals["length"].provider
    for token, quotes in state.quotes.items():
        for quote in quotes:
            yield {
                "token_address": token,
                "quote_source": quote.source,
                "quote_kind": quote.kind,
                "price_usd": quote.price_usd,
                "price_updated_at": utc(quote.made_at),
                "size_usd": quote.size_usd,
                "liquidity_usd": quote.liquidity_usd,
                "provider": provider,
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
