"""The dbt project that Foreshore builds: a checkout itself, or what setup.py put into an installed wheel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
_PACKED = Path(__file__).parent / "project_files"  # setup.py lays them there
ROOT = _CHECKOUT if (_CHECKOUT / "dbt_project.yml").exists() else _PACKED

# setup.py reads these two names: what a wheel carries is what `foreshore init` lays
FILES = ("dbt_project.yml", "profiles.yml", "foreshore.toml", ".dbtignore")
FOLDERS = ("models", "python_models", "macros", "seeds", "analyses", "docs/blocks", "tests/data", "tests/generic")
_SUFFIXES = {".sql", ".yml", ".csv", ".py", ".md"}


def project_files(root: Path) -> Iterator[Path]:
    """Every file of the project below `root`, relative to it."""
    yield from (Path(name) for name in FILES)
    for folder in FOLDERS:
        found = sorted((root / folder).rglob("*"))
        yield from (path.relative_to(root) for path in found if path.suffix in _SUFFIXES)
