"""Many machines, on loopback: the same rows as one, whatever happens to workers, hosts and scheduler."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from extract.bars.tables import BAR_TABLES
from extract.lake import Lake
from extract.ledger import COMPLETE, LEDGER_SCHEMA
from operate.worlds import world_config
from simulate import bars as stock_market
from simulate.bars import RunningBars
from tests.line_fixtures import ROOT, Line
from tests.ssh_fixtures import environment, free_port, ssh_hosts

NAMES = [f"S{n:02}" for n in range(16)]


def ask(names: list[str]) -> list[str]:
    symbols = [word for name in names for word in ("--symbol", name)]
    return ["extract", "bars", *symbols, "--from", "2026-01-02", "--to", "2026-01-16"]


ASK, FEW = ask(NAMES), ask(NAMES[:3])
ACCIDENTAL = ("load_id", "fetched_at")
GUIDE = ROOT / "docs" / "scale.md"
RATE = 6.0  # requests per second of the provider


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBars]:
    """A stock market with many symbols."""
    options = {"now": "2026-03-09T13:25:00Z", "symbols": ",".join(NAMES)}
    with stock_market.running(tmp_path_factory.mktemp("many"), **options) as running:
        yield running


@pytest.fixture(scope="module")
def alone(many: RunningBars, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process lands, by hash."""
    line = bars(many, tmp_path_factory.mktemp("alone"))
    assert line.cli(*ASK, **many.environ).returncode == 0
    return hashes(line)


def bars(market: RunningBars, folder: Path, rate: float = 0.0) -> Line:
    """An empty raw zone in front of the market; `rate` is the provider's limit."""
    folder.mkdir(exist_ok=True)
    made = Line(None, folder)  # type: ignore[arg-type]
    made.configure(market.config("eodhd").replace('feed = "', f'requests_per_second = {rate}\nfeed = "'))
    return made


def hashes(line: Line, partitions: int = len(NAMES)) -> dict[str, str]:
    """Every table's rows that count (of the newest load of each partition), hashed; no partition is failing."""
    lake = Lake(str(line.folder / "raw"))
    ledger = lake.read_committed("extract_ledger", LEDGER_SCHEMA).to_pylist()
    assert {row["status"] for row in ledger} == {COMPLETE}
    newest = {row["partition_id"]: row["load_id"] for row in ledger}
    assert len(newest) == partitions
    found = {}
    for table, schema in BAR_TABLES.items():
        rows = [r for r in lake.read_committed(table, schema).to_pylist() if newest[r["partition_id"]] == r["load_id"]]
        plain = sorted(repr({k: v for k, v in row.items() if k not in ACCIDENTAL}) for row in rows)
        found[table] = hashlib.sha256("\n".join(plain).encode()).hexdigest()
    return found


def start(line: Line, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "operate.cli", *ASK, *arguments],
        cwd=ROOT,
        env={**os.environ, **line.environment(), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def landed(line: Line) -> int:
    return len(list((line.folder / "raw" / "_dlt_loads").glob("*.jsonl"))) if (line.folder / "raw").exists() else 0


def wait_until(true: Any, process: subprocess.Popen[str], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def guide(program: str, address: str) -> tuple[str, ...]:
    """The arguments of `dask scheduler` or `dask worker` as the guide has them, with another address."""
    host, port = address.removeprefix("tcp://").split(":")
    (line,) = [text for text in GUIDE.read_text().splitlines() if text.startswith(f"dask {program} ")]
    return tuple(line.split("#")[0].replace("10.0.0.5", host).replace("8786", port).split()[1:])


@contextmanager
def dask(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker, as the guide starts them."""
    command = [str(Path(sys.executable).parent / "dask"), *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **environ}, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        end(process.pid)
        process.wait(20)


def end(pid: int) -> None:
    """kill -9 a process and everything it started."""
    try:
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def test_workers_of_this_machine_land_the_same_rows(many: RunningBars, tmp_path: Path) -> None:
    here, there = bars(many, tmp_path / "here"), bars(many, tmp_path / "there")
    assert here.cli(*FEW, **many.environ).returncode == 0
    done = there.cli(*FEW, "--engine", "dask", "--workers", "2", **many.environ)
    assert done.returncode == 0, done.stderr
    assert "2 workers: " in done.stderr and hashes(there, 3) == hashes(here, 3)
    assert there.cli(*FEW, **many.environ).returncode == 3  # the checkpoint is the ledger, as on one machine


@pytest.mark.long
def test_hosts_over_ssh_one_killed_one_gone_one_of_another_version(
    many: RunningBars, alone: dict[str, str], tmp_path: Path
) -> None:
    line, (first, second) = bars(many, tmp_path, RATE), [environment(tmp_path / name) for name in ("one", "two")]
    other = environment(tmp_path / "three", changed=True)
    with ssh_hosts(tmp_path / "ssh", many.environ) as hosts:
        named = ",".join([f"lab={first}", f"lab={second}", "gone", f"lab={other}"])
        process = start(line, "--hosts", named, HOME=str(hosts.home), **many.environ)
        wait_until(lambda: landed(line) > 4, process)
        killed = [p for p in psutil.process_iter(["cmdline"]) if is_worker_of(p, second)]
        assert killed, "no worker of the second environment"
        for worker in killed:
            worker.kill()
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert "host gone did not come up" in said
    assert "is refused: it is another version (code " in said and "worker" in said
    assert " is lost; what it had is given to another" in said
    assert hashes(line) == alone
    for secret in many.environ.values():
        assert secret not in said


def is_worker_of(process: psutil.Process, python: Path) -> bool:
    line = process.info["cmdline"] or []
    return str(python) in line and "--multiprocessing-fork" in line


@pytest.mark.long
def test_a_scheduler_that_is_restarted_costs_time_and_no_row(
    many: RunningBars, alone: dict[str, str], tmp_path: Path
) -> None:
    line, port = bars(many, tmp_path, RATE), free_port()
    address = f"tcp://127.0.0.1:{port}"
    serve, work = guide("scheduler", address), guide("worker", address)
    with dask(*serve) as scheduler, dask(*work, **many.environ):
        process = start(line, "--scheduler", address, **many.environ)
        wait_until(lambda: landed(line) > 4, process)
        scheduler.send_signal(signal.SIGKILL)
        scheduler.wait(20)
        assert process.poll() is None
    with dask(*serve), dask(*work, **many.environ):
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert f"the scheduler at {address} is gone" in said
    assert hashes(line) == alone


@pytest.mark.long
def test_a_limit_is_the_providers_and_not_each_workers(line: Line) -> None:
    """In any three seconds no more calls than that, and the second's worth that may have been saved up."""
    assert busiest(line, 40) <= 40 * (3 + 1)
    assert busiest(line, None) > 40 * (3 + 1)  # the limit is what holds them


def busiest(line: Line, rate: int | None) -> int:
    """The most calls that three workers and the planner asked of a chain's provider in any three seconds."""
    named = 'name = "world"\n'
    text = world_config(line.world.info)
    line.configure(text if rate is None else text.replace(named, f"{named}requests_per_second = {rate}\n"))
    seen: list[tuple[float, int]] = []
    over = threading.Event()

    def count() -> None:
        while not over.wait(0.1):
            told = line.world.stats().values()
            seen.append((time.monotonic(), sum(n for of in told for name, n in of.items() if name.startswith("eth_"))))

    counting = threading.Thread(target=count)
    counting.start()
    done = line.cli("extract", "voting", "--no-resume", "--engine", "dask", "--workers", "3")
    over.set()
    counting.join()
    assert done.returncode == 0 and "3 workers: " in done.stderr, done.stderr
    print(f"{rate}: {seen[-1][1] - seen[0][1]} calls in {seen[-1][0] - seen[0][0]:.0f} s")
    return max(b - a for at, a in seen for until, b in seen if at <= until <= at + 3)


@pytest.mark.long
def test_a_worker_without_keys_or_without_the_raw_zone_is_refused_by_name(many: RunningBars, tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    line = bars(many, tmp_path / "line")
    text = (line.folder / "foreshore.toml").read_text().replace(f'"{line.folder}/raw"', '"raw"')
    (line.folder / "foreshore.toml").write_text(text)
    with (
        dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        dask("worker", address, "--no-dashboard", "--name", "keyless"),
        dask("worker", address, "--no-dashboard", "--name", "blind", FORESHORE_PROJECT=str(elsewhere), **many.environ),
    ):
        process = start(line, "--scheduler", address, **many.environ)
        said = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "no worker of" in said and "set WORLD_BARS_TOKEN" in said
    assert "does not see this run's raw zone" in said
