"""kill -9 at random steps of every verb that writes, on a store of one epoch, CSU, symbol and day of markets.

`make chaos` (ROUNDS=1000, SEED=17, VERBS="build,publish"): each verb begins on a store of its own and is killed at a
step that chance picks, again and again on what the kill before left. Now and then it may come to its end: then what it
makes must be, by hash, what a store that was never killed has, and nothing unfinished may lie about. Verbs that need
neither a chain nor a build are run in CI, 30 rounds in all.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos_store import Chaos, sources
from tests.chaos_verbs import SHORT, Verb, lay_long, lay_short, long_ones
from tests.kill_points import killer

ROUNDS = int(os.environ.get("FORESHORE_CHAOS_ROUNDS", "1000"))
SEED = int(os.environ.get("FORESHORE_CHAOS_SEED", "17"))
ONLY = [name.strip() for name in os.environ.get("FORESHORE_CHAOS_VERBS", "").split(",") if name.strip()]
IN_CI = 30


def shares(verbs: Sequence[Verb], rounds: int) -> dict[str, int]:
    """Rounds of each verb: its least share of a thousand, and what is left among the cheap ones."""
    found = {verb.name: max(1, verb.least * rounds // 1000) for verb in verbs}
    cheap = [verb.name for verb in verbs if verb.is_cheap]
    for number in range(max(0, rounds - sum(found.values()))):
        found[cheap[number % len(cheap)]] += 1
    return found


def endure(chaos: Chaos, verb: Verb, rounds: int) -> str:
    """Kill a verb so many times; a row of the table: rounds, killed, lost, other, leaked, seconds."""
    chance, begun = random.Random(f"{SEED} {verb.name}"), time.monotonic()
    chaos.back_to(verb.store)
    if verb.prepare:
        verb.prepare(chaos, chance)
    started = time.monotonic()
    steps = chaos.whole(*verb.arguments, allowed=verb.allowed)["steps"]
    longest, wanted = time.monotonic() - started, verb.look(chaos)
    assert wanted and steps, verb.name
    killed, fresh = 0, True
    for number in range(rounds):
        if fresh:
            chaos.back_to(verb.store)
        if verb.prepare:
            verb.prepare(chaos, chance)
        if verb.by_clock:
            done = chaos.run(*verb.arguments, seconds=chance.uniform(0, longest))
        else:
            done = chaos.run(*verb.arguments, step=chance.randint(1, steps), during=chance.random() < 0.5)
        assert not done["hung"] and (done["killed"] or done["code"] in verb.allowed), (verb.name, number, done)
        killed += done["killed"]
        fresh = not done["killed"] or number % verb.group == verb.group - 1 or number == rounds - 1
        if fresh:
            if done["killed"]:
                chaos.whole(*verb.arguments, allowed=verb.allowed)
            found = verb.look(chaos)
            lost = sorted(wanted.keys() - found.keys())
            other = sorted(name for name in found if found[name] != wanted.get(name))
            assert not lost and not other, f"{verb.name}, round {number} of seed {SEED}: lost {lost}, other {other}"
            assert chaos.loose() == [], f"{verb.name}, round {number} of seed {SEED}"
    assert killed >= rounds // 3, f"{verb.name}: {killed} of {rounds} were killed, the others had ended before"
    return f"{verb.name:<22}{rounds:>7}{killed:>8}{0:>6}{0:>7}{0:>8}{time.monotonic() - begun:>9.0f}"


def endure_all(
    chaos: Chaos, verbs: Sequence[Verb], rounds: dict[str, int], capture: pytest.CaptureFixture[str]
) -> None:
    with capture.disabled():
        print(f"\n{'verb':<22}{'rounds':>7}{'killed':>8}{'lost':>6}{'other':>7}{'leaked':>8}{'seconds':>9}")
        for verb in verbs:
            print(endure(chaos, verb, rounds[verb.name]), flush=True)


@pytest.fixture
def chaos(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chaos]:
    with (
        sources(tmp_path / "sources", with_chains=request.param) as served,
        killer("tests.verb_kills") as forks,
    ):
        made = Chaos(tmp_path / "store", served, forks)
        lay_short(made)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("chaos", [False], indirect=True, ids=["short"])
def test_killed_anywhere_thirty_rounds(chaos: Chaos, capsys: pytest.CaptureFixture[str]) -> None:
    endure_all(chaos, SHORT, shares(SHORT, IN_CI), capsys)


@pytest.mark.long
@pytest.mark.parametrize("chaos", [True], indirect=True, ids=["every verb"])
def test_killed_anywhere_every_verb(chaos: Chaos, capsys: pytest.CaptureFixture[str]) -> None:
    every = [*SHORT, *long_ones(chaos.sources)]
    rounds = shares(every, ROUNDS)
    wanted = [verb for verb in every if not ONLY or verb.name in ONLY]
    assert wanted, f"no such verb: there are {', '.join(rounds)}"
    if set(wanted) - set(SHORT):
        lay_long(chaos)
    endure_all(chaos, wanted, rounds, capsys)
