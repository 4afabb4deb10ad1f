"""Write docs/reference from the code: verbs, tables, seeds and errors. `python -m operate.reference` after a change."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from operate.cli import CONTEXT, cli
from operate.definitions import Definition, definitions
from operate.project import ROOT

FOLDER = ROOT / "docs" / "reference"
_BASE = "ForeshoreError"
_MADE = "<!-- Made by `python -m operate.reference`: change the code, then run it. -->"


def pages() -> dict[str, str]:
    """Every page's text by its file's name."""
    return {"verbs.md": _verbs(), "tables.md": _tables(), "seeds.md": _seeds(), "errors.md": _errors()}


def _verbs() -> str:
    says = (
        "Every command of `foreshore`, as `--help` shows it. Exit codes: 0 done, 1 failed, 2 partial, 3 nothing to do,"
    )
    parts = [_head("Verbs", f"{says} 64 wrong usage, 130 interrupted.")]
    for path, command in _commands(cli):
        context = click.Context(command, info_name=f"foreshore {path}", **CONTEXT)  # type: ignore[arg-type]
        context.terminal_width = 100
        parts.append(f"## foreshore {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        path = f"{above} {name}".strip()
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield path, command
        if isinstance(command, click.Group):
            yield from _commands(command, path)


def _tables() -> str:
    parts = [_head("Tables", "What is published, by wing, with the meaning of every column.")]
    for folder in sorted(path for path in (ROOT / "models" / "marts").iterdir() if path.is_dir()):
        parts.append(f"## {folder.name}\n")
        parts += [_defined(sql.stem) for sql in sorted(folder.glob("*.sql"))]
    return "\n".join(parts)


def _seeds() -> str:
    parts = [_head("Seeds", "Constants and registries: files of your project, read by every build.")]
    for file in sorted((ROOT / "seeds").rglob("*.csv"), key=lambda path: (len(path.parts), path)):
        parts.append(_defined(file.stem, f"[`{file.relative_to(ROOT)}`](../../{file.relative_to(ROOT)})"))
    return "\n".join(parts)


def _defined(name: str, place: str = "") -> str:
    told = definitions().get(name, Definition("", {}))
    rows = "".join(f"| `{column}` | {_cell(text)} |\n" for column, text in told.columns.items())
    where = f"{place}: " if place else ""
    return f"### {name}\n\n{where}{told.description}\n\n| column | meaning |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _errors() -> str:
    says = "What is shown as one line, without a traceback, and ends with 1: the message itself names cause and cure."
    parts = [_head("Errors", says)]
    rows = "".join(f"| `{name}` | `{place}` | {_cell(text)} |\n" for name, place, text in sorted(_error_classes()))
    return "\n".join([*parts, f"| error | where | what it says |\n|---|---|---|\n{rows}"])


def _error_classes() -> list[tuple[str, str, str]]:
    """Name, module and first paragraph of every class below the base, found without importing any wing."""
    classes: dict[str, tuple[list[str], str, str]] = {}
    for room in ("extract", "decide", "operate"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                    text = inspect.cleandoc(ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                    classes[node.name] = (bases, file.relative_to(ROOT).as_posix(), text)

    def is_ours(name: str) -> bool:
        return name == _BASE or any(is_ours(base) for base in classes.get(name, ([], "", ""))[0] if base != name)

    return [(name, place, text) for name, (_, place, text) in classes.items() if name != _BASE and is_ours(name)]


def _head(title: str, says: str) -> str:
    return f"{_MADE}\n\n# {title}\n\n{says}\n"


def main(folder: Path = FOLDER) -> None:
    """Write every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
