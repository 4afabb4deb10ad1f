"""From the return key to an answer: version, help and completion of the command line. `python -m benchmarks.start_up`

Each is a process of its own; named peers are the command lines that stand in the same environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Contestant, arguments, race, result, show

BIN = Path(sys.executable).parent
COMPLETION = {"_FORESHORE_COMPLETE": "bash_complete", "COMP_WORDS": "foreshore extract ", "COMP_CWORD": "2"}


def call(command: str, *words: str, **environment: str) -> Contestant:
    """A command line with its words; raises with its output when it fails."""

    def run() -> None:
        subprocess.run([str(BIN / command), *words], env={**os.environ, **environment}, capture_output=True, check=True)

    name = f"{command} {' '.join(words)}" if words else f"{command} completion"
    return Contestant(name, run)


def main() -> None:
    options = arguments(__doc__ or "", rounds=9).parse_args()
    contestants = [
        call("foreshore", "--version"),
        call("foreshore", "--help"),
        call("foreshore", **COMPLETION),
        Contestant("python -c pass", lambda: subprocess.run([sys.executable, "-c", "pass"], check=True) and None),
        call("dbt", "--version"),
        call("dlt", "--version"),
        call("sqlfluff", "--version"),
    ]
    race(contestants, options.rounds)
    show(result("Start-up of the command line", contestants, 1, "calls"), options.json)


if __name__ == "__main__":
    main()
