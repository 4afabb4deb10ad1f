"""Build with dbt in this process, then publish what its stamp vouches for."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.markup import escape

from extract.environment import environment
from extract.integrity import audit
from extract.lake import Lake, mirror_folder
from operate.build_lines import QUIET, lines, say_failures
from operate.console import err, out
from operate.lock import building
from operate.publish import Publication
from operate.warehouse import Warehouse, WarehouseError, publish


def rebuild(warehouse: Warehouse, is_verbose: bool = False) -> Publication:
    """dbt build, then publish what it vouches for: what failed keeps back its own wing only (`held_back` says why).

    It says a line for each wing on standard error, or, `is_verbose`, all that dbt prints.

    Errors: Busy, and PublicationError where the build ended before anything could be stamped.
    """
    with building(warehouse.build_file.parent):
        passed = _build(warehouse, is_verbose)
        made = publish(warehouse)
    if not passed and not made.held_back:  # what failed belongs to no wing: the mart that joins all of them
        return replace(made, held_back={"gate_verdicts": ["its own tests failed: see above"]})
    return made


def show_publication(warehouse: Warehouse, made: Publication) -> int:
    """What was published and what was held back, for people; exit code 0 all, 1 nothing, 2 some of it."""
    sound = [unit for unit in made.units if unit not in made.held_back]
    if sound:
        tables = sum(made.units[unit].table_count for unit in sound)
        news = ", ".join(f"{unit} {'new' if unit in made.fresh else 'unchanged'}" for unit in sound)
        out.print(
            f"Published {tables} tables ({news}): {warehouse.published_file} and {warehouse.exports}/<wing>/*.parquet"
        )
    for unit, why in made.held_back.items():
        kept = "readers keep the last that passed" if unit in made.units else "readers have none yet"
        more = f" (and {len(why) - 3} more)" if len(why) > 3 else ""
        err.print(f"[red]held back[/red] {unit}: {escape('; '.join(why[:3]))}{more}; {kept}", soft_wrap=True)
    return (2 if sound else 1) if made.held_back else 0


def run_dbt(warehouse: Warehouse, *commands: Sequence[str]) -> bool:
    """Run dbt commands one after another in this process (each new process costs five seconds); stops at a failure.

    Errors: Busy names the process that builds there already.
    """
    from dbt.cli.main import dbtRunner

    with _dbt(warehouse):
        runner = dbtRunner()
        return all(_invoke(runner, command).success for command in commands)


def _build(warehouse: Warehouse, is_verbose: bool) -> bool:
    """dbt build: with dbt's own output, or with a line for each wing and what failed."""
    from dbt.cli.main import dbtRunner

    if is_verbose:
        return run_dbt(warehouse, ["build"])
    with _dbt(warehouse), lines() as listener:
        built = _invoke(dbtRunner(callbacks=[listener]), [*QUIET, "build"])
    say_failures(getattr(built.result, "results", ()))
    return bool(built.success)


def compiled_models(warehouse: Warehouse, selected: Sequence[str]) -> list[Any]:
    """dbt's SQL models that are selected, as nodes with their compiled code; nothing is read or built.

    `warehouse` names where raw rows would come from; its build file is not made.
    """
    from dbt.cli.main import dbtRunner

    command = [*QUIET, "compile", "--target-path", str(warehouse.root / "target"), "--select", *selected]
    with _dbt(warehouse), redirect_stdout(io.StringIO()):
        result = _invoke(dbtRunner(), command)
    if not result.success:
        raise WarehouseError("dbt could not compile the models: run `foreshore build --verbose` to see why")
    nodes = [found.node for found in result.result.results]
    return [node for node in nodes if node.resource_type == "model" and node.language == "sql"]


def _invoke(runner: Any, command: Sequence[str]) -> Any:
    """What dbt says of a command; one that could not run is an error, an interrupted one stays interrupted."""
    result = runner.invoke(list(command))
    if isinstance(result.exception, KeyboardInterrupt):
        raise KeyboardInterrupt
    if result.exception is not None:
        raise WarehouseError(f"dbt {command[-1]} could not run: {result.exception}")
    return result


@contextmanager
def _dbt(warehouse: Warehouse) -> Iterator[None]:
    """This process alone builds, with dbt pointed at these files; every connection of dbt's is closed at the end."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    if not Path("dbt_project.yml").exists():
        raise WarehouseError(
            f"{Path.cwd()} holds no dbt project: call from the project's folder, or lay one with `foreshore init`"
        )
    with building(warehouse.build_file.parent), environment(warehouse.environment()), _mute_when_interrupted():
        _fetch_store(warehouse)
        try:
            yield
        finally:
            opened = DuckDBConnectionManager._ENV
            DuckDBConnectionManager.close_all_connections()
            if opened is not None:
                opened.close()  # dbt only lets go of it: whatever else holds it (a frame, say) keeps the file open


def _fetch_store(warehouse: Warehouse) -> None:
    """Bring the view of an object store to this moment; a copy that went wrong on its way is fetched once more."""
    if warehouse.store_url is None:
        return
    store = Lake(warehouse.store_url, mirror=mirror_folder(warehouse.root, warehouse.store_url))
    assert store.mirror is not None
    damages = audit(store.for_reading())
    for damage in damages:
        for name in damage.files:
            store.mirror.drop(name)
    if damages:
        store.for_reading()


@contextmanager
def _mute_when_interrupted() -> Iterator[None]:
    """dbt answers an interrupt with its traceback (60 to 250 lines, measured): from then on it says nothing."""
    from dbt_common.events.event_manager_client import get_event_manager

    if threading.current_thread() is not threading.main_thread():  # only there can a signal be answered
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        get_event_manager().loggers.clear()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
