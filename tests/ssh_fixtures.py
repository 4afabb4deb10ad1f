"""Hosts on loopback: a real sshd, and Python environments that run this Foreshore, another one, or none."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
PACKAGES = ("decide", "extract", "operate")


@dataclass(frozen=True)
class Hosts:
    """`name` is a host that answers, `dead` one that refuses; `home` is where the client's ssh settings lie."""

    home: Path
    name: str = "lab"
    dead: str = "gone"


@contextmanager
def ssh_hosts(folder: Path, keys: Mapping[str, str]) -> Iterator[Hosts]:
    """An sshd of its own; `keys` stand in ~/.foreshore.env of the account that it logs in to."""
    if SSHD is None:
        pytest.skip("no sshd on this machine: apt-get install openssh-server")
    home, remote = folder / "home", folder / "remote"
    settings = home / ".ssh"
    settings.mkdir(parents=True, mode=0o700)
    remote.mkdir()
    (remote / ".foreshore.env").write_text("".join(f"{name}={value}\n" for name, value in keys.items()))
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port, closed = free_port(), free_port()
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (settings / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    common = f"HostName 127.0.0.1\nIdentityFile {folder / 'user'}\nUserKnownHostsFile {settings / 'known_hosts'}\n"
    (settings / "config").write_text(f"Host lab\n{common}Port {port}\nHost gone\n{common}Port {closed}\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        f"PidFile {folder / 'pid'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSetEnv HOME={remote}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "sshd.log").read_text()
            time.sleep(0.05)
        yield Hosts(home)
    finally:
        server.terminate()
        server.wait(10)


def environment(folder: Path, changed: bool = False) -> Path:
    """The Python of another environment with the same packages; `changed`: with another version of this Foreshore."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python3*/site-packages"))
    if changed:
        for name in PACKAGES:
            shutil.copytree(ROOT / name, folder / "other" / name, ignore=shutil.ignore_patterns("__pycache__"))
        with (folder / "other" / "extract" / "errors.py").open("a") as handle:
            handle.write("\n# a line that this checkout does not have\n")
        (site / "a_other.pth").write_text(f"{folder / 'other'}\n")
    mine = next((Path(sys.prefix) / "lib").glob("python3*/site-packages"))
    (site / "b_same.pth").write_text(f"import site; site.addsitedir({str(mine)!r})\n")
    return folder / "bin" / "python"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
