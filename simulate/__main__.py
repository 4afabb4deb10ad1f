"""`python -m simulate voting|lending|bars|markets`: build a world, put the proxy in front, serve until told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
from aiohttp import web

from simulate.bars.command import bars
from simulate.chain.anvil import NodeError, anvil
from simulate.chain.contracts import ARTIFACTS
from simulate.chain.proxy import Proxy
from simulate.chain.rpc import Rpc
from simulate.lending import world as lending_world
from simulate.lending.world import LendingWorld
from simulate.markets.language_model import language_model
from simulate.markets.server import markets
from simulate.voting import world as voting_world
from simulate.voting.agents import LATENESS
from simulate.voting.world import GENESIS, Size, World

CONTEXT = {"help_option_names": ["-h", "--help"]}
FOLDER = click.Path(file_okay=False, path_type=Path)


class Buildable(Protocol):
    """A world: built once, then written down."""

    def build(self) -> None: ...

    def write(self, folder: Path, **urls: str) -> None: ...


@click.group(context_settings=CONTEXT)
def main() -> None:
    """The embedded worlds of Foreshore: local chains with exchanges or lending markets, and an RPC endpoint."""


main.add_command(markets)
main.add_command(language_model)


@main.command()
@click.option("--port", default=8547, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--epochs", default=12, show_default=True, help="Weekly epochs that have ended.")
@click.option("--gauges", default=60, show_default=True, help="Gauges per exchange, at least 8.")
@click.option("--voters", default=40, show_default=True, help="Voters per exchange, at least 4.")
@click.option("--seed", default=7, show_default=True, help="Same seed and sizes, same blocks.")
@click.option("--stops-before", default=40, show_default=True, help="Seconds before the open epoch's boundary.")
@click.option(
    "--lateness", type=click.Choice(list(LATENESS)), default="usual", show_default=True, help="How late conduits vote."
)
@click.option("--vote-delay", default=0, show_default=True, help="Seconds that Hydrex wants between two votes.")
@click.option(
    "--out", type=FOLDER, default="data/world", show_default=True, help="Where world.json and actions.jsonl go."
)
@click.option("--artifacts", type=FOLDER, default=ARTIFACTS, help="Where compiled contracts are kept.")
def voting(
    port: int,
    epochs: int,
    gauges: int,
    voters: int,
    seed: int,
    stops_before: int,
    lateness: str,
    vote_delay: int,
    out: Path,
    artifacts: Path,
) -> None:
    """Build a world and serve it until stopped; `world.json` appears when all is ready.

    \b
    Examples
      python -m simulate voting
      python -m simulate voting --epochs 3 --gauges 10 --voters 8 --port 0
    """
    (out / "world.json").unlink(missing_ok=True)

    def make(rpc: Rpc, say: Callable[[str], None]) -> World:
        return World(rpc, Size(epochs, gauges, voters, seed, stops_before, lateness, vote_delay), artifacts, say)

    _run(make, voting_world.CHAIN_ID, lambda: GENESIS, out, port)


@main.command()
@click.option("--port", default=8548, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--days", default=10, show_default=True, help="New York days, at least 3; 2025-11-02 is among them.")
@click.option("--small", is_flag=True, help="Fewer lending markets: one per shape that differs most.")
@click.option("--seed", default=7, show_default=True, help="Same seed and sizes, same blocks.")
@click.option(
    "--out", type=FOLDER, default="data/lending_world", show_default=True, help="Where lending_world.json goes."
)
@click.option("--artifacts", type=FOLDER, default=ARTIFACTS, help="Where compiled contracts are kept.")
def lending(port: int, days: int, small: bool, seed: int, out: Path, artifacts: Path) -> None:
    """Build a chain of lending markets and serve it until stopped; `lending_world.json` appears when all is ready.

    \b
    Examples
      python -m simulate lending
      python -m simulate lending --days 4 --small --port 0
    """
    (out / "lending_world.json").unlink(missing_ok=True)
    size = lending_world.Size(days, seed, small)

    def make(rpc: Rpc, say: Callable[[str], None]) -> LendingWorld:
        return LendingWorld(rpc, size, artifacts, say)

    _run(make, lending_world.CHAIN_ID, lambda: size.genesis, out, port)


def _run(make: Callable[..., Any], chain_id: int, genesis: Callable[[], int], out: Path, port: int) -> None:
    """A node, a world on it, and its provider, until told to stop."""
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {text}")

    try:
        with anvil(chain_id, genesis(), out / "states") as rpc:
            world = make(rpc, say)
            world.build()
            asyncio.run(_serve(world, out, rpc.url, port, chain_id))
    except (NodeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        say("stopped")


async def _serve(world: Buildable, out: Path, node_url: str, port: int, chain_id: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(Proxy(node_url).app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        world.write(out, rpc_url=url, node_url=node_url)
        click.echo(f"ready at {url} (chain {chain_id})")
        await stop.wait()
    except OSError as error:
        raise NodeError(
            f"port {port} is not free ({error.strerror}); choose another with --port, or 0 for any"
        ) from None
    finally:
        await runner.cleanup()


main.add_command(bars)

if __name__ == "__main__":
    main()
