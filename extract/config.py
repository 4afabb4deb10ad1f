"""Read `foreshore.toml`: which chains, which protocols, where data lands.

Every path in the file is relative to the file, wherever a command is called from. Secrets never stand in it: a provider
names the environment variable that holds its URL.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.errors import ConfigError
from extract.shapes import misshapen
from extract.store import without_secrets

DEFAULT_CONFIG = "foreshore.toml"
WORLD_CONFIG = "data/world/foreshore.toml"  # from the default one's folder; its own folder is the world's root
CONFIG_VARIABLE = "FORESHORE_CONFIG"
ENVIRONMENT_VARIABLE = "FORESHORE_ENVIRONMENT"


@dataclass(frozen=True)
class Config:
    """The parsed file, its path, and the environment it was read in."""

    path: Path
    raw: Mapping[str, Any]
    environ: Mapping[str, str]

    @property
    def root(self) -> Path:
        """Folder for everything Foreshore writes (`[storage] root`, default `data`)."""
        return self.beside(self._storage("root", "data"))

    @property
    def raw_url(self) -> str:
        """Where raw parquet lands: a folder or an object store's URL (`[storage] raw_url`), without credentials."""
        named = without_secrets(self._storage("raw_url", ""))
        return named if "://" in named else (self.beside(named) if named else self.root / "raw").as_posix()

    @property
    def published_url(self) -> str | None:
        """Where publications are put for other machines (`[storage] published_url`), None where nowhere."""
        named = without_secrets(self._storage("published_url", ""), "published_url")
        if not named:
            return None
        return named if "://" in named else self.beside(named).as_posix()

    @property
    def seeds(self) -> Path:
        """Folder of the seeds (constants as data)."""
        return self.beside(self._storage("seeds", "seeds"))

    @property
    def is_simulated(self) -> bool:
        """Whether this is an embedded world's configuration: its data never share a store with real ones."""
        return bool(self.raw.get("storage", {}).get("is_simulated", False))

    @property
    def is_production(self) -> bool:
        """Whether this run must never fall back to anything embedded (`FORESHORE_ENVIRONMENT=production`)."""
        return self.environ.get(ENVIRONMENT_VARIABLE, "").strip().lower() == "production"

    @property
    def has_provider(self) -> bool:
        """Whether any chain has a provider whose URL is known."""
        providers = [p for chain in self.section("chains").values() for p in chain.get("providers", [])]
        return any("url" in p or self.environ.get(p.get("url_env", "")) for p in providers)

    @property
    def has_landed(self) -> bool:
        """Whether anything was ever landed in its store (a store that is not a folder counts as in use)."""
        return "://" in self.raw_url or (Path(self.raw_url) / "_dlt_loads").exists()

    def beside(self, path: str) -> Path:
        """A path of this file: relative ones start from the file's folder."""
        return self.path.parent / path

    def section(self, name: str) -> Mapping[str, Any]:
        """A top-level table, empty when absent."""
        value = self.raw.get(name, {})
        if not isinstance(value, Mapping):
            raise ConfigError(f"{self.path}: [{name}] must be a table")
        return value

    def _storage(self, name: str, default: str) -> str:
        return str(self.section("storage").get(name, default))


def load_config(explicit: str | Path | None = None) -> Config:
    """The configuration in use; ConfigError names the file and what to do.

    `--config`, then $FORESHORE_CONFIG, then foreshore.toml of this folder or the nearest one above. Where that one has
    neither a provider nor data, an embedded world beside it is used, but never in production.
    """
    named = explicit or os.environ.get(CONFIG_VARIABLE)
    if named:
        return read_config(Path(named))
    default = read_config(default_path())
    world = default.path.parent / WORLD_CONFIG
    if not world.exists() or default.has_provider or default.has_landed or default.is_production:
        return default
    return read_config(world)


def default_path() -> Path:
    """`foreshore.toml` of this folder, else of the nearest folder above; of this one where there is none."""
    here = Path(DEFAULT_CONFIG)
    if here.exists():
        return here
    above = (folder / DEFAULT_CONFIG for folder in Path.cwd().parents)
    return next((path for path in above if path.exists()), here)


def read_config(path: Path) -> Config:
    """Parse one file. Errors: ConfigError when it is not there, not text, not TOML, or holds other kinds of values."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"no configuration at {path} ({error.strerror}): call from the project's folder, pass --config FILE, "
            f"set {CONFIG_VARIABLE}, or lay a project with `foreshore init`"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for problem in misshapen(raw):
        raise ConfigError(f"{path}: {problem}")
    return Config(path=path, raw=raw, environ=dict(os.environ))
