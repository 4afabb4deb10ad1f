"""What kind of value stands where in foreshore.toml: a table, tables, text. Looked at once, before anybody reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

TABLE, TABLES, TEXT, FLAG = "a table", "a list of tables ([[...]])", "text", "true or false"
ANY = "*"
SHAPES: Mapping[tuple[str, ...], str] = {
    ("storage",): TABLE,
    ("storage", "root"): TEXT,
    ("storage", "raw_url"): TEXT,
    ("storage", "published_url"): TEXT,
    ("storage", "seeds"): TEXT,
    ("storage", "is_simulated"): FLAG,
    ("chains",): TABLE,
    ("chains", ANY): TABLE,
    ("chains", ANY, "providers"): TABLES,
    ("chains", ANY, "price_sources"): TABLES,
    ("chains", ANY, "feeds"): TABLE,
    ("voting",): TABLE,
    ("voting", ANY): TABLE,
    ("lending",): TABLE,
    ("lending", "csus"): TABLES,
    ("bars",): TABLE,
    ("bars", "providers"): TABLES,
    ("polymarket",): TABLE,
    ("markets",): TABLE,
    ("markets", "language_models"): TABLE,
    ("markets", "language_models", ANY): TABLE,
    ("overnight",): TABLE,
}
_IS: Mapping[str, Callable[[Any], bool]] = {
    TABLE: lambda value: isinstance(value, Mapping),
    TABLES: lambda value: isinstance(value, list) and all(isinstance(item, Mapping) for item in value),
    TEXT: lambda value: isinstance(value, str) and value.isprintable(),
    FLAG: lambda value: isinstance(value, bool),
}


def misshapen(raw: Mapping[str, Any]) -> Iterator[str]:
    """One sentence per value that is not of its kind: where it stands, and what it must be."""
    for path, kind in SHAPES.items():
        for where, value in _found(raw, path, ()):
            if not _IS[kind](value):
                name = f"[{'.'.join(where[:-1])}] {where[-1]}" if where[1:] else f"[{where[0]}]"
                told = f" = {value!r}" if kind in (TEXT, FLAG) else ""
                yield f"{name}{told} must be {kind}"


def _found(value: Any, path: tuple[str, ...], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not path:
        yield at, value
        return
    if not isinstance(value, Mapping):
        return  # told where it stands itself
    for name in value if path[0] == ANY else [path[0]]:
        if name in value:
            yield from _found(value[name], path[1:], (*at, name))
