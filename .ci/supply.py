"""What Foreshore is made of: a CycloneDX list of the locked packages, and their known vulnerabilities.

python .ci/supply.py sbom > sbom.json
python .ci/supply.py audit          # 0 none known, 1 some are, 3 the database was out of reach: nothing was looked up
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
OSV = "https://api.osv.dev/v1/querybatch"  # https://google.github.io/osv.dev/post-v1-querybatch
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_BATCH = 500  # queries of one request; the database takes 1,000
SECONDS = 30


def locked(text: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and SHA-256 hashes of every package of a lock."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            found.append((pin[1].lower(), pin[2], []))
        if found:
            found[-1][2].extend(_HASH.findall(line))
    return found


def sbom(text: str) -> dict[str, Any]:
    """CycloneDX 1.5."""
    parts = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": value} for value in hashes],
        }
        for name, version, hashes in locked(text)
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": parts}


def vulnerabilities(text: str, database: str) -> dict[str, list[str]]:
    """Ids of known vulnerabilities by `name version`. OSError or ValueError when the database gives no answer."""
    packages, found = locked(text), {}
    for start in range(0, len(packages), _BATCH):
        some = packages[start : start + _BATCH]
        queries = [{"package": {"name": n, "ecosystem": "PyPI"}, "version": v} for n, v, _ in some]
        request = urllib.request.Request(
            database, json.dumps({"queries": queries}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            results = json.load(answer)["results"]
        if len(results) != len(some):
            raise ValueError(f"{len(results)} answers to {len(some)} questions")
        for (name, version, _), result in zip(some, results, strict=True):
            if ids := [one["id"] for one in result.get("vulns", [])]:
                found[f"{name} {version}"] = ids
    return found


def main(words: list[str]) -> int:
    """Run one of the two; see the module."""
    text = LOCK.read_text(encoding="utf-8")
    if words == ["sbom"]:
        print(json.dumps(sbom(text), indent=1))
        return 0
    if not words or words[0] != "audit" or len(words) > 2:
        print(__doc__, file=sys.stderr)
        return 64
    try:
        found = vulnerabilities(text, words[1] if len(words) == 2 else OSV)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"NOT AUDITED: the vulnerability database was out of reach ({type(error).__name__})", file=sys.stderr)
        return 3
    for package, ids in found.items():
        print(f"{package}: {', '.join(ids)}")
    print(f"{len(locked(text))} locked packages, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
