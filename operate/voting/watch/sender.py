"""The sender: somebody else's command that holds the key. Foreshore gives it a transaction and takes a hash.

Standard input is one JSON object: `chain_id`, `from`, `to`, `data`, `gas`, and `last_votable_at` (Unix seconds, chain
time, UTC), `seconds` (how long the sender has). Standard output is one JSON object: {"hash": "0x" and 64 digits}.
The command ends with 0, before its time is over; whatever else it does is an answer too, and none stops the night.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from extract.errors import RequestError
from extract.evm.redact import redact

Status = Literal["answered", "not_started", "silent", "garbage", "failed"]
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_EXCERPT = 200  # letters of a sender's own words that are kept: enough for a reason


@dataclass(frozen=True)
class Answer:
    """What became of a hand-over: a hash where it was `answered`, else a reason.

    Only `not_started` proves that nothing was sent. A sender that hung, failed or talked nonsense may have broadcast
    before it did, so its vote may still land.
    """

    status: Status
    transaction_hash: str | None = None
    reason: str = ""

    @property
    def may_have_sent(self) -> bool:
        return self.status != "not_started"


def hand_over(command: str, transaction: Mapping[str, Any], seconds: float) -> Answer:
    """Run the sender once on `transaction`, for at most `seconds`; then it and all it started are killed.

    RequestError when the command is empty or cannot be split into words.
    """
    words = command_words(command)
    try:
        running = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        return Answer("not_started", reason=f"the sender did not start ({error.strerror}): check the command's path")
    try:
        told, said = running.communicate(json.dumps({**transaction, "seconds": seconds}).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        return Answer("silent", reason=f"the sender gave no answer within {seconds:g} s")
    finally:
        _end(running)
    if running.returncode:
        return Answer("failed", reason=f"the sender ended with {running.returncode}: {_excerpt(said)}")
    found = _hash_of(told)
    return Answer("answered", found) if found else Answer("garbage", reason=f"no hash in {_excerpt(told)!r}")


def command_words(command: str) -> list[str]:
    """A sender's command as words; RequestError where it is empty or cannot be split."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RequestError(f"--sender cannot be read ({error}): quote the command as in a shell") from None
    if not words:
        raise RequestError("--sender is empty: name the command that signs and sends")
    return words


def _end(running: subprocess.Popen[bytes]) -> None:
    """Kill the session of a sender that is not over yet, so that no grandchild sends after its time; then reap it.

    Only while its leader is not reaped: afterwards its number may be another process's.
    """
    if running.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    for pipe in (running.stdin, running.stdout, running.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    running.wait()


def _hash_of(told: bytes) -> str | None:
    try:
        found = json.loads(told)
    except ValueError:
        return None
    text = found.get("hash") if isinstance(found, dict) else None
    return text.lower() if isinstance(text, str) and _HASH.fullmatch(text) else None


def _excerpt(words: bytes) -> str:
    return redact(words.decode(errors="replace").strip())[:_EXCERPT]
