"""Tasks of markets, worked off by processes of this machine or by the workers of a cluster: the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from decide.markets.experiments.protocol import Snapshot, resolved_until, settings_of
from extract.seeds import read_seed
from extract.where import Where
from operate.markets.pool import Evaluated, Pool, run_tasks
from operate.markets.registry import load_experiments
from operate.markets.settings import MarketSettings
from operate.markets.store import Store
from operate.markets.worker import Setup, Task
from operate.spread import spread

TASKS_PER_PART = 4  # of at most 32 markets or one event: what a worker of a cluster gets at once


def evaluate(
    settings: MarketSettings,
    store: Store,
    first: Snapshot,
    tasks: Sequence[Task],
    where: Where,
    say: Callable[[str], None],
) -> Iterator[Evaluated]:
    """Every market of the tasks, in the order in which they become ready, with what had resolved when `first` (and all
    that stands beside it) was taken. Errors: ExperimentError, ClusterError.
    """
    setup, timeout = _setup(settings, store, first), settings.timeout_seconds
    if not where.is_cluster:
        experiments = load_experiments(*settings.setup)
        with Pool(experiments, setup, processes=settings.concurrency, timeout=timeout) as pool:
            yield from pool.results(tasks)
        return
    parts = [(setup, tasks[n : n + TASKS_PER_PART], timeout) for n in range(0, len(tasks), TASKS_PER_PART)]
    for _, found in spread(where, settings.concurrency, run_tasks, parts, say):
        yield from found


def _setup(settings: MarketSettings, store: Store, first: Snapshot) -> Setup:
    return Setup(
        experiments=settings.experiments,
        settings=settings_of(read_seed(settings.seeds, "markets/experiment_settings")),
        resolved=resolved_until(store.history(), first.snapshot_at),
        models=settings.setup[1],
    )
