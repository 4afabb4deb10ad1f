"""How a system starts the nights by itself: a systemd timer with catch-up, a launchd job, or crontab lines.

Secrets stand in none of these files: they read ~/.config/foreshore/environment (NAME=value lines, mode 600).
"""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from extract.errors import ConfigError, ForeshoreError

KINDS = ("systemd", "launchd", "crontab")
SECRETS = ".config/foreshore/environment"
BEGIN, END = "# foreshore overnight: begin", "# foreshore overnight: end"
JOBS = ("overnight", "verify")


@dataclass(frozen=True)
class Place:
    """What is installed where: the python that runs it, the configuration, the user's home, local times of the jobs."""

    python: Path
    config: Path
    home: Path
    times: Mapping[str, str]  # job -> HH:MM

    def command(self, job: str) -> list[str]:
        told = ["--notify"] if job == "verify" else []
        return [str(self.python), "-m", "operate", job, *told, "--config", str(self.config)]


def default_kind() -> str:
    """What this machine has."""
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("systemctl") else "crontab"


def files(kind: str, place: Place) -> dict[Path, str]:
    """Files to write, by path. Errors: ConfigError for a path that such a file cannot hold."""
    for path in (place.python, place.config):
        if any(not letter.isprintable() for letter in str(path)):
            raise ConfigError(f"{str(path)!r} holds a control character: no timer can name it; move the project")
    if kind == "systemd":
        return {path: text for job in JOBS for path, text in _systemd(job, place).items()}
    if kind == "launchd":
        agents = place.home / "Library" / "LaunchAgents"
        return {agents / f"foreshore.{job}.plist": _launchd(job, place) for job in JOBS}
    return {}


def enabling(kind: str, place: Place) -> list[str]:
    """Commands that switch on what was written."""
    if kind == "systemd":
        timers = " ".join(f"foreshore-{job}.timer" for job in JOBS)
        return [
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {timers}",
            'loginctl enable-linger "$USER"   # so that they run while nobody is logged in',
        ]
    if kind == "launchd":
        agents = place.home / "Library" / "LaunchAgents"
        return [
            f"launchctl bootstrap gui/$(id -u) {shlex.quote(str(agents / f'foreshore.{job}.plist'))}" for job in JOBS
        ]
    return []


def _systemd(job: str, place: Place) -> dict[Path, str]:
    folder = place.home / ".config" / "systemd" / "user"
    words = " ".join(_systemd_word(word) for word in place.command(job))
    service = (
        f"[Unit]\nDescription=Foreshore {job}\nWants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={str(place.config.parent).replace('%', '%%')}\n"
        f"EnvironmentFile=-%h/{SECRETS}\nExecStart={words}\nSuccessExitStatus=3\nKillSignal=SIGINT\nTimeoutStopSec=90\n"
    )
    timer = (
        f"[Unit]\nDescription=Foreshore {job}, daily\n\n[Timer]\nOnCalendar=*-*-* {place.times[job]}:00\n"
        "Persistent=true\nRandomizedDelaySec=60\n\n[Install]\nWantedBy=timers.target\n"
    )  # Persistent: a time that passed while the machine was off is made up for
    return {folder / f"foreshore-{job}.service": service, folder / f"foreshore-{job}.timer": timer}


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _launchd(job: str, place: Place) -> str:
    hour, minute = (int(part) for part in place.times[job].split(":"))
    inner = shlex.join(["exec", "/usr/bin/caffeinate", "-ims", *place.command(job)])
    shell = f'set -a; [ -f "$HOME/{SECRETS}" ] && . "$HOME/{SECRETS}"; {inner}'
    return plistlib.dumps(
        {
            "Label": f"foreshore.{job}",
            "ProgramArguments": ["/bin/sh", "-c", shell],
            "WorkingDirectory": str(place.config.parent),
            "StartCalendarInterval": {"Hour": hour, "Minute": minute},  # a time that was slept through runs on waking
            "ProcessType": "Background",
        }
    ).decode()


def crontab_lines(place: Place) -> str:
    """The block of a crontab, between its marks; cron itself does not catch up, so each job also runs after a boot."""
    folder = shlex.quote(str(place.config.parent))
    lines = [BEGIN]
    for job in JOBS:
        hour, minute = place.times[job].split(":")
        run = (
            f'set -a; [ -f "$HOME/{SECRETS}" ] && . "$HOME/{SECRETS}"; cd {folder} && {shlex.join(place.command(job))}'
        )
        lines.append(f"{int(minute)} {int(hour)} * * * {run} >/dev/null 2>&1".replace("%", "\\%"))
        if job == "overnight":
            lines.append(f"@reboot sleep 120; {run} >/dev/null 2>&1".replace("%", "\\%"))
    return "\n".join([*lines, END]) + "\n"


def merged_crontab(present: str, block: str) -> str:
    """A crontab with our block in the place of an earlier one, everything else as it was.

    Errors: ForeshoreError where a mark of ours has lost its partner: what is whose cannot be told then.
    """
    lines = present.splitlines()
    if lines.count(BEGIN) != lines.count(END) or lines.count(BEGIN) > 1:
        raise ForeshoreError(f"the crontab's marks ({BEGIN} ... {END}) are no pair: mend them with `crontab -e`")
    if BEGIN in lines:
        first, last = lines.index(BEGIN), lines.index(END)
        lines = lines[:first] + lines[last + 1 :] if first < last else lines
    return "".join(f"{line}\n" for line in lines) + block


def write(kind: str, place: Place) -> list[Path]:
    """Write the files, or the block into the user's crontab; returns the files."""
    if kind == "crontab":
        _write_crontab(crontab_lines(place))
        return []
    wanted = files(kind, place)
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(wanted)


def _write_crontab(block: str) -> None:
    if not shutil.which("crontab"):
        raise ForeshoreError("there is no crontab program here: install cron, or use --kind systemd")
    listed = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False)
    present = listed.stdout if listed.returncode == 0 else ""  # a user without a crontab gets an error and no text
    if listed.returncode and "no crontab" not in listed.stderr:
        raise ForeshoreError(f"the crontab cannot be read: {listed.stderr.strip()}")
    made = subprocess.run(
        ["crontab", "-"], input=merged_crontab(present, block), text=True, capture_output=True, check=False
    )
    if made.returncode:
        raise ForeshoreError(f"the crontab was refused: {made.stderr.strip()}")
