"""A sweep's parts, each kept as it comes: one that was killed goes on, one that is written down is forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from decide.once import digest
from extract.worker import facts

T = TypeVar("T")
Packed = tuple[Any, Mapping[str, npt.NDArray[Any]]]  # what JSON says exactly, and arrays by name
TOLD = "told"  # the name of what JSON says, among the arrays


class Parts(Generic[T]):
    """Files under `<root>/cache/sweeps`, named after everything a part rests on: code, packages, data, what it asks.

    `pack` turns a part's result into what is kept, `unpack` back into the same result.
    """

    def __init__(
        self,
        root: Path,
        rests_on: Any,
        asked: Sequence[Any],
        pack: Callable[[T], Packed],
        unpack: Callable[[Any, Mapping[str, npt.NDArray[Any]]], T],
    ) -> None:
        self._pack, self._unpack = pack, unpack
        folder, shared = root / "cache" / "sweeps", digest(facts(None), rests_on)
        self._places = [folder / f"{digest(shared, one)}.npz" for one in asked]

    def of(
        self, work: Callable[[Sequence[int]], Iterable[tuple[int, T]]], done: Callable[[int, T], None] = lambda *_: None
    ) -> list[T]:
        """Every part's result, in order. `work` makes the parts of these numbers and yields (place among them, result)
        as they come; `done` hears of each part, kept or made.
        """
        found = {number: kept for number, place in enumerate(self._places) if (kept := self._read(place)) is not None}
        for number, result in found.items():
            done(number, result)
        open_ = [number for number in range(len(self._places)) if number not in found]
        for place, result in work(open_) if open_ else ():
            number = open_[place]
            self._write(self._places[number], result)
            found[number] = result
            done(number, result)
        return [found[number] for number in range(len(self._places))]

    def forget(self) -> None:
        """Drop the parts of a sweep that is written down."""
        for place in self._places:
            place.unlink(missing_ok=True)

    def _write(self, place: Path, result: T) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        told, arrays = self._pack(result)
        part = place.with_name(f".{place.stem}.{os.getpid()}.npz")
        np.savez(part, **{TOLD: np.array(json.dumps(told)), **arrays})
        part.replace(place)

    def _read(self, place: Path) -> T | None:
        """A part's result; None where it is not there or was not written whole."""
        try:
            with np.load(place, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            return self._unpack(json.loads(str(arrays.pop(TOLD))), arrays)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
