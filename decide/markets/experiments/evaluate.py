"""Run experiments on a market: each gets what it asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from decide.errors import DecisionError
from decide.markets.experiments.protocol import (
    Answer,
    Context,
    Document,
    Experiment,
    Forecast,
    Resolved,
    Result,
    Skip,
    Snapshot,
    Stake,
    canonical,
    input_hash,
    needs_of,
    plain,
)

EMPTY = Resolved()


@dataclass(frozen=True, slots=True)
class Known:
    """What a run knows beside a market's own snapshot: settings by experiment, and what had resolved."""

    settings: Mapping[str, Mapping[str, float]]
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class Heard:
    """What a language model said for one experiment and market, or why it was not asked."""

    answers: tuple[Answer, ...] = ()
    withheld: str = ""


def context_for(
    experiment: Experiment,
    known: Known,
    siblings: Sequence[Snapshot],
    results: Mapping[str, Result],
    documents: Sequence[Document] = (),
    heard: Heard | None = None,
) -> Context:
    """What this experiment asked for. Siblings come in order of their id, whatever order they were fetched in."""
    needs = needs_of(experiment)
    said = heard if heard is not None and "answers" in needs else Heard()
    return Context(
        settings=dict(known.settings.get(experiment.name, {})),
        results={name: results[name] for name in experiment.requires},
        resolved=known.resolved if "resolved" in needs else EMPTY,
        siblings=tuple(sorted(siblings, key=lambda s: s.market_id)) if "siblings" in needs else (),
        documents=tuple(documents) if "documents" in needs else (),
        answers=said.answers,
        withheld=said.withheld,
    )


def usable_documents(
    documents: Sequence[Document], snapshot: Snapshot
) -> tuple[tuple[Document, ...], tuple[tuple[Document, str], ...]]:
    """Documents that a forecast may rest on, newest first, and the others with the reason.

    Published no later than the market itself was read: else it may hold what the price beside it does not yet know.
    """
    read_at = snapshot.observed_at or snapshot.snapshot_at
    kept, refused = list[Document](), list[tuple[Document, str]]()
    for document in documents:
        if document.published_at is None:
            refused.append((document, "undated"))
        elif document.published_at > read_at:
            refused.append((document, "published_after_the_snapshot"))
        elif document.retrieved_at > snapshot.snapshot_at:
            refused.append((document, "retrieved_after_the_snapshot"))
        else:
            kept.append(document)
    kept.sort(key=lambda each: (each.published_at, each.url), reverse=True)
    return tuple(kept), tuple(refused)


def known_until(snapshot: Snapshot, context: Context) -> datetime:
    """The newest moment that any input speaks of: at or before `snapshot_at`, or the law of point in time is broken."""
    moments = [snapshot.observed_at or snapshot.snapshot_at, *(point.observed_at for point in snapshot.prices)]
    moments += [outcome.known_at for outcome in context.resolved.outcomes[-1:]]
    moments += [sibling.observed_at or sibling.snapshot_at for sibling in context.siblings]
    moments += [max(each.published_at or each.retrieved_at, each.retrieved_at) for each in context.documents]
    return max(moments)


def answer(experiment: Experiment, snapshot: Snapshot, context: Context) -> tuple[Result, str]:
    """The result and the hash of everything it rests on.

    Errors: whatever the experiment raises; DecisionError when an input is from after the snapshot, or when what it
    returns is no result.
    """
    newest = known_until(snapshot, context)
    if newest > snapshot.snapshot_at:
        raise DecisionError(f"an input is from {newest}, after the snapshot at {snapshot.snapshot_at}")
    hashed = input_hash(experiment, snapshot, context)
    result = experiment.run(snapshot, context)
    if not isinstance(result, Forecast | Stake | Skip):
        raise DecisionError(f"{experiment.name} returned {type(result).__name__}; expected Forecast, Stake or Skip")
    canonical(plain(result))  # what cannot be written down is no result either
    return result, hashed
