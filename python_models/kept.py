"""What Python models know of their last run, and of their own code. No model: `.dbtignore` keeps dbt away from it.

A model's answers are kept in its own table, in the build file: written in the transaction that swaps the table in, so a
kill leaves the old table or the new one, and a build file that is gone is decided again from nothing.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any

ROOM = "decide"
LIBRARIES = ("numpy", "scipy", "pyarrow")  # what computes; a new version may round another way


def kept_answers(dbt: Any, session: Any) -> Any:
    """The model's table as its last build left it, or None where there is none: a relation, read part by part."""
    wanted = [dbt.this.database, dbt.this.schema, dbt.this.identifier]
    there = "select 1 from duckdb_tables() where database_name = ? and schema_name = ? and table_name = ?"
    if not session.execute(there, wanted).fetchall():
        return None
    return session.query(f"select * from {dbt.this}")


@cache
def code_version(*modules: str) -> str:
    """Hash of the source of these modules and of all they import from `decide`, and of the versions that compute.

    A change anywhere else changes no answer; a comment counts as a change, which costs a build and no mistake.
    """
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        source = _source(name)
        if source is not None:
            found[name] = source
            waiting += _imports(source)
    if missing := set(modules) - set(found):
        raise ModuleNotFoundError(f"no source of {', '.join(sorted(missing))}")
    digest = sha256(repr([python_version(), *(version(name) for name in LIBRARIES)]).encode())
    for name in sorted(found):
        digest.update(f"{name} {len(found[name])};".encode() + found[name])
    return digest.hexdigest()


def _source(name: str) -> bytes | None:
    """A module's file, or None where the name is no module (an imported function, say)."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin).read_bytes() if spec is not None and spec.origin is not None else None


# Read by pattern and not by `ast`: dbt runs models in threads, and ast.parse of two at once fails on Python 3.11
# ("AST constructor recursion depth mismatch"). A line that only looks like an import costs nothing but its file's hash.
_FROM = re.compile(rf"^[ \t]*from[ \t]+({ROOM}[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)", re.MULTILINE)
_IMPORT = re.compile(rf"^[ \t]*import[ \t]+({ROOM}[\w.]*)", re.MULTILINE)


def _imports(source: bytes) -> set[str]:
    """Names under `decide` that a source imports, modules or what is in them."""
    text = source.decode()
    found = set(_IMPORT.findall(text))
    for module, names in _FROM.findall(text):
        found |= {module, *(f"{module}.{name}" for name in re.findall(r"(\w+)(?:[ \t]+as[ \t]+\w+)?", names))}
    parents = {".".join(name.split(".")[:n]) for name in found for n in range(1, name.count(".") + 1)}
    return {name for name in found | parents if name.split(".")[0] == ROOM}
