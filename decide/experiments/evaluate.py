"""Run experiments on a market: each gets what it asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from decide.errors import DecisionError
from decide.experiments.protocol import (
    Context,
    Experiment,
    Forecast,
    Resolved,
    Result,
    Skip,
    Snapshot,
    Stake,
    input_hash,
    needs_of,
)

EMPTY = Resolved()


@dataclass(frozen=True, slots=True)
class Known:
    """What a run knows beside a market's own snapshot: settings by experiment, and what had resolved."""

    settings: Mapping[str, Mapping[str, float]]
    resolved: Resolved


def context_for(
    experiment: Experiment, known: Known, siblings: Sequence[Snapshot], results: Mapping[str, Result]
) -> Context:
    """What this experiment asked for. Siblings come in order of their id, whatever order they were fetched in."""
    needs = needs_of(experiment)
    return Context(
        settings=dict(known.settings.get(experiment.name, {})),
        results={name: results[name] for name in experiment.requires},
        resolved=known.resolved if "resolved" in needs else EMPTY,
        siblings=tuple(sorted(siblings, key=lambda s: s.market_id)) if "siblings" in needs else (),
    )


def answer(experiment: Experiment, snapshot: Snapshot, context: Context) -> tuple[Result, str]:
    """The result and the hash of everything it rests on. Errors: whatever the experiment raises; DecisionError when
    what it returns is no result."""
    hashed = input_hash(experiment, snapshot, context)
    result = experiment.run(snapshot, context)
    if not isinstance(result, Forecast | Stake | Skip):
        raise DecisionError(f"{experiment.name} returned {type(result).__name__}; expected Forecast, Stake or Skip")
    return result, hashed
