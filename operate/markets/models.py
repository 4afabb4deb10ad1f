"""`[markets.language_models.<name>]` of foreshore.toml: which models forecast, where they answer, what they may cost.

Where a model is and the key to it come from the environment; the key is never shown and never kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decide.errors import DecisionError
from decide.markets.experiments.language_model import LanguageModel, ModelSpec
from decide.markets.language.prompt import Prompt
from extract.config import Config
from extract.errors import ConfigError
from extract.evm.redact import remember

PROMPTS = Path(__file__).parent / "prompts"
STRUCTURED = ("json_schema", "json_object", "none")


@dataclass(frozen=True)
class Limits:
    """The most that may be spent: requests, tokens, US dollars."""

    calls: int
    tokens: int
    usd: float


RUN_LIMITS = Limits(calls=5_000, tokens=10_000_000, usd=20.0)
MODEL_LIMITS = Limits(calls=2_000, tokens=4_000_000, usd=10.0)


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, and how it may be asked. `structured`: what it knows of structured answers."""

    url: str = field(repr=False)
    key: str = field(repr=False)
    timeout_seconds: float = 60.0
    tries: int = 3
    requests_per_minute: float = 60.0
    max_in_flight: int = 4
    structured: str = "json_schema"
    usd_per_million_prompt_tokens: float = 0.0
    usd_per_million_completion_tokens: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        dear = prompt_tokens * self.usd_per_million_prompt_tokens
        return (dear + completion_tokens * self.usd_per_million_completion_tokens) / 1e6


@dataclass(frozen=True)
class Model:
    """One experiment that a language model makes."""

    experiment: LanguageModel
    endpoint: Endpoint
    limits: Limits

    @property
    def spec(self) -> ModelSpec:
        return self.experiment.spec


_SHAPES = {f.name: f.type for f in fields(ModelSpec) if f.name not in ("name", "prompt", "model", "lengths")}
_WAYS = [f.name for f in fields(Endpoint) if f.name not in ("url", "key")]
_NAMES = {"model_env": "FORESHORE_LLM_MODEL", "url_env": "FORESHORE_LLM_URL", "key_env": "FORESHORE_LLM_KEY"}
_OTHERS = ("enabled", "prompt", "model", "budget", *_NAMES)


def load_models(config: Config, section: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Model, ...]:
    """Every section that is enabled, checked. Errors: ConfigError names the section, the key and what it may be."""
    found = []
    for name, given in section.items():
        if not isinstance(given, Mapping):
            raise ConfigError(f"{config.path}: [markets.language_models] {name} must be a section of its own")
        where = f"{config.path}: [markets.language_models.{name}]"
        _check_names(where, given)
        if given.get("enabled", True):
            found.append(_model(config, where, name, given, environ))
    return tuple(found)


def load_limits(where: str, given: Mapping[str, Any], default: Limits) -> Limits:
    """A budget; what it does not name is as in `default`."""
    known = {f.name for f in fields(Limits)}
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"{where} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"{where} {key} = {value!r}: it must be a number, 0 or above")
    made = {**vars(default), **given}
    return Limits(int(made["calls"]), int(made["tokens"]), float(made["usd"]))


def _check_names(where: str, given: Mapping[str, Any]) -> None:
    known = (*_SHAPES, *_WAYS, *_OTHERS)
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(f"{where} has no {', '.join(unknown)}; it has {', '.join(known)}")


def _model(config: Config, where: str, name: str, given: Mapping[str, Any], environ: Mapping[str, str]) -> Model:
    named = {key: str(given.get(key, default)) for key, default in _NAMES.items()}
    model = given.get("model") or environ.get(named["model_env"])
    url = environ.get(named["url_env"])
    if not model or not url:
        lacks = " and ".join(named[key] for key, value in (("url_env", url), ("model_env", model)) if not value)
        raise ConfigError(f"{where} is enabled and needs {lacks} in the environment: set it, or enabled = false")
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{named['url_env']} must begin with http:// or https://")
    remember(url)
    ways = {key: given[key] for key in _WAYS if key in given}
    try:
        endpoint = Endpoint(url.rstrip("/"), environ.get(named["key_env"], ""), **ways)
        _check_endpoint(where, endpoint)
        shape = {key: given[key] for key in _SHAPES if key in given}
        spec = ModelSpec(name, Prompt(_prompt_text(config, where, given)), str(model), **shape)
        _check_spec(where, spec)
        return Model(
            LanguageModel(spec), endpoint, load_limits(f"{where} budget", given.get("budget", {}), MODEL_LIMITS)
        )
    except (DecisionError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _prompt_text(config: Config, where: str, given: Mapping[str, Any]) -> str:
    named = str(given.get("prompt", "blind"))
    path = Path(named) if named.endswith(".md") else PROMPTS / f"{named}.md"
    path = path if path.is_absolute() else Path(config.path).parent / path
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(sorted(each.stem for each in PROMPTS.glob("*.md")))
        raise ConfigError(
            f"{where} prompt {named!r} cannot be read ({type(error).__name__}): name a .md file or one of {shipped}"
        ) from None


def _check_endpoint(where: str, endpoint: Endpoint) -> None:
    for key in ("timeout_seconds", "tries", "requests_per_minute", "max_in_flight"):
        value = getattr(endpoint, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigError(f"{where} {key} = {value!r}: it must be above 0")
    for key in ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens"):
        value = getattr(endpoint, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"{where} {key} = {value!r}: it must be 0 or above")
    if endpoint.structured not in STRUCTURED:
        raise ConfigError(f"{where} structured = {endpoint.structured!r}: one of {', '.join(STRUCTURED)}")


def _check_spec(where: str, spec: ModelSpec) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "sees_price": bool,
        "samples": int,
        "rule": str,
        "least_valid": int,
        "temperature": (int, float),
        "max_tokens": int,
    }
    for key, kind in kinds.items():
        value = getattr(spec, key)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ConfigError(f"{where} {key} = {value!r} has the wrong type")
    if spec.training_cutoff is not None and type(spec.training_cutoff) is not date:
        raise ConfigError(f"{where} training_cutoff must be a date, e.g. 2026-06-30")
    if spec.max_tokens < 1 or not 0 <= spec.temperature <= 2:
        raise ConfigError(f"{where}: max_tokens must be at least 1, temperature within 0 and 2")
