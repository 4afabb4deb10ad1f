"""Run folders: written whole or not at all, read with the hashes they were written with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extract.config import Config
from extract.errors import RequestError
from operate.whole import whole_folder


def artifacts_root(config: Config) -> Path:
    """`[storage] artifacts`; without it `artifacts` beside the default root, or inside any other root."""
    named = config.section("storage").get("artifacts")
    if named:
        return Path(named)
    return config.beside("artifacts") if config.root == config.beside("data") else config.root / "artifacts"


def json_bytes(value: Any) -> bytes:
    """JSON as it stands in every artifact: keys in the order given, two spaces, one newline at the end."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace a run folder by `files` in one step; a reader sees the old one or the new one."""
    with whole_folder(folder) as part:
        for name, data in files.items():
            with (part / name).open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())


def read_json(path: Path) -> Any:
    """A JSON file; RequestError says what is wrong with it."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is not JSON: {error}") from None
