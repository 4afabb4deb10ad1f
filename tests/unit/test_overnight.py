"""Nights: their steps are real commands; what fails is tried again, told, and found in the morning."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extract.config import Config, read_config
from extract.errors import Busy, ConfigError
from operate.lock import building
from operate.notify import COMMAND, Notifier
from operate.overnight import Night, Settings, last_night
from operate.verify import verify


def config(folder: Path, table: str = "") -> Config:
    (folder / "foreshore.toml").write_text(f'[storage]\nroot = "{folder}/data"\n{table}')
    return read_config(folder / "foreshore.toml")


STEPS = """[overnight]
retries = 2
backoff_seconds = 60
backoff_most_seconds = 100
[overnight.steps]
voting = ["status"]
"""


def test_a_night_that_does_not_end_well_is_retried_told_and_found(tmp_path: Path) -> None:
    made, pauses, told = config(tmp_path, STEPS), [], tmp_path / "told"
    notifier = Notifier.of({COMMAND: f"tee -a {told}"})
    night = Night(made, Settings.of(made), notifier, sleep=pauses.append, closing=["report"])
    assert night.execute() == 1
    ended = [(step.name, step.code, step.tries) for step in night.steps]
    assert ended == [("extract voting", 3, 1), ("report", 1, 3)]
    assert pauses == [60, 100]
    assert "did not end well" in told.read_text() and "report ended with 1 after 3 tries" in told.read_text()
    state = last_night(made)
    assert state is not None and state["code"] == 1 and state["run_id"] == night.run_id
    text = (made.root / "logs" / "overnight.log").read_text()
    assert night.run_id in text and "Nothing has been extracted" in text
    (found,) = [check for check in verify(made) if check.name == "night"]
    assert found.verdict == "fail" and "report (1)" in found.found
    assert any(check.cure == "foreshore extract all" for check in verify(made))


def test_one_night_at_a_time(tmp_path: Path) -> None:
    made = config(tmp_path, STEPS)
    night = Night(made, Settings.of(made), Notifier())
    code = (
        "import time; from operate.lock import hold; from pathlib import Path; "
        f"hold(Path({str(made.root)!r}) / 'overnight'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"):
            night.execute()
        holder.kill()
    with building(made.root / "overnight"):
        pass


def test_a_night_that_broke_off_or_never_ran_is_found(tmp_path: Path) -> None:
    made = config(tmp_path)
    assert verify(made)[0].found == "no night ever ran here"
    now = datetime.now(UTC)
    state = {"run_id": "r", "pid": 1, "doing": "build", "code": None, "beat_at": now.isoformat(), "steps": []}
    made.root.mkdir(parents=True)
    (made.root / "overnight.json").write_text(json.dumps(state))
    assert verify(made)[0].verdict == "fail" and "broke off" in verify(made)[0].found
    (made.root / "overnight.json").write_text(json.dumps(state | {"code": 0}))
    assert verify(made)[0].verdict == "ok"
    late = verify(made, now + timedelta(hours=27))[0]
    assert late.verdict == "fail" and "more than 26 h ago" in late.found
    (made.root / "overnight.json").write_text("{")
    assert verify(made)[0].found == "no night ever ran here"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[overnight]\nretrys = 1", "has no retrys"),
        ("[overnight]\nretries = true", "must be a number"),
        ("[overnight]\nretries = -1", "must be a number"),
        ('[overnight.steps]\nvoting = "extract"', "names wings"),
        ("[overnight.steps]\nnobody = []", "names wings"),
    ],
)
def test_settings_name_what_is_wrong(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.of(config(tmp_path, table))


def test_usual_steps_are_those_of_what_is_configured(tmp_path: Path) -> None:
    assert Settings.of(config(tmp_path)).steps == {}
    made = config(tmp_path, "[polymarket]\nx = 1\n[voting.a]\nfamily = 'x'\n")
    assert list(Settings.of(made).steps) == ["voting", "markets"]
