"""`foreshore report`: the site, from what was published."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from extract.config import load_config
from operate.console import out
from operate.options import config_option
from operate.report.own import own_pages
from operate.report.site import DOCS, build
from operate.warehouse import Warehouse


@click.command()
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Where the site goes  [default: report under the storage root].")  # fmt: skip
@click.option("--page", "pages", type=click.Path(path_type=Path, dir_okay=False), multiple=True, metavar="FILE",
              help="A page of your own besides; repeatable. `[report] pages` names them for good.")  # fmt: skip
@click.option("--open", "is_opened", is_flag=True, help="Open it in the browser.")
@config_option
def report(folder: Path | None, pages: tuple[Path, ...], is_opened: bool, config_file: str | None) -> None:
    """Pages of figures and tables over what was published, one for each user and one for operations.

    The folder opens from disk without a network; every figure names its tables and its query. Nothing is built or
    fetched: run `foreshore build` before.

    \b
    Examples
      foreshore report
      foreshore report --out /tmp/site --open
      foreshore report --page docs/examples/bribes_page.py
    """
    config = load_config(config_file)
    warehouse = Warehouse.of(config)
    written = build(warehouse, folder or config.root / "report", DOCS, own_pages(config, pages))
    out.print(f"{len(written)} pages: {written[0]}", soft_wrap=True)
    if is_opened:
        webbrowser.open(written[0].resolve().as_uri())
