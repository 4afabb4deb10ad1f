"""A real PostgreSQL for the run, started from local binaries, or a skip that says why."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def binaries() -> Path | None:
    """Folder of initdb and postgres: on the path, or where Debian keeps them."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


@dataclass
class Postgres:
    """A server of our own: stop it, start it again, make databases in it."""

    folder: Path
    programs: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None
    made: int = field(default=0)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user or os.environ.get('USER', 'postgres')}@/{database}?host={self.folder}"

    def start(self) -> None:
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""]
        command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, cwd=self.folder)
        import psycopg

        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(3)  # SIGQUIT: at once, as if the machine had gone
            self.process.wait(20)
            self.process = None

    def database(self) -> str:
        import psycopg

        self.made += 1
        name = f"ledger_{self.made}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"create database {name}")  # type: ignore[arg-type]
        return self.url(name)


def started() -> Postgres | str:
    """A server in a folder of its own, or why there is none."""
    programs = binaries()
    if programs is None:
        return "no PostgreSQL here: install it (apt-get install postgresql) so that initdb is found"
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
        if user is None:
            return "PostgreSQL does not run as root and there is no user postgres or nobody"
    folder = Path(tempfile.mkdtemp(prefix="foreshore-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    initialise = [str(programs / "initdb"), "-D", str(folder / "data"), "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(initialise, check=True, capture_output=True, user=user, cwd=folder)
    server = Postgres(folder, programs, user)
    server.start()
    return server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the session."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    server = started()
    if isinstance(server, str):
        pytest.skip(server)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def _exists(name: str) -> bool:
    with suppress(KeyError):
        pwd.getpwnam(name)
        return True
    return False
