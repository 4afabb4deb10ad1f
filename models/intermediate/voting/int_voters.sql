with voters as (
    select * from {{ ref('voters') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

-- an exchange without a line in the seed is still forecast, for nobody in particular
protocols as (
    select distinct protocol from epochs
)

select
    protocols.protocol,
    coalesce(voters.voter_id, 'observer') as voter_id,
    coalesce(voters.voter_kind, 'observer') as voter_kind,
    nullif(voters.holder, '') as holder,
    coalesce(voters.position, 1) as voter_position,
    voters.voting_power as stated_power,
    coalesce(voters.is_exempt, false) as is_exempt
from protocols
left join voters on protocols.protocol = voters.protocol
