"""`python -m simulate serve`: build a world, put the proxy in front, serve until told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import click
from aiohttp import web

from simulate.node import NodeError, anvil, free_port
from simulate.proxy import Proxy
from simulate.world import CHAIN_ID, GENESIS, Size, World

CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=CONTEXT)
def main() -> None:
    """The embedded world of Foreshore."""


@main.command()
@click.option("--port", default=8547, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--epochs", default=12, show_default=True, help="Weekly epochs that have ended.")
@click.option("--gauges", default=60, show_default=True, help="Gauges per exchange.")
@click.option("--voters", default=40, show_default=True, help="Voters per exchange.")
@click.option("--seed", default=7, show_default=True, help="Same seed and sizes, same blocks.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("data/world"),
    show_default=True,
    help="Where world.json goes.",
)
def serve(port: int, epochs: int, gauges: int, voters: int, seed: int, folder: Path) -> None:
    """Build a world and serve it until stopped.

    \b
    Examples
      python -m simulate serve
      python -m simulate serve --epochs 3 --gauges 10 --voters 8 --port 0
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.json").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {text}")

    try:
        with anvil(CHAIN_ID, GENESIS) as rpc:
            world = World(rpc, Size(epochs, gauges, voters, seed), folder / "artifacts", say)
            world.build()
            asyncio.run(_serve(world, folder, rpc.url, port or free_port(), say))
    except (NodeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        say("stopped")


async def _serve(world: World, folder: Path, node_url: str, port: int, say: object) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    runner = web.AppRunner(Proxy(node_url).app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    world.write(folder, f"http://127.0.0.1:{port}/")
    click.echo(f"ready at http://127.0.0.1:{port}/ (chain {CHAIN_ID})")
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
