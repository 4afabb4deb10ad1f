"""Read `foreshore.toml`: which chains, which protocols, where data lands.

Secrets never stand in the file: a provider names the environment variable that holds its URL.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.errors import ConfigError

DEFAULT_CONFIG = "foreshore.toml"
WORLD_CONFIG = "data/world/foreshore.toml"


@dataclass(frozen=True)
class Config:
    """The parsed file, its path, and the folder that relative storage paths start from."""

    path: Path
    raw: Mapping[str, Any]
    environ: Mapping[str, str]

    @property
    def root(self) -> Path:
        """Folder for everything Foreshore writes (`[storage] root`, default `data`)."""
        return Path(self.raw.get("storage", {}).get("root", "data"))

    @property
    def raw_url(self) -> str:
        """Where raw parquet lands: a folder or any fsspec URL (`[storage] raw_url`)."""
        return str(self.raw.get("storage", {}).get("raw_url", (self.root / "raw").as_posix()))

    @property
    def seeds(self) -> Path:
        """Folder of the seeds (constants as data)."""
        return Path(self.raw.get("storage", {}).get("seeds", "seeds"))

    def section(self, name: str) -> Mapping[str, Any]:
        """A top-level table, empty when absent."""
        value = self.raw.get(name, {})
        if not isinstance(value, Mapping):
            raise ConfigError(f"{self.path}: [{name}] must be a table")
        return value


def config_path(explicit: str | None = None) -> Path:
    """The file in use: `--config`, then $FORESHORE_CONFIG, then an embedded world that is up, then the default."""
    named = explicit or os.environ.get("FORESHORE_CONFIG")
    if named:
        return Path(named)
    world = Path(WORLD_CONFIG)
    return world if world.exists() else Path(DEFAULT_CONFIG)


def load_config(explicit: str | None = None) -> Config:
    """Parse the configuration in use; ConfigError names the file and what to do."""
    path = config_path(explicit)
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: run from the repository, or pass --config FILE") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    return Config(path=path, raw=raw, environ=dict(os.environ))
