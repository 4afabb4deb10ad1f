"""Tell people: a message to every place that is named in the environment, and the ping that says a night ended well."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping

from extract.evm.redact import redact, remember
from operate.console import printable

WEBHOOK, NTFY, MAIL, PING = (
    "FORESHORE_NOTIFY_WEBHOOK",  # POST of {"title", "text"}
    "FORESHORE_NOTIFY_NTFY",  # a topic's URL: POST of the text, the title in a header
    "FORESHORE_NOTIFY_MAIL",  # a command that reads the text, e.g. mail -s "{title}" me@example.org
    "FORESHORE_PING_URL",  # asked after a night that went well: whoever watches it misses it when none did
)
SECONDS = 20.0


def tell(title: str, lines: list[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Send a message everywhere it can go; returns what did not work, in words without secrets.

    Nothing raises: a message that cannot be sent must not end the night it tells of.
    """
    title, text = printable(title), "\n".join(printable(redact(line)) for line in lines)
    problems = []
    if url := environ.get(WEBHOOK):
        body = json.dumps({"title": title, "text": f"{title}\n{text}"}).encode()
        problems += _post(WEBHOOK, url, body, {"content-type": "application/json"})
    if url := environ.get(NTFY):
        problems += _post(NTFY, url, text.encode(), {"title": title.encode("ascii", "replace").decode()})
    if command := environ.get(MAIL):
        problems += _mail(command, title, text)
    return problems


def ping(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Say that a night ended well; returns what did not work."""
    url = environ.get(PING)
    return _post(PING, url, b"", {}) if url else []


def _post(name: str, url: str, body: bytes, headers: dict[str, str]) -> list[str]:
    remember(url)
    if not url.startswith(("https://", "http://")):
        return [f"{name} is no http(s) URL: nothing was sent there"]
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="POST"), timeout=SECONDS):
            return []
    except (OSError, ValueError) as error:
        why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        return [f"{name} did not take the message ({why})"]


def _mail(command: str, title: str, text: str) -> list[str]:
    try:
        words = [word.replace("{title}", title) for word in shlex.split(command)]
        made = subprocess.run(words, input=text.encode(), capture_output=True, timeout=SECONDS, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return [f"{MAIL} could not run ({type(error).__name__})"]
    return [] if made.returncode == 0 else [f"{MAIL} ended with {made.returncode}"]
