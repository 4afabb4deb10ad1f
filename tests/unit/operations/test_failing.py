"""Whatever a person types, configures or runs out of: one line with cause and cure, no traceback, no silent zero."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from extract.bars.config import bar_source
from extract.config import Config, read_config
from extract.errors import ConfigError, ForeshoreError, RequestError, StorageError
from extract.evm.config import load_chains
from extract.evm.redact import remember
from extract.lending.days import parse_day
from extract.lending.registry import load_registry
from extract.markets.config import load_polymarket
from extract.shapes import misshapen
from extract.voting.epochs import parse_moment
from extract.voting.families import load_protocols
from operate import failing
from operate.cli import cli
from operate.console import Fitted

ROOT = Path(__file__).parents[3]
ADDRESS = "0x" + "1" * 40
SECTIONS = {
    "storage": lambda c: (c.root, c.raw_url, c.seeds, c.is_simulated),
    "chains": lambda c: list(load_chains(c.section("chains"), {}).values()),
    "voting": lambda c: load_protocols(c.section("voting")),
    "lending": load_registry,
    "bars": bar_source,
    "polymarket": lambda c: load_polymarket(c.section("polymarket")),
}


@pytest.mark.parametrize(
    "text", ["177459202²", "\u0661\u0667", "9" * 5000, "-", "--1", "1e9", "", "nan", "2026-13-01", "\x00"]
)
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(RequestError):
        parse_moment(text)


@given(st.text(max_size=30) | st.integers().map(str))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    for parse in (parse_moment, parse_day):
        try:
            parse(text)
        except RequestError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[storage]\nraw_url = 3", r"\[storage\] raw_url = 3 must be text"),
        ("[storage]\nis_simulated = 'no'", "true or false"),
        ("storage = 3", r"\[storage\] must be a table"),
        ("[chains]\nbase = 3", r"\[chains\] base must be a table"),
        ("[chains.base]\nproviders = 3", "list of tables"),
        ("[bars]\nproviders = [3]", "list of tables"),
        ("[[bars.providers]]\nname='x'\nkind='files'\nfeed='f'\npath=3", "path = 3 must be text"),
        ("[[bars.providers]]\nname='x'\nkind='files'\nfeed='f'\npath='b'\nsettle_minutes=true", "whole number"),
        ("[voting]\nx = 3", r"\[voting\] x must be a table"),
        ("[voting.x]\nfamily = []", "unknown"),
        (f"[voting.x]\nfamily='thena'\nchain=3\nvoter='{ADDRESS}'\nminter='{ADDRESS}'", "chain = 3"),
        (f"[voting.x]\nfamily='thena'\nchain='b'\nvoter='{ADDRESS}'\nminter='{ADDRESS}'\nstart_block='x'", "block"),
        (f"[voting.x]\nfamily='thena'\nchain='b'\nvoter='{ADDRESS}'\nminter='{ADDRESS}'\nevents=3", "tables"),
        ("[lending]\ncsus = 3", "list of tables"),
        ("[lending]\ncsus = [3]", "list of tables"),
        ("[[lending.csus]]\ncsu_id = 3", "CSU 3 is not whole"),
    ],
)
def test_values_of_a_wrong_kind_are_named(tmp_path: Path, body: str, words: str) -> None:
    path = tmp_path / "foreshore.toml"
    path.write_text(f"{body}\n")
    with pytest.raises(ConfigError, match=words):
        read_all(path)


def read_all(path: Path) -> None:
    config = read_config(path)
    seeds = Config(path, {**config.raw, "storage": {**config.section("storage"), "seeds": str(ROOT / "seeds")}}, {})
    for name, reader in SECTIONS.items():
        if config.section(name):
            reader(seeds)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdkindfeednm", max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at] if at else []
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += paths(below, (*at, key))
    return found


SHIPPED = tomllib.loads((ROOT / "foreshore.toml").read_text())
SMALL = {
    **SHIPPED,
    "chains": {"base": {**SHIPPED["chains"]["base"], "providers": [{"name": "a", "url": "https://rpc.example/k"}]}},
    "bars": {**SHIPPED["bars"], "provider": "files", "providers": SHIPPED["bars"]["providers"][2:]},
    "storage": {"seeds": str(ROOT / "seeds")},
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from([p for p in paths(SMALL) if p[0] in SECTIONS]), value=VALUES)
def test_any_value_anywhere_in_the_configuration_is_taken_or_refused(
    place: tuple[str | int, ...], value: object
) -> None:
    import copy

    raw = copy.deepcopy(SMALL)
    holder = raw
    for key in place[:-1]:
        holder = holder[key]  # type: ignore[index,assignment]
    holder[place[-1]] = value  # type: ignore[index]
    if list(misshapen(raw)):
        return
    config = Config(ROOT / "foreshore.toml", raw, {})
    for reader in SECTIONS.values():
        try:
            reader(config)
        except ForeshoreError:
            continue


@given(st.binary(max_size=200))
def test_bytes_as_a_configuration(blob: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "foreshore.toml"
        path.write_bytes(blob)
        try:
            read_config(path)
        except ConfigError as error:
            assert str(path) in str(error)


def test_a_column_named_like_markup_is_shown_as_it_is() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    for width in (80, 4):
        console.print(Fitted("", ["[/]x", "\x1b]8;;http://evil\x1b\\y"], [["1", "2"]]), width=width)
    told = console.export_text()
    assert "[/]x" in told and "\x1b" not in told and "\\x1b" in told


@pytest.mark.parametrize("statement", ["", ";", " ; ; ", "-- nothing"])
def test_no_statement_is_said(statement: str) -> None:
    told = CliRunner().invoke(cli, ["sql", statement, "--config", str(ROOT / "foreshore.toml")])
    assert told.exit_code != 0 and (told.exception is None or isinstance(told.exception, ForeshoreError | SystemExit))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "give yourself the right"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (ExceptionGroup("many", [StorageError("one"), ExceptionGroup("more", [StorageError("one")])]), "one"),
        (ValueError("odd"), "FORESHORE_TRACEBACK=1"),
    ],
)
def test_every_error_is_one_line(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "say_error", print)
    failing.told(error)
    told = capsys.readouterr().out
    assert words in told and told.count("\n") == 1


def test_no_error_tells_a_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    remember("https://user:hunter22@rpc.example/v2/planted-key")
    monkeypatch.setattr(failing, "say_error", print)
    failing.told(ValueError("POST https://rpc.example/v2/planted-key of planted-key with hunter22"))
    assert not {"planted-key", "hunter22"} & set(capsys.readouterr().out.split())


def foreshore(*words: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "operate", *words]
    environ = {**os.environ, **variables}
    return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("line", ["status", "build"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, line: str) -> None:
    """A file stands where the folder should be: no right of any user helps there, root's neither."""
    (tmp_path / "foreshore.toml").write_text('[storage]\nroot = "taken/data"\n')
    (tmp_path / "taken").write_text("")
    told, _ = foreshore(line, "--config", str(tmp_path / "foreshore.toml")).communicate(timeout=60)
    assert "Traceback" not in told and len(told.splitlines()) <= 2


@pytest.mark.parametrize("seconds", [1.5, 5.0])
def test_an_interrupt_ends_in_one_line(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "foreshore.toml").write_text('[storage]\nroot = "data"\n')
    process = foreshore("build", "--config", str(tmp_path / "foreshore.toml"))
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert "Traceback" not in told and len(told.splitlines()) <= 6, told


def test_an_interrupt_at_import_is_silent(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    process = foreshore("status", PYTHONPATH=f"{tmp_path}:{ROOT}")
    told, _ = process.communicate(timeout=60)
    assert told == "" and process.returncode == -signal.SIGINT
