"""The verbs of everyone: extract all, status, build, sql."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from extract.config import load_config
from extract.errors import ForeshoreError
from extract.lending.plan import Request as LendingRequest
from extract.lending.plan import is_configured
from operate import status as standing
from operate.lending import commands as lending
from operate.options import config_option, json_option, where_of
from operate.rebuild import rebuild, run_dbt, show_publication
from operate.voting import extraction as voting
from operate.warehouse import Warehouse


@click.command("all")
@voting.voting_options
def extract_all(**options: Any) -> None:
    """Every chain that is configured: voting and lending. Options are the voting line's; lending takes its next days.

    Bars are extracted by symbol (`extract bars`), prediction markets by the daily run (`markets daily`).
    """
    config, where = load_config(options["config_file"]), where_of(dict(options))
    codes = [voting.run(**options)] if config.section("voting") else []
    if is_configured(config):
        request = LendingRequest(resume=options["resume"], workers=options["workers"], where=where)
        codes.append(lending.run(config, request, options["plan"], options["as_json"]))
    sys.exit(_of_all(codes))


def _of_all(codes: Sequence[int]) -> int:
    """One exit code for several lines: done unless something failed; failed only when nothing was done."""
    if any(code in (1, 2) for code in codes):
        return 1 if all(code == 1 for code in codes) else 2
    return 0 if 0 in codes else 3


@click.command()
@click.option("--lending", "of_lending", is_flag=True, help="CSU by CSU: days done, failing and open, missing prices.")
@json_option
@config_option
def status(of_lending: bool, as_json: bool, config_file: str | None) -> None:
    """What is complete, what fails and why, how long a running extraction still takes.

    \b
    Examples
      foreshore status
      foreshore status --lending
      foreshore status --json
    """
    show = lending.show_lending_status if of_lending else standing.show_status
    sys.exit(show(load_config(config_file), as_json))


@click.command()
@click.option("--docs/--no-docs", default=False, help="Also write the static docs site.")
@click.option("--verbose", "is_verbose", is_flag=True, help="All that dbt prints, instead of a line for each wing.")
@config_option
def build(docs: bool, is_verbose: bool, config_file: str | None) -> None:
    """Run dbt build (models and tests) and publish every wing whose tests ran and passed.

    Exit code 2 when a wing is held back: readers keep what they had of it.

    \b
    Examples
      foreshore build
      foreshore build --docs
      foreshore build --verbose
    """
    warehouse = Warehouse.of(load_config(config_file))
    code = show_publication(warehouse, rebuild(warehouse, is_verbose))
    if docs and not run_dbt(warehouse, ["docs", "generate", "--static"]):
        raise ForeshoreError("the docs site could not be written")
    sys.exit(code)
