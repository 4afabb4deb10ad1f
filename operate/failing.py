"""What a person reads when a command fails: one line with cause and cure, whatever was raised."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator

from extract.errors import ForeshoreError
from extract.evm.redact import redact
from extract.store import refusal
from operate.console import err, printable, say_error

TRACEBACK_VARIABLE = "FORESHORE_TRACEBACK"
_CURES = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EROFS: "this file system is read-only: move [storage] root to one that is not",
    errno.EACCES: "give yourself the right to write there, or move [storage] root",
    errno.EPERM: "give yourself the right to write there, or move [storage] root",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def told(error: BaseException) -> None:
    """Print one line per thing that went wrong (several at once are told once each), without secrets."""
    for line in dict.fromkeys(spoken(one) for one in _leaves(error)):
        say_error(printable(line))
    if os.environ.get(TRACEBACK_VARIABLE):
        err.print(redact("".join(traceback.format_exception(error))), markup=False, soft_wrap=True)


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an interrupt is behind it: DuckDB says one in its own words, and others wrap those."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or (type(error) is RuntimeError and str(error) == "Query interrupted"):
            return True
        error = error.__cause__ or error.__context__
    return False


def spoken(error: BaseException) -> str:
    """One error in words: known ones as they are, the system's with their cure, others as faults of ours."""
    if isinstance(error, ForeshoreError):
        return redact(str(error))
    if said := refusal(error):
        return redact(said)
    if isinstance(error, OSError) and error.errno in _CURES:
        where = f" ({error.filename})" if error.filename else ""
        return redact(f"{error.strerror}{where}: {_CURES[error.errno]}")
    return redact(
        f"unexpected {type(error).__name__}: {error} (a fault of Foreshore's: {TRACEBACK_VARIABLE}=1 shows where; "
        "what was committed stays)"
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, without those that only say that others were stopped."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
