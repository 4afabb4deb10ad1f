"""Progress off a terminal: how far, how fast, how long still; a run that cannot know says so."""

from __future__ import annotations

import pytest

from operate.extraction import progress_line


@pytest.mark.parametrize(
    ("done", "total", "line"),
    [
        (30, 120, "voting: 30 of 120 partitions, 60 a minute, about 90 s left"),
        (120, 120, "voting: 120 of 120 partitions, 240 a minute, about 0 s left"),
        (0, 120, "voting: 0 of 120 partitions, 0 a minute"),
        (6, 0, "voting: 6 of an unknown number of partitions, 12 a minute"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long_still(done: int, total: int, line: str) -> None:
    assert progress_line("voting", done, total, 30.0) == line
