"""Raw rows of a synthetic past, made by DuckDB and landed as the extractor lands them: any number of epochs.

Two exchanges: one forgets votes at every flip, the other carries them over. Votes and rewards arrive all through each
epoch, some after each window; states are sums of events, so every check of the warehouse holds.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from extract.lake import Lake
from extract.land import land
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE, declare
from extract.voting.tables import VOTING_TABLES
from operate.tables import RAW_TABLES

WEEK = 604_800
FIRST = 1_700_092_800  # a Thursday, 00:00 UTC: the start of the first epoch

_GIVEN = """
create macro chance(salt, a, b, c) as (hash(salt, a, b, c) % 1000003)::double / 1000003;
create macro address(kind, n) as '0x' || lpad(printf('%x%06x', kind::int, n::int), 40, '0');
create macro moment(seconds) as make_timestamptz((seconds::double * 1000000)::bigint);
create macro hex32(n) as '0x' || lpad(printf('%x', n::bigint), 64, '0');

create table exchanges as from (values
    (0, 'hydrex', true, 'minter', 'account', 'bribe_stake', 'external'),
    (1, 'aerodrome', false, 'calendar', 'nft', 'voter_voted', 'bribe')
) as t(x, protocol, restarts, epoch_source, voter_kind, vote_log, bribe_kind);

create table windows as from (values
    ('day', 600, 86400), ('T-5', 800, 300), ('T-1', 850, 60), ('T-0', 900, 4), ('boundary', 900, 4)
) as t(decision_window, place, seconds_before);

create table tokens as from (values
    (0, 18, 1.0), (1, 18, 0.9), (2, 6, 1.0), (3, 6, 2.0), (4, 8, 30000.0), (5, 18, 4.9)
) as t(token, decimals, price);
"""

# a block's time: the last second of its window where it is one's block, else spread evenly before it
_MADE = """
create table epochs as
select n, $first + n * 604800 as epoch, n * 1000 + 1 as start_block from range($epochs) as t(n);

create macro block_second(n, place) as $first + n * 604800 + case
    when place <= 600 then place * 864
    when place <= 800 then 604800 - 86400 + (place - 600) * 430.5
    when place <= 850 then 604800 - 300 + (place - 800) * 4.8
    else 604800 - 60 + (place - 850) * 1.12
end;

create table cast_votes as
select distinct on (x, n, v, gauge)
    x, protocol, n, v, gauge, place, if(x = 0, address(9, v), (100 + v)::varchar) as voter,
    (2500 + floor(22500 * chance(4, x, v, j)))::hugeint * 1000000000000000000 as amount
from (
    select
        *,
        floor($gauges * pow(chance(1, x, n * 1000 + v, j), 2))::int as gauge,
        case
            when chance(2, x, n, v) < 0.75 then 1 + floor(580 * chance(3, x, n, v))
            else 601 + floor(295 * chance(3, x, n, v))
        end::int as place
    from epochs cross join exchanges cross join range($voters) as a(v) cross join range(8) as b(j)
)
order by x, n, v, gauge, j;

-- where votes carry over, a voter withdraws the votes of an epoch ago before it casts new ones
create table vote_events as
select x, protocol, n, gauge, voter, place, 1 as sign, amount from cast_votes
union all
select o.x, o.protocol, o.n + 1, o.gauge, o.voter, c.place, -1, o.amount
from cast_votes as o inner join (select distinct x, n, v, place from cast_votes) as c
    on o.x = 1 and c.x = 1 and o.v = c.v and o.n + 1 = c.n;

create table reward_events as
select
    x, protocol, bribe_kind, n, gauge, token,
    case when chance(6, x, n * 1000 + gauge, k) < 0.7 then 1 + floor(590 * chance(7, x, n * 1000 + gauge, k))
        else 601 + floor(298 * chance(7, x, n * 1000 + gauge, k)) end::int as place,
    floor(exp(3 + 4 * chance(8, x, gauge, k) + chance(9, x, n * 1000 + gauge, k)) / price * pow(10, decimals))
        ::hugeint as amount
from epochs cross join exchanges cross join range($gauges) as g(gauge) cross join range(2) as r(k)
inner join tokens on token = (gauge + 3 * k) % 6;

create table observed as
select
    exchanges.*, n, epoch, decision_window, start_block, place, start_block + place as block,
    moment(block_second(n, place)) as seen_at,
    moment(epoch + 604800 - if(decision_window = 'boundary', 0, seconds_before)) as target_at,
    'voting/state/' || protocol || '/' || epoch || '/' || decision_window as partition_id
from epochs cross join exchanges cross join windows
union all
select
    exchanges.*, -1, $first - 604800, 'boundary', -999, 999, 0, moment($first), moment($first),
    'voting/state/' || protocol || '/' || ($first - 604800) || '/boundary'
from exchanges where not restarts;

create table gauge_states as
select
    o.partition_id, o.protocol, o.epoch, o.decision_window, o.block, o.seen_at, g.gauge,
    coalesce(sum(sign * amount) filter (where v.n < o.n or v.place <= o.place), 0)::hugeint as votes
from observed as o cross join range($gauges) as g(gauge)
left join vote_events as v
    on v.x = o.x and v.gauge = g.gauge and (v.n = o.n or (not o.restarts and v.n = o.n - 1 and v.sign = 1))
group by all;
"""

_WHO = "'synthetic' as provider, moment($first) as fetched_at"
_SEEN = f"block as observed_block, seen_at as observed_at, 'proven' as confirmation, {_WHO}"
_KEY = "partition_id, protocol, 31337 as chain_id, epoch"
_ROWS = {
    "voting_epochs": f"""
        select
            'voting/epoch/' || protocol || '/' || epoch || '/all' as partition_id, protocol, 31337 as chain_id, epoch,
            moment(epoch) as epoch_start_at, moment(epoch + 604800) as boundary_at, epoch_source,
            restarts as votes_reset_each_epoch, restarts as kill_clears_votes, voter_kind, vote_log, 'ended' as status,
            start_block, start_block + 900 as boundary_block, start_block + 900 as last_votable_block,
            moment(block_second(n, 900)) as last_votable_at, start_block + 1000 as flip_block,
            moment(epoch + 604809) as flip_at, null as flip_transaction_hash,
            start_block + 900 as truth_block, moment(block_second(n, 900)) as truth_at,
            {_WHO}
        from epochs cross join exchanges""",
    "voting_windows": f"""
        select
            {_KEY}, decision_window, target_at, block as decision_block, seen_at as decision_at,
            hex32(block) as decision_block_hash, epoch as epoch_on_chain, total::varchar as total_votes_raw,
            $gauges as gauges, {_SEEN}
        from observed inner join (select partition_id, sum(votes) as total from gauge_states group by all)
            using (partition_id)""",
    "voting_gauges": f"""
        select
            {_KEY}, decision_window, address(1, gauge) as gauge_address, address(2, gauge) as pool_address,
            true as is_alive, votes::varchar as votes_raw, 'ok' as votes_status, {_SEEN}
        from gauge_states""",
    "voting_bribes": f"""
        select
            {_KEY}, decision_window, address(1, gauge) as gauge_address, bribe_kind, address(3, gauge) as bribe_address,
            false as is_replaced, votes::varchar as supply_raw, 'ok' as supply_status, 'ok' as list_status,
            2 as tokens_listed, 0 as tokens_unread, {_SEEN}
        from gauge_states inner join exchanges using (protocol)""",
    "voting_rewards": f"""
        select
            o.partition_id, o.protocol, 31337 as chain_id, o.epoch, decision_window,
            address(1, gauge) as gauge_address, address(3, gauge) as bribe_address, r.bribe_kind,
            address(4, token) as token_address, 1 as times_listed,
            coalesce(sum(amount) filter (where r.place <= o.place), 0)::hugeint::varchar as reward_raw,
            'ok' as reward_status, null as residual_balance_raw, {_SEEN}
        from observed as o inner join reward_events as r using (x, n)
        group by all""",
    "voting_prices": f"""
        select
            {_KEY}, decision_window, address(4, token) as token_address, 'TKN' || token as token_symbol,
            decimals as token_decimals, 'ok' as decimals_status, price as price_usd,
            (price * 100000000)::bigint::varchar as price_raw, 8 as price_decimals, 'chainlink' as price_source,
            seen_at - interval 2 second as price_updated_at, 'ok' as price_status, null as price_support,
            null as liquidity_usd, {_SEEN}
        from observed cross join tokens where n >= 0""",
    "voting_events": f"""
        select
            'voting/events/world/' || epoch || '/all' as partition_id, protocol, 31337 as chain_id, epoch,
            start_block + place as block_number, moment(block_second(n, place)) as block_at,
            hex32(start_block + place) as block_hash, hex32(0) as transaction_hash,
            row_number() over (partition by n, place order by sign, x, kind, gauge, actor, token)::int as log_index,
            kind as event_kind, address(3, gauge) as emitter_address, bribe_kind, true as is_counted,
            address(1, gauge) as gauge_address, null as pool_address, address(4, token) as token_address, actor,
            amount::varchar as amount_raw, sign, null as total_after_raw,
            if(kind = 'reward', epoch, null) as event_epoch, 'ok' as decode_status, []::varchar[] as topics,
            '0x' as data, 'second_provider' as confirmation, {_WHO}
        from (
            select x, protocol, n, gauge, null as token, null as bribe_kind, voter as actor, place, sign, amount,
                'vote' as kind
            from vote_events
            union all
            select x, protocol, n, gauge, token, bribe_kind, null, place, 1, amount, 'reward' from reward_events
        ) inner join epochs using (n)""",
    LEDGER_TABLE: """
        select
            partition_id, 'voting' as source, table_group, partition_key, partition_window, 'complete' as status,
            1 as attempts, 1 as rows, 1 as calls, 1 as bytes, 'synthetic' as provider, moment($first) as started_at,
            moment($first) as finished_at, null as error_class, null as error_message, 'synthetic' as fingerprint,
            31337 as chain_id, from_block, to_block, null as to_block_hash, 'synthetic' as run_id
        from (
            select
                partition_id, 'state' as table_group, protocol || '/' || epoch as partition_key,
                decision_window as partition_window, null as from_block, block as to_block
            from observed
            union all
            select
                'voting/epoch/' || protocol || '/' || epoch || '/all', 'epoch', protocol || '/' || epoch, 'all', null,
                null
            from epochs cross join exchanges
            union all
            select
                'voting/events/world/' || epoch || '/all', 'events', 'world/' || epoch, 'all', start_block,
                start_block + 1000
            from epochs
        )""",
}


def raw_rows(epochs: int, gauges: int = 60, voters: int = 40) -> dict[str, pa.Table]:
    """Every raw table of the voting line, and its ledger."""
    sizes = {"first": FIRST, "epochs": epochs, "gauges": gauges, "voters": voters}
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")

    def filled(text: str) -> str:
        for name, size in sizes.items():
            text = text.replace(f"${name}", str(size))
        return text

    connection.execute(_GIVEN + filled(_MADE))
    schemas = {**VOTING_TABLES, LEDGER_TABLE: LEDGER_SCHEMA}
    return {
        name: _in_columns(connection.sql(filled(sql)).to_arrow_table(), schemas[name]) for name, sql in _ROWS.items()
    }


def _in_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table's columns as landed ones are: in order, and null where the synthetic past says nothing."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)


def land_voting(url: str, epochs: int, gauges: int = 60, voters: int = 40) -> int:
    """Land a past of so many epochs in a lake, an epoch a load; returns its rows."""
    lake, rows = Lake(url), raw_rows(epochs, gauges, voters)
    declare(lake, RAW_TABLES)
    of_epoch = {name: _epochs_of(name, table) for name, table in rows.items()}
    for number in range(-1, epochs):  # one before the first: the boundary that carried votes start from
        epoch = FIRST + number * WEEK
        parts = {name: table.filter(pc.equal(of_epoch[name], epoch)) for name, table in rows.items()}
        land(lake, "voting", {name: part for name, part in parts.items() if part.num_rows})
    return sum(table.num_rows for table in rows.values())


def _epochs_of(name: str, table: pa.Table) -> pa.ChunkedArray:
    """The epoch that each row landed with; a ledger row's is the fourth part of its partition's name."""
    if name != LEDGER_TABLE:
        return table["epoch"]
    return pa.chunked_array([[int(text.split("/")[3]) for text in table["partition_id"].to_pylist()]])
