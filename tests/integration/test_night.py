"""A set-up examined and a night run through the commands, against a real chain; the morning after finds what broke."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from operate.overnight import last_night
from tests.kills import kill_when
from tests.line_fixtures import ROOT, Line

pytestmark = pytest.mark.node


def checks(line: Line, *arguments: str) -> dict[str, dict[str, Any]]:
    done = line.cli(*arguments, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)}


def test_a_doctor_looks_at_chain_archive_logs_and_contracts(line: Line) -> None:
    line.configure()
    found = checks(line, "doctor")
    near = found.pop("providers here")
    assert near["verdict"] == "warn" and "is_simulated = true" in near["cure"]
    odd = {name: c["found"] for name, c in found.items() if "clock" not in name and c["verdict"] != "ok"}
    assert odd.keys() == {"chain world feeds"} and "no new price for more than" in odd["chain world feeds"]
    assert found["chain world world"]["found"] == f"answers, chain id {line.world.info['chain_id']}"
    assert found["exchange hydrex_world"]["found"] == "its contracts are there"
    assert found["exchange velodrome_world minter"]["found"] == "the one that its voter names"
    assert found["exchange hydrex_world delay"]["verdict"] == "ok" and "exchange hydrex_world epoch" in found
    assert found["chain world clock"]["verdict"] == "warn", "this chain lives in another year"


def test_a_doctor_names_what_is_wrong_and_shows_no_key(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    text = line.configure().path.read_text()
    nowhere, secret = "0x" + "77" * 20, "k3y-of-nobody"
    monkeypatch.setenv("DEAD_RPC_URL", f"http://127.0.0.1:9/{secret}")
    backup = '[[chains.world.providers]]\nname = "dead"\nurl_env = "DEAD_RPC_URL"\n\n'
    unset = (
        "[chains.nobody]\nchain_id = 5\nfinality_depth = 1\n"
        '[[chains.nobody.providers]]\nname = "x"\nurl_env = "UNSET_URL"\n'
    )
    voter = line.world.info["protocols"]["hydrex"]["voter"]
    text = text.replace("[chains.world.feeds]", backup + "[chains.world.feeds]").replace(voter, nowhere) + unset
    line.configure(text.split("\n", 4)[4])
    done = line.cli("doctor", "--json")
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 1 and secret not in done.stdout + done.stderr
    assert found["chain world dead"]["verdict"] == "fail" and found["chain world world"]["verdict"] == "ok"
    assert nowhere in found["exchange hydrex_world"]["found"] and found["exchange hydrex_world"]["cure"]
    assert found["chain nobody"]["cure"] == "set UNSET_URL to the URL of an endpoint"


def test_a_doctor_finds_simulated_rows_in_a_real_store_and_parameters_that_changed(line: Line) -> None:
    assert line.extract(epochs=1) == 0
    minters = [line.world.info["protocols"][name]["minter"] for name in ("hydrex", "velodrome")]
    text = line.configure().path.read_text().replace(f'minter = "{minters[1]}"', f'minter = "{minters[0]}"')
    feed = next(token["feed"] for token in line.world.info["tokens"] if token.get("feed"))
    text = text.replace(f'= "{feed}"', f'= "0x{"88" * 20}"')
    (line.folder / "foreshore.toml").write_text(text)
    found = checks(line, "doctor")
    assert f'set minter = "{minters[1]}"' in found["exchange velodrome_world minter"]["cure"]
    assert f"0x{'88' * 20}" in found["chain world feeds"]["found"]
    assert "store's chains" not in found
    other = text.replace(f"chain_id = {line.world.info['chain_id']}", "chain_id = 8453")
    (line.folder / "foreshore.toml").write_text(other)
    strange = checks(line, "doctor")["store's chains"]
    assert strange["verdict"] == "fail" and str(line.world.info["chain_id"]) in strange["found"]


STEPS = """
[overnight]
retries = 1
backoff_seconds = 0.1
[overnight.steps]
voting = ["extract", "voting", "--epochs", "1"]
"""


@pytest.mark.long
def test_a_night_is_killed_run_again_and_found_well_in_the_morning(line: Line) -> None:
    config = line.configure()
    config.path.write_text(config.path.read_text() + STEPS)
    command = [sys.executable, "-m", "operate.cli", "overnight", "--config", str(config.path)]
    environment = {**os.environ, **line.environment()}

    def building_now() -> int:
        state = last_night(config)
        return int(state is not None and state["doing"] == "build")

    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as night:
        assert kill_when(night, building_now, 1)
    assert "broke off" in checks(line, "verify")["night"]["found"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [re.sub(r" after.*", "", text) for text in done.stdout.splitlines()][-2:] == ["build: 0", "report: 0"]
    found = checks(line, "verify")
    # this chain lives in another year, so by today's calendar all its later epochs are missing
    missing = found.pop("voting expected")
    assert missing["verdict"] == "fail" and missing["cure"].startswith("foreshore extract voting")
    assert {check["verdict"] for check in found.values()} <= {"ok", "warn"}, found
    assert "ended well" in found["night"]["found"] and (line.folder / "report" / "voting.html").exists()
    ids = {row[0] for row in line.query("select distinct run_id from extract_ledger")}
    state = last_night(config)
    assert state is not None and any(name.startswith(("2", state["run_id"])) for name in ids)
