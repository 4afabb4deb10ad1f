"""Every attempt at a vote, on disk before the sender is started: a kill in between is an attempt that may have sent.

One JSON line per fact (`handed`, `answered`, `settled`), flushed to the disk. A process that comes back reads them and
does not send again while an attempt has no outcome. One night, one process: whoever opens the log holds its lock.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from extract.errors import Busy, RequestError, StorageError
from operate.log import DurableLog
from operate.voting.watch.sender import Answer

Outcome = Literal["landed", "reverted", "late", "never", "not_sent"]


@dataclass(frozen=True)
class Attempt:
    """One hand-over: its number, the block decided on (number and hash), the most its gas can cost, what became of it.

    `status` is the sender's answer, None when a kill came before it; `outcome` is None until the chain has said.
    """

    number: int
    decision_block: int
    block_hash: str
    cost_wei: int
    status: str | None = None
    transaction_hash: str | None = None
    outcome: Outcome | None = None


class Attempts:
    """The attempts of one voter in one epoch, kept in `path`; Busy when another process holds them."""

    def __init__(self, path: Path) -> None:
        self._lock = _lock(path)
        self._found = {attempt.number: attempt for attempt in read_attempts(path)}
        _end_torn_line(path)
        self._log = DurableLog(path)

    def hand(self, decision_block: int, block_hash: str, cost_wei: int, transaction: Mapping[str, Any]) -> Attempt:
        """Note that a transaction goes to the sender now; RequestError while an attempt is pending."""
        if self.pending:
            raise RequestError(f"attempt {self.pending[0].number} has no outcome: it may still land")
        made = Attempt(len(self._found) + 1, decision_block, block_hash, cost_wei)
        self._log.write(
            "handed", number=made.number, decision_block=decision_block, block_hash=block_hash,
            cost_wei=str(cost_wei), transaction=dict(transaction),
        )  # fmt: skip
        self._found[made.number] = made
        return made

    def answer(self, number: int, answer: Answer) -> None:
        """Note what the sender said; an attempt that provably sent nothing is settled by it."""
        self._note("answered", number, status=answer.status, transaction_hash=answer.transaction_hash,
                   reason=answer.reason)  # fmt: skip
        if not answer.may_have_sent:
            self.settle(number, "not_sent")

    def settle(self, number: int, outcome: Outcome | None) -> None:
        """Note what the chain said of an attempt. A reorg may change it: the newest outcome holds, and None is that it
        may land again.
        """
        self._note("settled", number, outcome=outcome)

    @property
    def all(self) -> tuple[Attempt, ...]:
        return tuple(self._found.values())

    @property
    def pending(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self._found.values() if attempt.outcome is None)

    @property
    def spent_wei(self) -> int:
        """The most that this epoch's attempts can have cost; what never reached a block cost nothing."""
        return sum(a.cost_wei for a in self._found.values() if a.outcome not in ("never", "not_sent"))

    def close(self) -> None:
        self._log.close()
        self._lock.close()

    def _note(self, event: str, number: int, **facts: Any) -> None:
        if number not in self._found:
            raise RequestError(f"there is no attempt {number} in {self._log.path.name}")
        self._log.write(event, number=number, **facts)
        self._found[number] = _told(self._found[number], facts)


def read_attempts(path: Path) -> tuple[Attempt, ...]:
    """The attempts in a log, oldest first; StorageError where a whole line is damaged.

    A last line without its end was never acted on: each fact is on disk, end and all, before what it announces is done.
    """
    found: dict[int, Attempt] = {}
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.exists() else ""
    for at, line in enumerate(whole.splitlines(), 1):
        try:
            _take(found, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StorageError(
                f"line {at} of {path.name} is damaged, so an attempt may be hidden in it: look at the voter's votes on "
                "the chain, then move the file away"
            ) from None
    return tuple(found.values())


def _take(found: dict[int, Attempt], line: Mapping[str, Any]) -> None:
    number = line["number"]
    if line["event"] == "handed":
        found[number] = Attempt(number, line["decision_block"], line["block_hash"], int(line["cost_wei"]))
    else:
        found[number] = _told(found[number], line)


def _told(attempt: Attempt, facts: Mapping[str, Any]) -> Attempt:
    known = {name: facts[name] for name in ("status", "transaction_hash", "outcome") if name in facts}
    return replace(attempt, **known)


def _lock(path: Path) -> IO[str]:
    """The lock beside the log; the operating system lets go of it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.with_suffix(".lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise Busy(f"another process sends this voter's votes ({path.name} is held): stop it first") from None
    return handle


def _end_torn_line(path: Path) -> None:
    """Take a cut-off last line away: the next one would be glued to it, and both be lost to the next reader."""
    if not path.exists():
        return
    whole = path.read_bytes()
    if not whole.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)
