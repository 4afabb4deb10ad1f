"""What tables and columns mean, from the models' own documentation: one source for docs, packages and the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import yaml

from operate.project import ROOT

IS_SIMULATED = "is_simulated"  # publication adds it to every row


@dataclass(frozen=True)
class Definition:
    """A table in words, and its columns in words, in the order of their documentation."""

    description: str
    columns: Mapping[str, str]


@cache
def definitions() -> Mapping[str, Definition]:
    """Every documented model and seed by name."""
    blocks = _blocks()
    found: dict[str, Definition] = {}
    for folder in ("models/marts", "models/intermediate", "python_models", "seeds"):
        for file in sorted((ROOT / folder).rglob("*.yml")):
            content = yaml.safe_load(file.read_text()) or {}
            for of in (*content.get("models", []), *content.get("seeds", [])):
                columns = {c["name"]: _resolved(c, blocks) for c in of.get("columns", [])}
                columns.setdefault(IS_SIMULATED, blocks[IS_SIMULATED])
                found[of["name"]] = Definition(_resolved(of, blocks), columns)
    return found


def _blocks() -> dict[str, str]:
    """Texts that several columns share."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "docs" / "blocks").glob("*.md")):
        told = re.findall(r"{% docs (\w+) %}\n(.*?)\n{% enddocs %}", file.read_text(), re.DOTALL)
        found |= {name: " ".join(text.split()) for name, text in told}
    return found


def _resolved(of: Mapping[str, object], blocks: Mapping[str, str]) -> str:
    text = " ".join(str(of.get("description", "")).split())
    block = re.search(r"doc\(['\"](\w+)['\"]\)", text)
    return blocks.get(block.group(1), "") if block else text
