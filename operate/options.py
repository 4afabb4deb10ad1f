"""Options that every verb shares."""

from __future__ import annotations

import click

config_option = click.option(
    "--config", "config_file", metavar="FILE", help="Configuration; default $FORESHORE_CONFIG, else foreshore.toml."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
