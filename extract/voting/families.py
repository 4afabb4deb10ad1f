"""The two vote families as configuration keys: what differs between exchanges is data, never an `if` on a name.

`thena` line (Hydrex, Lynex, Thena): votes are stored per epoch and restart from zero at each flip.
`velodrome` line (Velodrome V2, Aerodrome): votes are stored per pool and carry over.
Interfaces: THENA-Contracts and the Hydrex ABI; velodrome-finance/contracts and aerodrome-finance/contracts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from extract.errors import ConfigError


@dataclass(frozen=True)
class EventRule:
    """How one event of the chain becomes a row of `voting_events`.

    `emitter` is `voter`, `minter`, or `bribe:<kind>` (`bribe:*` for every kind). The other fields name
    event parameters (`bribe`: the one that holds the bribe a row is about, where its emitter is not one);
    `sign` is +1 or -1 for vote flows.
    """

    kind: str
    emitter: str
    signature: str
    actor: str | None = None
    amount: str | None = None
    total: str | None = None
    pool: str | None = None
    gauge: str | None = None
    token: str | None = None
    epoch: str | None = None
    bribe: str | None = None
    sign: int = 1


@dataclass(frozen=True)
class Family:
    """Every difference between the vote families, as keys that `[voting.NAME]` in foreshore.toml may override."""

    voter_kind: str  # who votes: "account" (with what is delegated to it) or "nft"
    votes_view: str
    total_votes_view: str
    votes_reset_each_epoch: bool
    epoch_source: str  # "minter": the epoch turns with the flip transaction; "calendar": at the timestamp
    epoch_view: str
    flip_event: str
    bribe_views: Mapping[str, str]  # kind of bribe -> view on the voter that takes the gauge
    reward_token_view: str
    reward_view: str
    reward_word: int  # which 32-byte word of the reply is the epoch's reward
    vote_log: str  # "bribe_stake" or "voter_voted"
    vote_bribe_kind: str  # where both bribes of a gauge log the same votes: the kind that is counted
    kill_clears_votes: bool
    last_vote: str  # "at_boundary": a block stamped with it still takes votes; "before_boundary": it does not
    supply_view: str  # on a bribe: the stakes that share its rewards
    stake_view: str  # on a bribe: one voter's stake
    own_votes_view: str  # on the voter: one voter's votes for a pool
    last_voted_view: str
    power_view: str  # on the escrow: what a vote is cast with
    nft_power_view: str  # on the escrow: an NFT's power when its share of rewards is fixed
    delegate_view: str  # on the escrow: whom an NFT's power is delegated to at a time; "" where nobody votes for it
    exempt_view: str  # on the voter: whether an NFT may vote in the closed time; "" where none is closed
    vote_function: (
        str  # what a vote calls on the voter: pools and their relative weights, after the NFT where one votes
    )
    vote_delay_view: str  # on the voter: seconds between two votes of one voter; "" where one vote counts
    event_rules: tuple[EventRule, ...] = field(repr=False)
    reward_epoch_offset: int = 0  # seconds added to the vote epoch to find its rewards (Thena: one week)
    epoch_anchor_mod: int = 604_800  # seconds


_GAUGE_EVENTS = (
    EventRule("gauge_killed", "voter", "GaugeKilled(address indexed gauge)", gauge="gauge"),
    EventRule("gauge_revived", "voter", "GaugeRevived(address indexed gauge)", gauge="gauge"),
)

FAMILIES: Mapping[str, Family] = {
    "thena": Family(
        voter_kind="account",
        votes_view="weightsAt(address,uint256)",
        total_votes_view="totalWeightAt(uint256)",
        votes_reset_each_epoch=True,
        epoch_source="minter",
        epoch_view="active_period()",
        flip_event="Mint(address indexed sender, uint256 weekly, uint256 circulating, uint256 emission)",
        bribe_views={"internal": "internal_bribes(address)", "external": "external_bribes(address)"},
        reward_token_view="rewardTokens(uint256)",
        reward_view="rewardData(address,uint256)",
        reward_word=1,
        vote_log="bribe_stake",
        vote_bribe_kind="external",
        kill_clears_votes=True,
        last_vote="at_boundary",
        supply_view="totalSupplyAt(uint256)",
        stake_view="balanceOfOwnerAt(address,uint256)",
        own_votes_view="votes(address,address)",
        last_voted_view="lastVoted(address)",
        power_view="getPastVotes(address,uint256)",
        nft_power_view="balanceOfNFTAt(uint256,uint256)",
        delegate_view="delegates(uint256,uint48)",
        exempt_view="",
        vote_function="vote(address[],uint256[])",
        vote_delay_view="VOTE_DELAY()",
        event_rules=(
            EventRule("vote", "bribe:*", "Staked(address indexed user, uint256 amount)", actor="user", amount="amount"),
            EventRule(
                "vote",
                "bribe:*",
                "Withdrawn(address indexed user, uint256 amount)",
                actor="user",
                amount="amount",
                sign=-1,
            ),
            EventRule(
                "reward",
                "bribe:*",
                "RewardAdded(address indexed rewardToken, uint256 reward, uint256 startTimestamp)",
                token="rewardToken",
                amount="reward",
                epoch="startTimestamp",
            ),
            EventRule(
                "claim",
                "bribe:*",
                "RewardPaid(address indexed user, address indexed rewardsToken, uint256 reward)",
                actor="user",
                token="rewardsToken",
                amount="reward",
            ),
            EventRule(
                "gauge_created",
                "voter",
                "GaugeCreated(address indexed gauge, address creator, address internal_bribe, "
                "address indexed external_bribe, address indexed pool)",
                gauge="gauge",
                pool="pool",
                actor="creator",
            ),
            EventRule(
                "bribe_replaced",
                "voter",
                "SetBribeFor(bool isInternal, address indexed old, address indexed latest, address indexed gauge)",
                gauge="gauge",
                actor="old",
                token="latest",
                bribe="old",
            ),
            *_GAUGE_EVENTS,
        ),
    ),
    "velodrome": Family(
        voter_kind="nft",
        votes_view="weights(address)",
        total_votes_view="totalWeight()",
        votes_reset_each_epoch=False,
        epoch_source="calendar",
        epoch_view="activePeriod()",
        flip_event="Mint(address indexed sender, uint256 weekly, uint256 circulating, bool tail)",
        bribe_views={"fees": "gaugeToFees(address)", "bribe": "gaugeToBribe(address)"},
        reward_token_view="rewards(uint256)",
        reward_view="tokenRewardsPerEpoch(address,uint256)",
        reward_word=0,
        vote_log="voter_voted",
        vote_bribe_kind="",
        kill_clears_votes=False,
        last_vote="before_boundary",
        supply_view="totalSupply()",
        stake_view="balanceOf(uint256)",
        own_votes_view="votes(uint256,address)",
        last_voted_view="lastVoted(uint256)",
        power_view="balanceOfNFT(uint256)",
        nft_power_view="balanceOfNFT(uint256)",
        delegate_view="",
        exempt_view="isWhitelistedNFT(uint256)",
        vote_function="vote(uint256,address[],uint256[])",
        vote_delay_view="",
        event_rules=(
            EventRule(
                "vote",
                "voter",
                "Voted(address indexed voter, address indexed pool, uint256 indexed tokenId, "
                "uint256 weight, uint256 totalWeight, uint256 timestamp)",
                actor="tokenId",
                pool="pool",
                amount="weight",
                total="totalWeight",
            ),
            EventRule(
                "vote",
                "voter",
                "Abstained(address indexed voter, address indexed pool, uint256 indexed tokenId, "
                "uint256 weight, uint256 totalWeight, uint256 timestamp)",
                actor="tokenId",
                pool="pool",
                amount="weight",
                total="totalWeight",
                sign=-1,
            ),
            EventRule(
                "reward",
                "bribe:*",
                "NotifyReward(address indexed from, address indexed reward, uint256 indexed epoch, uint256 amount)",
                actor="from",
                token="reward",
                amount="amount",
                epoch="epoch",
            ),
            EventRule(
                "claim",
                "bribe:*",
                "ClaimRewards(address indexed from, address indexed reward, uint256 amount)",
                actor="from",
                token="reward",
                amount="amount",
            ),
            EventRule(
                "gauge_created",
                "voter",
                "GaugeCreated(address indexed poolFactory, address indexed votingRewardsFactory, "
                "address indexed gaugeFactory, address pool, address bribeVotingReward, "
                "address feeVotingReward, address gauge, address creator)",
                gauge="gauge",
                pool="pool",
                actor="creator",
            ),
            *_GAUGE_EVENTS,
        ),
    ),
}

EVENT_KINDS = ("vote", "reward", "claim", "gauge_created", "gauge_killed", "gauge_revived", "bribe_replaced")
_CHOICES = {
    "epoch_source": ("minter", "calendar"),
    "vote_log": ("bribe_stake", "voter_voted"),
    "voter_kind": ("account", "nft"),
    "last_vote": ("at_boundary", "before_boundary"),
}


@dataclass(frozen=True)
class Protocol:
    """One exchange: where its contracts are and how its family counts."""

    name: str
    chain: str
    voter: str
    minter: str
    family: Family
    start_block: int | None = None

    def facts(self) -> dict[str, Any]:
        """What the content of a partition depends on, for its fingerprint."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def load_protocols(section: Mapping[str, Any]) -> dict[str, Protocol]:
    """`[voting.NAME]` tables by name; ConfigError names the protocol, the key and what is allowed."""
    return {name: _protocol(name, table) for name, table in section.items()}


def _protocol(name: str, table: Mapping[str, Any]) -> Protocol:
    where = f"[voting.{name}]"
    keys = dict(table)
    preset = keys.pop("family", None)
    if not isinstance(preset, str) or preset not in FAMILIES:
        raise ConfigError(f"{where} family = {preset!r} is unknown: use one of {', '.join(FAMILIES)}")
    missing = [key for key in ("chain", "voter", "minter") if key not in keys]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    own = {key: keys.pop(key) for key in ("chain", "voter", "minter", "start_block") if key in keys}
    if not isinstance(own["chain"], str) or not own["chain"]:
        raise ConfigError(f"{where} chain = {own['chain']!r} must be the name of a [chains.NAME]")
    start = own.get("start_block")
    if start is not None and (not isinstance(start, int) or isinstance(start, bool) or start < 0):
        raise ConfigError(f"{where} start_block = {start!r} must be a block number")
    return Protocol(
        name=name,
        chain=own["chain"],
        voter=_address(where, "voter", own["voter"]),
        minter=_address(where, "minter", own["minter"]),
        start_block=own.get("start_block"),
        family=_override(where, FAMILIES[preset], keys),
    )


_SPOKEN = {str: "text", bool: "true or false", int: "a whole number"}


def _override(where: str, family: Family, given: Mapping[str, Any]) -> Family:
    keys = dict(given)
    rules = keys.pop("events", None)
    known = {f.name for f in fields(Family)} - {"event_rules"}
    unknown = sorted(set(keys) - known)
    if unknown:
        raise ConfigError(
            f"{where} has unknown keys {', '.join(unknown)}; a family's keys are events, {', '.join(sorted(known))}"
        )
    for key, allowed in _CHOICES.items():
        if key in keys and (not isinstance(keys[key], str) or keys[key] not in allowed):
            raise ConfigError(f"{where} {key} = {keys[key]!r}: use one of {', '.join(allowed)}")
    for key in keys:
        wanted = type(getattr(family, key))
        if wanted in (str, bool, int) and type(keys[key]) is not wanted:
            raise ConfigError(f"{where} {key} = {keys[key]!r} must be {_SPOKEN[wanted]}")
    if rules is not None:
        if not isinstance(rules, list) or not all(isinstance(table, Mapping) for table in rules):
            raise ConfigError(f"[[{where[1:-1]}.events]] must be tables, one per event")
        family = replace(family, event_rules=_event_rules(where, family.event_rules, rules))
    return replace(family, **keys)


def _event_rules(where: str, preset: tuple[EventRule, ...], tables: Any) -> tuple[EventRule, ...]:
    """`[[voting.NAME.events]]`: rules of a protocol's own take the place of the family's of the same kind."""
    known = {f.name for f in fields(EventRule)}
    own = []
    for table in tables:
        unknown, missing = sorted(set(table) - known), [k for k in ("kind", "emitter", "signature") if k not in table]
        if unknown or missing:
            what = f"unknown keys {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
            raise ConfigError(f"[[{where[1:-1]}.events]] has {what}; an event's keys are {', '.join(sorted(known))}")
        if table["kind"] not in EVENT_KINDS:
            raise ConfigError(f"[[{where[1:-1]}.events]] kind = {table['kind']!r}: use one of {', '.join(EVENT_KINDS)}")
        own.append(EventRule(**table))
    replaced = {rule.kind for rule in own}
    return (*own, *(rule for rule in preset if rule.kind not in replaced))


def _address(where: str, key: str, value: object) -> str:
    text = str(value).lower()
    if len(text) != 42 or not text.startswith("0x") or any(c not in "0123456789abcdef" for c in text[2:]):
        raise ConfigError(f"{where} {key} = {value!r} is not a 20-byte hex address")
    return text
