"""dbt's door to the build file, in every dbt command that connects: its folder, its lock, and what it is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from extract.errors import Busy
from extract.lake import Lake
from extract.store import is_remote
from operate.lock import hold
from operate.stamp import absolute_url

# the session variables from which the stamp learns which raw zone was built, and of which kind it is
BOUND_TO = "foreshore_raw_url"
OF_KIND = "foreshore_is_simulated"


class BuildInUse(RuntimeError):
    """dbt shows the message of a RuntimeError as it is."""


class Plugin(BasePlugin):
    """Named in profiles.yml, before the plugins that read."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        if is_remote(plugin_config["raw"]):
            raise BuildInUse(
                "dbt reads folders, and FORESHORE_RAW names an object store: run `foreshore build`, which brings "
                "what is new to a mirror under the storage root first"
            )
        self.raw_url = absolute_url(plugin_config["raw"])
        self.is_simulated = Lake(plugin_config["raw"]).holds_simulated()
        try:
            hold(Path(plugin_config["file"]).parent)
        except Busy as error:
            raise BuildInUse(str(error)) from None

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        quoted = self.raw_url.replace("'", "''")
        cursor.execute(f"set variable {BOUND_TO} = '{quoted}'")
        told = "null" if self.is_simulated is None else str(self.is_simulated).lower()
        cursor.execute(f"set variable {OF_KIND} = {told}::boolean")
