-- How often and how late an exchange lets one vote is a record, not a guess: add a line to seeds/voting/voting_rules.csv.
select distinct epochs.protocol
from {{ ref('epoch_boundaries') }} as epochs
left join {{ ref('voting_rules') }} as voting_rules on epochs.protocol = voting_rules.protocol
where voting_rules.protocol is null
