"""The tries of a sweep, in parts: made here or by a cluster, each part kept, so that a killed sweep goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from decide.bars.bars import Bars
from decide.bars.sessions import Sessions
from decide.bars.sweep import Sets, Try, Usable, try_sets
from decide.bars.tables import params
from extract.config import Config
from extract.where import Where
from operate.parts import Packed, Parts
from operate.spread import spread

SETS_PER_PART = 250


class Tries:
    """The tries of `sets` on a series, in parts."""

    def __init__(self, config: Config, series: Sequence[Any], sets: Sets) -> None:
        self._sets = [sets[start : start + SETS_PER_PART] for start in range(0, len(sets), SETS_PER_PART)]
        asked = [[[dict(changes), params(strategy)] for changes, strategy in part] for part in self._sets]
        self._parts = Parts(config.root, list(series), asked, _pack, _unpack)
        self.forget = self._parts.forget

    def of(
        self,
        on: tuple[Bars, Sessions, Usable],
        where: Where,
        workers: int,
        done: Callable[[int], None],
        say: Callable[[str], None],
    ) -> list[Try]:
        """Every set's try, in the order given; `done` is told how many more there are."""
        bars, sessions, usable = on
        made = self._parts.of(
            lambda open_: spread(
                where, workers, try_sets, [(bars, sessions, self._sets[n], usable) for n in open_], say
            ),
            lambda _, tries: done(len(tries)),
        )
        return [one for tries in made for one in tries]


def _pack(tries: Sequence[Try]) -> Packed:
    told = [[dict(one.changes), {k: _plain(v) for k, v in one.figures.items()}] for one in tries]
    return told, {"returns": np.stack([one.returns for one in tries])}


def _unpack(told: Any, arrays: Mapping[str, Any]) -> list[Try]:
    return [Try(changes, figures, row) for (changes, figures), row in zip(told, arrays["returns"], strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
