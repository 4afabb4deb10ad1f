"""The verb `init`: a project of one's own, with a commented foreshore.toml of what was asked for."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import click

from extract.config import DEFAULT_CONFIG
from extract.errors import RequestError
from operate.project import ROOT, project_files
from operate.whole import whole_file

WINGS = ("voting", "lending", "bars", "markets")
_HEADER = re.compile(r"^\[+([\w.]+)\]+")
_SECTIONS = {"bars": "bars", "polymarket": "markets", "markets": "markets"}  # table of the file: wing
_KEY = re.compile(r'^(?:url|key|secret)_env = "(\w+)"', re.MULTILINE)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--wing", "wings", type=click.Choice(WINGS), multiple=True, help="Only these; repeatable  [default: all]."
)
@click.option("--chain", "chains", metavar="NAME", multiple=True, help="Only these; repeatable  [default: base].")
def init(folder: Path, wings: tuple[str, ...], chains: tuple[str, ...]) -> None:
    """Lay a project into a folder: foreshore.toml for what you want, models, and seeds to put your constants in.

    Writes over nothing: a file that is there already is an error, and nothing is laid.

    \b
    Examples
      foreshore init mine
      foreshore init votes --wing voting --chain base
      foreshore init loans --wing lending --chain ethereum --chain arbitrum
    """
    told = configuration((ROOT / DEFAULT_CONFIG).read_text(encoding="utf-8"), wings or WINGS, chains or ("base",))
    wanted = {name: (ROOT / name).read_bytes() for name in project_files(ROOT)} | {Path(DEFAULT_CONFIG): told.encode()}
    there = [name for name in wanted if (folder / name).exists()]
    # what a killed `init` left is exactly what would be written: it is gone on with
    is_begun = len(there) < len(wanted) and all((folder / name).read_bytes() == wanted[name] for name in there)
    if there and not is_begun:
        first = next((name for name in there if (folder / name).read_bytes() != wanted[name]), there[0])
        raise RequestError(f"{folder / first} is there already: choose another folder; nothing was written")
    for name, content in wanted.items():
        if name not in there:
            whole_file(folder / name, content)
    click.echo(f"Laid {len(wanted)} files into {folder}. Next:")
    for step in _next_steps(folder, wings or WINGS, told):
        click.echo(f"  {step}")


def configuration(whole: str, wings: Collection[str], chains: Collection[str]) -> str:
    """The whole configuration's text less what was not asked for; comments stay with the table they stand above.

    Errors: RequestError names the chains there are.
    """
    blocks = _blocks(whole)
    known = {parts[1] for parts, _ in blocks if parts[0] == "chains"}
    if unknown := sorted(set(chains) - known):
        raise RequestError(f"no chain {', '.join(unknown)}: there are {', '.join(sorted(known))}")
    of_chains = bool({"voting", "lending"} & set(wings))
    kept = [text for parts, text in blocks if _is_wanted(parts, text, wings, chains if of_chains else ())]
    return "".join(kept).rstrip("\n") + "\n"


def _blocks(whole: str) -> list[tuple[list[str], str]]:
    """Tables of the text in order, each with its name's parts and the comment lines right above it."""
    blocks: list[tuple[list[str], list[str]]] = [([""], [])]
    above: list[str] = []
    is_after_blank = True
    for line in whole.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header:
            blocks.append((header[1].split("."), [*above, line]))
            above = []
        elif line.startswith("#") and (above or is_after_blank):
            above.append(line)  # of the table that follows, unless more of this one does
        elif above and not line.strip():
            above.append(line)
        else:
            blocks[-1][1].extend([*above, line])
            above = []
        is_after_blank = not line.strip()
    blocks[-1][1].extend(above)
    return [(parts, "".join(lines)) for parts, lines in blocks]


def _is_wanted(parts: list[str], text: str, wings: Collection[str], chains: Collection[str]) -> bool:
    table = parts[0]
    if table in ("", "storage"):
        return True
    if table == "chains":
        return parts[1] in chains
    if table == "voting":
        chain = re.search(r'^chain = "(\w+)"', text, re.MULTILINE)
        return "voting" in wings and chain is not None and chain[1] in chains
    return _SECTIONS.get(table, table) in wings


def _next_steps(folder: Path, wings: Collection[str], told: str) -> list[str]:
    """What to type then: keys first, then what a run would cost, before it runs."""
    first = {
        "voting": "foreshore extract voting --epochs 12 --plan",
        "lending": "foreshore extract lending --days 7 --plan",
        "bars": "foreshore extract bars --symbol AAPL --from 2026-01-05 --to 2026-02-27 --plan",
        "markets": "foreshore markets daily --dry-run",
    }
    keys = [name for name in dict.fromkeys(_KEY.findall(told)) if not name.endswith("_BACKUP") and "LLM" not in name]
    return [
        f"cd {folder}",
        *(f"export {name}=...    # only what you use" for name in keys),
        *(first[wing] for wing in WINGS if wing in wings),
        "foreshore build",
    ]
