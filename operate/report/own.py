"""Pages of one's own: .py files, each with one function `page(read)` that answers a Page."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from extract.config import Config
from extract.errors import ConfigError
from operate.report.page import Note, Page, Section
from operate.report.reading import Reader

Maker = Callable[[Reader], Page]


def own_pages(config: Config, named: Sequence[Path] = ()) -> list[Maker]:
    """The files of `[report] pages` (from where the configuration lies), then those named, in this order.

    Errors: ConfigError names a file that is not there, does not load or has no `page`.
    """
    places = config.section("report").get("pages", [])
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise ConfigError(f"{config.path}: [report] pages is a list of .py files")
    return [_maker(path) for path in [*(config.beside(place) for place in places), *named]]


def _maker(path: Path) -> Maker:
    spec = importlib.util.spec_from_file_location(f"foreshore_page_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"the report page {path} is no .py file that exists")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found: Maker = module.page
    except Exception as error:  # somebody's own code, named as such
        raise ConfigError(f"the report page {path} does not load: {type(error).__name__}: {error}") from None
    return lambda read: _made(found, path, read)


def _made(maker: Maker, path: Path, read: Reader) -> Page:
    """Its page, or one that says how it failed: the others are written all the same."""
    try:
        return maker(read)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return Page(path.stem, "", path.stem, f"{path} failed.", [Section("Failed", [Note("No page", said)])])
