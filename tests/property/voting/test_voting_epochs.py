"""The epoch grid: what is asked for is on it, or is refused with the nearest epochs that are."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import RequestError
from extract.seeds import WEEK
from extract.voting.epochs import check_epoch, parse_moment, requested_epochs

HEAD = 1_771_459_200 + 5 * 86_400  # in the epoch that began Thursday 2026-02-19
NEWEST = 1_771_459_200


def test_the_first_plans_wednesday_is_refused_with_its_neighbours() -> None:
    with pytest.raises(RequestError) as caught:
        check_epoch(1_771_372_800, NEWEST, WEEK)
    assert "Wed 2026-02-18" in str(caught.value)
    assert "1770854400 (Thu 2026-02-12" in str(caught.value)
    assert "1771459200 (Thu 2026-02-19" in str(caught.value)


def test_the_future_is_refused_with_the_open_and_the_last_ended_epoch() -> None:
    with pytest.raises(RequestError, match=r"1771459200 .*open now.* or 1770854400"):
        check_epoch(NEWEST + WEEK, NEWEST, WEEK)


@given(st.integers(min_value=-WEEK, max_value=NEWEST + 10 * WEEK))
def test_every_moment_is_an_epoch_or_names_valid_ones(moment: int) -> None:
    try:
        assert check_epoch(moment, NEWEST, WEEK) == moment
        assert moment % WEEK == 0 and 0 < moment <= NEWEST
    except RequestError as error:
        assert moment % WEEK or moment > NEWEST or moment <= 0
        named = [int(n) for n in re.findall(r"(\d+) \(Thu", str(error).split("Nearest valid:")[1])]
        assert named and all(n % WEEK == 0 and 0 < n <= NEWEST for n in named)


@given(st.integers(min_value=1, max_value=60), st.integers(min_value=100 * WEEK, max_value=4000 * WEEK))
def test_counting_back_gives_that_many_ended_epochs_and_the_open_one(count: int, head: int) -> None:
    epochs = requested_epochs(head, WEEK, count=count)
    assert len(epochs) == count + 1
    assert epochs[-1] <= head < epochs[-1] + WEEK
    assert all(b - a == WEEK for a, b in pairwise(epochs))


def test_since_and_until_are_inclusive_and_ordered() -> None:
    assert requested_epochs(HEAD, WEEK, since=NEWEST - 2 * WEEK, until=NEWEST - WEEK) == [
        NEWEST - 2 * WEEK,
        NEWEST - WEEK,
    ]
    assert requested_epochs(HEAD, WEEK, count=2, until=NEWEST - WEEK) == [NEWEST - 2 * WEEK, NEWEST - WEEK]
    with pytest.raises(RequestError, match="swap them"):
        requested_epochs(HEAD, WEEK, since=NEWEST, until=NEWEST - WEEK)


@pytest.mark.parametrize("text", ["1771459200", "2026-02-19", "2026-02-19T00:00:00Z", "2026-02-18T19:00:00-05:00"])
def test_moments_are_seconds_or_iso_in_utc(text: str) -> None:
    assert parse_moment(text) == NEWEST


def test_a_moment_that_is_neither_is_refused() -> None:
    with pytest.raises(RequestError, match="neither unix seconds nor an ISO date"):
        parse_moment("last thursday")
