with actions as (
    select * from {{ ref('stg_bars__actions') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
)

select
    actions.symbol,
    actions.feed,
    actions.provider,
    actions.action_kind,
    actions.action_raw_kind,
    actions.new_symbol,
    actions.old_shares,
    actions.new_shares,
    row_number() over (
        partition by actions.symbol, actions.feed, actions.action_kind, actions.ex_date
        order by actions.cash_usd nulls last, actions.new_symbol nulls last, actions.provider
    ) as action_number,
    case
        when actions.action_kind = 'split' then actions.old_shares / actions.new_shares
    end as split_price_factor,
    actions.cash_usd,
    actions.ex_date,
    actions.declared_on,
    actions.payable_on,
    sessions.open_at as ex_at,
    actions.fetched_at
from actions
asof left join sessions on actions.ex_date <= sessions.session_date
-- two providers of one feed tell of the same action: the newest word stands
qualify
    row_number() over (
        partition by
            actions.symbol, actions.feed, actions.action_kind, actions.ex_date, actions.new_symbol, actions.cash_usd
        order by actions.fetched_at desc, actions.provider asc, actions.row_position desc
    ) = 1
order by actions.symbol, actions.feed, actions.ex_date
