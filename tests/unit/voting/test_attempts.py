"""The attempts at a vote survive a kill at any byte, and never let a second one out while the first may land."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from extract.errors import Busy, RequestError, StorageError
from operate.voting.watch.attempts import Attempts, read_attempts
from operate.voting.watch.sender import Answer

HASH = "0x" + "ab" * 32
ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "night" / "attempts.jsonl"


def hand(attempts: Attempts, block: int = 7, cost: int = 10**20):
    return attempts.hand(block, "0xb10c", cost, {"to": "0xb"})


def test_what_was_noted_is_read_again(path):
    log = Attempts(path)
    first = hand(log)
    log.answer(first.number, Answer("answered", HASH))
    log.settle(first.number, "reverted")
    second = hand(log, block=9, cost=3)
    kept = log.all
    log.close()
    assert read_attempts(path) == kept
    assert [a.outcome for a in kept] == ["reverted", None]
    assert (kept[0].transaction_hash, kept[0].cost_wei) == (HASH, 10**20)  # more than a double holds exactly
    assert second.number == 2


@pytest.mark.parametrize("status", ["answered", "silent", "garbage", "failed"])
def test_nothing_goes_out_beside_what_may_land(path, status):
    log = Attempts(path)
    log.answer(hand(log).number, Answer(status))
    with pytest.raises(RequestError, match="may still land"):
        hand(log)
    log.close()


def test_what_was_never_sent_blocks_and_costs_nothing(path):
    log = Attempts(path)
    log.answer(hand(log).number, Answer("not_started"))
    assert (log.pending, log.spent_wei) == ((), 0)
    assert hand(log).number == 2
    log.close()


def test_a_reverted_or_late_vote_cost_its_gas(path):
    log = Attempts(path)
    for outcome in ("reverted", "late", "landed", "never"):
        log.settle(hand(log, cost=5).number, outcome)
    assert log.spent_wei == 15
    log.close()


def test_after_a_reorg_the_newest_outcome_holds(path):
    log = Attempts(path)
    number = hand(log).number
    log.settle(number, "landed")
    log.settle(number, "never")
    log.close()
    assert read_attempts(path)[0].outcome == "never"


def test_one_process_at_a_time(path):
    log = Attempts(path)
    with pytest.raises(Busy):
        Attempts(path)
    log.close()
    Attempts(path).close()


def test_an_unknown_attempt_is_refused(path):
    log = Attempts(path)
    with pytest.raises(RequestError, match="no attempt 4"):
        log.settle(4, "landed")
    log.close()


def test_a_kill_between_hand_over_and_answer_does_not_send_twice(path):
    """The process is killed with SIGKILL right after the note; the next one finds the attempt and refuses."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from operate.voting.watch.attempts import Attempts\n"
        "Attempts(Path(sys.argv[1])).hand(7, '0xb10c', 5, {})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    log = Attempts(path)
    assert [(a.number, a.status) for a in log.pending] == [(1, None)]
    with pytest.raises(RequestError, match="attempt 1"):
        hand(log)
    log.close()


def test_a_line_cut_at_any_byte_loses_no_later_one(path):
    """A torn tail is never acted on, and the next line is not glued to it."""
    log = Attempts(path)
    log.settle(hand(log).number, "reverted")
    whole = len(path.read_bytes())
    hand(log, block=9)
    log.close()
    written = path.read_bytes()
    for cut in range(whole, len(written)):
        path.write_bytes(written[:cut])
        again = Attempts(path)
        assert [a.number for a in again.all] == [1], cut
        hand(again, block=11)
        again.close()
        assert [a.decision_block for a in read_attempts(path)] == [7, 11], cut


def test_damage_inside_is_not_read_over(path):
    log = Attempts(path)
    hand(log)
    log.settle(1, "reverted")
    log.close()
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(StorageError, match="line 1"):
        read_attempts(path)


def test_what_was_taken_back_may_land_again_and_holds_the_next_one_up(path):
    log = Attempts(path)
    number = hand(log).number
    log.answer(number, Answer("answered", HASH))
    log.settle(number, "landed")
    assert not log.pending
    log.settle(number, None)
    assert [a.number for a in log.pending] == [number]
    with pytest.raises(RequestError, match="no outcome"):
        hand(log)
    log.close()
    assert read_attempts(path)[0].outcome is None
