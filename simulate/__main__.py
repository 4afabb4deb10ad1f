"""`python -m simulate serve`: build a world, put the proxy in front, serve until told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import click
from aiohttp import web

from simulate.contracts import ARTIFACTS
from simulate.node import NodeError, anvil
from simulate.polymarket import polymarket
from simulate.proxy import Proxy
from simulate.world import CHAIN_ID, GENESIS, Size, World

CONTEXT = {"help_option_names": ["-h", "--help"]}
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=CONTEXT)
def main() -> None:
    """The embedded world of Foreshore: a local chain with two exchanges, their agents, and an RPC endpoint."""


main.add_command(polymarket)


@main.command()
@click.option("--port", default=8547, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--epochs", default=12, show_default=True, help="Weekly epochs that have ended.")
@click.option("--gauges", default=60, show_default=True, help="Gauges per exchange, at least 8.")
@click.option("--voters", default=40, show_default=True, help="Voters per exchange, at least 4.")
@click.option("--seed", default=7, show_default=True, help="Same seed and sizes, same blocks.")
@click.option(
    "--out", type=FOLDER, default="data/world", show_default=True, help="Where world.json and actions.jsonl go."
)
@click.option("--artifacts", type=FOLDER, default=ARTIFACTS, help="Where compiled contracts are kept.")
def serve(port: int, epochs: int, gauges: int, voters: int, seed: int, out: Path, artifacts: Path) -> None:
    """Build a world and serve it until stopped; `world.json` appears when all is ready.

    \b
    Examples
      python -m simulate serve
      python -m simulate serve --epochs 3 --gauges 10 --voters 8 --port 0
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "world.json").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {text}")

    try:
        with anvil(CHAIN_ID, GENESIS, out / "states") as rpc:
            world = World(rpc, Size(epochs, gauges, voters, seed), artifacts, say)
            world.build()
            asyncio.run(_serve(world, out, rpc.url, port))
    except (NodeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        say("stopped")


async def _serve(world: World, out: Path, node_url: str, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(Proxy(node_url).app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        world.write(out, rpc_url=url, node_url=node_url)
        click.echo(f"ready at {url} (chain {CHAIN_ID})")
        await stop.wait()
    except OSError as error:
        raise NodeError(
            f"port {port} is not free ({error.strerror}); choose another with --port, or 0 for any"
        ) from None
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
