"""The name of a run, in every log line and ledger row of it."""

from __future__ import annotations

import os
import re
import uuid
from datetime import UTC, datetime

RUN_ID_VARIABLE = "FORESHORE_RUN_ID"  # set by whoever starts the run as a part of its own
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")


def new_run_id() -> str:
    """The run id that the environment hands down, where it is a plain name; else a new one, with its UTC second."""
    given = os.environ.get(RUN_ID_VARIABLE, "")
    return given if _NAME.fullmatch(given) else f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
