"""Which bar strategies there are: rows of the seed, and files of one's own that foreshore.toml registers or a path
names.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from decide.bars.backtest import Execution
from decide.bars.rules import Rules, parse_record
from decide.bars.run import BarStrategy, Gates, bar_strategies
from decide.bars.strategy import OwnRules, for_security
from decide.errors import DecisionError
from extract.bars.symbols import canonical
from extract.config import Config
from extract.errors import ConfigError, RequestError
from extract.seeds import read_seed


def known_strategies(config: Config) -> dict[str, BarStrategy]:
    """Every strategy by KEY@VERSION: the seed's in its order, then the registered ones."""
    seeded = bar_strategies(read_seed(config.seeds, "bars/bar_strategies"))
    places = config.section("bars").get("strategies", [])
    if not isinstance(places, list):
        raise ConfigError(f"{config.path}: [bars] strategies is a list of modules or .py files")
    own = [own_strategy(str(place), seeded[0]) for place in places]
    found: dict[str, BarStrategy] = {}
    for made in [*seeded, *own]:
        name = f"{made.key}@{made.version}"
        if name in found:
            raise ConfigError(f"{config.path}: there are two strategies {name}: give one another NAME or VERSION")
        found[name] = made
    return found


def find_strategy(config: Config, wanted: str | None) -> BarStrategy:
    """By KEY, KEY@VERSION or the path of a file; without a name the seed's first."""
    if wanted and wanted.endswith(".py"):
        return own_strategy(wanted, bar_strategies(read_seed(config.seeds, "bars/bar_strategies"))[0])
    known = known_strategies(config)
    matching = [made for name, made in known.items() if wanted in (None, name, made.key)]
    if not matching:
        raise RequestError(
            f"strategy {wanted!r} is unknown: there are {', '.join(known)}; or name a file, e.g. strategies/mine.py"
        )
    return matching[0] if wanted is None else matching[-1]


def own_strategy(place: str, base: BarStrategy) -> BarStrategy:
    """The strategy of a module or a .py file; execution and gates are those of `base` but for what it says itself."""
    source = _source(place)
    try:
        rules = OwnRules.of(source)
        execution = parse_record(Execution, {**asdict(base.execution), **rules.module.get("EXECUTION", {})})
        gates = parse_record(Gates, {**asdict(base.gates), **rules.module.get("GATES", {})})
    except DecisionError as error:
        raise RequestError(f"{place}: {error}") from None
    return BarStrategy(rules.name, rules.version, rules, execution, gates)


def _source(place: str) -> str:
    if place.endswith(".py"):
        path = Path(place)
    else:
        try:
            spec = importlib.util.find_spec(place)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            raise RequestError(f"there is no module {place}: name one, or a .py file")
        path = Path(spec.origin)
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"the strategy file {path} cannot be read ({error})") from None


def change(strategy: BarStrategy, changes: Mapping[str, str]) -> BarStrategy:
    """The strategy with named parameters changed, whatever their kind; RequestError for a name it does not have."""
    parts: dict[str, dict[str, Any]] = {kind: asdict(getattr(strategy, kind)) for kind in ("execution", "gates")}
    rules = strategy.rules
    own = dict(rules.parameters) if isinstance(rules, OwnRules) else asdict(rules)
    mine: dict[str, str] = {}
    for name, value in changes.items():
        homes = [kind for kind, values in parts.items() if name in values]
        if name in own and name != "timeframe_minutes":
            mine[name] = value
        elif homes:
            parts[homes[0]][name] = value
        else:
            told = "the strategy's file" if isinstance(rules, OwnRules) else "seeds/bars/bar_strategies.csv"
            raise RequestError(f"--set {name}={value}: no such parameter; {told} lists them")
    try:
        changed = rules.changed(mine) if isinstance(rules, OwnRules) else parse_record(Rules, {**own, **mine})
        return replace(
            strategy,
            rules=changed,
            execution=parse_record(Execution, parts["execution"]),
            gates=parse_record(Gates, parts["gates"]),
        )
    except DecisionError as error:
        raise RequestError(str(error)) from None


def on_security(config: Config, strategy: BarStrategy, symbol: str) -> BarStrategy:
    """The strategy with the ticks of a security that has its own."""
    for row in read_seed(config.seeds, "bars/security_ticks"):
        if canonical(row["symbol"]) == symbol:
            sizes = float(row["tick_size_usd"]), float(row["tick_size_below_dollar_usd"])
            return replace(strategy, rules=for_security(strategy.rules, *sizes))
    return strategy
