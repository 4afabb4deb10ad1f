"""Where the recorded data is: skip where it is absent, fail where it must not be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of recordings: $FORESHORE_GOLDEN, else ../shared/golden beside the repository."""
    folder = Path(os.environ.get("FORESHORE_GOLDEN") or ROOT.parent / "shared" / "golden")
    if folder.is_dir():
        return folder
    reason = f"no golden data at {folder}: set FORESHORE_GOLDEN to its folder"
    if os.environ.get("REQUIRE_GOLDEN_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
