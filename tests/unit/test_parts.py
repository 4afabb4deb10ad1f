"""Parts of a sweep are kept under the name of everything they rest on, and never half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operate import parts
from operate.parts import Parts


def made(root: Path, rests_on: Any = "data") -> Parts[Any]:
    def unpack(told: Any, arrays: Mapping[str, Any]) -> Any:
        return told, arrays["squares"].tolist()

    return Parts(root, rests_on, [1, 2, 3], lambda result: (result[0], {"squares": np.array(result[1])}), unpack)


class Worker:
    """Makes parts in any order and remembers which; dies after so many."""

    def __init__(self, dies_after: int = 9) -> None:
        self.dies_after, self.made = dies_after, list[int]()

    def __call__(self, open_: Sequence[int]) -> Iterator[tuple[int, Any]]:
        for place, number in reversed(list(enumerate(open_))):
            if len(self.made) == self.dies_after:
                raise KeyboardInterrupt
            self.made.append(number)
            yield place, (f"part {number}", [0.1 * number, number**2])


WHOLE = [(f"part {number}", [0.1 * number, number**2]) for number in range(3)]


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    first, second, heard = Worker(dies_after=2), Worker(), list[int]()
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path).of(first)
    assert made(tmp_path).of(second, lambda number, _: heard.append(number)) == WHOLE
    assert (first.made, second.made, sorted(heard)) == ([2, 1], [0], [0, 1, 2])
    made(tmp_path).forget()
    assert list(tmp_path.rglob("*.npz")) == []


def test_a_part_that_was_cut_short_or_holds_nonsense_is_made_again(tmp_path: Path) -> None:
    assert made(tmp_path).of(Worker()) == WHOLE
    cut, nonsense = sorted(tmp_path.rglob("*.npz"))[:2]
    cut.write_bytes(cut.read_bytes()[:100])
    nonsense.write_bytes(b"PK nonsense")
    again = Worker()
    assert made(tmp_path).of(again) == WHOLE and len(again.made) == 2


def test_other_data_or_code_find_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path).of(Worker()) == WHOLE
    other = Worker()
    made(tmp_path, rests_on="other data").of(other)
    monkeypatch.setattr(parts, "facts", lambda _: {"code": "changed"})
    changed = Worker()
    made(tmp_path).of(changed)
    assert len(other.made) == len(changed.made) == 3
