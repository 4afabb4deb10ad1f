"""A sender may hang, die, talk nonsense, leave children: the night goes on and knows what may have gone out."""

from __future__ import annotations

import json
import shlex
import sys
import time

import psutil
import pytest

from extract.errors import RequestError
from operate.voting.watch.sender import hand_over

VOTE = {"chain_id": 31337, "from": "0xa", "to": "0xb", "data": "0x01", "gas": 5, "last_votable_at": 1_010}
HASH = "0x" + "Ab" * 32


def run(code: str, seconds: float = 10.0):
    return hand_over(f"{shlex.quote(sys.executable)} -S -c {shlex.quote(code)}", VOTE, seconds)


def test_it_is_given_the_whole_transaction_and_its_time(tmp_path):
    seen = tmp_path / "seen"
    found = run(f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read()); print('{{\"hash\": \"{HASH}\"}}')")
    assert (found.status, found.transaction_hash) == ("answered", HASH.lower())
    assert json.loads(seen.read_text()) == {**VOTE, "seconds": 10.0}


def test_it_need_not_read_what_it_is_given():
    assert run(f'print(\'{{"hash": "{HASH}"}}\')').status == "answered"


@pytest.mark.parametrize(
    "told",
    ["", "sent!", HASH, "[]", "null", '{"hash": null}', '{"hash": "0x12"}', json.dumps({"hash": HASH + "00"}), "\\xff"],
)
def test_garbage_is_no_hash_but_may_have_been_sent(told):
    found = run(f"import sys; sys.stdout.buffer.write({told.encode()!r})")
    assert (found.status, found.transaction_hash, found.may_have_sent) == ("garbage", None, True)


def test_a_failure_tells_no_secret():
    found = run("import sys; sys.stderr.write('no answer of https://rpc.example/secretsecret'); sys.exit(3)")
    assert (found.status, found.may_have_sent) == ("failed", True)
    assert "ended with 3" in found.reason
    assert "secretsecret" not in found.reason


def test_a_hash_of_a_sender_that_failed_is_not_believed():
    assert run(f'import sys; print(\'{{"hash": "{HASH}"}}\'); sys.exit(1)').transaction_hash is None


def test_what_is_not_there_sent_nothing():
    found = hand_over("/nowhere/sender", VOTE, 1.0)
    assert (found.status, found.may_have_sent) == ("not_started", False)


@pytest.mark.parametrize("command", ["", "   ", "'open"])
def test_a_command_that_is_none_is_refused(command):
    with pytest.raises(RequestError, match="--sender"):
        hand_over(command, VOTE, 1.0)


def test_one_that_hangs_is_killed_with_its_children(tmp_path):
    """Also a child that ignores SIGTERM: a vote must not go out after its time."""
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-S', '-c',"
        " 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'])\n"
        f"open({str(child)!r}, 'w').write(str(p.pid))\n"
        "time.sleep(60)"
    )
    found = run(code, seconds=2.0)
    assert (found.status, found.may_have_sent) == ("silent", True)
    pid = int(child.read_text())
    until = time.monotonic() + 5
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
