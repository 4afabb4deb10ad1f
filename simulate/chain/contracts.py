"""Our Vyper contracts, compiled once and kept by the hash of their source."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

ARTIFACTS = Path(__file__).parents[1] / "artifacts"  # compiled code by the hash of its source
MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"


@dataclass(frozen=True)
class Contract:
    """A compiled contract: its ABI, and the code that deploys it."""

    name: str
    abi: list[dict[str, Any]]
    code: str

    def deployment(self, *arguments: Any) -> str:
        """Data of the transaction that creates it."""
        inputs: list[dict[str, Any]] = next((e["inputs"] for e in self.abi if e["type"] == "constructor"), [])
        return self.code + encode([_type(i) for i in inputs], list(arguments)).hex()


def compile_all(folder: Path, sources: Path) -> dict[str, Contract]:
    """Every contract in `sources` by name; `folder` keeps the results between runs."""
    folder.mkdir(parents=True, exist_ok=True)
    return {path.stem: _compiled(path, folder) for path in sorted(sources.glob("*.vy"))}


def _compiled(path: Path, folder: Path) -> Contract:
    source = path.read_text()
    kept = folder / f"{path.stem}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        from vyper import compile_code  # half a second to import: only when something is new

        built = compile_code(source, output_formats=["abi", "bytecode"])
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"abi": built["abi"], "code": built["bytecode"]}))
        part.replace(kept)
    found = json.loads(kept.read_text())
    return Contract(path.stem, found["abi"], found["code"])


def multicall3_code() -> str:
    """Runtime code of Multicall3, as on public chains."""
    return (Path(__file__).parent / "multicall3.hex").read_text().strip()


def _type(parameter: dict[str, Any]) -> str:
    if parameter["type"].startswith("tuple"):
        inner = ",".join(_type(c) for c in parameter["components"])
        return f"({inner}){parameter['type'].removeprefix('tuple')}"
    return str(parameter["type"])


def signature(entry: dict[str, Any]) -> str:
    """`name(type,...)` of a function or event of an ABI."""
    return f"{entry['name']}({','.join(_type(i) for i in entry['inputs'])})"


@cache
def _selector(text: str) -> str:
    return "0x" + keccak(text=text)[:4].hex()


def calldata(text: str, *arguments: Any) -> str:
    """Call data for a function given as `name(type,...)`."""
    types = _split(text[text.index("(") + 1 : -1])
    return _selector(text) + encode(types, list(arguments)).hex()


def _split(types: str) -> list[str]:
    """The parts of a list of types; a tuple is one part."""
    parts, depth = [""], 0
    for letter in types:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]
