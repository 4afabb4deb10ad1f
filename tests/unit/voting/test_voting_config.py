"""Protocols by configuration keys: presets, overrides, and errors that name the key."""

from __future__ import annotations

import pytest

from extract.errors import ConfigError
from extract.voting.families import load_protocols

BASE = {"family": "thena", "chain": "base", "voter": "0x" + "Ab" * 20, "minter": "0x" + "cd" * 20}


def test_addresses_are_lower_case_and_presets_apply() -> None:
    protocol = load_protocols({"hydrex": BASE})["hydrex"]
    assert protocol.voter == "0x" + "ab" * 20
    assert protocol.family.votes_reset_each_epoch
    assert protocol.family.reward_epoch_offset == 0


def test_a_key_overrides_its_preset() -> None:
    """Thena keys rewards one week later than votes (Bribes.sol)."""
    assert (
        load_protocols({"thena": BASE | {"reward_epoch_offset": 604800}})["thena"].family.reward_epoch_offset == 604800
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "curve"}, "family = 'curve' is unknown"),
        ({"voter": "0x123"}, "voter = '0x123' is not a 20-byte hex address"),
        ({"colour": "red"}, "unknown keys colour"),
        ({"epoch_source": "sundial"}, "epoch_source = 'sundial'"),
    ],
)
def test_errors_name_protocol_and_key(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=r"\[voting.hydrex\]") as caught:
        load_protocols({"hydrex": BASE | change})
    assert message in str(caught.value)


def test_missing_keys_are_named() -> None:
    with pytest.raises(ConfigError, match="lacks minter"):
        load_protocols({"hydrex": {k: v for k, v in BASE.items() if k != "minter"}})


def test_events_of_a_protocol_take_the_place_of_its_familys() -> None:
    """Bribes on BNB index stakes by veNFT: two of one owner are told apart, and the other events stay."""
    staked = {"kind": "vote", "emitter": "bribe:*", "actor": "tokenId", "amount": "amount"}
    own = [
        staked | {"signature": "Staked(uint256 indexed tokenId, uint256 amount)"},
        staked | {"signature": "Withdrawn(uint256 indexed tokenId, uint256 amount)", "sign": -1},
    ]
    family = load_protocols({"thena": BASE | {"events": own, "voter_kind": "nft"}})["thena"].family
    votes = [rule for rule in family.event_rules if rule.kind == "vote"]
    assert [(rule.actor, rule.sign) for rule in votes] == [("tokenId", 1), ("tokenId", -1)]
    assert {rule.kind for rule in family.event_rules} >= {"reward", "gauge_killed", "bribe_replaced"}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"kind": "vote", "emitter": "voter"}, "no signature"),
        ({"kind": "vote", "emitter": "voter", "signature": "V(uint256 x)", "colour": "red"}, "unknown keys colour"),
        ({"kind": "party", "emitter": "voter", "signature": "V(uint256 x)"}, "kind = 'party'"),
    ],
)
def test_an_event_that_cannot_be_used_is_named(event: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=r"\[\[voting.hydrex.events\]\]") as caught:
        load_protocols({"hydrex": BASE | {"events": [event]}})
    assert message in str(caught.value)
