"""The embedded worlds from the outside: start them, point Foreshore at them, stop them.

Each world is a process of its own, reached over JSON-RPC only, exactly like a real provider: a chain with two
exchanges, and a chain with lending markets.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.config import DEFAULT_CONFIG, WORLD_CONFIG, load_config
from extract.errors import ForeshoreError
from operate.console import err

WORLD = Path(WORLD_CONFIG).parent
START_SECONDS = 300
FAMILY_OF = {"hydrex": "thena", "velodrome": "velodrome"}  # key in world.json -> family of its contracts


class WorldError(ForeshoreError):
    """An embedded world did not start or stop as it should."""


@dataclass(frozen=True)
class World:
    """One process of `python -m simulate`: its verb, and the file it writes when it is ready."""

    verb: str
    told: str
    folder: Path

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def log(self) -> Path:
        return self.folder / "world.log"

    def start(self, sizes: Mapping[str, int]) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.forget()
        arguments = [f"--{name}={value}" for name, value in sizes.items()]
        command = [sys.executable, "-m", "simulate", self.verb, "--port=0", f"--out={self.folder}", *arguments]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.pid_file.write_text(str(process.pid))
        return process

    def ready(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What it wrote, once it is ready; WorldError shows the end of its log when it dies or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.folder / self.told).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                down()
                raise WorldError(f"the embedded world did not start; the end of {self.log}:\n{tail}")
            time.sleep(0.05)
        return dict(json.loads((self.folder / self.told).read_text()))

    def pid(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def is_up(self) -> bool:
        """Whether its process is alive."""
        pid = self.pid()
        if pid is None:
            return False
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return Path(f"/proc/{pid}").exists() if Path("/proc").exists() else _responds(pid)

    def stop(self) -> bool:
        """Stop the process; False when it was not up."""
        was_up, pid = self.is_up(), self.pid()
        if was_up and pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 15
            while self.is_up() and time.monotonic() < deadline:
                time.sleep(0.05)
            if self.is_up():
                os.kill(pid, signal.SIGKILL)
        self.forget()
        return was_up

    def forget(self) -> None:
        for path in (self.folder / self.told, self.pid_file):
            path.unlink(missing_ok=True)


VOTING = World("voting", "world.json", WORLD)
LENDING = World("lending", "lending_world.json", WORLD / "lending")
WORLDS = (VOTING, LENDING)
Processes = list[subprocess.Popen[bytes]]


def _responds(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def up(**sizes: int) -> dict[str, Any]:
    """Start the worlds, wait until they are ready, write their configuration; returns the voting world's facts."""
    return ready(start(**sizes))


def start(**sizes: int) -> Processes:
    """Start every world's process without waiting; `sizes` are the voting world's."""
    if is_up():
        raise WorldError("the embedded world is up already: `foreshore demo down` stops it")
    Path(WORLD_CONFIG).unlink(missing_ok=True)
    return [world.start(sizes if world is VOTING else {}) for world in WORLDS]


def ready(processes: Processes) -> dict[str, Any]:
    """Wait for started worlds and write the configuration that points at them."""
    voting, lending = (world.ready(process) for world, process in zip(WORLDS, processes, strict=True))
    Path(WORLD_CONFIG).write_text(world_config(voting) + lending_config(lending))
    return voting


def is_up() -> bool:
    """Whether any world's process is alive."""
    return any(world.is_up() for world in WORLDS)


def down() -> bool:
    """Stop the worlds and forget their configuration; False when none was up."""
    Path(WORLD_CONFIG).unlink(missing_ok=True)
    stopped = [world.stop() for world in WORLDS]
    return any(stopped)


def world_config(world: dict[str, Any]) -> str:
    """foreshore.toml for a world: its chain, its feeds, its two exchanges."""
    lines = [
        "# Written by `foreshore demo up`; gone with `foreshore demo down`.",
        "[chains.world]",
        f"chain_id = {world['chain_id']}",
        "block_seconds = 2.0",
        "finality_depth = 5",
        "[[chains.world.providers]]",
        'name = "world"',
        f'url = "{world["rpc_url"]}"',
        "[chains.world.feeds]",
        *(f'"{t["address"]}" = "{t["feed"]}"' for t in world["tokens"] if t.get("feed")),
    ]
    for name, family in FAMILY_OF.items():
        exchange = world["protocols"][name]
        lines += [
            f"[voting.{name}_world]",
            f'family = "{family}"',
            'chain = "world"',
            f'voter = "{exchange["voter"]}"',
            f'minter = "{exchange["minter"]}"',
        ]
    return "\n".join(lines) + "\n"


def lending_config(world: Mapping[str, Any]) -> str:
    """foreshore.toml for a lending world: its chain, its public feeds, its CSUs, and its days."""
    coin = "0x" + "ee" * 20  # how feeds name a chain's own coin; the world says the zero address
    keys = {t["symbol"]: coin if t["symbol"] == "ETH" else t["address"] for t in world["tokens"]}
    feeds = [f'"{keys[t["symbol"]]}" = "{t["feed"]}"' for t in world["tokens"] if t.get("feed")]
    ether = [f'eth = "{t["feed"]}"' for t in world["tokens"] if t["symbol"] == "ETH" and t.get("feed")]
    lines = [
        "[chains.lending_world]",
        f"chain_id = {world['chain_id']}",
        "block_seconds = 600.0",
        "finality_depth = 2",
        "[[chains.lending_world.providers]]",
        'name = "lending_world"',
        f'url = "{world["rpc_url"]}"',
        "[chains.lending_world.feeds]",
        *ether,
        *feeds,
        "[lending]",
        f'since = "{world["days"][0]["date"]}"',
        f'until = "{world["days"][-1]["date"]}"',
    ]
    for csu in world["csus"]:
        lines += ["[[lending.csus]]", 'chain = "lending_world"', f"chain_id = {world['chain_id']}"]
        lines += [f'csu_id = "{csu["csu_id"]}"', f'family = "{csu["family"]}"']
        lines += [f'registry_address = "{csu["registry"]}"', f'price_unit = "{csu.get("price_unit", "usd")}"']
        if factory := csu["addresses"].get("vault_factory"):
            lines.append(f'second_address = "{factory}"')
    return "\n".join(lines) + "\n"


@contextmanager
def world_if_needed() -> Iterator[None]:
    """The world for the duration, where no provider is configured; says so."""
    if _is_configured():
        yield
        return
    err.print("No RPC provider is configured (BASE_RPC_URL is not set): using the embedded world.")
    up()
    try:
        yield
    finally:
        down()


def _is_configured() -> bool:
    if os.environ.get("FORESHORE_CONFIG") or is_up():
        return True
    chains = load_config(DEFAULT_CONFIG).section("chains").values()
    providers = [p for chain in chains for p in chain.get("providers", [])]
    return any("url" in p or os.environ.get(p.get("url_env", "")) for p in providers)


def run_with_world(arguments: Sequence[str]) -> int:
    """Run a `foreshore` command, with the world for its duration where no provider is configured."""
    with world_if_needed():
        code = subprocess.call([sys.executable, "-m", "operate.cli", *arguments])
    return 0 if code == 3 else code
