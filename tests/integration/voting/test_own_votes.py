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
        hidden = path.name.startswith(".") and path.name != ".dbtignore"
        if path.name not in ("seeds", "data", "target", "logs") and not hidden:
            (project / path.name).symlink_to(path)
    shutil.copytree(ROOT / "seeds", project / "seeds")
    with (project / "seeds" / "voting" / "voters.csv").open() as handle:
        head = next(csv.reader(handle))
    with (project / "seeds" / "voting" / "voters.csv").open("w", newline="") as handle:
        lines = csv.DictWriter(handle, head)
        lines.writeheader()
        locks = small_world.info["protocols"]["velodrome"]["locks"]
        shared = [str(lock["token_id"]) for lock in locks if lock["end"]][:3]  # of one person; others may be managed
        assert len(shared) == 3
        hers = [("velodrome_world", token) for token in shared]  # the first voter, or her NFTs, are replayed
        others = [each for each in every_nft(small_world) if each not in hers]
        for n, (protocol, token) in enumerate([*hers, *others], 1):
            named = {"protocol": protocol, "voter_id": token, "voter_kind": "nft", "position": n, "is_exempt": "false"}
            holder = "ann" if (protocol, token) in hers else ""
            lines.writerow(named | {"description": "one of all", "holder": holder})
    line = Line(small_world, folder, project)
    assert line.extract(epochs=2) == 0
    seeded = line.dbt("seed")
    done = line.dbt(
        "run",
        "--select",
        "+int_own_rewards",
        "+epoch_boundaries",
        "+preboundary_recommendations",
        "+preboundary_recommended_votes",
        "+preboundary_backtest_results",
        "+epoch_reviews",
    )
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


def test_nfts_of_one_holder_are_decided_together(asked: Line) -> None:
    """What each is promised counts the others' new votes, so that the promises add up to what all earn together."""
    rows = asked.query(
        "select epoch, decision_window, voter_id, outcome, voting_power, expected_usd, joint_expected_usd, reason, "
        "standing_usd, joint_standing_usd, recommended_action, objective_usd, bound_usd, optimality_gap "
        "from preboundary_recommendations where holder = 'ann' order by all"
    )
    decisions: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        decisions.setdefault(row[:2], []).append(row[2:])
    joint = {key: of for key, of in decisions.items() if sum(one[4] is not None for one in of) > 1}
    assert joint, "two of them at least have power and something to vote for"
    votes = asked.query(
        "select epoch, decision_window, gauge_address, voter_id, recommended_votes, base_other_votes "
        "from preboundary_recommended_votes where protocol = 'velodrome_world'"
    )
    shared_gauges = 0
    for key, of in joint.items():
        together = [one for one in of if one[4] is not None]
        assert len({(one[4], one[7], one[9], one[10]) for one in together}) == 1, "one decision"
        assert sum(one[3] for one in together) == pytest.approx(together[0][4], rel=1e-9)
        assert sum(one[6] for one in together) == pytest.approx(together[0][7], rel=1e-9)
        assert together[0][9] <= together[0][10] * (1 + 1e-9)
        mine = [row for row in votes if row[:2] == key and row[3] in {one[0] for one in together}]
        for one in together:
            total = sum(row[4] for row in mine if row[3] == one[0])
            if one[5].startswith("together"):
                assert total == pytest.approx(one[2], abs=2)
            else:  # its one vote is cast and stands as it was cast, with a lock that decays since
                assert total >= one[2] - 2
        for gauge in {row[2] for row in mine}:
            totals = {round(row[5] + row[4], 3) for row in mine if row[2] == gauge and row[4] > 0}
            assert len(totals) <= 1, "everybody's votes on a gauge are the same number, whoever looks"
            shared_gauges += sum(row[2] == gauge and row[4] > 0 for row in mine) > 1
    alone = asked.query(
        "select count(*) from preboundary_recommendations where holder is null and joint_expected_usd > 0"
    )
    assert alone == [(0,)]


Cells = list[tuple[float, float]]  # others' votes at the truth, and USD of rewards


def most(cells: Cells, power: float) -> float:
    """The most that votes earn: x = sqrt(RV/price) - V where positive, the price halved until they are used up.

    A gauge that nobody votes for pays all it has for one vote.
    """
    empty = sum(usd for votes, usd in cells if votes <= 0 < usd)
    power -= sum(votes <= 0 < usd for votes, usd in cells)
    held = [(votes, usd) for votes, usd in cells if votes > 0 and usd > 0]
    low, high = 0.0, max((usd / votes for votes, usd in held), default=0.0)
    cast: list[float] = []
    for _ in range(200):
        price = (low + high) / 2
        cast = [max((usd * votes / price) ** 0.5 - votes, 0.0) if price else 0.0 for votes, usd in held]
        low, high = (price, high) if sum(cast) > power else (low, price)
    return empty + sum(usd * x / (votes + x) for (votes, usd), x in zip(held, cast, strict=True) if x)


def truths(asked: Line, protocol: str, voters: list[str]) -> dict[tuple[int, str], Cells]:
    """By epoch and window what gauges one might vote for there became, without the final votes of these voters."""
    rows = asked.query(
        "with own as (select epoch, gauge_address, sum(stake_raw) as stake_raw from main_intermediate.int_own_votes "
        f"where protocol = '{protocol}' and decision_window = 'boundary' and list_contains({voters}, voter_id) "
        "group by all), open as (select distinct epoch, decision_window, gauge_address "
        f"from main_intermediate.int_forecast_panel where protocol = '{protocol}' "
        f"and list_contains({voters}, voter_id) and is_candidate) "
        "select epoch, decision_window, (final_supply_raw - coalesce(stake_raw, 0))::double / 1e18, final_rewards_usd "
        "from open inner join preboundary_truth_labels using (epoch, gauge_address) "
        f"left join own using (epoch, gauge_address) where protocol = '{protocol}' "
        "and final_supply_raw is not null and final_rewards_usd is not null"
    )
    found: dict[tuple[int, str], Cells] = {}
    for epoch, window, votes, usd in rows:
        found.setdefault((epoch, window), []).append((max(votes, 0.0), usd))
    return found


def test_nfts_of_one_holder_are_replayed_as_one_voter(asked: Line) -> None:
    """One voter of her name and of all her power, measured against the best that all of it could have earned."""
    rows = asked.query(
        "select epoch, decision_window, strategy, outcome, voting_power, realised_usd, hindsight_usd, voter_id "
        "from preboundary_backtest_results where protocol = 'velodrome_world'"
    )
    assert {row[7] for row in rows} == {"ann"} and {row[2] for row in rows} > {"foreshore", "snapshot", "hindsight"}
    hers = asked.query(
        "select epoch, decision_window, sum(voting_power), list(voter_id) from main_intermediate.int_voter_windows "
        "where holder = 'ann' and voting_power > 0 group by all"
    )
    powers = {row[:2]: row[2] for row in hers}
    voters = sorted({voter for row in hers for voter in row[3]})
    assert len(voters) == 3
    finals = truths(asked, "velodrome_world", voters)
    for epoch, window, strategy, outcome, power, realised, hindsight, _ in rows:
        if window != "staged":
            assert power == pytest.approx(powers[epoch, window], rel=1e-9)
            assert hindsight == pytest.approx(most(finals[epoch, window], power), rel=1e-4)
        assert (realised or 0.0) <= hindsight * (1 + 1e-6)
        if strategy == "hindsight":
            assert outcome == "ok" and realised == pytest.approx(hindsight, rel=1e-6)
    ours = [row for row in rows if row[2] == "foreshore" and row[1] == "T-61"]
    assert ours and all(row[3] == "ok" and row[5] > 0 for row in ours)


def test_every_voter_is_told_the_best_that_was_possible(asked: Line) -> None:
    """`best_usd` of each NFT by itself, of a holder's too, times its share where a conduit votes for several."""
    rows = asked.query(
        "select protocol, voter_id, epoch, decision_window, best_usd, voting_power, reward_share "
        "from epoch_reviews inner join main_intermediate.int_voter_windows "
        "using (protocol, voter_id, epoch, decision_window)"
    )
    able = [row for row in rows if (row[5] or 0) > 0]
    assert {row[1] for row in able} > {
        row[0] for row in asked.query("select voter_id from main_seeds.voters where holder = 'ann'")
    }
    assert len(able) > 50 and all(row[4] is None for row in rows if row not in able)
    finals: dict[tuple[str, str], dict[tuple[int, str], Cells]] = {}
    for protocol, voter, epoch, window, best, power, share in able:
        if (protocol, voter) not in finals:
            finals[protocol, voter] = truths(asked, protocol, [voter])
        wanted = share * most(finals[protocol, voter][epoch, window], power)
        assert best == pytest.approx(wanted, rel=1e-4), (protocol, voter, epoch, window)
