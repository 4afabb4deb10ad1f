"""`[markets]` of foreshore.toml: which experiments run, how, and where their ledger is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decide.markets.experiments.language_model import ModelSpec
from decide.markets.experiments.protocol import sha256_of
from extract.config import ENVIRONMENT_VARIABLE, Config
from extract.errors import ConfigError
from operate.markets.models import RUN_LIMITS, Limits, Model, load_limits, load_models

LEDGER_URL = "FORESHORE_LEDGER_URL"  # a PostgreSQL ledger
LEDGER_FILE = "FORESHORE_LEDGER"  # another file for the embedded one
SHIPPED = tuple(
    f"decide.markets.experiments.{name}"
    for name in (
        "baseline_snapshot",
        "market_price",
        "base_rate",
        "longshot_corrected",
        "negrisk_coherent",
        "momentum",
        "time_decay",
        "kelly",
    )
)
_KEYS = {
    "experiments": list,
    "window_days": int,
    "concurrency": int,
    "experiment_timeout_seconds": (int, float),
    "lease_seconds": (int, float),
    "database_patience_seconds": (int, float),
    "language_models": dict,
    "language_model_budget": dict,
}


@dataclass(frozen=True)
class MarketSettings:
    """What a run needs to know. `ledger_url` is a secret: never shown."""

    root: Path
    seeds: Path
    ledger_file: Path
    ledger_url: str | None = None
    experiments: tuple[str, ...] = SHIPPED
    window_days: int = 7
    concurrency: int = 2
    timeout_seconds: float = 10.0
    lease_seconds: float = 120.0
    patience_seconds: float = 30.0
    models: tuple[Model, ...] = ()
    run_limits: Limits = RUN_LIMITS

    def __repr__(self) -> str:
        return f"MarketSettings({'postgres' if self.ledger_url else self.ledger_file})"

    @property
    def sha256(self) -> str:
        """Of what shapes the results: experiments and their order do, concurrency does not."""
        shaping = {"experiments": list(self.experiments), "window_days": self.window_days}
        if self.models:
            shaping["models"] = [[m.experiment.name, m.experiment.version] for m in self.models]
        return sha256_of(shaping)

    @property
    def setup(self) -> tuple[tuple[str, ...], tuple[ModelSpec, ...]]:
        """What every process of a run loads: places of experiments, and specs of those that a model makes."""
        return self.experiments, tuple(model.spec for model in self.models)

    def run_folder(self, run_id: str) -> Path:
        """Where a run leaves its summary, metrics and debug artifacts."""
        return self.root / "markets" / run_id

    @property
    def log_file(self) -> Path:
        return self.root / "logs" / "markets.jsonl"

    @classmethod
    def of(cls, config: Config, environ: Mapping[str, str] | None = None, with_models: bool = False) -> MarketSettings:
        """Read and check; ConfigError names the key. In production a ledger without a URL is refused.

        `with_models`: for commands that run experiments; others need no endpoint in their environment.
        """
        found = os.environ if environ is None else environ
        section = dict(config.section("markets"))
        _check(config, section)
        url = found.get(LEDGER_URL) or None
        if url is None and found.get(ENVIRONMENT_VARIABLE, "").lower() == "production":
            raise ConfigError(
                f"{ENVIRONMENT_VARIABLE}=production needs the ledger's database in {LEDGER_URL} (postgresql://...): "
                "set it, or unset it to use the embedded ledger"
            )
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            raise ConfigError(f"{LEDGER_URL} must begin with postgresql://")
        return cls(
            root=config.root,
            seeds=config.seeds,
            ledger_file=Path(found.get(LEDGER_FILE) or config.root / "ledger" / "markets.duckdb"),
            ledger_url=url,
            experiments=tuple(_place(config, name) for name in section.get("experiments", SHIPPED)),
            window_days=section.get("window_days", cls.window_days),
            concurrency=section.get("concurrency", cls.concurrency),
            timeout_seconds=float(section.get("experiment_timeout_seconds", cls.timeout_seconds)),
            lease_seconds=float(section.get("lease_seconds", cls.lease_seconds)),
            patience_seconds=float(section.get("database_patience_seconds", cls.patience_seconds)),
            models=load_models(config, section.get("language_models", {}), found) if with_models else (),
            run_limits=load_limits(
                f"{config.path}: [markets.language_model_budget]",
                section.get("language_model_budget", {}),
                RUN_LIMITS,
            ),
        )


def _place(config: Config, name: str) -> str:
    """A module path as it is; a file relative to the configuration that names it."""
    return str(config.beside(name)) if name.endswith(".py") else name


def _check(config: Config, section: Mapping[str, Any]) -> None:
    for key, value in section.items():
        if key not in _KEYS:
            raise ConfigError(f"{config.path}: [markets] has no {key}; it has {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):  # type: ignore[arg-type]
            raise ConfigError(f"{config.path}: [markets] {key} = {value!r} has the wrong type")
        if isinstance(value, int | float) and value <= 0 and key != "window_days":
            raise ConfigError(f"{config.path}: [markets] {key} = {value} must be above 0")
    names = section.get("experiments", SHIPPED)
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{config.path}: [markets] experiments must be a filled list of module paths or .py files")
