"""The embedded worlds from the outside: start them, point Foreshore at them, stop them.

Each world is a process of its own, reached over JSON-RPC only, exactly like a real provider: a chain with two
exchanges, and a chain with lending markets. Their data have a root of their own (`data/world`), which stays when they
stop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from extract.config import CONFIG_VARIABLE, ENVIRONMENT_VARIABLE, WORLD_CONFIG, default_path, read_config
from extract.errors import ForeshoreError
from operate.console import err

START_SECONDS = 300
STOP_SECONDS = 15
FAMILY_OF = {"hydrex": "thena", "velodrome": "velodrome"}  # key in world.json -> family of its contracts


class WorldError(ForeshoreError):
    """An embedded world did not start or stop as it should."""


def config_file() -> Path:
    """The embedded world's configuration, beside the default one."""
    return default_path().parent / WORLD_CONFIG


@dataclass(frozen=True)
class World:
    """One process of `python -m simulate`: its verb, the file it writes when it is ready, its folder below the root."""

    verb: str
    told: str
    place: str = "."

    @property
    def folder(self) -> Path:
        return config_file().parent / self.place

    @property
    def process_file(self) -> Path:
        """Which process it is: pid, when it started, its command; together they name one process for good."""
        return self.folder / "process.json"

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
        facts = {"pid": process.pid, "started": psutil.Process(process.pid).create_time(), "command": command}
        self.process_file.write_text(json.dumps(facts))
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

    def process(self) -> psutil.Process | None:
        """Its process, if that is alive and provably ours: a pid alone may be anybody's by now."""
        try:
            facts = json.loads(self.process_file.read_text())
            found = psutil.Process(facts["pid"])
            is_ours = found.create_time() == facts["started"] and "simulate" in found.cmdline()
            return found if is_ours and found.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None

    def stop(self) -> bool:
        """Stop the process; False when it was not up."""
        found = self.process()
        if found is not None:
            found.terminate()
            try:
                found.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                found.kill()
        self.forget()
        return found is not None

    def forget(self) -> None:
        for path in (self.folder / self.told, self.process_file):
            path.unlink(missing_ok=True)


VOTING = World("voting", "world.json")
LENDING = World("lending", "lending_world.json", "lending")
WORLDS = (VOTING, LENDING)
Processes = list[subprocess.Popen[bytes]]


def up(**sizes: int) -> dict[str, Any]:
    """Start the worlds, wait until they are ready, write their configuration; returns the voting world's facts."""
    return ready(start(**sizes))


def start(**sizes: int) -> Processes:
    """Start every world's process without waiting; `sizes` are the voting world's."""
    if is_up():
        raise WorldError("the embedded world is up already: `foreshore demo down` stops it")
    processes = [world.start(sizes if world is VOTING else {}) for world in WORLDS]
    _write_config()
    return processes


def ready(processes: Processes) -> dict[str, Any]:
    """Wait for started worlds and write the configuration that points at them."""
    voting, lending = (world.ready(process) for world, process in zip(WORLDS, processes, strict=True))
    _write_config(world_config(voting) + lending_config(lending))
    return voting


def is_up() -> bool:
    """Whether any world's process is alive."""
    return any(world.process() is not None for world in WORLDS)


def down() -> bool:
    """Stop the worlds; their data stay and can be read. False when none was up."""
    stopped = [world.stop() for world in WORLDS]
    if config_file().exists():
        _write_config()
    return any(stopped)


def _write_config(chains: str = "") -> None:
    """The world's configuration: its own store, and where its chains are while they are up."""
    path = config_file()
    seeds = os.path.relpath(read_config(default_path()).seeds, path.parent)
    lines = [
        "# Written by `foreshore demo up`: the embedded world's store, which no real data share.",
        "# Its chains stand here while the world is up.",
        "[storage]",
        'root = "."',
        f'seeds = "{Path(seeds).as_posix()}"',
        "is_simulated = true",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n" + chains)
    part.replace(path)


def world_config(world: dict[str, Any]) -> str:
    """foreshore.toml for a world: its chain, its feeds, its two exchanges."""
    lines = [
        "[chains.world]",
        f"chain_id = {world['chain_id']}",
        "block_seconds = 2.0",
        "finality_depth = 5",
        "[[chains.world.providers]]",
        'name = "world"',
        f'url = "{world["rpc_url"]}"',
        f'ws_url = "{world["rpc_url"].replace("http:", "ws:")}"',
        "[chains.world.feeds]",
        *(f'"{t["address"]}" = "{t["feed"]}"' for t in world["tokens"] if t.get("feed")),
    ]
    coin = next(t["address"] for t in world["tokens"] if t.get("feed"))
    for token in (t for t in world["tokens"] if t.get("pool")):
        lines += ["[[chains.world.pools]]", f'token = "{token["address"]}"', f'pool = "{token["pool"]}"']
        lines += [f'quote = "{coin}"', 'kind = "constant_product"']
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
def world_if_needed() -> Iterator[dict[str, str]]:
    """The world for the duration, where no provider is configured; what that adds to a command's environment."""
    named = os.environ.get(CONFIG_VARIABLE)
    default = read_config(Path(named) if named else default_path())
    if named or default.has_provider:
        yield {}
        return
    if default.is_production:
        raise WorldError(
            f"no RPC provider is configured (set BASE_RPC_URL or another variable that {default.path} names), and "
            f"{ENVIRONMENT_VARIABLE}=production never falls back to the embedded world"
        )
    world = config_file()
    kept = f"; what is in {default.root} stays as it is" if default.has_landed else ""
    err.print(
        f"No RPC provider is configured (BASE_RPC_URL is not set): using the embedded world, whose data land in "
        f"{world.parent}{kept}."
    )
    was_up = is_up()
    if not was_up:
        up()
    try:
        yield {CONFIG_VARIABLE: str(world)}
    finally:
        if not was_up:
            down()


def run_with_world(arguments: Sequence[str]) -> int:
    """Run a `foreshore` command, with the world for its duration where no provider is configured."""
    with world_if_needed() as added:
        command = [sys.executable, "-m", "operate.cli", *arguments]
        code = subprocess.call(command, env={**os.environ, **added})
    return 0 if code == 3 else code
