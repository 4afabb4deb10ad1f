"""From the warehouse to a decision on the command line: recommend, record, replay, explain."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from extract.where import Where
from operate.voting import sweeping
from operate.warehouse import Warehouse, publish
from tests.line_fixtures import ROOT, Line
from tests.world_fixtures import ask_all

pytestmark = pytest.mark.node
VOTER = "0x2b9f23a551ee94ec33cf07e3873b5b6ab813339a"


@pytest.fixture(scope="module")
def decided(built_line: Line) -> Line:
    """The built line, published for readers."""
    before = dict(os.environ)
    os.environ.update(built_line.environment())
    try:
        publish(Warehouse(built_line.folder, f"{built_line.folder}/raw"))
    finally:
        os.environ.clear()
        os.environ.update(before)
    return built_line


def asked(line: Line, *arguments: str, code: int = 0) -> Any:
    done = line.cli(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(line: Line, *arguments: str) -> str:
    done = line.cli(*arguments)
    assert done.returncode in (1, 64) and "Traceback" not in done.stderr, done.stdout + done.stderr
    return re.sub(r"\s+", " ", done.stderr)


def test_own_votes_equal_the_agents_books(built_line: Line) -> None:
    """What a voter has standing at every window, from events, against what the agents say they did."""
    rows = [r for r in built_line.world.actions() if r["protocol"] == "hydrex" and r["kind"] in ("vote", "kill")]
    starts = dict(built_line.query("select epoch, start_block from epoch_boundaries where protocol = 'hydrex_world'"))
    found = built_line.query(
        "select epoch, decision_window, gauge_address, voter_id, votes_raw, observed_block "
        "from main_intermediate.int_votes_by_voter where protocol = 'hydrex_world'"
    )
    assert len(found) > 100
    for epoch, window, block in {(epoch, window, block) for epoch, window, _, _, _, block in found}:
        standing: dict[tuple[str, str], int] = defaultdict(int)
        for row in rows:
            if not starts[epoch] <= row["block"] <= block:
                continue
            if row["kind"] == "kill":
                for key in [k for k in standing if k[0] == row["gauge"]]:
                    standing[key] = 0
            else:
                key = (row["gauge"], row["actor"])
                standing[key] = max(standing[key] + int(row["delta"]), 0)
        wanted = {key: votes for key, votes in standing.items() if votes > 0}
        got = {(g, v): int(raw) for e, w, g, v, raw, _ in found if (e, w) == (epoch, window)}
        assert got == wanted, (epoch, window)


def test_a_recommendation_is_certified_saved_and_equal_to_the_mart(decided: Line) -> None:
    (row,) = asked(decided, "recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER)
    assert row["outcome"] == "ok" and row["optimality_gap"] <= 1e-6 and row["reason"]
    assert sum(row["allocation"].values()) == int(row["voting_power"])
    in_mart = decided.query(
        "select expected_usd, objective_usd, recommended_action from preboundary_recommendations where "
        f"protocol = 'hydrex_world' and voter_id = '{VOTER}' and decision_window = 'T-5' and epoch = {row['epoch']}"
    )
    assert in_mart == [(row["expected_usd"], row["objective_usd"], row["action"])]
    saved = decided.folder / "recommendations" / "hydrex_world" / str(row["epoch"]) / f"T-5-{VOTER}-reach.json"
    assert json.loads(saved.read_text())["allocation"] == row["allocation"]


def test_profiles_and_power_change_the_answer(decided: Line) -> None:
    only = ("recommend", "--window", "day", "--protocol", "hydrex_world", "--voter", VOTER, "--no-save")
    (plan,), (bold,) = (asked(decided, *only, "--risk-profile", name) for name in ("plan", "bold"))
    assert bold["gauges_used"] > plan["gauges_used"] and bold["expected_usd"] >= plan["expected_usd"]
    only = (*only, "--risk-profile", "plan")
    (strong,) = asked(decided, *only, "--voting-power", "1000000")
    assert strong["expected_usd"] > plan["expected_usd"] and sum(strong["allocation"].values()) == 1_000_000
    (weak,) = asked(decided, *only, "--voting-power", "20000")
    assert weak["outcome"] == "min_votes_above_power" and "50,000" in weak["reason"] and not weak["allocation"]
    (small,) = asked(decided, *only[:-2], "--voting-power", "3")
    assert small["outcome"] == "ok" and sum(small["allocation"].values()) == 3, "the default serves small voters"


def test_velodrome_has_one_vote_and_no_last_hour(decided: Line) -> None:
    only = ("recommend", "--window", "T-1", "--protocol", "velodrome_world", "--voter", "8", "--no-save")
    (late,) = asked(decided, *only)
    assert late["action"] == "closed" and "last 60 minutes" in late["reason"] and late["ballot"] is None
    shown = decided.cli(*only)
    assert "CLOSED" in shown.stdout and "USD" not in shown.stdout, "what cannot be sent has no worth to print"
    (open_,) = asked(decided, *("T-61" if a == "T-1" else a for a in only))
    assert open_["action"] != "closed" and open_["decision_window"] == "T-61"


def test_a_recommendation_can_be_sent_as_it_is(decided: Line) -> None:
    """Pools and reward tokens beside gauges; shares that make exactly these votes; the contract's word on it."""
    (row,) = asked(decided, "recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER)
    gauges = {g["gauge"]: g["pool"] for g in decided.world.info["protocols"]["hydrex"]["gauges"]}
    assert all(v["pool_address"] == gauges[v["gauge_address"]] for v in row["votes"])
    assert any(v["reward_tokens"] for v in row["votes"])
    ballot, power = row["ballot"], int(row["voter"]["power_raw"])
    shares = [int(share) for share in ballot["proportions"]]
    assert sum(shares) == power and [s * power // sum(shares) for s in shares] == shares
    assert {p: s // 10**18 for p, s in zip(ballot["pools"], shares, strict=True)} == {
        gauges[g]: votes for g, votes in row["allocation"].items()
    }
    assert (ballot["from"], ballot["chain_id"]) == (VOTER, decided.world.info["chain_id"])
    assert ballot["simulation"] == {"status": "ok", "reason": "", "block": row["decision_block"]}
    assert ballot["gas_estimate"] > 50_000
    said = ask_all(decided.world.rpc_url, [("eth_call", [{k: ballot[k] for k in ("from", "to", "data")}, "latest"])])
    assert said == ["0x"], "the same transaction, by hand"


def test_a_vote_that_would_revert_says_why(decided: Line) -> None:
    """A veNFT that has voted in an epoch: the transaction is shown with the contract's refusal."""
    actions = decided.world.actions()
    cast = [r for r in actions if (r["protocol"], r["kind"], r.get("token_id")) == ("velodrome", "vote", 8)]
    only = ("--window", "T-61", "--protocol", "velodrome_world", "--voter", "8", "--no-save")
    found = set()
    for (epoch,) in decided.query("select epoch from epoch_boundaries where protocol = 'velodrome_world'"):
        (row,) = asked(decided, "recommend", *only, "--epoch", str(epoch))
        if row["ballot"] is None:
            continue
        at = datetime.fromisoformat(row["decision_at"]).timestamp()
        said = row["ballot"]["simulation"]
        found.add(said["status"])
        if any(epoch <= vote["timestamp"] <= at for vote in cast):
            assert said["status"] == "reverted" and said["reason"].startswith("AlreadyVotedOrDeposited"), epoch
        else:
            assert said["status"] == "ok", said
    assert "reverted" in found


def test_a_what_if_is_never_saved_and_scales_what_stands(decided: Line) -> None:
    only = ("recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER)
    (real,), (double,) = asked(decided, *only), asked(decided, *only, "--voting-power", "100000")
    saved = decided.folder / "recommendations" / "hydrex_world" / str(real["epoch"]) / f"T-5-{VOTER}-reach.json"
    assert json.loads(saved.read_text())["voting_power"] == real["voting_power"] != double["voting_power"] == 100_000
    scale = 100_000 / real["voting_power"]
    before = {v["gauge_address"]: v["previous_votes"] for v in real["votes"]}
    after = {v["gauge_address"]: v["previous_votes"] for v in double["votes"]}
    both = before.keys() & after.keys()
    assert any(before[g] for g in both) and all(after[g] == pytest.approx(scale * before[g]) for g in both)


def test_a_bare_recommend_takes_the_newest_window(decided: Line) -> None:
    rows = asked(decided, "recommend", "--no-save")
    assert {row["protocol"] for row in rows} == {"hydrex_world", "velodrome_world"}
    assert {row["decision_window"] for row in rows} == {"T-1"}, "the world's head stands 20 s after T-1"
    assert {row["epoch"] for row in rows} == {decided.world.info["open_epoch"]}


def test_an_nft_counts_its_share_of_what_its_delegatee_votes(decided: Line) -> None:
    (row,) = asked(
        decided, "recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", "7001", "--no-save"
    )
    assert row["voter"]["account_address"] != row["voter"]["owner_address"] and 0 < row["reward_share"] < 1
    assert row["ballot"]["from"] == row["voter"]["account_address"]


def test_a_submission_beyond_the_power_is_refused(decided: Line, tmp_path: Path) -> None:
    (row,) = asked(decided, "recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER)
    row["allocation"] = {gauge: 2 * votes for gauge, votes in row["allocation"].items()}
    path = tmp_path / "twice.json"
    path.write_text(json.dumps(row | {"submitted_at": "2025-10-08T23:59:00Z"}))
    assert "the voter contract would have refused it" in refused(decided, "submitted", "--file", str(path))


def test_a_voter_that_never_voted_is_named(decided: Line) -> None:
    """The embedded world's whale does not exist in the small one."""
    (row,) = asked(
        decided, "recommend", "--window", "T-5", "--protocol", "velodrome_world", "--voter", "34", "--no-save"
    )
    assert row["outcome"] == "no_voting_power" and "seeds/voting/voters.csv" in row["reason"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--window", "boundary"), "never decided on"),
        (("--window", "T-9"), "decision_windows.csv"),
        (("--window", "T-5", "--protocol", "curve"), "hydrex_world, velodrome_world"),
        (("--window", "T-5", "--voter", "0xnobody"), "seeds/voting/voters.csv"),
        (("--window", "T-5", "--risk-profile", "brave"), "'cautious', 'plan', 'bold', 'reach'"),
        (("--window", "T-5", "--voting-power", "0"), "above 0"),
        (("--window", "T-5", "--epoch", "1757462400"), "no T-5 of epoch 1757462400"),
        (("--window", "T-5", "--epoch", "soon"), "ISO date"),
    ],
)
def test_what_cannot_be_recommended_is_named(decided: Line, arguments: tuple[str, ...], wanted: str) -> None:
    assert wanted in refused(decided, "recommend", *arguments)


def test_the_backtest_is_shown_and_swept(decided: Line) -> None:
    rows = asked(decided, "backtest", "--protocol", "velodrome_world")
    assert {row["strategy"] for row in rows} >= {"foreshore", "snapshot", "proportional", "hold", "hindsight"}
    ours = [row for row in rows if row["strategy"] == "foreshore" and row["decision_window"] == "day"]
    assert ours[0]["voted_count"] >= 2 and 0 < ours[0]["mean_hindsight_share"] <= 1 + 1e-9
    grid = ("--sweep", "--k-max", "2", "--k-max", "3", "--min-votes", "1000")
    swept = asked(decided, "backtest", *grid)
    assert len({row["parameters"] for row in swept}) == 2
    assert all(0 < row["mean_hindsight_share"] <= 1 + 1e-9 for row in swept)
    assert asked(decided, "backtest", *grid, "--engine", "dask", "--workers", "2") == swept
    assert "add --sweep" in refused(decided, "backtest", "--k-max", "5")
    assert "brave" in refused(decided, "backtest", "--sweep", "--risk-profile", "brave")


def test_a_sweep_that_was_killed_goes_on_where_it_was(decided: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun by processes of one machine, ended by another number of a cluster's: what is kept is not replayed again."""
    warehouse = Warehouse(decided.folder, str(decided.folder / "raw"))
    grid = sweeping.Grid(None, k_max=(2, 3, 4), min_votes=(0, 1000))
    whole = sweeping.sweep(warehouse, grid, None, 2)
    here, across, asked = sweeping._here, sweeping.spread, list[int]()

    def dying(tables: Any, parts: Any, workers: int) -> Any:
        for number, made in enumerate(here(tables, parts, workers)):
            if number == 4:
                raise KeyboardInterrupt
            yield made

    def counting(where: Any, workers: int, function: Any, parts: Any, say: Any) -> Any:
        asked.append(len(parts))
        return across(where, workers, function, parts, say)

    monkeypatch.setattr(sweeping, "_here", dying)
    monkeypatch.setattr(sweeping, "spread", counting)
    with pytest.raises(KeyboardInterrupt):
        sweeping.sweep(warehouse, grid, None, 2)
    kept = sorted((decided.folder / "cache" / "sweeps").glob("*.npz"))
    assert len(kept) == 4
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # a disk that lost power: this part is made again
    assert sweeping.sweep(warehouse, grid, None, 1, Where("dask")) == whole and asked == [3]
    assert not list((decided.folder / "cache" / "sweeps").iterdir())


def test_every_window_of_the_backtest_is_consistent(decided: Line) -> None:
    """Realised returns again, by SQL, from the truth labels and the nested votes alone."""
    assert decided.query("select count(*) > 20 from preboundary_backtest_votes") == [(True,)]
    wrong = decided.query(
        """
        select results.realised_usd, sum(labels.final_rewards_usd * votes.own_votes
            / ((labels.final_supply_raw - coalesce(own.stake_raw, 0))::double / 1e18 + votes.own_votes)) as again
        from preboundary_backtest_results as results
        inner join preboundary_backtest_votes as votes using (protocol, voter_id, epoch, decision_window, strategy)
        inner join preboundary_truth_labels as labels using (protocol, epoch, gauge_address)
        left join main_intermediate.int_own_votes as own
            on own.protocol = results.protocol and own.epoch = results.epoch and own.decision_window = 'boundary'
            and own.gauge_address = votes.gauge_address and own.voter_id = results.voter_id
        group by results.protocol, results.voter_id, results.epoch, results.decision_window, results.strategy,
            results.realised_usd
        having abs(results.realised_usd - again) > 1e-6 * (1 + again)
        """
    )
    assert wrong == []


def test_why_expected_differs_is_four_queries_that_run(decided: Line) -> None:
    done = decided.dbt("compile", "--select", "path:analyses")
    assert done.returncode == 0, done.stdout
    compiled = sorted((decided.folder / "target" / "compiled" / "foreshore" / "analyses").glob("why_*.sql"))
    assert [path.stem.split("_")[1] for path in compiled] == ["1", "2", "3", "4"]
    for path in compiled:
        decided.query(path.read_text())


def test_a_recorded_submission_is_the_last_allocation(built_line: Line, tmp_path: Path) -> None:
    """Recorded twice it counts once; from the next build on the change set refers to it; the chain is left alone."""
    made = Line(built_line.world, tmp_path)
    assert made.extract(made.configure(), epochs=1) == 0
    windows = json.loads(made.cli("status", "--json").stdout)
    assert windows
    gauge = built_line.query("select min(gauge_address) from gauges where protocol = 'hydrex_world' and is_alive")[0][0]
    (epoch, at) = built_line.query(
        "select epoch, max(decision_at) from decision_points where decision_window = 'T-1' and "
        "epoch = (select max(epoch) from decision_points) group by all"
    )[0]
    form = {
        "protocol": "hydrex_world",
        "voter_id": VOTER,
        "epoch": epoch,
        "submitted_at": at.isoformat(),
        "allocation": {gauge: 12_345},
    }
    path = tmp_path / "submitted.json"
    path.write_text(json.dumps(form))
    for _ in range(2):
        done = made.cli("submitted", "--file", str(path))
        assert done.returncode == 0 and "Recorded 1 gauges" in re.sub(r"\s+", " ", done.stdout), done.stderr
    built = made.dbt("build", "--exclude-resource-type", "test", "unit_test", "--select", "+preboundary_features")
    assert built.returncode == 0, built.stdout[-2000:]
    before_and_after = made.query(
        "select decision_window, sum(previous_votes), max(own_votes_now) from preboundary_features "
        f"where epoch = {epoch} and voter_id = '{VOTER}' group by all order by max(decision_at)"
    )
    votes = {window: previous for window, previous, _ in before_and_after}
    assert votes["T-1"] == 12_345 and votes["T-5"] != 12_345, before_and_after


def test_bad_submissions_land_nothing(line: Line) -> None:
    path = line.folder / "bad.json"
    path.write_text('{"protocol": "hydrex_world"}')
    line.configure()
    assert "lacks voter_id, epoch, submitted_at, allocation" in refused(line, "submitted", "--file", str(path))
    path.write_text("{")
    assert "is not JSON" in refused(line, "submitted", "--file", str(path))
    assert "cannot be read" in refused(line, "submitted", "--file", str(line.folder / "none.json"))
    assert not (line.folder / "raw" / "submitted_votes").exists()


def test_help_has_examples() -> None:
    for verb in ("recommend", "submitted", "backtest", "allocate"):
        done = subprocess.run(
            [str(ROOT / ".venv" / "bin" / "foreshore"), verb, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "Examples" in done.stdout, verb


def test_gauges_have_names(decided: Line) -> None:
    """`WETX/TIDE · 0x12…ab`: what the pool's tokens call themselves on the chain, beside the address."""
    rows = decided.query("select gauge_address, pool_address, pool_name, gauge_name from gauges")
    symbols = {token["address"]: token["symbol"] for token in decided.world.info["tokens"]}
    views = [(pool, view) for _, pool, _, _ in rows for view in ("0x0dfe1681", "0xd21220a7")]  # token0(), token1()
    said = ask_all(decided.world.rpc_url, [("eth_call", [{"to": to, "data": view}, "latest"]) for to, view in views])
    unnamed = 0
    for (gauge, _, pool_name, gauge_name), pair in zip(rows, zip(said[::2], said[1::2], strict=True), strict=True):
        held = [symbols.get("0x" + word[-40:]) for word in pair]
        assert pool_name == (f"{held[0]}/{held[1]}" if all(held) else None)
        assert gauge_name == (f"{pool_name} · " if pool_name else "") + f"{gauge[:4]}…{gauge[-2:]}"
        unnamed += pool_name is None
    assert 0 < unnamed < len(rows) / 2, "a pool may say nothing"
    known = dict.fromkeys(row[3] for row in rows)
    for table in ("preboundary_snapshots", "preboundary_truth_labels", "preboundary_forecasts", "boundary_gauge_values",
                  "boundary_reward_snapshots", "preboundary_features", "preboundary_proxies",
                  "preboundary_backtest_votes"):  # fmt: skip
        told = decided.query(f"select distinct gauge_address, gauge_name from {table}")
        assert told and all(name in known and name.endswith(gauge[-2:]) for gauge, name in told), table
    (row,) = asked(decided, "recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER)
    assert all(vote["gauge_name"] for vote in row["votes"])
    shown = decided.cli("recommend", "--window", "T-5", "--protocol", "hydrex_world", "--voter", VOTER).stdout
    assert any(vote["gauge_name"] in shown for vote in row["votes"] if vote["votes"] > 0)


def test_names_of_strangers_lose_what_is_not_text(decided: Line) -> None:
    source = (ROOT / "macros" / "plain_text.sql").read_text().splitlines()[2].strip()
    sql = "select " + source.replace("{{ column }}", "name") + " from (values (?)) as t (name)"
    with duckdb.connect() as empty:
        for name, kept in (
            ("WETH", "WETH"),
            ("\x1b[31mRED\x07", "[31mRED"),
            ("USD\u20ae0", "USD\u20ae0"),
            ("a\u202eb\u2028c", "abc"),
            ("  ", None),
            ("x" * 100, "x" * 24),
        ):
            assert empty.execute(sql, [name]).fetchone() == (kept,)
