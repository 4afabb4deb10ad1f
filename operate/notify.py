"""One notifier for whatever runs alone: a message where people read it, and a ping that is missed when it stays away.

Three environment variables, none of which is ever logged or shown:

    FORESHORE_NOTIFY_URL      a webhook that takes JSON (`text`), or ntfy+https://host/topic, which takes plain text
    FORESHORE_NOTIFY_COMMAND  a command with the message on standard input, e.g. `mail -s Foreshore me@example.org`
    FORESHORE_PING_URL        asked after every healthy run, with /fail behind it after another one: a dead man's switch
                              as healthchecks.io and others have it. Its silence is the alarm when nothing ran at all.

A notifier that cannot be reached is said so in the log and stops nobody.
"""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from extract.evm.redact import redact, remember

log = logging.getLogger(__name__)

URL, COMMAND, PING = "FORESHORE_NOTIFY_URL", "FORESHORE_NOTIFY_COMMAND", "FORESHORE_PING_URL"
PLAIN = "ntfy+"
TIMEOUT_SECONDS = 10.0
TRIES = 3
PAUSE_SECONDS = 1.0
MOST_LETTERS = 3_500  # of a message: chat services refuse longer ones


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, not an address: the message goes where it was told to go or nowhere."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


@dataclass(frozen=True)
class Notifier:
    """Where messages and pings go; empty where nobody asked for any."""

    url: str = ""
    command: str = ""
    ping_url: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Notifier:
        """The notifier of an environment; its addresses are secrets from here on."""
        made = cls(*(environ.get(name, "").strip() for name in (URL, COMMAND, PING)))
        for address in (made.url.removeprefix(PLAIN), made.ping_url):
            if address:
                remember(address)
        return made

    @property
    def is_silent(self) -> bool:
        return not (self.url or self.command)

    def tell(self, title: str, text: str) -> bool:
        """Send a message everywhere it was asked for; False where one of the ways failed."""
        whole = f"{title}\n{text}".strip()[:MOST_LETTERS]
        found = True
        if self.url.startswith(PLAIN):
            found &= _post(self.url.removeprefix(PLAIN), whole.encode(), "text/plain; charset=utf-8")
        elif self.url:
            body = json.dumps({"text": whole, "content": whole, "title": title}).encode()
            found &= _post(self.url, body, "application/json")
        if self.command:
            found &= _run(self.command, whole)
        return found

    def ping(self, is_healthy: bool) -> bool:
        """Tell the dead man's switch that a run ended well, or that it did not; True where there is none."""
        return not self.ping_url or _post(self.ping_url if is_healthy else f"{self.ping_url.rstrip('/')}/fail", b"", "")


def _post(url: str, body: bytes, kind: str) -> bool:
    for left in reversed(range(TRIES)):
        try:
            request = urllib.request.Request(url, body, {"Content-Type": kind} if kind else {}, method="POST")
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(1)
            return True
        except (OSError, ValueError) as error:  # HTTP errors are OSErrors, a malformed address is a ValueError
            why = f"{error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            log.warning("the notifier did not take a message: %s", why)
            if left:
                time.sleep(PAUSE_SECONDS)
    return False


def _run(command: str, text: str) -> bool:
    try:
        done = subprocess.run(
            shlex.split(command), input=text.encode(), capture_output=True, timeout=3 * TIMEOUT_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        log.warning("the notifier's command did not run: %s", redact(type(error).__name__))
        return False
    if done.returncode:
        log.warning("the notifier's command ended with %d", done.returncode)
    return not done.returncode
