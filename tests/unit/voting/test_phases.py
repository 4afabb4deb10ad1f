"""Where a block lies in the night: windows, the last chance, what is still to come."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.seeds import decision_windows
from operate.voting.watch.phases import Phases

SEEDS = Path(__file__).parents[3] / "seeds"
BOUNDARY = 1_771_459_200
WINDOWS = decision_windows(SEEDS)


def phases(closed_seconds: int = 0, last_moment: int = BOUNDARY) -> Phases:
    return Phases.of(WINDOWS, closed_seconds, BOUNDARY, last_moment, 600)


def name(at: int, block_seconds: int = 2) -> str | None:
    window = phases().window_at(BOUNDARY + at, block_seconds)
    return window.decision_window if window else None


@pytest.mark.parametrize(
    ("at", "window"),
    [
        (-86_403, None),  # its successor comes at -86,401: still before the day window's target
        (-86_401, "day"),  # its successor comes after the target: this is the block of the day window
        (-303, "day"),
        (-301, "T-5"),
        (-63, "T-5"),
        (-61, "T-1"),
        (-5, "T-1"),
        (-3, "T-0"),  # on odd seconds, as on Base: the last vote lands at -1, decided on its parent
        (-1, "T-1"),  # nothing lands any more
    ],
)
def test_a_block_is_decided_as_the_newest_window_whose_block_it_is_or_was_before_it(at: int, window: str) -> None:
    assert name(at) == window


def test_a_block_on_the_boundary_itself_takes_votes_where_the_protocol_says_so() -> None:
    assert phases().is_last_chance(BOUNDARY - 2, 2) and not phases().is_last_chance(BOUNDARY, 2)
    assert phases(last_moment=BOUNDARY - 1).is_last_chance(BOUNDARY - 4, 2)
    assert not phases(last_moment=BOUNDARY - 1).can_land(BOUNDARY - 2, 2)


def test_windows_for_early_closing_are_for_exchanges_that_close_early() -> None:
    assert "T-61" in [w.decision_window for w in phases(closed_seconds=3_600).windows]
    assert "T-61" not in [w.decision_window for w in phases().windows]
    assert "boundary" not in [w.decision_window for w in phases(closed_seconds=3_600).windows], (
        "the control decides nothing"
    )


def test_every_block_counts_before_voting_closes_too() -> None:
    early = phases(closed_seconds=3_600)
    assert [early.is_late(BOUNDARY - before) for before in (4_201, 4_200, 3_601, 3_600, 601, 600)] == [
        False, True, True, False, False, True,
    ]  # fmt: skip
    assert early.next_event(BOUNDARY - 5_000) == BOUNDARY - 4_200 and not phases().is_late(BOUNDARY - 3_601)


@given(st.integers(-90_000, 10), st.sampled_from([1, 2, 12]), st.integers(0, 11))
def test_exactly_one_block_is_the_last_chance_and_windows_never_go_back(start: int, seconds: int, offset: int) -> None:
    of = phases()
    times = [BOUNDARY - 1_200 + offset + seconds * n for n in range(1_300 // seconds)]
    assert sum(of.is_last_chance(at, seconds) for at in times) == 1
    positions = [w.position if (w := of.window_at(at, seconds)) else 0 for at in times if of.can_land(at, seconds)]
    assert positions == sorted(positions)
    at = BOUNDARY + start
    assert of.next_event(at) > at or at >= of.last_moment


@settings(deadline=None)
@given(st.integers(0, 90_000), st.integers(60, 5_000))
def test_each_window_passes_once(before: int, step: int) -> None:
    of, at, seen = phases(), BOUNDARY - before, []
    while at <= BOUNDARY:
        seen += [w.decision_window for w in of.passed(at, at + step)]
        at += step
    expected = [w.decision_window for w in of.windows if w.anchor == "boundary" and w.seconds_before <= before]
    assert seen == expected
