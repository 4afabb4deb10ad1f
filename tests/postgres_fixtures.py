"""A real PostgreSQL for the run, started from local binaries, or a skip that says why."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
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


@dataclass
class Pooler:
    """A pgbouncer in transaction mode in front of a server: stop it, start it again."""

    server: Postgres
    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def database(self) -> str:
        name = self.server.database().split("@/")[1].split("?")[0]
        return f"postgresql://{self.server.user or os.environ.get('USER', 'postgres')}@127.0.0.1:{self.port}/{name}"

    def mode(self) -> str:
        import psycopg

        with psycopg.connect(f"host=127.0.0.1 port={self.port} dbname=pgbouncer user=admin", autocommit=True) as admin:
            rows = admin.execute("show config").fetchall()
        return str(next(row[1] for row in rows if row[0] == "pool_mode"))

    def start(self) -> None:
        user = self.server.user or os.environ.get("USER", "postgres")
        (self.folder / "users").write_text(f'"{user}" ""\n"admin" ""\n')
        lines = [
            "[databases]",
            f"* = host={self.server.folder}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = trust",
            f"auth_file = {self.folder}/users",
            "admin_users = admin",
            "pool_mode = transaction",
            "default_pool_size = 3",
            "server_login_retry = 0.2",
            "ignore_startup_parameters = extra_float_digits",
        ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            command = [self.program, str(self.folder / "pgbouncer.ini")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=self.server.user, cwd=self.folder)
        deadline = time.monotonic() + 15
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pgbouncer did not start: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def pooler(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    """A pooler of its own for each test."""
    program = shutil.which("pgbouncer") or next(iter(map(str, Path("/usr/sbin").glob("pgbouncer"))), None)
    if program is None:
        pytest.skip("no pgbouncer here: install it (apt-get install pgbouncer)")
    folder = Path(tempfile.mkdtemp(prefix="foreshore-pool-"))
    if postgres.user is not None:
        shutil.chown(folder, postgres.user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Pooler(postgres, program, folder, port)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _exists(name: str) -> bool:
    with suppress(KeyError):
        pwd.getpwnam(name)
        return True
    return False
