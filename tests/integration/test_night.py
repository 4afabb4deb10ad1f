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
    assert {check["verdict"] for name, check in found.items() if "clock" not in name} == {"ok"}, found
    assert found["chain world world"]["found"] == f"answers, chain id {line.world.info['chain_id']}"
    assert found["exchange hydrex_world"]["found"] == "its contracts are there"
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
