"""The tries of a sweep, in parts: made here or by a cluster, each part kept, so that a killed sweep goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from decide.bars.bars import Bars
from decide.bars.sessions import Sessions
from decide.bars.sweep import Sets, Try, Usable, try_sets
from decide.bars.tables import canonical_hash, params
from extract.config import Config
from extract.where import Where
from extract.worker import facts
from operate.spread import spread

SETS_PER_PART = 250


class Tries:
    """Parts under `<root>/cache/sweeps`, named after everything a try depends on: code, series, and its sets."""

    def __init__(self, config: Config, series: Sequence[Any]) -> None:
        self._folder = config.root / "cache" / "sweeps"
        self._series = [facts(None), list(series)]

    def of(
        self,
        on: tuple[Bars, Sessions, Usable],
        sets: Sets,
        where: Where,
        workers: int,
        done: Callable[[int], None],
        say: Callable[[str], None],
    ) -> list[Try]:
        """Every set's try, in the order given; `done` is told how many there are by now."""
        parts = [sets[start : start + SETS_PER_PART] for start in range(0, len(sets), SETS_PER_PART)]
        places = [self._place(part) for part in parts]
        found = {number: kept for number, place in enumerate(places) if (kept := _read(place)) is not None}
        open_ = [number for number in range(len(parts)) if number not in found]
        made = sum(len(tries) for tries in found.values())
        done(made)
        work = [(on[0], on[1], parts[number], on[2]) for number in open_]
        for n, tries in spread(where, workers, try_sets, work, say):
            number = open_[n]
            _write(places[number], tries)
            found[number] = tries
            made += len(tries)
            done(made)
        return [one for number in range(len(parts)) for one in found[number]]

    def forget(self, sets: Sets) -> None:
        """Drop the parts of a sweep that is written down."""
        for start in range(0, len(sets), SETS_PER_PART):
            self._place(sets[start : start + SETS_PER_PART]).unlink(missing_ok=True)

    def _place(self, part: Sets) -> Path:
        told = [self._series, [[dict(changes), params(strategy)] for changes, strategy in part]]
        return self._folder / f"{canonical_hash(told)[:32]}.npz"


def _write(place: Path, tries: Sequence[Try]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps([[dict(one.changes), {k: _plain(v) for k, v in one.figures.items()}] for one in tries])
    part = place.with_name(f".{place.stem}.{os.getpid()}.npz")
    np.savez(part, told=np.array(told), returns=np.stack([one.returns for one in tries]))
    part.replace(place)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _read(place: Path) -> list[Try] | None:
    """The tries of a part; None where it is not there or was not written whole."""
    try:
        with np.load(place, allow_pickle=False) as kept:
            told, returns = json.loads(str(kept["told"])), kept["returns"]
        return [Try(changes, figures, row) for (changes, figures), row in zip(told, returns, strict=True)]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
