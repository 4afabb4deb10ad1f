"""Which release this is, and stores that another one wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from extract.errors import ConfigError, StorageError
from extract.land import STORE_VERSION, Lake
from operate.cli import cli
from operate.version import checkout_commit

ROOT = Path(__file__).parents[3]


def test_the_version_names_the_commit() -> None:
    told = CliRunner().invoke(cli, ["--version"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.exit_code == 0 and told.output.startswith("foreshore, version ")
    if head.returncode == 0:
        assert checkout_commit(ROOT) == head.stdout.strip()
        assert head.stdout[:12] in told.output


def test_packed_and_loose_and_detached_and_none(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    git.mkdir()
    assert checkout_commit(tmp_path) is None
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
    assert checkout_commit(tmp_path) == "a" * 40
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text(f"{'b' * 40}\n")
    assert checkout_commit(tmp_path) == "b" * 40
    (git / "HEAD").write_text("c" * 40)
    assert checkout_commit(tmp_path) == "c" * 40


@pytest.mark.parametrize("version", [STORE_VERSION + 1, 0, "1"])
def test_a_store_of_another_release_is_refused_with_the_way_out(tmp_path: Path, version: object) -> None:
    (tmp_path / "_store.json").write_text(json.dumps({"version": version, "is_simulated": False}))
    with pytest.raises(StorageError, match="use the release that wrote it, or extract anew"):
        Lake(str(tmp_path)).claim()


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    for text in ("", "[]", '{"version": 1}', "\x00"):
        (tmp_path / "_store.json").write_text(text)
        with pytest.raises(StorageError, match="is damaged"):
            Lake(str(tmp_path)).claim()


def test_a_store_that_nothing_here_speaks_is_one_line() -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        Lake("nosuchprotocol://bucket/raw")
