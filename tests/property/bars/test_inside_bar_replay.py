"""The same function for a batch and for live bars: what it says at a close it says for good."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decide.bars.bars import Bars, combine, range_sums, true_range
from decide.bars.closes import may_trigger, signals_at_close, signals_at_closes
from decide.bars.inside_bar import find_signals
from decide.bars.rules import Rules, trade_windows
from tests.bar_fixtures import SESSIONS, STEP, any_rules, rules, walk
from tests.oracles.inside_bar import slow_signals

LABELS = SESSIONS.between(STEP, SESSIONS.known_from, SESSIONS.known_until)
NAMES = ("open", "high", "low", "close", "volume")
holes = st.lists(st.integers(0, len(LABELS) - 1), max_size=8, unique=True)


def some_bars(seed: int, missing: list[int]) -> Bars:
    return walk(np.delete(LABELS, missing).tolist(), seed)


# orders on both sides, and a pattern too far away for any
FAR = rules(
    inside_bar_definition_mode="mb_high__ib_high_and_close_in_mb_range",
    inside_bar_mode="inclusive",
    atr_period=2,
    min_mother_bar_size_atr_multiple=0,
    min_mother_body_fraction=0,
    min_inside_body_fraction=0,
    entry_level_mode="mother_bar",
    first_inside_bar_only=False,
    max_pattern_age_candles=1,
    max_deviation_atr=1,
    session_filter="09:30-11:00 14:00-15:00",
    order_validity_policy="session_end",
    entry_legs="both_sides",
)


@given(made=any_rules(), seed=st.integers(0, 10_000), missing=holes)
@example(made=FAR, seed=0, missing=[])
@settings(max_examples=80, deadline=None)
def test_signals_are_those_of_a_slow_reading_of_the_rules(made: Rules, seed: int, missing: list[int]) -> None:
    bars, windows = some_bars(seed, missing), trade_windows(SESSIONS, made)
    found = find_signals(bars, made, windows).signals
    assert [(s.mother_at, s.inside_at, s.trigger_at, s.side) for s in found] == slow_signals(bars, made, windows)


@given(made=any_rules(), seed=st.integers(0, 10_000), missing=holes)
@settings(max_examples=10, deadline=None)
def test_a_batch_equals_a_replay_bar_by_bar(made: Rules, seed: int, missing: list[int]) -> None:
    bars, windows = some_bars(seed, missing), trade_windows(SESSIONS, made)
    batch = find_signals(bars, made, windows).signals
    live = [signal for end in range(1, len(bars) + 1) for signal in signals_at_close(bars[:end], made, windows)]
    assert tuple(live) == batch


@given(made=any_rules(), seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_who_may_not_trigger_does_not(made: Rules, seed: int) -> None:
    """The look at many symbols at once leaves out nobody whose bar triggers, and most of the others."""
    windows = trade_windows(SESSIONS, made)
    symbols = [walk(LABELS.tolist(), seed + n) for n in range(4)]
    for start, end in zip(windows.starts.tolist(), windows.ends.tolist(), strict=True):
        first, last = np.searchsorted(LABELS, [start, end]).tolist()
        for stop in range(first + 1, last + 1):
            columns = (np.stack([getattr(b, name)[first:stop] for b in symbols]) for name in NAMES)
            may = may_trigger(Bars(LABELS[first:stop], *columns), made)
            does = [bool(signals_at_close(bars[:stop], made, windows)) for bars in symbols]
            assert all(may[np.flatnonzero(does)])


@given(made=any_rules(), seed=st.integers(0, 10_000), missing=holes, history=st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_many_symbols_at_once_say_what_each_says_alone(
    made: Rules, seed: int, missing: list[int], history: int
) -> None:
    """With holes, with too little history and with none, whoever stands beside whom; not found by one look alone."""
    windows = trade_windows(SESSIONS, made)
    whole = [walk(LABELS.tolist(), seed + n) for n in range(3)]
    opened = int(np.searchsorted(LABELS, windows.starts[-1]))
    for stop in range(opened, len(LABELS) + 1, 3):
        many = [bars[:stop] for bars in whole]
        many += [some_bars(seed + 3, missing)[:stop], whole[0][max(0, opened - history) : stop], whole[0][:0]]
        alone = []
        for bars in many:
            said = find_signals(bars, made, windows).signals
            alone.append(tuple(s for s in said if len(bars) and s.trigger_at == bars.labels[-1]))
        cut = [  # what stands before the warm-up of the last window is no input
            tuple(signal for signal in signals_at_close(bars, made, windows)) for bars in many
        ]
        assert signals_at_closes(many, made, windows) == cut == alone


@given(made=any_rules(), seed=st.integers(0, 10_000), cut=st.integers(2, len(LABELS)), other=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_bars_to_come_change_no_earlier_signal(made: Rules, seed: int, cut: int, other: int) -> None:
    windows = trade_windows(SESSIONS, made)
    one, two = walk(LABELS.tolist(), seed), walk(LABELS.tolist(), other)
    pasted = Bars(*(np.r_[getattr(one, name)[:cut], getattr(two, name)[cut:]] for name in ("labels", *NAMES)))
    moment = int(one.labels[cut - 1]) + made.step

    def known(bars: Bars) -> list[object]:
        found = find_signals(bars, made, windows)
        said = [r for r in found.rejections if r.known_at <= moment]
        return [*(s for s in found.signals if s.signal_at <= moment), *said]

    assert known(one) == known(pasted) == known(one[:cut])


@given(seed=st.integers(0, 10_000), period=st.integers(1, 20), start=st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_atr_is_the_same_bits_with_any_history_before_it(seed: int, period: int, start: int) -> None:
    bars = walk(LABELS[:120].tolist(), seed)
    whole, part = (range_sums(true_range(some), period) for some in (bars, bars[start:]))
    assert (whole[start + period :] == part[period:]).all()
    assert (part[:period] == -1).all()


@given(seed=st.integers(0, 10_000), missing=holes)
@settings(max_examples=50, deadline=None)
def test_longer_bars_come_from_whole_threes_only(seed: int, missing: list[int]) -> None:
    bars = some_bars(seed, missing)
    made = combine(bars, STEP, 3 * STEP)
    present = set(bars.labels.tolist())
    wanted = [
        t
        for t in SESSIONS.between(3 * STEP, SESSIONS.known_from, SESSIONS.known_until).tolist()
        if {t, t + STEP, t + 2 * STEP} <= present
    ]
    assert made.labels.tolist() == wanted
    for n, label in enumerate(made.labels.tolist()):
        parts = bars[int(np.searchsorted(bars.labels, label)) :][:3]
        assert (made.open[n], made.close[n]) == (parts.open[0], parts.close[2])
        assert (made.high[n], made.low[n], made.volume[n]) == (parts.high.max(), parts.low.min(), parts.volume.sum())
