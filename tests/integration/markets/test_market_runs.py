"""Daily runs: what goes wrong in experiments stays in its market; what comes out depends on the inputs alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from decide.markets.experiments.protocol import PricePoint, sha256_of
from extract.errors import ForeshoreError
from operate.log import DurableLog, last_lines
from operate.markets import pool, report
from operate.markets.backfill import backfill
from operate.markets.daily import DailyRun, Request, Summary
from operate.markets.dry import DryStore
from operate.markets.registry import ExperimentError
from operate.markets.resolve import Spans, resolve
from operate.markets.rows import OutcomeRow
from operate.markets.settings import SHIPPED
from tests.market_run_fixtures import AT, DAY, ROOT, HandMade, Room, a_snapshot, settings_in
from tests.polymarket_fixtures import FIRST, MarketLine

RUN = "2026-01-05-w7"
FILE = """
from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot
class Mine:
    name, version, requires, mandatory = "mine", "{version}", {requires}, {mandatory}
    needs = {needs}
    def run(self, snapshot, context):
{body}
EXPERIMENT = Mine()
"""


def mine(
    folder: Path, body: str, version: str = "1", mandatory: bool = False, requires: Any = (), needs: Any = ()
) -> tuple[str, ...]:
    """The shipped experiments and one more, from a file."""
    path = folder / "mine.py"
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    path.write_text(FILE.format(version=version, requires=requires, mandatory=mandatory, body=lines, needs=needs))
    return (*SHIPPED, str(path))


def results(room: Room) -> dict[str, dict[str, Any]]:
    store = room.store()
    try:
        return {row.market_id: {r["experiment"]: r for r in row.payload["results"]} for row in store.payloads(RUN)}
    finally:
        store.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Room:
    return Room(settings_in(tmp_path))


MARKETS = [a_snapshot(n) for n in range(12)]
HANG = 'if snapshot.market_id == "00005":\n    while True: pass\nreturn Forecast(0.5)'


def test_a_run_writes_every_market_with_every_result(room: Room) -> None:
    summary = room.run(HandMade(MARKETS))
    assert (summary.status, summary.exit_code, summary.processed, summary.refused) == ("complete", 0, 12, 2)
    written = results(room)
    assert len(written) == 12 and all(len(row) == 8 for row in written.values())
    again = room.run(HandMade(MARKETS))
    assert (again.kind, again.exit_code, again.written) == ("done", 3, 0)
    forced = room.run(HandMade(MARKETS), force=True)
    assert (forced.kind, forced.exit_code, forced.written) == ("forced", 0, 12)
    assert results(room) == written


def test_results_do_not_depend_on_how_many_run_at_once(tmp_path: Path) -> None:
    markets = [a_snapshot(n) for n in range(150)]
    found = []
    for processes in (1, 3):
        room = Room(settings_in(tmp_path / str(processes), concurrency=processes))
        assert room.run(HandMade(markets if processes == 1 else markets[::-1])).exit_code == 0
        store = room.store()
        found.append([(row.market_id, row.payload_sha256) for row in store.payloads(RUN)])
        store.close()
    assert found[0] == found[1]


def test_an_experiment_that_raises_costs_its_own_result_only(embedded: Room) -> None:
    places = mine(
        embedded.settings.root, 'if snapshot.market_id == "00003":\n    raise KeyError("gone")\nreturn Forecast(0.5)'
    )
    summary = embedded.run(HandMade(MARKETS), experiments=places)
    assert (summary.status, summary.exit_code, summary.processed, summary.failing) == ("partial", 2, 12, 1)
    (failure,) = summary.failures
    assert (failure["market_id"], failure["experiment"], failure["error_class"]) == ("00003", "mine", "KeyError")
    assert not failure["is_retriable"] and "mine" not in results(embedded)["00003"]
    mended = mine(embedded.settings.root, "return Forecast(0.5)")
    again = embedded.run(HandMade(MARKETS), experiments=mended)
    assert (again.kind, again.due, again.written, again.status) == ("resumed", 1, 1, "complete")


@pytest.mark.parametrize("value", ["7", "Forecast(1.5)", "Forecast(0.5, {'x': object()})", "None"])
def test_what_is_no_result_is_a_failure(embedded: Room, value: str) -> None:
    summary = embedded.run(HandMade(MARKETS[:2]), experiments=mine(embedded.settings.root, f"return {value}"))
    assert summary.exit_code == 2 and summary.failing == 2 and summary.processed == 2


def test_where_a_mandatory_experiment_fails_the_market_is_left_out(embedded: Room) -> None:
    body = 'if snapshot.market_id == "00003":\n    raise ValueError("no")\nreturn Forecast(0.5)'
    summary = embedded.run(HandMade(MARKETS), experiments=mine(embedded.settings.root, body, mandatory=True))
    assert (summary.status, summary.processed, summary.excluded) == ("partial", 11, 1)
    assert "00003" not in results(embedded)


def test_an_earlier_good_row_stays_when_a_forced_rerun_fails(embedded: Room) -> None:
    assert embedded.run(HandMade(MARKETS)).exit_code == 0
    before = results(embedded)
    broken = mine(embedded.settings.root, "raise ValueError('no')", mandatory=True)
    summary = embedded.run(HandMade(MARKETS), force=True, experiments=broken)
    assert summary.exit_code == 2 and summary.processed == 12 and summary.failing == 12
    assert all(failure["is_stale_success"] for failure in summary.failures)
    assert results(embedded) == before


def test_what_requires_a_failed_experiment_fails_with_it(embedded: Room) -> None:
    body = "raise ValueError('no')"
    places = mine(embedded.settings.root, body)
    child = embedded.settings.root / "child.py"
    made = FILE.format(version="1", requires=("mine",), mandatory=False, body="        return Skip('x')", needs=())
    child.write_text(made.replace('"mine", "1"', '"child", "1"'))
    summary = embedded.run(HandMade(MARKETS[:1]), experiments=(*places, str(child)))
    classes = {f["experiment"]: f["error_class"] for f in summary.failures}
    assert classes == {"mine": "ValueError", "child": "RequirementFailed"}


@pytest.mark.parametrize("processes", [1, 2])
def test_an_experiment_that_hangs_is_stopped_and_the_others_go_on(embedded: Room, processes: int) -> None:
    started = time.monotonic()
    places = mine(embedded.settings.root, HANG)
    summary = embedded.run(HandMade(MARKETS), experiments=places, timeout_seconds=0.5, concurrency=processes)
    assert time.monotonic() - started < 10
    assert (summary.status, summary.processed, summary.failing) == ("partial", 12, 1)
    (failure,) = summary.failures
    assert (failure["error_class"], failure["market_id"], failure["is_retriable"]) == (
        "ExperimentTimeout",
        "00005",
        True,
    )
    written = results(embedded)
    assert len(written["00005"]) == 8 and len(written["00006"]) == 9


def test_an_experiment_that_always_hangs_is_suspended(embedded: Room) -> None:
    places = mine(embedded.settings.root, "import time\ntime.sleep(99)")
    markets = [a_snapshot(n, event_id=f"e{n}") for n in range(70)]
    summary = embedded.run(HandMade(markets), experiments=places, timeout_seconds=0.2)
    assert (summary.processed, summary.failing, summary.exit_code) == (70, 70, 2)
    classes = [failure["error_class"] for failure in summary.failures]
    assert classes.count("ExperimentTimeout") == 3 and classes.count("ExperimentSuspended") == 67


def test_a_machine_that_stood_still_ends_no_experiment(embedded: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual machine that is paused, a laptop's lid: a minute is gone, and nobody has computed in it."""
    real, jumps = time.monotonic, iter(range(0, 10**9, 60))
    monkeypatch.setattr(pool.time, "monotonic", lambda: real() + next(jumps))
    monkeypatch.setattr(pool, "MOST_PER_LOOK", 0.1)
    places = mine(embedded.settings.root, "import time\ntime.sleep(0.3)\nreturn Forecast(0.5)")
    summary = embedded.run(HandMade(MARKETS[:3]), experiments=places, timeout_seconds=3)
    assert (summary.status, summary.failures) == ("complete", [])


LOADING = """
import os, sys, time
if sys.argv[-1].isdigit():  # only in the process for experiments
    mark = {mark!r}
    {trouble}
"""


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("os.path.exists(mark) or (open(mark, 'w').close(), os._exit(9))", ""),
        ("os._exit(9)", "ended with code 9 while loading"),
        ("time.sleep(99)", "did not load within 2 s"),
    ],
)
def test_a_process_lost_while_loading_is_started_once_more(
    embedded: Room, monkeypatch: pytest.MonkeyPatch, trouble: str, told: str
) -> None:
    monkeypatch.setattr(pool, "START_SECONDS", 2.0)
    places = mine(embedded.settings.root, "return Forecast(0.5)")
    path = Path(places[-1])
    path.write_text(LOADING.format(mark=str(path.with_suffix(".mark")), trouble=trouble) + path.read_text())
    if not told:
        monkeypatch.setattr(pool, "START_SECONDS", 60.0)
    summary = embedded.run(HandMade(MARKETS[:3]), experiments=places)
    assert told in summary.note and summary.exit_code == (1 if told else 0)


def test_an_experiment_that_kills_its_process_is_named(embedded: Room) -> None:
    body = 'import os\nif snapshot.market_id == "00005":\n    os._exit(9)\nprint("noise")\nreturn Forecast(0.5)'
    summary = embedded.run(HandMade(MARKETS), experiments=mine(embedded.settings.root, body))
    (failure,) = summary.failures
    assert (failure["error_class"], failure["market_id"]) == ("ExperimentDied", "00005")
    assert summary.processed == 12


def test_no_process_is_left_behind(embedded: Room) -> None:
    embedded.run(HandMade(MARKETS), experiments=mine(embedded.settings.root, HANG), timeout_seconds=0.3, concurrency=2)
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True)
    assert "operate.markets.worker" not in children.stdout


def test_a_source_that_fails_is_recorded_and_the_run_can_be_resumed(room: Room) -> None:
    summary = room.run(HandMade([], error=ForeshoreError("Gamma answered 503 eight times")))
    assert (summary.status, summary.exit_code) == ("failed", 1)
    store = room.store()
    assert store.failing(RUN) == {""} and store.runs()[0]["status"] == "failed"
    store.close()
    partial = room.run(HandMade(MARKETS[:6], problems=("page 2 of 3 did not come",)))
    assert (partial.kind, partial.status, partial.exit_code, partial.processed) == ("resumed", "partial", 2, 6)
    whole = room.run(HandMade(MARKETS))
    assert (whole.status, whole.exit_code, whole.written, whole.processed) == ("complete", 0, 6, 12)


def test_a_day_without_markets_is_nothing_to_do(embedded: Room) -> None:
    assert embedded.run(HandMade([])).exit_code == 3


def test_siblings_come_from_the_same_event_and_moment_only(embedded: Room) -> None:
    body = "return Forecast(len(context.siblings) / 10, {'of': ','.join(s.market_id for s in context.siblings)})"
    embedded.run(HandMade(MARKETS), experiments=mine(embedded.settings.root, body, needs=("siblings",)))
    assert results(embedded)["00004"]["mine"]["details"]["of"] == "00003,00004,00005"


def test_inputs_that_came_late_make_their_markets_due_again(room: Room) -> None:
    """Prices failed at first: results were computed without them, and are computed again with them."""
    body = "return Forecast(0.9 if snapshot.prices else 0.1)"
    places = mine(room.settings.root, body, needs=("prices",))
    first = room.run(HandMade(MARKETS, problems=("price_history: 3 of 12 markets failed",)), experiments=places)
    assert first.status == "partial" and results(room)["00003"]["mine"]["probability"] == 0.1
    late = [replace(s, prices=(PricePoint(AT, 0.4),)) if s.market_id == "00003" else s for s in MARKETS]
    again = room.run(HandMade(late), experiments=places)
    assert (again.status, again.due, again.changed, again.written) == ("complete", 1, 1, 1)
    assert results(room)["00003"]["mine"]["probability"] == 0.9


@pytest.mark.parametrize(
    "body",
    [
        "return Skip('half \\ud800 and nul \\x00')",
        "raise ValueError('half \\ud800 and nul \\x00')",
        "return Forecast(0.5, {'why': 'half \\ud800'})",
        "return Forecast(True)",
        "return Forecast(snapshot.price > 0)",
    ],
)
def test_whatever_an_experiment_says_costs_only_itself(room: Room, body: str) -> None:
    summary = room.run(HandMade(MARKETS[:3]), experiments=mine(room.settings.root, body))
    is_failure = "True" in body or "price >" in body or "raise" in body
    assert (summary.status, summary.processed) == ("partial" if is_failure else "complete", 3)
    store = room.store()
    assert store.runs()[0]["status"] == summary.status, "never left running"
    for row in store.payloads(RUN):
        assert row.payload_sha256 == sha256_of(row.payload)
        assert all(type(r.get("probability", 0.0)) is float for r in row.payload["results"])
    store.close()


def test_a_run_that_breaks_in_a_way_nobody_thought_of_is_released(embedded: Room) -> None:
    store = embedded.store()
    store.describe = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    summary = DailyRun(embedded.settings, HandMade(MARKETS), store, None, Request(DAY, 7)).execute()
    assert (summary.status, summary.exit_code) == ("failed", 1) and "ZeroDivisionError" in summary.note
    assert store.runs()[0]["status"] == "failed"
    store.close()


# -- ends, and experiments that came later


def ends(markets: list[Any], label: int, day: int) -> dict[str, OutcomeRow]:
    moment = AT + timedelta(days=day)
    return {s.market_id: OutcomeRow(s.market_id, "resolved", label, moment, moment) for s in markets}


def on_day(number: int, first: int, count: int = 40) -> list[Any]:
    moment = AT + timedelta(days=number)
    return [a_snapshot(n, snapshot_at=moment, observed_at=moment) for n in range(first, first + count)]


def test_a_run_knows_the_ends_of_its_day_and_a_backfill_on_it_no_more(room: Room) -> None:
    first, second = on_day(0, 0), on_day(10, 100)
    plain = tuple(place for place in SHIPPED if "base_rate" not in place)
    room.run(HandMade(first), experiments=plain)
    store, log = room.store(), DurableLog(room.settings.root / "log.jsonl")
    source = HandMade([], ends=ends(first[:35], 1, 9) | ends(first[35:], 0, 11))
    found = resolve(store, source, Spans(400, 0), log, "r")
    assert (found.asked, found.counts, found.exit_code) == (40, {"resolved": 40}, 0)
    assert resolve(store, source, Spans(400, 1), log, "r").asked == 5, "those whose end became known since a day"
    assert resolve(store, source, Spans(400, 2), log, "r").asked == 5, "exactly two days are over: let go"
    assert resolve(store, source, Spans(400, 3), log, "r").asked == 40
    assert resolve(store, source, Spans(400, 0), log, "r").asked == 0, "what is final is not asked again"
    room.run(HandMade(second), day=DAY + timedelta(days=10), experiments=plain)
    made = backfill(replace(room.settings, experiments=SHIPPED), store, log)
    assert (made.runs, made.amended, made.exit_code) == (2, 80, 0)
    early = {r["experiment"]: r for r in store.payloads(RUN)[0].payload["results"]}
    late = {r["experiment"]: r for r in store.payloads("2026-01-15-w7")[0].payload["results"]}
    assert early["base_rate"]["reason"] == "0 markets resolved so far; 30 are needed"
    assert late["base_rate"]["probability"] == 36 / 37, "35 of the 40 ends were known on that day"
    assert backfill(replace(room.settings, experiments=SHIPPED), store, log).exit_code == 3
    store.close()


def test_a_backfill_gives_what_a_run_of_that_day_would_have(embedded: Room, tmp_path: Path) -> None:
    other = Room(settings_in(tmp_path / "other"))
    other.run(HandMade(MARKETS))
    embedded.run(HandMade(MARKETS), experiments=SHIPPED[:2])
    store = embedded.store()
    backfill(embedded.settings, store, DurableLog(tmp_path / "log.jsonl"))
    store.close()
    assert results(embedded) == results(other)


def test_a_new_version_stands_beside_the_old_one(embedded: Room) -> None:
    root = embedded.settings.root
    embedded.run(HandMade(MARKETS), experiments=mine(root, "return Forecast(0.4)"))
    store = embedded.store()
    settings = replace(embedded.settings, experiments=mine(root, "return Forecast(0.6)", version="2"))
    assert backfill(settings, store, DurableLog(root / "log.jsonl")).amended == 12
    rows = [r for r in store.payloads(RUN)[0].payload["results"] if r["experiment"] == "mine"]
    assert [(r["version"], r["probability"]) for r in rows] == [("1", 0.4), ("2", 0.6)]
    assert rows[0]["input_hash"] != rows[1]["input_hash"]
    store.close()


# -- the user's example, a dry run, reports


def test_the_example_of_the_docs_runs(embedded: Room) -> None:
    example = ROOT / "docs" / "examples" / "fade_the_favourite.py"
    assert example.name in (ROOT / "docs" / "markets" / "guide.md").read_text()
    assert embedded.run(HandMade(MARKETS), experiments=(*SHIPPED, str(example))).exit_code == 0
    for row in results(embedded).values():
        price = row["market_price"]["probability"]
        if price > 0.5:
            assert row["fade_the_favourite"]["probability"] == pytest.approx(price - 0.05 * (price - 0.5))
        else:
            assert row["fade_the_favourite"]["kind"] == "skip"


def test_a_dry_run_computes_everything_and_writes_nothing(embedded: Room) -> None:
    store = DryStore.open(embedded.settings)
    summary = DailyRun(embedded.settings, HandMade(MARKETS), store, None, Request(DAY, 7)).execute()
    assert summary.is_dry_run and len(store.markets) == 12 and summary.exit_code == 0
    assert not embedded.settings.ledger_file.exists()


def test_reports_are_whole_and_readable_by_machines(embedded: Room) -> None:
    places = mine(embedded.settings.root, HANG)
    log = DurableLog(embedded.settings.log_file, run_id=RUN)
    store = embedded.store()
    settings = replace(embedded.settings, experiments=places, timeout_seconds=0.3)
    run = DailyRun(settings, HandMade(MARKETS), store, log, Request(DAY, 7, keep_artifacts=True))
    summary = run.execute()
    store.close()
    folder = report.leave(settings, summary, run.artifacts)
    said = json.loads((folder / "summary.json").read_text())
    assert (said["processed"], said["failing"], said["exit_code"], said["status"]) == (12, 1, 2, "partial")
    assert said["results"]["mine"] == {"forecast": 11, "stake": 0, "skip": 0, "failure": 1}
    assert set(said["seconds"]) == {"ingest", "experiments_and_writes", "total"}
    assert len(list((folder / "artifacts").glob("*.json"))) == 12
    lines = last_lines(settings.log_file, 100)
    assert {line["run_id"] for line in lines} == {RUN}
    assert {line["market_id"] for line in lines if line.get("stage") == "write"} == {s.market_id for s in MARKETS}
    assert any(line["event"] == "failed" and line["experiment"] == "mine" for line in lines)
    metrics = (settings.root / "markets" / report.METRICS_NAME).read_text()
    assert 'foreshore_markets_processed{window_days="7"} 12' in metrics
    assert 'foreshore_markets_results{window_days="7",experiment="mine",kind="failure"} 1' in metrics
    for line in metrics.splitlines():
        assert line.startswith("# ") or (len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0)
    assert not list(folder.rglob("*.part"))


def test_a_metric_of_an_old_run_is_replaced_whole(embedded: Room) -> None:
    summary = Summary(RUN, DAY, 7, DAY, "new", 1)
    report.leave(embedded.settings, summary)
    summary.listed = 5
    report.leave(embedded.settings, summary)
    text = (embedded.settings.root / "markets" / report.METRICS_NAME).read_text()
    assert 'foreshore_markets_listed{window_days="7"} 5' in text and text.count("foreshore_markets_listed{") == 1
    assert "run_day{" in text and str((DAY - date(1970, 1, 1)).days) in text


def test_an_experiment_that_does_not_load_is_said_before_anything_is_claimed(embedded: Room) -> None:
    with pytest.raises(ExperimentError, match="does not exist"):
        embedded.run(HandMade(MARKETS), experiments=("/nowhere/mine.py",))


# -- the command, against the served source


def cli(line: MarketLine, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = line.folder / "foreshore.toml"
    config.write_text(
        f'[storage]\nroot = "{line.folder}"\nraw_url = "{line.folder}/raw"\nseeds = "{ROOT}/seeds"\n'
        f'[polymarket]\ngamma_url = "{line.server.url}"\nclob_url = "{line.server.url}"\n'
    )
    command = [sys.executable, "-m", "operate.cli", "markets", *arguments, "--config", str(config)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORESHORE_")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_runs_a_day_resolves_it_and_says_so(market_line: MarketLine) -> None:
    dry = cli(market_line, "daily", "--run-date", f"{FIRST}", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert len(json.loads(dry.stdout)["markets"]) == len(market_line.wanted())
    assert {p.name for p in market_line.folder.iterdir()} == {"foreshore.toml"}, "a dry run leaves nothing"
    made = cli(market_line, "daily", "--run-date", f"{FIRST}", "--json")
    assert made.returncode == 0, made.stderr
    summary = json.loads(made.stdout)
    assert summary["processed"] == len(market_line.wanted()) and summary["target_date"] == "2026-01-12"
    assert (market_line.folder / "markets" / RUN / "summary.json").exists()
    assert cli(market_line, "daily", "--run-date", f"{FIRST}").returncode == 3
    market_line.at(FIRST + timedelta(days=30))
    asked = cli(market_line, "resolve", "--json")
    assert asked.returncode == 0, asked.stderr
    counts = json.loads(asked.stdout)["counts"]
    assert sum(counts.values()) == summary["processed"] and counts["resolved"] > 10
    market_line.server.control("refusal", "no [/x] [bold", path="/markets")
    told = cli(market_line, "resolve")
    assert told.returncode == 1 and "Traceback" not in told.stderr
    assert "no [/x] [bold" in told.stderr, "a source's text is shown as it is, and is no markup of the terminal"
    market_line.server.heal()
    wrong = cli(market_line, "daily", "--run-date", "tomorrow")
    assert wrong.returncode == 64 and "is no date" in wrong.stderr
