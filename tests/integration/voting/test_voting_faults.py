"""Bad input and bad weather: each ends in a message that names cause and cure, and nothing is lost or half visible."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extract.errors import Busy, ConfigError, ForeshoreError, RequestError
from extract.lake import Lake, load_id_of
from extract.ledger import Ledger
from tests.line_fixtures import ROOT, Line

pytestmark = pytest.mark.node


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_wrong_chain_is_refused_by_name(line: Line) -> None:
    with pytest.raises(ForeshoreError, match="world: it serves chain id 31337, not 8453"):
        line.extract(line.configure(chain_id="chain_id = 8453"))
    assert Ledger.read(Lake(str(line.folder / "raw"))).states == {}


def test_a_provider_that_lies_about_its_chain_is_refused(line: Line) -> None:
    line.world.control("chain_id", 1)
    with pytest.raises(ForeshoreError, match="it serves chain id 1, not 31337"):
        line.extract()


def test_an_unknown_contract_fails_its_partitions_only(line: Line) -> None:
    config = line.configure(hydrex_voter="0x" + "12" * 20)
    assert line.extract(config) == 2
    states = Ledger.read(Lake(str(line.folder / "raw"))).states
    failing = [s.newest for s in states.values() if s.is_failing]
    assert failing and all("hydrex_world" in row["partition_id"] for row in failing)
    assert "does not answer length()" in failing[0]["error_message"] and "check `voter`" in failing[0]["error_message"]
    assert line.cli("status").returncode == 2
    assert line.extract(line.configure()) == 0  # with the right address it is whole again
    assert not any(s.is_failing for s in Ledger.read(Lake(str(line.folder / "raw"))).states.values())


def test_epochs_off_the_grid_or_in_the_future_are_refused(line: Line) -> None:
    line.configure()
    off = line.cli("extract", "voting", "--since", "1757462400")
    assert off.returncode == 1
    assert "is not an epoch" in off.stderr and "1757548800 (Thu 2025-09-11" in off.stderr
    future = line.cli("extract", "voting", "--since", "1893456000")
    assert future.returncode == 1 and "Nearest valid" in future.stderr
    with pytest.raises(RequestError, match="future"):
        line.extract(since=1893110400 - 1893110400 % 604800)


def test_a_provider_that_is_down_is_passed_over(line: Line) -> None:
    dead = f"http://127.0.0.1:{closed_port()}/"
    with pytest.raises(ForeshoreError, match="no provider of chain world can be used"):
        line.extract(line.configure(rpc_url=dead))
    both = (
        line.configure()
        .path.read_text()
        .replace(
            "[chains.world.feeds]", f'[[chains.world.providers]]\nname = "dead"\nurl = "{dead}"\n[chains.world.feeds]'
        )
    )
    assert line.extract(line.configure(both.split("\n", 4)[4])) == 0


@pytest.mark.parametrize(
    ("kind", "value", "methods"),
    [
        ("malformed", None, ["eth_call"]),
        ("reset", None, ["eth_getLogs"]),
        ("status", 503, ["eth_call"]),
        ("status", 429, []),
        ("wrong_id", None, ["eth_getBlockByNumber"]),
        ("drop_items", None, ["eth_call"]),
    ],
)
def test_a_passing_fault_is_retried_to_the_same_rows(
    line: Line, built_line: Line, kind: str, value: object, methods: list[str]
) -> None:
    from tests.integration.voting.test_voting_line import content

    config = line.configure()
    line.world.control(kind, value, methods=methods, count=2)
    assert line.extract(config) == 0
    assert content(Lake(str(line.folder / "raw"))) == content(Lake(str(built_line.folder / "raw")))


def test_a_lasting_fault_is_recorded_and_made_up_later(line: Line) -> None:
    config = line.configure()
    line.world.control("no_archive")
    assert line.extract(config, epochs=1) in (1, 2)
    failing = [s.newest for s in Ledger.read(Lake(str(line.folder / "raw"))).states.values() if s.is_failing]
    assert any("no provider keeps the state" in row["error_message"] for row in failing)
    assert {row["error_class"] for row in failing} == {"StateError"}
    line.world.heal()
    assert line.extract(config, epochs=1) == 0


@pytest.mark.parametrize("profile", ["alchemy_free", "small_results", "few_addresses", "small_batches", "infura"])
def test_limits_of_providers_change_nothing_in_the_rows(line: Line, built_line: Line, profile: str) -> None:
    from tests.integration.voting.test_voting_line import NOT_OF_THE_CHAIN, content

    assert line.extract(line.configure(rpc_url=line.world.profile_url(profile))) == 0
    aside = {*NOT_OF_THE_CHAIN, "confirmation"}  # narrower ranges are sampled elsewhere
    found, expected = (content(Lake(str(folder / "raw")), aside) for folder in (line.folder, built_line.folder))
    assert found == expected


@pytest.mark.slow
def test_a_storm_of_429_slows_down_and_ends_well(line: Line) -> None:
    assert line.extract(line.configure(rpc_url=line.world.profile_url("limited_polite")), epochs=1) == 0


def test_truncated_logs_are_noticed_by_the_build(line: Line) -> None:
    """A node that drops the tail of its logs looks healthy; the second way to the number gives it away."""
    config = line.configure()
    line.world.control("truncate", 30, methods=["eth_getLogs"])
    assert line.extract(config) in (0, 2)
    line.world.heal()
    done = line.dbt("build")
    assert done.returncode == 0, done.stdout[-3000:]
    gates = ("votes_confirmed_by_events", "rewards_confirmed_by_events")
    assert any(f" {gate}, left out of decision: " in done.stdout for gate in gates), done.stdout[-3000:]
    failing = "select subject, period, part from gate_verdicts where verdict = 'fail' and left_out_of = 'decision'"
    decided = "select protocol, epoch::varchar, decision_window from preboundary_recommendations where outcome = 'ok'"
    keys = set(line.query(failing))
    assert keys and not keys & set(line.query(decided))
    assert line.extract(config, resume=False) == 0
    done = line.dbt("build")
    assert done.returncode == 0, done.stdout[-3000:]
    assert line.query(failing) == [] and "gate failed" not in done.stdout


def test_a_changed_block_is_noticed_and_its_partition_redone(line: Line) -> None:
    config = line.configure()
    assert line.extract(config, epochs=1) == 0
    ledger = Ledger.read(Lake(str(line.folder / "raw")))
    ((name, state),) = [
        (n, s) for n, s in ledger.states.items() if n.startswith("voting/state/hydrex_world/") and n.endswith("/T-5")
    ][:1]
    assert state.complete is not None
    line.world.control("reorg", state.complete["to_block"])
    assert line.extract(config, epochs=1) == 0
    redone = Ledger.read(Lake(str(line.folder / "raw"))).states[name].complete
    assert redone is not None and redone["to_block_hash"] != state.complete["to_block_hash"]
    line.world.heal()
    elsewhere = line.cli("extract", "voting", "--since", "1757548800", "--until", "1757548800")
    assert "not asked for were read from blocks that have changed" in elsewhere.stderr
    assert line.extract(config, epochs=1) == 0  # and back again
    assert line.extract(config, epochs=1) == 3


def test_two_extractions_at_once(line: Line) -> None:
    config = line.configure()
    with Lake(str(line.folder / "raw")).lock(), pytest.raises(Busy, match="another extraction"):
        line.extract(config)
    assert line.extract(config, epochs=1) == 0


def test_a_damaged_lake_is_named_and_heals(line: Line) -> None:
    """Build and status name files and partitions; `repair` fetches exactly those again, and the same truth stands."""
    assert line.extract(epochs=2) == 0
    before = {name: state.complete for name, state in Ledger.read(Lake(str(line.folder / "raw"))).states.items()}
    victims = sorted((line.folder / "raw" / "voting_gauges").glob("17*.parquet"))[:2]
    loads = {load_id_of(victim.name) for victim in victims}
    lost = {name for name, row in before.items() if row and row["load_id"] in loads}
    assert 0 < len(lost) < len(before)
    whole = victims[0].read_bytes()
    victims[0].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    victims[1].unlink()
    built, said = line.dbt("build"), line.cli("status")
    assert built.returncode != 0 and said.returncode == 2
    for text in (built.stdout, said.stdout):
        assert victims[0].name in text and "voting_gauges of load" in text and "foreshore repair" in text
        assert any(name in text for name in lost)
    planned = line.cli("repair", "--plan", "--json")
    assert {name for d in json.loads(planned.stdout)["damaged"] for name in d["partitions"]} == lost
    done = line.cli("repair", "--json")
    assert done.returncode == 0, done.stderr
    after = {name: state.complete for name, state in Ledger.read(Lake(str(line.folder / "raw"))).states.items()}
    moved = {name for name, row in after.items() if row != before[name]}
    assert moved == lost and all(after.values())
    accidents = ("load_id", "run_id", "started_at", "finished_at", "calls", "bytes", "attempts")
    for name in lost:
        then, now = before[name], after[name]
        assert then is not None and now is not None
        assert {k: v for k, v in then.items() if k not in accidents} == {
            k: v for k, v in now.items() if k not in accidents
        }
    assert line.cli("repair").returncode == 3
    assert line.dbt("run", "--select", "+epoch_boundaries").returncode == 0


def test_no_secret_ever_leaves_the_environment(line: Line) -> None:
    """The key is in the URL's query; the provider refuses; then works. Nothing written or printed may hold it."""
    key = "s3cr3tk3y0123456789"
    text = line.configure().path.read_text().replace(f'url = "{line.world.rpc_url}"', 'url_env = "WORLD_RPC_URL"')
    line.configure(text.split("\n", 4)[4])
    url = f"{line.world.rpc_url}?apikey={key}"
    line.world.control("status", 500, count=30)
    first = line.cli("extract", "voting", "--epochs", "1", WORLD_RPC_URL=url)
    line.world.heal()
    second = line.cli("extract", "voting", "--epochs", "1", WORLD_RPC_URL=url)
    assert second.returncode in (0, 3), second.stderr
    assert key not in first.stdout + first.stderr + second.stdout + second.stderr
    for path in line.folder.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


def test_a_missing_variable_is_named(line: Line) -> None:
    text = line.configure().path.read_text().replace(f'url = "{line.world.rpc_url}"', 'url_env = "WORLD_RPC_URL"')
    config = line.configure(text.split("\n", 4)[4])
    with pytest.raises(ConfigError, match="set WORLD_RPC_URL"):
        line.extract(config)


def test_the_plan_does_nothing_and_says_what_it_would_cost(line: Line) -> None:
    line.configure()
    done = line.cli("extract", "voting", "--epochs", "3", "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["due"] == len(plan["partitions"]) > 40 and plan["calls"] > 1_000
    assert not (line.folder / "raw").exists()


def test_progress_survives_in_the_log(line: Line) -> None:
    assert line.extract(epochs=1) == 0
    lines = [json.loads(text) for text in (line.folder / "logs" / "extract.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in lines][:2] == ["started", "planned"]
    assert lines[-1]["event"] == "finished" and lines[-1]["failed"] == 0
    assert sum(entry["event"] == "done" for entry in lines) == lines[1]["total"]


def test_an_interrupted_run_says_how_to_go_on(line: Line) -> None:
    line.configure(rpc_url=line.world.profile_url("slow_10_blocks"))
    process = subprocess.Popen(
        [sys.executable, "-m", "operate.cli", "extract", "voting", "--epochs", "3"],
        cwd=ROOT, env={**os.environ, **line.environment()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )  # fmt: skip
    while not (line.folder / "raw").exists() and process.poll() is None:
        time.sleep(0.02)  # planned by then, the first partitions are being read
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "what was committed stays" in errors and "Traceback" not in errors


def test_sql_reads_what_was_published(built_line: Line, tmp_path: Path) -> None:
    nothing = Line(built_line.world, tmp_path)
    nothing.configure()
    empty = nothing.cli("sql", "select 1")
    assert empty.returncode == 1 and "nothing is published" in empty.stderr
