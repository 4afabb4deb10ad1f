"""`foreshore backtest bars` and the promotion contract it writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from decide.bars.bars import Bars
from decide.bars.sessions import Sessions
from decide.bars.tables import rules_hash
from extract.config import load_config
from extract.errors import ForeshoreError
from extract.seeds import read_seed
from operate.bars import tries
from operate.bars.backtest import Asked, find_strategy
from operate.bars.manifest import ManifestInvalid, read_promotion, seal
from operate.cli import cli
from tests.bar_fixtures import ROOT, walk

FROM_TO = ("--from", "2026-01-12", "--to", "2026-01-30")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published warehouse with a month of bars of two symbols, one of them on two feeds."""
    sessions = Sessions.of(read_seed(ROOT / "seeds", "bars/sessions"))
    first, last = (int(np.datetime64(day, "s").astype(np.int64)) for day in ("2026-01-08", "2026-02-01"))
    path = tmp_path_factory.mktemp("published") / "foreshore.duckdb"
    with duckdb.connect(str(path)) as made:
        for table, step in (("bars_m5", 300), ("bars_m15", 900)):
            series = [("AAA", "sip", 1), ("AAA", "iex", 2), ("BBB", "sip", 3)]
            labels = sessions.between(step, first, last).tolist()
            made.register("rows", pa.concat_tables([_rows(walk(labels, n), s, f) for s, f, n in series]))
            made.execute(f"create table {table} as select * from rows")
            made.unregister("rows")
    return path


def _rows(bars: Bars, symbol: str, feed: str) -> pa.Table:
    values = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    at = pa.array(bars.labels * 1_000_000).cast(pa.timestamp("us", "UTC"))
    return pa.table({"symbol": [symbol] * len(bars), "feed": [feed] * len(bars), **values, "bar_at": at})


@pytest.fixture
def site(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    registered = '[bars]\nstrategies = ["decide.bars.strategies.opening_range"]\n'
    (tmp_path / "foreshore.toml").write_text(f'{registered}[storage]\nroot = "{tmp_path}"\nseeds = "{ROOT}/seeds"\n')
    monkeypatch.setenv("FORESHORE_CONFIG", str(tmp_path / "foreshore.toml"))
    monkeypatch.setenv("FORESHORE_BUILD", str(tmp_path / "none.duckdb"))
    made = tmp_path / "published" / "1"
    made.mkdir(parents=True)
    shutil.copy(published, made / "foreshore.duckdb")
    with duckdb.connect(str(made / "foreshore.duckdb")) as shelf:
        shelf.execute("create table publications as select ? as root", [str(tmp_path.resolve())])
    (tmp_path / "published" / "current").symlink_to("1")
    (tmp_path / "foreshore.duckdb").symlink_to("published/current/foreshore.duckdb")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["backtest", "bars", *arguments])


def result(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(run(*arguments, "--json").output))


def test_a_success_has_every_artifact_and_can_be_promoted(site: Path) -> None:
    done = run("--symbol", "BBB", *FROM_TO)
    assert done.exit_code == 0 and "NOT_PROMOTABLE" in done.output  # a walk has no edge
    assert "pre-paper run --manifest" not in done.output
    folder = next((site / "artifacts" / "backtests").iterdir())
    names = {"run_manifest", "run_result", "coverage_check", "sla_check", "params", "signals", "rejections", "trades"}
    names |= {"metrics", "promotion_check"}
    assert {p.name for p in folder.iterdir()} == {f"{n}.json" for n in names} | {"equity_curve.csv"}
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert list(manifest) == ["identity", "strategy", "params", "data", "gates", "result"]
    assert manifest["identity"]["run_id"] == folder.name
    assert manifest["gates"]["coverage"]["status"] == "PASS" and manifest["gates"]["sla"]["passed"]
    assert (manifest["data"]["symbol"], manifest["data"]["feed"], manifest["data"]["requested_tf"]) == (
        "BBB",
        "sip",
        "M5",
    )
    promotion, _ = read_promotion(folder / "run_manifest.json")
    asked = Asked("BBB", "M5", promotion.first, promotion.last)
    assert promotion.strategy == find_strategy(load_config(), asked)


def test_the_same_inputs_give_the_same_bytes_times_aside(site: Path) -> None:
    def contents() -> dict[str, bytes]:
        run("--symbol", "BBB", *FROM_TO)
        folder = next((site / "artifacts" / "backtests").iterdir())
        found = {p.name: p.read_bytes() for p in folder.iterdir()}
        manifest = json.loads(found["run_manifest.json"])
        for told in ("timestamp_utc", "promotion_sha256"):  # the hash is over the time, too
            manifest["identity"].pop(told)
        return {**found, "run_manifest.json": json.dumps(manifest).encode()}

    assert contents() == contents()
    assert len(list((site / "artifacts" / "backtests").iterdir())) == 1


def test_timeframe_feed_and_parameters_make_another_run(site: Path) -> None:
    ids = {
        result("--symbol", "BBB", *FROM_TO)["run_id"],
        result("--symbol", "BBB", *FROM_TO, "--tf", "M15")["run_id"],
        result("--symbol", "BBB", *FROM_TO, "--set", "atr_period=14")["run_id"],
        result("--symbol", "BBB", *FROM_TO, "--set", "slippage_bps=2", "--set", "atr_period=14")["run_id"],
        result("--symbol", "AAA", *FROM_TO, "--feed", "iex")["run_id"],
        result("--symbol", "AAA", *FROM_TO, "--feed", "sip")["run_id"],
    }
    assert len(ids) == 6


def test_what_comes_after_the_range_is_no_input(site: Path) -> None:
    early = ("--symbol", "BBB", "--from", "2026-01-12", "--to", "2026-01-16")
    before = result(*early)
    with duckdb.connect(str(site / "foreshore.duckdb")) as published:
        published.execute("delete from bars_m5 where bar_at > timestamptz '2026-01-20 00:00:00+00'")
    assert result(*early) == before


def test_holes_fail_with_exit_code_1_and_cannot_be_promoted(site: Path) -> None:
    with duckdb.connect(str(site / "foreshore.duckdb")) as published:
        published.execute("delete from bars_m5 where cast(bar_at as date) = date '2026-01-20'")
    done = run("--symbol", "BBB", *FROM_TO)
    assert done.exit_code == 1 and "DATA_COVERAGE_GAP" in done.output
    folder = next((site / "artifacts" / "backtests").iterdir())
    assert not (folder / "signals.json").exists()
    with pytest.raises(ManifestInvalid, match="only SUCCESS can be promoted"):
        read_promotion(folder / "run_manifest.json")


def test_an_error_of_the_run_itself_is_written_down(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr("operate.bars.backtest.run_bar_backtest", breaks)
    assert run("--symbol", "BBB", *FROM_TO).exit_code == 1
    folder = next((site / "artifacts" / "backtests").iterdir())
    said = json.loads((folder / "run_result.json").read_text())
    assert (said["status"], said["reason"]) == ("ERROR", "ZeroDivisionError") and "by hand" in said["stack_trace"]
    manifest = json.loads((folder / "run_manifest.json").read_text())
    assert manifest["result"]["error_id"] == said["error_id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--symbol", "CCC", *FROM_TO), "has no bars of CCC"),
        (("--symbol", "AAA", *FROM_TO), "several feeds"),
        (("--symbol", "BBB", *FROM_TO, "--feed", "iex"), "no bars of feed 'iex'"),
        (("--symbol", "BBB", *FROM_TO, "--strategy", "moonshot"), "unknown"),
        (("--symbol", "BBB", *FROM_TO, "--set", "nonsense=1"), "no such parameter"),
        (("--symbol", "BBB", *FROM_TO, "--set", "atr_period=-1"), "atr_period"),
        (("--symbol", "BBB", *FROM_TO, "--set", "session_filter=noon"), "session_filter"),
    ],
)
def test_what_cannot_be_asked(site: Path, arguments: tuple[str, ...], message: str) -> None:
    failure = run(*arguments).exception
    assert isinstance(failure, ForeshoreError) and message in str(failure)


def test_a_manifest_is_taken_whole_and_unedited_or_not_at_all(site: Path) -> None:
    run("--symbol", "BBB", *FROM_TO)
    path = next((site / "artifacts" / "backtests").iterdir()) / "run_manifest.json"
    good = json.loads(path.read_text())

    def refused(change: Any) -> str:
        manifest = json.loads(json.dumps(good))
        change(manifest)
        path.write_text(json.dumps(manifest))
        with pytest.raises(ForeshoreError) as error:
            read_promotion(path)
        path.write_text(json.dumps(good))
        return str(error.value)

    assert "changed after its run" in refused(lambda m: m["params"]["rules"].update(risk_reward_ratio=9))
    assert "changed after its run" in refused(lambda m: m["data"].update(feed="iex"))
    assert "contract version" in refused(lambda m: m["identity"].update(contract_version=1))
    assert "no run manifest" in refused(lambda m: m.pop("gates"))
    assert "changed after its run" in refused(lambda m: m["result"].update(run_status="SUCCESS", error_id="x"))
    assert "changed after its run" in refused(lambda m: m["result"].update(artifacts_index={}))
    assert "changed after its run" in refused(lambda m: m["gates"]["coverage"].update(share=0.1))
    assert "changed after its run" in refused(lambda m: m["identity"].update(run_id="../../../../leaving"))

    def sealed(change: Any) -> Any:
        """An edit by somebody who hashes anew."""

        def edit(m: dict[str, Any]) -> None:
            change(m)
            m["identity"]["promotion_sha256"] = seal(m)

        return edit

    assert "no artifacts_index" in refused(sealed(lambda m: m["result"].update(artifacts_index=None)))
    assert "does not list run_result.json" in refused(sealed(lambda m: m["result"].update(artifacts_index={})))
    assert "coverage of 0.1" in refused(sealed(lambda m: m["gates"]["coverage"].update(share=0.1)))
    assert "its run_id" in refused(sealed(lambda m: m["identity"].update(run_id="../../../../leaving")))
    assert "its run_id" in refused(sealed(lambda m: m["params"]["rules"].update(atr_period=9)))
    (path.parent / "more.json").write_text("[]")
    assert "does not list more.json" in refused(lambda m: None)
    (path.parent / "more.json").unlink()
    (path.parent / "signals.json").write_text("[]")
    assert "signals.json was changed" in refused(lambda m: None)
    (path.parent / "signals.json").unlink()
    assert "not beside it" in refused(lambda m: None)
    path.write_text("{")
    with pytest.raises(ForeshoreError, match="not JSON"):
        read_promotion(path)


def test_pre_paper_can_be_held_to_the_promotion_gates(site: Path) -> None:
    told = result("--symbol", "BBB", *FROM_TO, "--set", "commission_per_share_usd=2")
    path = Path(told["folder"]) / "run_manifest.json"
    asked = ["pre-paper", "run", "--manifest", str(path)]
    refused = CliRunner().invoke(cli, [*asked, "--require-promotable"]).exception
    assert isinstance(refused, ForeshoreError) and str(refused).startswith("not_promotable: ")
    assert "min_sharpe 0.5" in str(refused) and "--require-promotable out" in str(refused)
    other = CliRunner().invoke(cli, asked).exception  # this site has no live provider: the verdict is no obstacle
    assert isinstance(other, ForeshoreError) and "not_promotable" not in str(other)
    manifest = json.loads(path.read_text())
    manifest["gates"]["promotion"] = {}
    manifest["identity"]["promotion_sha256"] = seal(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ManifestInvalid, match="no verdict of the promotion gates"):
        read_promotion(path)


def test_a_failed_run_cannot_be_edited_into_a_success(site: Path) -> None:
    with duckdb.connect(str(site / "foreshore.duckdb")) as published:
        published.execute("delete from bars_m5 where cast(bar_at as date) = date '2026-01-20'")
    run("--symbol", "BBB", *FROM_TO)
    path = next((site / "artifacts" / "backtests").iterdir()) / "run_manifest.json"
    manifest = json.loads(path.read_text())
    manifest["result"].update(run_status="SUCCESS", failure_reason=None, failure_details=None)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ManifestInvalid, match="changed after its run"):
        read_promotion(path)


def test_the_backtest_says_promotable_or_which_gate_failed(site: Path) -> None:
    told = result("--symbol", "BBB", *FROM_TO)["promotion"]
    assert told["status"] in ("PROMOTABLE", "NOT_PROMOTABLE")
    assert (told["status"] == "PROMOTABLE") == (not told["failed"])
    lossy = result("--symbol", "BBB", *FROM_TO, "--set", "commission_per_share_usd=2")["promotion"]
    assert {gate["gate"] for gate in lossy["failed"]} >= {"min_sharpe", "costs_multiple"}
    assert "NOT_PROMOTABLE" in run("--symbol", "BBB", *FROM_TO, "--set", "commission_per_share_usd=2").output


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("insidebar_two_leg", ()),
        ("insidebar_m15", ("session_filter=09:30-16:00", "first_inside_bar_only=false", "max_deviation_atr=0")),
        ("opening_range", ("range_minutes=15",)),
    ],
)
def test_every_shipped_strategy_runs_and_can_be_promoted(site: Path, key: str, changes: tuple[str, ...]) -> None:
    sets = [part for pair in changes for part in ("--set", pair)]
    told = result("--symbol", "BBB", *FROM_TO, "--strategy", key, *sets)
    assert told["result"]["run_status"] == "SUCCESS" and told["metrics"]["signals"] > 0
    promotion, _ = read_promotion(Path(told["folder"]) / "run_manifest.json")
    assert promotion.strategy.key == key
    asked = Asked("BBB", None, promotion.first, promotion.last, key, changes=changes)
    assert rules_hash(promotion.strategy) == rules_hash(find_strategy(load_config(), asked))


OWN = """
from decide.bars.strategy import Order

NAME, VERSION, TIMEFRAME_MINUTES = "two_up", "0.1", 5
PARAMETERS = {"ticks": 20}
HISTORY = {"lookback_bars": 3, "has_session_state": False}


def orders(known, parameters):
    close = known.bars.close[-3:]
    if not close[0] < close[1] < close[2]:
        return []
    risk = parameters["ticks"] * 0.01
    level = float(close[-1])
    return [Order("BUY", "market", level, level - risk, level + 2 * risk)]
"""


def test_a_file_of_ones_own_runs_and_its_text_is_what_is_promoted(site: Path) -> None:
    path = site / "mine.py"
    path.write_text(OWN)
    told = result("--symbol", "BBB", *FROM_TO, "--strategy", str(path), "--set", "ticks=30")
    assert told["metrics"]["trades"] > 20
    path.write_text(OWN.replace("< close[2]", "> close[2]"))
    promotion, manifest = read_promotion(Path(told["folder"]) / "run_manifest.json")
    assert manifest["params"]["rules"] == {"source": OWN, "parameters": {"ticks": 30}}
    assert (promotion.strategy.key, promotion.strategy.version) == ("two_up", "0.1")
    other = result("--symbol", "BBB", *FROM_TO, "--strategy", str(path), "--set", "ticks=30")
    assert other["run_id"] != told["run_id"]


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["strategy", "check", *arguments])


def test_strategies_are_proved(site: Path) -> None:
    (site / "mine.py").write_text(OWN)
    for place in (str(site / "mine.py"), "opening_range", "insidebar_intraday", "insidebar_two_leg", "insidebar_m15"):
        done = check(place, "--json")
        assert done.exit_code == 0, done.output
    assert check("opening_range", "--symbol", "BBB").exit_code == 0


CHEATS = {
    "history": (
        OWN.replace("known.bars.close[-3:]", "known.bars.close[-9::3]").replace("if not", "if len(close) < 3 or not"),
        "declared history suffices",
    ),
    "memory": (
        OWN.replace(
            "    close =", "    SEEN.append(1)\n    if len(SEEN) % 7 == 0:\n        return []\n    close ="
        ).replace("PARAMETERS", "SEEN = []\nPARAMETERS", 1),
        "same input, same bytes",
    ),
    "no order": (OWN.replace('"market"', '"hope"'), "its orders are orders"),
}


@pytest.mark.parametrize("case", CHEATS)
def test_what_does_not_hold_is_named(site: Path, case: str) -> None:
    source, proof = CHEATS[case]
    (site / "mine.py").write_text(source)
    done = check(str(site / "mine.py"), "--json")
    failed = [row["proof"] for row in json.loads(done.output)["proofs"] if not row["holds"]]
    assert done.exit_code == 1 and proof in failed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NAME = 1", "lacks VERSION"),
        ("1 / 0", "does not run: ZeroDivisionError"),
        ("def (", "does not run: SyntaxError"),
    ],
)
def test_a_file_that_is_no_strategy_is_said(site: Path, text: str, message: str) -> None:
    (site / "mine.py").write_text(text)
    failure = check(str(site / "mine.py")).exception
    assert isinstance(failure, ForeshoreError) and message in str(failure)


def assert_the_best_alone_is_the_same(told: dict[str, Any], *strategy: str) -> None:
    """The best set of a sweep, run by itself."""
    best = told["best"]
    sets = [part for name, value in best["changes"].items() for part in ("--set", f"{name}={value}")]
    alone = result("--symbol", "BBB", *FROM_TO, *strategy, *sets)["metrics"]
    assert (alone["signals"], alone["trades"]) == (best["signals"], best["trades"])
    assert alone["net_usd"] == pytest.approx(best["net_usd"]) and alone["sharpe"] == pytest.approx(best["sharpe"])


def test_a_sweep_counts_its_tries_and_doubts_the_best(site: Path) -> None:
    grid = ("--sweep", "atr_period=4:8", "--sweep", "risk_reward_ratio=1,2")
    told = result("--symbol", "BBB", *FROM_TO, *grid)
    assert told["tries"] == 10 and set(told["best"]["changes"]) == {"atr_period", "risk_reward_ratio"}
    assert 0 <= told["deflated_sharpe"] <= 1 and len(told["walk_forward"]) == 4
    rows = (Path(told["folder"]) / "tries.csv").read_text().splitlines()
    assert len(rows) == 11
    assert_the_best_alone_is_the_same(told)


def test_a_file_of_ones_own_is_swept_over_its_parameters(site: Path) -> None:
    (site / "mine.py").write_text(OWN)
    mine = ("--strategy", str(site / "mine.py"))
    told = result("--symbol", "BBB", *FROM_TO, *mine, "--sweep", "ticks=10:40:10", "--sweep", "slippage_bps=0,2")
    assert told["tries"] == 8 and set(told["best"]["changes"]) == {"ticks", "slippage_bps"}
    rows = (Path(told["folder"]) / "tries.csv").read_text().splitlines()
    assert len(set(rows)) == 9  # no two sets are the same
    assert_the_best_alone_is_the_same(told, *mine)
    refused = run("--symbol", "BBB", *FROM_TO, *mine, "--sweep", "atr_period=4:8").exception
    assert isinstance(refused, ForeshoreError) and "no such parameter; the strategy's file" in str(refused)


def test_a_sweep_that_was_killed_goes_on_where_it_was(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ("--sweep", "atr_period=4:8", "--sweep", "risk_reward_ratio=1,2")
    whole = Path(result("--symbol", "BBB", *FROM_TO, *grid)["folder"])
    kept = {path.name: path.read_bytes() for path in whole.iterdir()}
    parts, true = list[int](), tries.try_sets

    def dying(bars: Any, sessions: Any, sets: Any, usable: Any) -> Any:
        if len(parts) == 3:
            raise KeyboardInterrupt
        parts.append(len(sets))
        return true(bars, sessions, sets, usable)

    monkeypatch.setattr(tries, "SETS_PER_PART", 2)
    monkeypatch.setattr(tries, "try_sets", dying)
    assert run("--symbol", "BBB", *FROM_TO, *grid).exit_code != 0 and parts == [2, 2, 2]
    (found,) = [path for path in site.rglob("cache") if path.is_dir()]
    half = sorted(found.rglob("*.npz"))[0]
    half.write_bytes(half.read_bytes()[:100])  # a disk that lost power: this part is made again
    parts.clear()
    monkeypatch.setattr(tries, "try_sets", lambda *on: parts.append(len(on[2])) or true(*on))
    assert result("--symbol", "BBB", *FROM_TO, *grid)["tries"] == 10 and parts == [2, 2, 2]
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == kept
    assert not list(found.rglob("*.npz"))


@pytest.mark.slow
def test_a_cluster_sweeps_to_the_same_bytes(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a file of one's own, which travels as its text."""
    (site / "mine.py").write_text(OWN)
    asked = ("--symbol", "BBB", *FROM_TO, "--strategy", str(site / "mine.py"), "--sweep", "ticks=10:40:10")
    whole = Path(result(*asked)["folder"])
    kept = {path.name: path.read_bytes() for path in whole.iterdir()}
    monkeypatch.setattr(tries, "SETS_PER_PART", 1)
    spread = run(*asked, "--engine", "dask", "--workers", "2", "--json")
    assert json.loads(spread.stdout)["tries"] == 4 and "2 workers: " in spread.stderr
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == kept


@pytest.mark.parametrize("own", [False, True])
def test_a_sweep_takes_no_order_across_a_split_that_nobody_told_of(site: Path, own: bool) -> None:
    with duckdb.connect(str(site / "foreshore.duckdb")) as published:
        prices = ", ".join(f"{name} = {name} / 4" for name in ("open", "high", "low", "close"))
        published.execute(f"update bars_m5 set {prices} where bar_at >= timestamptz '2026-01-20 00:00:00+00'")
    (site / "mine.py").write_text(OWN.replace('"lookback_bars": 3', '"lookback_bars": 30'))
    mine = ("--strategy", str(site / "mine.py")) if own else ()
    grid = ("--sweep", "ticks=10,20") if own else ("--sweep", "atr_period=5,9", "--set", "session_filter=09:30-16:00")
    folder = Path(result("--symbol", "BBB", *FROM_TO, *mine, *grid[2:])["folder"])
    reasons = {row["reason"] for row in json.loads((folder / "signals.json").read_text())}
    assert "unadjusted_split" in reasons
    assert_the_best_alone_is_the_same(result("--symbol", "BBB", *FROM_TO, *mine, *grid), *mine, *grid[2:])
