"""Where a run's work is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Where:
    """Where work is done: `local` is this process; `dask` is workers of this machine, of a running scheduler, or of
    hosts over SSH (`[user@]host[=python]`).
    """

    engine: str = "local"
    scheduler: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def is_cluster(self) -> bool:
        return self.engine == "dask" or bool(self.scheduler or self.hosts)


HERE = Where()
