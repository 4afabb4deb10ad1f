-- A liquidation belongs to the day whose blocks hold it, and to the scan that says it covered them.
select
    liquidations.csu_id,
    liquidations.day,
    liquidations.transaction_hash,
    liquidations.block_number,
    panel.scanned_from_block,
    panel.scanned_to_block
from {{ ref('csu_liquidations') }} as liquidations
left join {{ ref('csu_daily_panel') }} as panel
    on liquidations.csu_id = panel.csu_id and liquidations.day = panel.day
where
    panel.csu_id is null
    or liquidations.block_number not between panel.scanned_from_block and panel.scanned_to_block
