"""Units for a night: each is read by what will read it, wherever its paths lead."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from extract.errors import RequestError
from operate.schedule import CRON, LAUNCHD, SYSTEMD, Schedule


@pytest.fixture(params=["plain", "with a space & 100%"])
def schedule(tmp_path: Path, request: pytest.FixtureRequest) -> Schedule:
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "keys.env").write_text("BASE_RPC_URL=secret\n")
    return Schedule.of("03:05", folder / "foreshore.toml", folder / "keys.env")


def test_systemd_catches_up_and_names_the_keys_only(schedule: Schedule, tmp_path: Path) -> None:
    service, timer = schedule.files(SYSTEMD, tmp_path).items()
    assert service[0] == tmp_path / ".config/systemd/user/foreshore.service" and timer[0].name == "foreshore.timer"
    assert "OnCalendar=*-*-* 03:05:00" in timer[1] and "Persistent=true" in timer[1]
    assert "secret" not in service[1] and f"EnvironmentFile={schedule.env_file}" in service[1]
    (line,) = [text for text in service[1].splitlines() if text.startswith("ExecStart=")]
    words = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words == [sys.executable, "-m", "operate.cli", "overnight", "--config", str(schedule.config)]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    (tmp_path / "foreshore.toml").touch()
    schedule = Schedule.of("03:05", tmp_path / "foreshore.toml", None)
    for path, text in schedule.files(SYSTEMD, tmp_path).items():
        (tmp_path / path.name).write_text(text)
    paths = [str(tmp_path / "foreshore.service"), str(tmp_path / "foreshore.timer")]
    done = subprocess.run(["systemd-analyze", "verify", "--user", *paths], capture_output=True, text=True, check=False)
    assert "foreshore" not in done.stderr, done.stderr


def test_launchd_stays_awake(schedule: Schedule, tmp_path: Path) -> None:
    ((path, text),) = schedule.files(LAUNCHD, tmp_path).items()
    found = plistlib.loads(text.encode())
    assert path.name == f"{found['Label']}.plist" and found["StartCalendarInterval"] == {"Hour": 3, "Minute": 5}
    shell, flag, line = found["ProgramArguments"]
    assert (shell, flag) == ("/bin/sh", "-ac") and "secret" not in text
    words = shlex.split(line)
    assert words[:4] == [".", str(schedule.env_file), "&&", "exec"]
    assert words[4:6] == ["/usr/bin/caffeinate", "-ims"] and words[-1] == str(schedule.config)


def test_a_crontab_line_is_one_line(schedule: Schedule) -> None:
    text = schedule.crontab()
    assert text.startswith("5 3 * * * cd ") and text.count("\n") == 1 and "secret" not in text
    assert text.count("%") == text.count("\\%"), "cron reads a bare % as the end of the command"
    assert schedule.files(CRON, Path("/")) == {}


@pytest.mark.parametrize("at", ["24:00", "2", "02:60", "aa:bb", "", "-1:00", "0\u0662:00"])
def test_a_time_is_a_time(at: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is no time of day"):
        Schedule.of(at, tmp_path / "foreshore.toml", None)
