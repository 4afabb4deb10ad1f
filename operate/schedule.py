"""Units that start a night: systemd with catch-up, launchd kept awake by caffeinate, or a crontab line."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from extract.errors import RequestError

SYSTEMD, LAUNCHD, CRON = "systemd", "launchd", "cron"
KINDS = (SYSTEMD, LAUNCHD, CRON)
LABEL = "org.foreshore.overnight"


@dataclass(frozen=True)
class Schedule:
    """When a night starts (local time), with which configuration, from which folder; `env_file` holds the keys."""

    hour: int
    minute: int
    config: Path
    folder: Path
    env_file: Path | None

    @classmethod
    def of(cls, at: str, config: Path, env_file: Path | None) -> Schedule:
        """`at` as HH:MM. Errors: RequestError."""
        hour, _, minute = at.partition(":")
        if not (hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60 and at.isascii()):
            raise RequestError(f"--at {at!r} is no time of day: write it as 02:00")
        return cls(int(hour), int(minute), config.resolve(), config.resolve().parent, env_file and env_file.resolve())

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "operate.cli", "overnight", "--config", str(self.config)]

    def files(self, kind: str, home: Path) -> dict[Path, str]:
        """What to write where; a crontab line has no file of its own."""
        if kind == SYSTEMD:
            units = home / ".config" / "systemd" / "user"
            return {units / "foreshore.service": self._service(), units / "foreshore.timer": self._timer()}
        if kind == LAUNCHD:
            return {home / "Library" / "LaunchAgents" / f"{LABEL}.plist": self._plist()}
        return {}

    def crontab(self) -> str:
        """One line of a crontab; cron does not catch up on a night the machine slept through."""
        keys = f". {shlex.quote(str(self.env_file))} && " if self.env_file else ""
        line = f"cd {shlex.quote(str(self.folder))} && {keys}{shlex.join(self.command)}"
        return f"{self.minute} {self.hour} * * * {line.replace('%', chr(92) + '%')}\n"

    def after(self, kind: str) -> str:
        """What makes the unit live once its files are there."""
        return {
            SYSTEMD: "systemctl --user daemon-reload && systemctl --user enable --now foreshore.timer "
            "&& loginctl enable-linger",
            LAUNCHD: f"launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{LABEL}.plist",
            CRON: "crontab -e",
        }[kind]

    def _service(self) -> str:
        # what systemd expands in a command line is doubled; the words are quoted as it reads them
        words = " ".join(f'"{w}"' for w in (word.replace("%", "%%").replace("$", "$$") for word in self.command))
        keys = f"EnvironmentFile={self.env_file}\n" if self.env_file else ""
        return (
            "[Unit]\nDescription=Foreshore's night\nWants=network-online.target\nAfter=network-online.target\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={self.folder}\n{keys}ExecStart={words}\n"
            "# 2 is a night of which something stayed partial, 3 one with nothing to do: both told by the notifier\n"
            "SuccessExitStatus=2 3\nNice=10\nTimeoutStartSec=12h\n"
        )

    def _timer(self) -> str:
        return (
            f"[Unit]\nDescription=Foreshore's night\n\n[Timer]\nOnCalendar=*-*-* {self.hour:02}:{self.minute:02}:00\n"
            "# a night that was slept through is caught up on\nPersistent=true\nRandomizedDelaySec=120\n\n"
            "[Install]\nWantedBy=timers.target\n"
        )

    def _plist(self) -> str:
        command = ["/usr/bin/caffeinate", "-ims", *self.command]
        if self.env_file:
            sourced = f". {shlex.quote(str(self.env_file))} && exec {shlex.join(command)}"
            command = ["/bin/sh", "-ac", sourced]
        words = "".join(f"    <string>{escape(word)}</string>\n" for word in command)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
            f'<plist version="1.0">\n<dict>\n  <key>Label</key><string>{LABEL}</string>\n'
            f"  <key>WorkingDirectory</key><string>{escape(str(self.folder))}</string>\n"
            f"  <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n"
            "  <key>StartCalendarInterval</key>\n  <dict>\n"
            f"    <key>Hour</key><integer>{self.hour}</integer>\n"
            f"    <key>Minute</key><integer>{self.minute}</integer>\n  </dict>\n"
            "  <key>ProcessType</key><string>Background</string>\n</dict>\n</plist>\n"
        )
