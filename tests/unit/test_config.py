"""Which configuration is in use, where its paths lead, and that real and simulated data never meet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from extract.config import WORLD_CONFIG, load_config, read_config
from extract.errors import ConfigError, StorageError
from extract.lake import Lake
from operate import worlds

ROOT = Path(__file__).parents[2]
CHAIN = '[chains.base]\nchain_id = 8453\n[[chains.base.providers]]\nname = "one"\nurl_env = "SOME_RPC_URL"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a chain whose provider is not configured; commands are called from it."""
    folder = tmp_path / "project"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "foreshore.toml").write_text(CHAIN)
    for name in ("FORESHORE_CONFIG", "FORESHORE_ENVIRONMENT", "SOME_RPC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


def world(project: Path) -> Path:
    path = project / WORLD_CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('[storage]\nroot = "."\nseeds = "../../seeds"\nis_simulated = true\n')
    return path


def test_paths_start_from_the_file_and_not_from_where_a_command_is_called(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(str(project / "foreshore.toml"))
    assert config.root == project / "data" and config.seeds == project / "seeds"
    assert config.raw_url == str(project / "data" / "raw")
    (project / "other.toml").write_text('[storage]\nroot = "../elsewhere"\nraw_url = "s3://bucket/raw"\n')
    other = load_config("project/other.toml")
    assert other.root.resolve() == tmp_path / "elsewhere" and other.raw_url == "s3://bucket/raw"


def test_the_nearest_file_above_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "deep" / "er")
    assert load_config().path.resolve() == project / "foreshore.toml"
    assert load_config().root.resolve() == project / "data"


@pytest.mark.parametrize(
    "verb", [["status"], ["sql", "select 1"], ["extract", "voting"], ["build"], ["markets", "daily"]]
)
def test_a_configuration_that_is_not_there_is_an_error_everywhere(verb: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "operate.cli", *verb]
    missing = str(tmp_path / "none.toml")
    for arguments, environment in (
        (["--config", missing], {}),
        ([], {"FORESHORE_CONFIG": missing}),
        (["--config", str(tmp_path)], {}),
    ):
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and "no configuration at" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""


def test_wrong_types_and_bytes_are_named(project: Path) -> None:
    path = project / "foreshore.toml"
    path.write_text("[storage]\nroot = 7\n")
    with pytest.raises(ConfigError, match=r"\[storage\] root = 7 must be text"):
        _ = load_config().root
    path.write_bytes(b'[storage]\nroot = "\xff"\n')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config()


def test_the_world_is_used_only_where_there_is_nothing_real(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_config().is_simulated, "no world yet"
    there = world(project)
    assert load_config().is_simulated and load_config().root == there.relative_to(project).parent
    monkeypatch.setenv("FORESHORE_ENVIRONMENT", "production")
    assert not load_config().is_simulated
    monkeypatch.delenv("FORESHORE_ENVIRONMENT")
    monkeypatch.setenv("SOME_RPC_URL", "https://node.example")
    assert not load_config().is_simulated
    monkeypatch.delenv("SOME_RPC_URL")
    Lake.of(read_config(project / "foreshore.toml")).declare({})
    assert not load_config().is_simulated, "real data are never left for a lost environment variable"


def test_real_and_simulated_data_never_share_a_store(tmp_path: Path) -> None:
    real, simulated = Lake(str(tmp_path / "raw"), False), Lake(str(tmp_path / "raw"), True)
    with real.lock():
        real.declare({})
    with (
        pytest.raises(StorageError, match="holds real data and this configuration is the embedded world's"),
        simulated.lock(),
    ):
        pass
    with Lake(str(tmp_path / "raw")).lock():  # who does not know takes it for what it says
        pass
    (tmp_path / "raw" / "_store.json").write_text('{"version": 99, "is_simulated": false}\n')
    with pytest.raises(StorageError, match="store version 99"), real.lock():
        pass


def test_production_never_falls_back_to_the_world(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORESHORE_ENVIRONMENT", "production")
    with pytest.raises(worlds.WorldError, match="never falls back"), worlds.world_if_needed():
        pass
    assert not (project / "data").exists()


def test_a_provider_or_a_named_configuration_keeps_the_world_down(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_RPC_URL", "https://node.example")
    with worlds.world_if_needed() as added:
        assert added == {}
    assert not (project / "data").exists()


def test_only_a_process_that_is_provably_ours_is_stopped(project: Path) -> None:
    """A pid that another program has by now, or a command of ours under another start time, is not touched."""
    own = worlds.VOTING
    world(project)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "simulate"])
    try:
        for facts in (
            f'{{"pid": {bystander.pid}, "started": 1.0, "command": []}}',
            f'{{"pid": {os.getpid()}, "started": 1.0, "command": []}}',
            f"{bystander.pid}",
            "not json",
            '{"pid": "many"}',
        ):
            own.process_file.write_text(facts)
            assert own.process() is None and not worlds.down()
            assert bystander.poll() is None and not own.process_file.exists()
    finally:
        bystander.kill()
        bystander.wait()
