"""Nights through their commands: rounds and retries, one at a time, killed and gone on with, told and not told."""

from __future__ import annotations

import http.server
import json
import os
import plistlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extract.config import read_config
from extract.errors import ConfigError, ForeshoreError
from operate.overnight import install, journal
from operate.overnight.night import Night
from operate.overnight.settings import Step, closing_steps, night_folder, night_settings

ROOT = Path(__file__).parents[3]
BARS = "datetime,open,high,low,close,volume\n" + "".join(
    f"2026-01-07 {9 + (30 + 5 * n) // 60:02d}:{(30 + 5 * n) % 60:02d}:00,10,11,9,10,100\n" for n in range(78)
)


def configured(folder: Path, more: str = "", lines: str = 'bars = ["--symbol", "FORE"]') -> Path:
    path = folder / "foreshore.toml"
    path.write_text(
        f'[storage]\nroot = "data"\nseeds = "{ROOT / "seeds"}"\n'
        '[bars]\nprovider = "files"\n[[bars.providers]]\nname = "files"\nkind = "files"\nfeed = "files"\npath="bars"\n'
        f"{more}\n[overnight.extract]\n{lines}\n"
    )
    (folder / "bars").mkdir(exist_ok=True)
    return path


def foreshore(path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    command = [sys.executable, "-m", "operate", *words, "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, timeout=60, check=False)


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A web server that keeps what is posted to it."""
    got: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"] or 0))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()


def test_a_line_that_fails_is_tried_again_after_a_rest_and_fetches_what_was_missing(tmp_path: Path) -> None:
    path = configured(tmp_path)
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 2:
            (tmp_path / "bars" / "FORE_5min.csv").write_text(BARS)

    config = read_config(path)
    result = Night(config, night_settings(config), [], rest).run()
    assert rests == [60.0, 120.0]
    assert result["exit_code"] == 0
    assert [(s["name"], s["exit_code"], s["tries"]) for s in result["steps"]] == [("bars", 0, 3)]
    lines = [json.loads(line) for line in (config.root / "logs" / "extract.jsonl").read_text().splitlines()]
    assert {line["run_id"] for line in lines if line["event"] == "finished"} == {f"{result['run_id']}-bars-3"}


def test_a_night_gives_up_at_its_cap_and_other_lines_go_on(tmp_path: Path) -> None:
    path = configured(tmp_path, "[overnight]\ntries = 2", 'bars = ["--symbol", "NONE"]')
    config = read_config(path)
    wrong_usage = Step("usage", ("extract", "bars", "--no-such-option"))
    result = Night(config, night_settings(config), [wrong_usage], lambda seconds: None).run()
    told = {s["name"]: (s["exit_code"], s["tries"]) for s in result["steps"]}
    assert told["bars"][0] in (1, 2) and told["bars"][1] == 2
    assert told["usage"] == (64, 1), "wrong usage is never helped by another try"
    assert result["exit_code"] == 1


def test_a_night_killed_in_a_step_is_named_and_only_one_runs_at_a_time(tmp_path: Path) -> None:
    """A provider that never answers holds the step; the second night is refused; the morning names the killed one."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        chain = f"[chains.ethereum]\nchain_id = 1\nfinality_depth = 1\nproviders = [{{name = 'deaf', url = '{url}'}}]"
        path = configured(tmp_path, chain, "lending = ['--csu', 'aave_v3_ethereum']")
        command = [sys.executable, "-m", "operate", "overnight", "--config", str(path)]
        first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        beat = None
        try:
            until = time.monotonic() + 30
            while beat is None or not beat.get("child_pid"):
                assert time.monotonic() < until and first.poll() is None
                beat = journal.read(tmp_path / "data" / "overnight", journal.HEARTBEAT)
                time.sleep(0.05)
            second = foreshore(path, "overnight")
            assert second.returncode == 1 and f"process {first.pid}" in second.stderr
            assert "Traceback" not in second.stderr
        finally:
            first.kill()
            first.wait()
            if beat and beat.get("child_pid"):
                os.killpg(beat["child_pid"], signal.SIGKILL)
    aged = {**beat, "at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    (tmp_path / "data" / "overnight" / journal.HEARTBEAT).write_text(json.dumps(aged))
    morning = json.loads(foreshore(path, "verify", "--json").stdout)
    assert any("ended unfinished in lending" in f["what"] for f in morning["findings"])


def test_failure_and_a_night_that_never_ran_are_told_without_secrets(
    tmp_path: Path, inbox: tuple[str, list[tuple[str, bytes]]]
) -> None:
    url, got = inbox
    path = configured(tmp_path)
    places = {"FORESHORE_NOTIFY_WEBHOOK": f"{url}/hook/s3cret-token"}
    said = foreshore(path, "verify", "--notify", **places)
    assert said.returncode == 1 and "none has ever ended" in said.stdout
    assert len(got) == 1 and b"none has ever ended" in got[0][1] and b"s3cret" not in got[0][1]
    closed = foreshore(path, "verify", "--notify", FORESHORE_NOTIFY_WEBHOOK="http://127.0.0.1:1/s3cret-token")
    assert "FORESHORE_NOTIFY_WEBHOOK did not take the message" in closed.stderr and "s3cret" not in closed.stderr


def test_verify_holds_the_calendar_against_the_ledger(tmp_path: Path) -> None:
    from extract.land import Lake, land
    from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE, LedgerRow, Partition, ledger_table, now
    from operate.verify import look

    config = read_config(configured(tmp_path))
    lake = Lake.of(config)
    lake.declare({LEDGER_TABLE: LEDGER_SCHEMA})
    days = [f"2026-11-{day:02d}" for day in range(18, 26) if day != 22]
    rows = [
        LedgerRow(Partition("lending", "panel", "aave_v3_base", day), "complete", "f", "r", now(), now(), rows=40)
        for day in days
    ]
    land(lake, "lending", {LEDGER_TABLE: ledger_table(rows)})
    report = look(config, datetime(2026, 11, 26, 19, tzinfo=UTC))
    (one,) = report.expected
    assert one.missing == ("2026-11-22",) and one.cure.endswith("--since 2026-11-22 --until 2026-11-22")
    later = look(config, datetime(2026, 11, 27, 19, tzinfo=UTC))
    assert later.expected[0].missing == ("2026-11-22", "2026-11-26"), "a day is due once it has ended and rested"


def test_a_late_night_is_late_and_a_good_one_is_not(tmp_path: Path) -> None:
    from operate.verify import look

    config = read_config(configured(tmp_path))
    result = {"run_id": "n1", "exit_code": 0, "steps": [], "output": ""}
    journal.note(night_folder(config), journal.RESULT, result)
    now = datetime.now(UTC)
    assert not [f for f in look(config, now).findings if f.about == "night"]
    (late,) = [f for f in look(config, now + timedelta(hours=27)).findings if f.about == "night"]
    assert "none has ended for 27 hours" in late.what and late.is_bad


def test_timers_name_awkward_paths_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_RPC_URL", "https://rpc.example/s3cret")
    home = tmp_path / "my home 100%"
    place = install.Place(Path("/opt/my py/bin/python"), Path('/srv/a "b" 5%/foreshore.toml'), home,
                          {"overnight": "02:10", "verify": "07:00"})  # fmt: skip
    units = install.files("systemd", place)
    service = next(text for path, text in units.items() if path.name == "foreshore-overnight.service")
    assert '"/srv/a \\"b\\" 5%%/foreshore.toml"' in service and "s3cret" not in service
    timer = next(text for path, text in units.items() if path.name == "foreshore-overnight.timer")
    assert "Persistent=true" in timer and "OnCalendar=*-*-* 02:10:00" in timer
    agent = plistlib.loads(next(iter(install.files("launchd", place).values())).encode())
    assert agent["StartCalendarInterval"] == {"Hour": 2, "Minute": 10}
    assert "caffeinate -ims" in agent["ProgramArguments"][2]
    block = install.crontab_lines(place)
    mine = "0 1 * * * backup\n"
    once = install.merged_crontab(mine, block)
    assert install.merged_crontab(once, block) == once and once.startswith(mine)
    with pytest.raises(ForeshoreError, match="no pair"):
        install.merged_crontab(f"{install.BEGIN}\n{mine}", block)


def test_install_writes_what_it_prints(tmp_path: Path) -> None:
    path = configured(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    printed = foreshore(path, "overnight", "install", "--kind", "systemd", HOME=str(home))
    assert printed.returncode == 0 and not list(home.iterdir())
    written = foreshore(path, "overnight", "install", "--kind", "systemd", "--write", HOME=str(home))
    assert written.returncode == 0
    units = list((home / ".config" / "systemd" / "user").iterdir())
    assert len(units) == 4
    assert all(unit.read_text() in printed.stdout for unit in units)


@pytest.mark.parametrize(
    "line", ["tries = 0", "tries = true", "at = '25:00'", "step_hours = nan", "hours = 3", "extract = 3"]
)
def test_settings_refuse_nonsense(tmp_path: Path, line: str) -> None:
    path = tmp_path / "foreshore.toml"
    path.write_text(f"[overnight]\n{line}\n")
    with pytest.raises(ConfigError, match="overnight"):
        night_settings(read_config(path))


def test_the_report_joins_when_it_exists() -> None:
    assert [step.name for step in closing_steps(["build"])] == ["build"]
    assert [step.name for step in closing_steps(["build", "report"])] == ["build", "report"]


def test_logs_are_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    for number in range(4):
        log.write_text(f"{number}" * 2000)
        journal.rotate(log, 0.001, kept=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl.1", "a.jsonl.2"]
    assert (tmp_path / "a.jsonl.1").read_text()[0] == "3" and (tmp_path / "a.jsonl.2").read_text()[0] == "2"
