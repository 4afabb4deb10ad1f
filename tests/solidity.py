"""Contracts compiled from the sources that npm installs, with npm's own solc; kept below node_modules."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulate.chain.anvil import NodeError, install
from simulate.chain.chain import Chain
from simulate.chain.contracts import Contract

SCRIPT = Path(__file__).parent / "compile.mjs"


def compiled(folder: Path, evm_version: str, remappings: Sequence[str], sources: Sequence[str]) -> dict[str, Any]:
    """{contract: {abi, bytecode, linkReferences}} of `sources`; NodeError where they cannot be had."""
    install(folder)
    node = shutil.which("node")
    if node is None:
        raise NodeError("no node on this machine to run solc with")
    asked = "\n".join(
        [SCRIPT.read_text(), (folder / "package-lock.json").read_text(), evm_version, *remappings, *sources]
    )
    local = "".join((folder / s).read_text() for s in sources if (folder / s).exists())
    out = folder / "node_modules" / f".compiled-{hashlib.sha256((asked + local).encode()).hexdigest()[:16]}.json"
    if not out.exists():
        command = [node, str(SCRIPT), str(folder), str(out), evm_version, ",".join(remappings), *sources]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise NodeError(f"solc says: {done.stderr[-2000:]}")
    return dict(json.loads(out.read_text()))


@dataclass
class Deployer:
    """Puts compiled contracts on a chain, with the libraries that they link."""

    chain: Chain
    sender: str
    contracts: dict[str, Any]
    libraries: dict[str, str] = field(default_factory=dict)

    def make(self, name: str, *arguments: Any) -> str:
        """Queue a contract; its libraries go first."""
        found = self.contracts[name]
        code = found["bytecode"]
        for inside in found["linkReferences"].values():
            for library, places in inside.items():
                if library not in self.libraries:
                    self.libraries[library] = self.make(library)
                for place in places:
                    at = 2 + 2 * place["start"]
                    code = code[:at] + self.libraries[library][2:] + code[at + 40 :]
        return self.chain.deploy(self.sender, Contract(name, found["abi"], code), *arguments)

    def do(self, to: str, function: str, *arguments: Any, sender: str | None = None) -> int:
        return self.chain.send(sender or self.sender, to, function, *arguments)

    def abi(self, name: str) -> list[dict[str, Any]]:
        return list(self.contracts[name]["abi"])
