"""Which Foreshore this is: release, and the commit where it runs from a checkout."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def version_text() -> str:
    """As `foreshore, version 0.1.0 (commit 1a2b3c4d5e6f)`; without a commit where there is no checkout."""
    commit = checkout_commit(Path(__file__).parents[1])
    return f"foreshore, version {version('foreshore')}" + (f" (commit {commit[:12]})" if commit else "")


def checkout_commit(folder: Path) -> str | None:
    """The commit that a folder's checkout stands at, read from git's own files: no program is started for it."""
    try:
        git = folder / ".git"
        if git.is_file():  # a worktree names its folder
            git = (folder / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head if _COMMIT.fullmatch(head) else None
        name = head.removeprefix("ref:").strip()
        common = git / (git / "commondir").read_text().strip() if (git / "commondir").exists() else git
        for place in (git, common):
            if (place / name).is_file():
                return (place / name).read_text().strip()
        packed = (common / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except OSError:
        return None
