"""What every benchmark needs: a node, rounds that alternate, a table with medians, spread and ratios."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulate.chain.anvil import ensure_anvil, free_port
from simulate.chain.rpc import Rpc

FOLDER = Path(__file__).parent
PEERS = FOLDER / ".peers"
CHAIN_ID = 31_337
ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@dataclass
class Contestant:
    """A named way to do the work. `run` returns the seconds it took, measured by itself, or None to be timed whole."""

    name: str
    run: Callable[[], float | None]
    seconds: list[float] = field(default_factory=list)
    problem: str | None = None


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"alternating rounds (default {rounds})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def race(contestants: Sequence[Contestant], rounds: int) -> None:
    """Alternating rounds: everyone once, then everyone again, so that a noisy minute hits all alike."""
    for number in range(rounds):
        for contestant in contestants:
            if contestant.problem is None:
                print(f"round {number + 1}/{rounds}: {contestant.name}", file=sys.stderr, flush=True)
                _once(contestant)


def _once(contestant: Contestant) -> None:
    started = time.perf_counter()
    try:
        measured = contestant.run()
    except Exception as error:  # a peer that fails is reported, the others go on
        contestant.problem = f"{type(error).__name__}: {str(error)[-300:]}"
        return
    contestant.seconds.append(time.perf_counter() - started if measured is None else measured)


def result(title: str, contestants: Sequence[Contestant], work: int, unit: str, **facts: Any) -> dict[str, Any]:
    """Medians, spread (least and most seconds), rates, and how many times the first contestant's median each took."""
    done = [c for c in contestants if c.seconds]
    base = statistics.median(done[0].seconds) if done else 1.0
    rows = [
        {
            "name": c.name,
            "rounds": len(c.seconds),
            "median_seconds": statistics.median(c.seconds),
            "least_seconds": min(c.seconds),
            "most_seconds": max(c.seconds),
            f"{unit}_per_second": work / statistics.median(c.seconds),
            "times_ours": statistics.median(c.seconds) / base,
            "rounds_ours_was_faster": sum(a < b for a, b in zip(done[0].seconds, c.seconds, strict=False)),
        }
        for c in done
    ]
    skipped = {c.name: c.problem for c in contestants if c.problem}
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
    return {"title": title, "work": work, "unit": unit, "rows": rows, "skipped": skipped, **facts, "machine": machine}


def show(found: dict[str, Any], as_json: bool) -> None:
    """Print a result."""
    if as_json:
        print(json.dumps(found, indent=1))
        return
    unit = found["unit"]
    print(f"\n{found['title']}  ({found['work']:,} {unit})")
    print(f"{'':42}{'rounds':>7}{'median s':>10}{'least':>9}{'most':>9}{unit + '/s':>13}{'x ours':>9}{'ours won':>10}")
    for row in found["rows"]:
        won = f"{row['rounds_ours_was_faster']}/{row['rounds']}"
        print(
            f"{row['name']:42}{row['rounds']:>7}{row['median_seconds']:>10.3f}{row['least_seconds']:>9.3f}"
            f"{row['most_seconds']:>9.3f}{row[unit + '_per_second']:>13,.0f}{row['times_ours']:>9.2f}{won:>10}"
        )
    for name, problem in found["skipped"].items():
        print(f"{name}: skipped: {problem}")
    for key in found.keys() - {"title", "work", "unit", "rows", "skipped", "machine"}:
        print(f"{key}: {found[key]}")
    machine = found["machine"]
    print(f"{machine['cpus']} CPUs shared with the node, load {machine['load']:.1f}, Python {machine['python']}")


@contextlib.contextmanager
def node(*options: str) -> Iterator[Rpc]:
    """An anvil without limits, with blocks only when asked for."""
    port = free_port()
    command = [
        str(ensure_anvil()), "--port", str(port), "--chain-id", str(CHAIN_ID), "--timestamp", "1700000000",
        "--no-mining", "--order", "fifo", "--gas-price", "0", "--block-base-fee-per-gas", "0",
        "--no-request-size-limit", "--quiet", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rpc = Rpc("127.0.0.1", port)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError):
                rpc.call("eth_chainId")
                break
            time.sleep(0.02)
        yield rpc
    finally:
        rpc.close()
        process.terminate()
        process.wait(10)


def peers_python() -> Path:
    """The interpreter of the peers' environment, made on first use. Raises with pip's words when it cannot be."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        print("installing the peers into benchmarks/.peers", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        (PEERS / ".gitignore").write_text("*\n")
    return python


def require_peer(requirement: str) -> Path:
    """Install one peer; the interpreter that has it. RuntimeError with pip's words when it cannot be installed."""
    python = peers_python()
    lines = [line.split("#")[0].strip() for line in (FOLDER / "peers.txt").read_text().splitlines()]
    peers = [line for line in lines if line.startswith(requirement)]
    repairs = [line for line in lines if line and not line.startswith(("cryo", "ethereum-etl"))]
    for wanted in (peers, repairs):  # one after the other: a repair contradicts what the peer pins
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{requirement} does not install: {done.stderr.strip()[-300:]}")
    return python
