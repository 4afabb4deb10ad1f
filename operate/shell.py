"""An interactive shell over what was published: DuckDB's own command line, confined as every other reader is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from extract.errors import RequestError
from operate.console import printable
from operate.warehouse import Warehouse, confinement, current_file

PROGRAM = "duckdb"
OTHERWISE = 'foreshore sql "..." and foreshore sql --file FILE work without it'
TRY_SECONDS = 30


def run_shell(warehouse: Warehouse) -> int:
    """Hand the terminal over to DuckDB's CLI; its exit code.

    Errors: RequestError where there is no such program or it cannot open the file (one of an older format reads none
    that a newer DuckDB wrote); WarehouseError where nothing is published.
    """
    file = current_file(warehouse)
    program = shutil.which(PROGRAM)
    if program is None:
        raise RequestError(
            f"an interactive shell is DuckDB's own, and no program `{PROGRAM}` is on the path: install "
            f"DuckDB's command line (`pip install duckdb-cli`); {OTHERWISE}"
        )
    _check(program, file)
    settings = "; ".join(confinement(warehouse)) + ";"
    return subprocess.call([program, "-readonly", "-cmd", settings, str(file)])


def _check(program: str, file: Path) -> None:
    asked = [program, "-readonly", str(file), "-c", "select 1"]
    try:
        tried = subprocess.run(asked, capture_output=True, text=True, timeout=TRY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestError(f"{program} does not run ({error}); {OTHERWISE}") from None
    if tried.returncode:
        import duckdb

        said = printable(" ".join(tried.stderr.split()).partition(". ")[0]) or "no reason was given"
        raise RequestError(
            f"{program} cannot open {file}, which DuckDB {duckdb.__version__} wrote: {said}. Install a DuckDB CLI that "
            f"is as new; {OTHERWISE}"
        )
