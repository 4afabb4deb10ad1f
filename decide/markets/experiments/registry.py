"""The experiments of a run, in an order in which each comes after what it requires."""

from __future__ import annotations

import re
from collections.abc import Sequence

from decide.errors import DecisionError
from decide.markets.experiments.protocol import NEEDS, Experiment, needs_of

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def arrange(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Experiments ordered by `requires`; among those that are free, by name, so the order given does not matter.

    Errors: DecisionError for malformed, repeated or unknown names, unknown needs, and cycles, naming them.
    """
    by_name: dict[str, Experiment] = {}
    for experiment in experiments:
        _check(experiment)
        if experiment.name in by_name:
            raise DecisionError(f"experiment {experiment.name!r} is registered twice: rename one, or remove it")
        by_name[experiment.name] = experiment
    for experiment in experiments:
        missing = sorted(set(experiment.requires) - set(by_name))
        if missing:
            raise DecisionError(
                f"experiment {experiment.name!r} requires {', '.join(missing)}, which is not registered; "
                f"registered are {', '.join(sorted(by_name))}"
            )
    ordered: list[Experiment] = []
    waiting = dict(sorted(by_name.items()))
    while waiting:
        done = {experiment.name for experiment in ordered}
        free = next((e for e in waiting.values() if set(e.requires) <= done), None)
        if free is None:
            raise DecisionError(f"experiments require each other in a circle: {' -> '.join(_circle(waiting))}")
        ordered.append(waiting.pop(free.name))
    return tuple(ordered)


def _circle(waiting: dict[str, Experiment]) -> list[str]:
    """One circle among experiments of which none is free, its first name repeated at the end."""
    name = min(waiting)
    walked: list[str] = []
    while name not in walked:
        walked.append(name)
        name = min(r for r in waiting[name].requires if r in waiting)
    return [*walked[walked.index(name) :], name]


def _check(experiment: Experiment) -> None:
    if not isinstance(experiment, Experiment):
        raise DecisionError(f"{experiment!r} is no experiment: it needs name, version, requires, mandatory and run()")
    name = experiment.name
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DecisionError(f"experiment name {name!r}: use lower-case letters, digits and underscores")
    if not isinstance(experiment.version, str) or not experiment.version:
        raise DecisionError(f"experiment {name!r}: version {experiment.version!r} must be text, e.g. '1'")
    if not isinstance(experiment.requires, tuple | list):
        raise DecisionError(f"experiment {name!r}: requires must be a tuple of names, e.g. ('market_price',)")
    unknown = sorted(set(needs_of(experiment)) - set(NEEDS))
    if unknown:
        raise DecisionError(f"experiment {name!r} needs {', '.join(unknown)}; there is only {', '.join(NEEDS)}")
