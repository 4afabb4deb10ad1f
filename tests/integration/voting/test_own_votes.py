"""Ask the contract: power, votes and what they earn of every NFT, in every window, against the contracts' own views."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

import simulate
from simulate.chain.contracts import calldata
from tests.line_fixtures import ROOT, Line
from tests.world_fixtures import ask_all

pytestmark = pytest.mark.node
WEEK = 604_800


def every_nft(world: simulate.RunningWorld) -> Iterator[tuple[str, str]]:
    for name, where in world.info["protocols"].items():
        for lock in where["locks"]:
            yield f"{name}_world", str(lock["token_id"])


@pytest.fixture(scope="module")
def asked(small_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A project whose seed plans every NFT of the world, extracted and run; only its newest epochs are extracted."""
    folder = tmp_path_factory.mktemp("asked")
    project = folder / "project"
    project.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("seeds", "data", "target", "logs") and not path.name.startswith("."):
            (project / path.name).symlink_to(path)
    shutil.copytree(ROOT / "seeds", project / "seeds")
    with (project / "seeds" / "voting" / "voters.csv").open() as handle:
        head = next(csv.reader(handle))
    with (project / "seeds" / "voting" / "voters.csv").open("w", newline="") as handle:
        lines = csv.DictWriter(handle, head)
        lines.writeheader()
        for n, (protocol, token) in enumerate(every_nft(small_world), 1):
            named = {"protocol": protocol, "voter_id": token, "voter_kind": "nft", "position": n, "is_exempt": "false"}
            lines.writerow(named | {"description": "one of all"})
    line = Line(small_world, folder, project)
    assert line.extract(epochs=2) == 0
    seeded = line.dbt("seed")
    done = line.dbt("run", "--select", "+int_own_rewards", "+epoch_boundaries")
    assert done.returncode == 0, seeded.stdout[-500:] + done.stdout[-4000:]
    return line


def _ask(world: simulate.RunningWorld, calls: list[tuple[str, str, list[Any], int]]) -> list[int]:
    wanted = [("eth_call", [{"to": to, "data": calldata(f, *args)}, hex(block)]) for to, f, args, block in calls]
    return [int(reply[2:66] or "0", 16) for reply in ask_all(world.rpc_url, wanted)]


def test_power_is_the_escrows_word_in_every_window(asked: Line) -> None:
    rows = asked.query(
        "select protocol, epoch, observed_block, voter_id, voter_kind, account_address, power_raw, power_source "
        "from main_intermediate.int_voter_windows order by all"
    )
    assert len(rows) > 150 and {row[7] for row in rows} == {"contract"}
    calls = []
    for protocol, epoch, block, token, _, account, _, _ in rows:
        escrow = asked.world.info["protocols"][protocol.removesuffix("_world")]["escrow"]
        if protocol == "hydrex_world":
            calls.append((escrow, "getPastVotes(address,uint256)", [account, epoch], block))
        else:
            calls.append((escrow, "balanceOfNFT(uint256)", [int(token)], block))
    assert [int(row[6]) for row in rows] == _ask(asked.world, calls)


def test_standing_votes_are_the_contracts_in_every_cell(asked: Line) -> None:
    """Every NFT, gauge and window: the voter's own view, and whether it is of this epoch, asked one by one."""
    rows = asked.query(
        "select w.protocol, w.epoch, w.observed_block, w.voter_id, w.account_address, g.gauge_address, g.pool_address, "
        "coalesce(o.votes_raw, 0), w.own_votes_status from main_intermediate.int_voter_windows as w "
        "inner join main_intermediate.int_gauge_windows as g using (protocol, epoch, decision_window) "
        "left join main_intermediate.int_own_votes as o "
        "using (protocol, epoch, decision_window, voter_id, gauge_address)"
    )
    assert len(rows) > 1_500
    views, times = [], []
    for protocol, _, block, token, account, _, pool, _, _ in rows:
        voter = asked.world.info["protocols"][protocol.removesuffix("_world")]["voter"]
        kind, who = ("address", account) if protocol == "hydrex_world" else ("uint256", int(token))
        views.append((voter, f"votes({kind},address)", [who, pool], block))
        times.append((voter, f"lastVoted({kind})", [who], block))
    votes, voted = _ask(asked.world, views), _ask(asked.world, times)
    wrong = 0
    for row, amount, when in zip(rows, votes, voted, strict=True):
        stale = row[0] == "hydrex_world" and when < row[1]
        wrong += int(row[7]) != (0 if stale else amount)
    assert wrong == 0 and sum(v > 0 for v in votes) > 100
    assert {row[8] for row in rows} <= {"confirmed", "from_contract"}, "events agree wherever they can speak"
    carried = [r for r in rows if r[0] == "velodrome_world" and r[8] == "from_contract" and int(r[7]) > 0]
    assert carried, "votes cast before the first extracted epoch are right although no event shows them"


def test_what_a_stake_is_entitled_to_is_what_it_earns(asked: Line) -> None:
    """reward * stake / supply * share, in every cell of the ended epochs, against `earned` of what pays."""
    rows = asked.query(
        "select r.protocol, r.epoch, r.voter_id, r.bribe_address, r.token_address, r.entitled_amount, "
        "p.token_decimals, "
        "e.start_block, e.flip_block from main_intermediate.int_own_rewards as r "
        "inner join main.epoch_boundaries as e using (protocol, epoch) "
        "inner join main_intermediate.int_rewards_valued as p "
        "using (protocol, epoch, decision_window, bribe_address, token_address) "
        "where r.decision_window = 'boundary' and e.flip_block is not null"
    )
    assert len(rows) > 100
    head = asked.world.info["head"]["number"]
    calls = []
    for protocol, epoch, token, bribe, coin, _, _, start, flip in rows:
        if protocol == "hydrex_world":
            calls += [(bribe, "earnedTokenId(uint256,address,uint48)", [int(token), coin, epoch], head)] * 2
        else:
            calls += [(bribe, "earned(address,uint256)", [coin, int(token)], block) for block in (start, flip)]
    found = _ask(asked.world, calls)
    compared = 0
    for row, first, last in zip(rows, found[::2], found[1::2], strict=True):
        earned = first if row[0] == "hydrex_world" else last - first
        entitled = row[5] * 10 ** row[6]
        assert entitled == pytest.approx(earned, rel=1e-6, abs=2), row
        compared += earned > 0
    assert compared > 100
    special = {row[2] for row in rows}
    assert {"7001", "9001"} <= special, "a conduit's NFT and the managed one are among them"
