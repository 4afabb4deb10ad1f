"""What can be seen without a network: configuration, keys, versions, disk, and whose data the store holds."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from extract.bars.config import bar_source
from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.config import load_chains
from extract.evm.redact import redact
from extract.land import Lake
from extract.lending.registry import load_registry
from extract.markets.config import load_polymarket
from extract.voting.families import load_protocols
from operate.doctor.line import FAIL, OK, WARN, Line
from operate.markets.settings import MarketSettings
from operate.overnight.settings import night_settings

LEAST_FREE_GB = 2.0  # a build of a year spills and a publication is written beside the one before
LEAST_FREE_SHARE = 0.05


def configuration(config: Config) -> list[Line]:
    """Every section as its own reader takes it."""
    readers: Mapping[str, Callable[[], object]] = {
        "storage": lambda: (config.root, config.raw_url, config.seeds),
        "voting": lambda: load_protocols(config.section("voting")),
        "lending": lambda: load_registry(config),
        "polymarket": lambda: load_polymarket(config.section("polymarket")),
        "markets": lambda: MarketSettings.of(config),
        "overnight": lambda: night_settings(config),
    }
    return [_read(f"[{name}]", reader) for name, reader in readers.items()]


def _read(about: str, reader: Callable[[], object]) -> Line:
    try:
        reader()
    except ForeshoreError as error:
        return Line(about, FAIL, redact(str(error)), "mend it in foreshore.toml")
    return Line(about, OK, "reads as it should")


def keys(config: Config) -> list[Line]:
    """Environment variables that the configuration names: set or not, never what they hold."""
    lines = []
    chains = load_chains(config.section("chains"), config.environ)
    for name, table in config.section("chains").items():
        wanted = [p for p in table.get("providers", []) if isinstance(p, Mapping)]
        there = [p for p in wanted if "url" in p or config.environ.get(p.get("url_env", ""))]
        if not there:
            continue  # a chain that nobody uses needs no key
        lines.append(_read(f"[chains.{name}]", lambda name=name: chains[name]))  # type: ignore[misc]
        if len(there) < 2:
            free = next((str(p["url_env"]) for p in wanted if p not in there and "url_env" in p), None)
            cure = f"set {free}" if free else f"add a second [[chains.{name}.providers]]"
            lines.append(Line(f"providers of {name}", WARN, "only one: nobody confirms it, nobody takes over", cure))
    if not lines:
        names = sorted({p["url_env"] for p in _providers(config) if "url_env" in p})[:3]
        cure = f"set {', '.join(names)}, ... for the chains you read" if names else "add [chains.NAME] with a provider"
        lines.append(Line("providers", WARN, "no chain has one: voting and lending cannot run", cure))
    if config.section("bars").get("providers"):
        told = _read("[bars]", lambda: bar_source(config))
        runs_tonight = "bars" in config.section("overnight").get("extract", {})
        lines.append(told if runs_tonight or told.verdict == OK else replace(told, verdict=WARN))
    return lines


def _providers(config: Config) -> Iterator[Mapping[str, Any]]:
    for chain in config.section("chains").values():
        yield from (p for p in chain.get("providers", []) if isinstance(p, Mapping))


def disk(config: Config) -> list[Line]:
    """Room and the right to write where Foreshore writes."""
    here = next(p for p in (config.root, *config.root.absolute().parents) if p.exists())
    usage = shutil.disk_usage(here)
    free = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f}"
    is_low = usage.free < LEAST_FREE_GB * 1e9 or usage.free < LEAST_FREE_SHARE * usage.total
    lines = [Line("disk", WARN if is_low else OK, free, "free some space, or move [storage] root" if is_low else "")]
    if not os.access(here, os.W_OK):
        lines.append(Line("root", FAIL, f"{here} cannot be written", "give yourself the right, or move [storage] root"))
    return lines


def versions() -> list[Line]:
    """Python and the packages that results depend on, against what this release asks for."""
    lines = [Line("python", OK, sys.version.split()[0])]
    for text in requires("foreshore") or []:
        wanted = Requirement(text)
        if wanted.marker is not None:
            continue  # of an extra
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            lines.append(Line(wanted.name, FAIL, "is not installed", "make setup"))
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            lines.append(Line(wanted.name, FAIL, f"{found} is here, {wanted.specifier} is asked for", "make setup"))
    return lines if len(lines) > 1 else [*lines, Line("packages", OK, "as this release asks for")]


def store(config: Config) -> list[Line]:
    """Whether the raw zone can be read, which version it has, and whether its data are of the configuration's kind."""
    try:
        lake = Lake.of(config)
        held = lake.holds_simulated()
        lake.check()
    except (ForeshoreError, OSError, ImportError, ValueError) as error:
        return [Line("store", FAIL, redact(f"{type(error).__name__}: {error}"), "see [storage] in foreshore.toml")]
    if held is None:
        return [Line("store", OK, "nothing has landed yet")]
    words = "the embedded world's" if held else "real"
    damaged = [p for p in _published_links(config.root) if not p.exists()]
    told = [Line("store", OK, f"holds {words} data")]
    if damaged:
        told.append(Line("publication", FAIL, f"{damaged[0]} leads nowhere", "foreshore build"))
    return told


def _published_links(root: Path) -> list[Path]:
    return [path for path in (root / "foreshore.duckdb", root / "published" / "current") if path.is_symlink()]
