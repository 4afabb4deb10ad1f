"""Load experiments by configuration: module paths, or single files outside the package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from decide.errors import DecisionError
from decide.markets.experiments.language_model import LanguageModel, ModelSpec
from decide.markets.experiments.protocol import Experiment
from decide.markets.experiments.registry import arrange
from extract.errors import ForeshoreError


class ExperimentError(ForeshoreError):
    """An experiment cannot be loaded; the message names its place and what is wrong."""


def load_experiments(places: Sequence[str], models: Sequence[ModelSpec] = ()) -> tuple[Experiment, ...]:
    """The `EXPERIMENT` (or each of `EXPERIMENTS`) of every module and one per model, ordered by what they require."""
    found: list[Experiment] = [LanguageModel(spec) for spec in models]
    for place in places:
        found += _of(place)
    try:
        return arrange(found)
    except DecisionError as error:
        raise ExperimentError(f"[markets] experiments: {error}") from None


def _of(place: str) -> list[Experiment]:
    module = _module(place)
    if hasattr(module, "EXPERIMENTS"):
        return list(module.EXPERIMENTS)
    if hasattr(module, "EXPERIMENT"):
        return [module.EXPERIMENT]
    raise ExperimentError(f"{place} defines neither EXPERIMENT nor EXPERIMENTS")


def _module(place: str) -> ModuleType:
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ExperimentError:
        raise
    except ModuleNotFoundError as error:
        raise ExperimentError(
            f"experiment module {place} cannot be found ({error}): correct [markets] experiments"
        ) from None
    except Exception as error:
        raise ExperimentError(f"experiment module {place} does not load: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ExperimentError(f"experiment file {path} does not exist: correct [markets] experiments")
    name = f"foreshore_experiment_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
