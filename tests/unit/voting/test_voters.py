"""Who is planned for: lines of the seed, and what each must look like on an exchange where accounts or NFTs vote."""

from __future__ import annotations

from pathlib import Path

import pytest

from extract.errors import ConfigError
from extract.voting.families import FAMILIES, Protocol
from extract.voting.voters import planned_voters
from tests.line_fixtures import ROOT

HEAD = "protocol,voter_id,position,voter_kind,sender,rewards_for,voting_power,is_exempt,description\n"
ACCOUNT = "0x" + "ab" * 20


def on(family: str) -> Protocol:
    return Protocol("x", "base", "0x" + "aa" * 20, "0x" + "bb" * 20, FAMILIES[family])


def seed(folder: Path, *lines: str) -> Path:
    (folder / "voting").mkdir()
    (folder / "voting" / "voters.csv").write_text(HEAD + "".join(f"x,{line},,false,one\n" for line in lines))
    return folder


def test_accounts_nfts_and_delegatees_are_planned_in_their_order(tmp_path: Path) -> None:
    folder = seed(
        tmp_path, f"{ACCOUNT},2,delegatee,,", "7,1,nft,,", f"{ACCOUNT},3,account,,7; 9", "observer,4,observer,,"
    )
    found = planned_voters(folder, on("thena"))
    assert [(v.voter_id, v.kind, v.rewards_for) for v in found] == [
        ("7", "nft", (7,)),  # its account votes for others too: its own share is counted
        (ACCOUNT, "delegatee", ()),
        (ACCOUNT, "account", (7, 9)),
    ]


def test_an_nft_that_votes_itself_earns_everything_its_votes_earn(tmp_path: Path) -> None:
    (voter,) = planned_voters(seed(tmp_path, f"34,1,nft,{ACCOUNT.upper().replace('0X', '0x')},"), on("velodrome"))
    assert (voter.rewards_for, voter.sender) == ((), ACCOUNT)


@pytest.mark.parametrize(
    ("family", "line", "message"),
    [
        ("thena", f"{ACCOUNT},1,nft,,", "must be the number of a veNFT"),
        ("thena", "7,1,account,,", "must be a 20-byte hex address"),
        ("thena", "7,1,whale,,", "use account or nft or delegatee"),
        ("velodrome", f"{ACCOUNT},1,account,,", "on x use nft"),
        ("thena", "7,1,nft,,seven", "give veNFT ids"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, family: str, line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"voters\.csv") as caught:
        planned_voters(seed(tmp_path, line), on(family))
    assert message in str(caught.value)


def test_the_shipped_seed_can_be_read() -> None:
    for name, family in (("hydrex_world", "thena"), ("velodrome_world", "velodrome")):
        protocol = Protocol(name, "world", "0x" + "aa" * 20, "0x" + "bb" * 20, FAMILIES[family])
        assert planned_voters(ROOT / "seeds", protocol)
