"""`[overnight]` of foreshore.toml: whose lines run at night, how stubbornly, and when."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from extract.config import Config
from extract.errors import ConfigError
from extract.lending.plan import is_configured as lending_is_configured

WINGS = ("voting", "lending", "bars", "markets")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True)
class Step:
    """One command of a night. `retry_on`: exit codes after which it is tried again."""

    name: str
    arguments: tuple[str, ...]
    retry_on: frozenset[int] = frozenset({1, 2})


@dataclass(frozen=True)
class NightSettings:
    """tries: of a step in a night; rests between rounds double from first_rest_seconds up to longest_rest_seconds.
    step_hours: after which a step that has not ended is stopped. at, verify_at: local times of the night and of
    the morning's look. late_after_hours: without a finished night for so long, the morning says that none ran.
    log_megabytes: at which a durable log is set aside; logs_kept: of those, and of the nights' own."""

    tries: int = 4
    first_rest_seconds: float = 60.0
    longest_rest_seconds: float = 1800.0
    step_hours: float = 6.0
    at: str = "02:10"
    verify_at: str = "07:00"
    late_after_hours: float = 26.0
    log_megabytes: float = 50.0
    logs_kept: int = 14
    lines: tuple[Step, ...] = ()

    def rest(self, round_: int) -> float:
        """Seconds to wait before a round (the second one is 2)."""
        return float(min(self.first_rest_seconds * 2 ** (round_ - 2), self.longest_rest_seconds))


def night_settings(config: Config) -> NightSettings:
    """Errors: ConfigError names the key and what it may be."""
    section = dict(config.section("overnight"))
    extract, where = section.pop("extract", {}), f"{config.path}: [overnight]"
    if not isinstance(extract, Mapping):
        raise ConfigError(f"{where} extract must be a table of options by wing")
    known = {f.name: f.type for f in fields(NightSettings) if f.name != "lines"}
    for key, value in section.items():
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key}: it may have {', '.join(sorted(known))} and extract")
        _check(f"{where} {key}", str(known[key]), value)
    return NightSettings(**section, lines=_lines(config, extract, where))


def _check(where: str, kind: str, value: Any) -> None:
    if kind == "str":
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ConfigError(f'{where} = {value!r} is no time of day: write e.g. "02:10"')
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < float("inf") or (kind == "int" and (value != int(value) or value < 1)):
        raise ConfigError(
            f"{where} = {value!r} must be {'a whole number of 1 or more' if kind == 'int' else 'a number'}"
        )


def _lines(config: Config, extract: Mapping[str, Any], where: str) -> tuple[Step, ...]:
    """The extractions of a night: those of `extract`, or (none named) of every wing that can run without options."""
    for wing, options in extract.items():
        if wing not in WINGS:
            raise ConfigError(f"{where} extract has no wing {wing!r}: use {', '.join(WINGS)}")
        if not isinstance(options, list) or not all(isinstance(word, str) for word in options):
            raise ConfigError(f'{where} extract.{wing} must be a list of words, e.g. ["--days", "3"]')
    chosen = extract or _configured(config)
    return tuple(step for wing in WINGS if wing in chosen for step in _steps(wing, tuple(chosen[wing])))


def _configured(config: Config) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if config.section("voting") and config.has_provider:
        found["voting"] = ["--epochs", "2"]  # the last one again: what came late is due, what is complete costs nothing
    if lending_is_configured(config):
        found["lending"] = ["--days", "3"]
    if config.section("polymarket"):
        found["markets"] = []
    return found


def _steps(wing: str, options: tuple[str, ...]) -> list[Step]:
    if wing == "markets":  # the daily run extracts what it decides on
        return [
            Step("markets", ("markets", "daily", *options)),
            Step("markets-resolve", ("markets", "resolve")),
        ]
    return [Step(wing, ("extract", wing, *options))]


def closing_steps(verbs: Collection[str]) -> list[Step]:
    """What follows the extractions: build and publish (building again helps no wing that was held back), the report."""
    steps = [Step("build", ("build",), frozenset({1}))]
    return [*steps, Step("report", ("report",), frozenset())] if "report" in verbs else steps


def night_folder(config: Config) -> Path:
    """Heartbeat, result and lock of the nights."""
    return config.root / "overnight"
