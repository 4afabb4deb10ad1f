"""What the documents show can be typed: every command parses as shown, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from operate.cli import cli
from operate.project import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)")


def shown(document: Path) -> Iterator[str]:
    """Commands of the document's shell blocks, with continued and quoted lines joined."""
    for block in re.findall(r"^```(?:sh|bash|shell)\n(.*?)^```", document.read_text(encoding="utf-8"), re.S | re.M):
        kept = ""
        for line in block.replace("\\\n", " ").splitlines():
            kept = f"{kept}\n{line}" if kept else line
            if kept.count('"') % 2 == 0:
                yield kept.strip()
                kept = ""


COMMANDS = [
    pytest.param(command, id=f"{document.relative_to(ROOT)}: {command[:60]}")
    for document in DOCUMENTS
    for command in shown(document)
    if command.startswith(("foreshore ", ".venv/bin/foreshore "))
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shown_command_parses(command: str) -> None:
    words = shlex.split(command.split(" | ")[0].split(" && ")[0], comments=True)[1:]
    found: click.Command = cli
    context = click.Context(cli, info_name="foreshore")
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        below = found.get_command(context, words[0])
        if below is None:
            assert found.invoke_without_command or found is not cli, f"no verb {words[0]!r}"
            break
        found, words = below, words[1:]
    assert found is not cli, "no verb is named"
    if {"--help", "--version"} & set(words):
        return
    with click.Context(found, info_name=found.name) as parsing:  # parsed only: nothing of the verb runs
        try:
            found.parse_args(parsing, [word for word in words if word not in (">", "...")])
        except click.BadParameter as error:
            assert "does not exist" in error.message  # a file of the reader's own


def _anchors(document: Path) -> set[str]:
    """Names under which the headings of a document can be linked to."""
    heads = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Files that are there, and headings that they have."""
    for link, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in _anchors(target), f"{link}#{anchor}"


def test_a_wrong_command_would_be_seen() -> None:
    with pytest.raises(click.UsageError):
        test_a_shown_command_parses("foreshore recommend --windoww T-5")
    with pytest.raises(AssertionError, match="no verb"):
        test_a_shown_command_parses("foreshore recomend")


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 40


def test_every_benchmark_is_run_by_make_bench_and_told() -> None:
    """`make bench` runs what there is, its README tells what was measured, the comparison names only what is run."""
    listed = re.search(r"^bench:.*\n\t@for name in ([\w. ]+);", (ROOT / "Makefile").read_text(), re.M)
    assert listed is not None
    run, told = set(listed.group(1).split()), (ROOT / "benchmarks" / "README.md").read_text()
    folder = ROOT / "benchmarks"
    files = [path for path in folder.rglob("*.py") if ".peers" not in path.parts]  # packages that benchmarks install
    named = [path.relative_to(folder) for path in files if "__main__" in path.read_text()]
    there = {".".join(path.with_suffix("").parts) for path in named}
    assert run <= there, run - there
    assert not [name for name in run if f"| `{name}` |" not in told]
    compared = set(re.findall(r"`benchmarks\.([\w.]+)`", (ROOT / "docs" / "comparison.md").read_text()))
    assert compared <= run and "state_reads" in compared
