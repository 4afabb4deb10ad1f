"""What else goes wrong under a verb: a full disk, a read-only one, clocks that jump, two writers, a cut network.

Each on a line of bars of its own: the verb says one line or goes on, and when all is well again and it is run once
more, the rows are by hash those of a store to which nothing happened.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from extract.config import load_config
from extract.integrity import audit
from extract.lake import Lake
from simulate.bars import RunningBars
from tests.bars_line_fixtures import SPAN, SYMBOLS
from tests.chaos_store import newest_rows
from tests.line_fixtures import ROOT, Line

CUT_SECONDS = 1.5
EXTRACT = ("extract", "bars", *SYMBOLS, *SPAN)
FAKETIME = sorted(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketimeMT.so.1"))


def lake_of(line: Line) -> Lake:
    return Lake.of(load_config(str(line.folder / "foreshore.toml")))


def told(line: Line) -> dict[str, str]:
    return newest_rows(lake_of(line), "bars")


@pytest.fixture(scope="module")
def wanted(bars_market: RunningBars, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The rows of a store to which nothing happened."""
    made = Line(None, tmp_path_factory.mktemp("healthy"))  # type: ignore[arg-type]
    made.configure(bars_market.config("eodhd"))
    assert made.cli(*EXTRACT, **bars_market.environ).returncode == 0
    found = told(made)
    assert len(found) > 3
    return found


def whole_again(line: Line, market: RunningBars, wanted: dict[str, str]) -> None:
    """Run once more in peace: the same rows, and nothing lies about."""
    done = line.cli(*EXTRACT, **market.environ)
    assert done.returncode in (0, 3), done.stderr
    assert told(line) == wanted and audit(lake_of(line)) == []
    assert not list((line.folder / "raw").rglob("*.part"))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def moved(line: Line, market: RunningBars, raw: Path) -> None:
    """The line's raw zone on another file system."""
    text = line.configure(market.config("eodhd")).path.read_text()
    (line.folder / "foreshore.toml").write_text(re.sub(r'raw_url = ".*"', f'raw_url = "{raw}"', text))


@pytest.mark.long
@pytest.mark.parametrize("spare_kb", [0, 40, 90])
def test_a_disk_that_fills(
    bars_line: Line, bars_market: RunningBars, tmp_path: Path, wanted: dict[str, str], spare_kb: int
) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        moved(bars_line, bars_market, disk / "raw")
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"\0" * (free - spare_kb * 1024))
        done = bars_line.cli(*EXTRACT, **bars_market.environ)
        assert done.returncode == 1 and "free some space" in done.stderr and "Traceback" not in done.stderr, done.stderr
        (disk / "ballast").unlink()
        whole_again(bars_line, bars_market, wanted)


@pytest.mark.long
def test_a_disk_that_is_read_only(
    bars_line: Line, bars_market: RunningBars, tmp_path: Path, wanted: dict[str, str]
) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        moved(bars_line, bars_market, disk / "raw")
        (disk / "raw").mkdir()
        remount(disk, "ro")
        done = bars_line.cli(*EXTRACT, **bars_market.environ)
        assert done.returncode == 1 and "Read-only file system" in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) <= 3 and "Traceback" not in done.stderr
        remount(disk, "rw")
        whole_again(bars_line, bars_market, wanted)


def test_two_writers(bars_line: Line, bars_market: RunningBars, wanted: dict[str, str]) -> None:
    """One of them works; the others say who, or that there is nothing left to do."""
    command = [sys.executable, "-m", "operate.cli", *EXTRACT]
    environment = {**os.environ, **bars_line.environment(), **bars_market.environ}
    writers = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ended = [(process.communicate(timeout=300)[1].decode(), process.returncode) for process in writers]
    assert 0 in [code for _, code in ended], ended
    assert all(code in (0, 3) or (code == 1 and "wait for it" in said) for said, code in ended), ended
    whole_again(bars_line, bars_market, wanted)


class Wire:
    """A port in front of a server: after `left` bytes what flows is broken, and for a while what comes is refused."""

    def __init__(self, url: str) -> None:
        host, port = url.split("//")[1].strip("/").split("/")[0].split(":")
        self.target, self.left = (host, int(port)), 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.cut_until = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                if time.monotonic() < self.cut_until:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(4096):
                if self.left > 0:
                    self.left -= len(data)
                    if self.left <= 0:
                        self.cut_until = time.monotonic() + CUT_SECONDS
                if time.monotonic() < self.cut_until:
                    return
                sink.sendall(data)


@pytest.mark.long
@pytest.mark.parametrize("size", [300, 60_000])
def test_a_network_that_is_cut(bars_line: Line, bars_market: RunningBars, wanted: dict[str, str], size: int) -> None:
    """In an answer, and again for a second and a half: waited for, or said; nothing is landed half."""
    wire = Wire(bars_market.info["eodhd_url"])
    text = bars_line.configure(bars_market.config("eodhd")).path.read_text()
    near = re.sub(r"//127\.0\.0\.1:\d+", f"//127.0.0.1:{wire.port}", text)
    (bars_line.folder / "foreshore.toml").write_text(near)
    wire.left = size
    done = bars_line.cli(*EXTRACT, **bars_market.environ)
    wire.server.close()
    assert wire.cut_until and done.returncode in (0, 1, 2) and "Traceback" not in done.stderr, done.stderr
    (bars_line.folder / "foreshore.toml").write_text(text)
    whole_again(bars_line, bars_market, wanted)


@pytest.mark.long
def test_clocks_that_jump(bars_line: Line, bars_market: RunningBars, tmp_path: Path, wanted: dict[str, str]) -> None:
    """Years ahead, years back, and in the middle of a run; what landed last counts, whatever the clock said."""
    if not FAKETIME:
        pytest.skip("libfaketime is not installed here")
    moment = tmp_path / "moment"
    fake = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(moment), "FAKETIME_NO_CACHE": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    for jump, then in (("+3y", "-2y"), ("-2d", "+40d"), ("+0", "-1h")):
        moment.write_text(f"{jump}\n")
        stop = threading.Event()

        def leap(to: str = then, stop: threading.Event = stop) -> None:
            stop.wait(1.5)
            moment.write_text(f"{to}\n")

        leaping = threading.Thread(target=leap)
        leaping.start()
        done = bars_line.cli(*EXTRACT, "--no-resume", **fake, **bars_market.environ)
        stop.set()
        leaping.join()
        assert done.returncode in (0, 1, 2) and "Traceback" not in done.stderr, (jump, then, done.stderr)
        assert told(bars_line) == wanted or done.returncode, (jump, then)
        for verb in (("compact", "--least", "2"), ("repair", "--verify")):
            assert bars_line.cli(*verb, **fake, **bars_market.environ).returncode in (0, 3)
    done = bars_line.cli(*EXTRACT, "--no-resume", **bars_market.environ)
    assert done.returncode == 0, done.stderr
    whole_again(bars_line, bars_market, wanted)
