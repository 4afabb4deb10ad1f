"""The one place that takes addresses and keys of providers out of text before anybody reads it.

Two nets: every URL goes, whoever wrote it; and every part of a URL that was registered with `remember`
(host, user, password, path and query words) goes wherever it turns up, also percent-encoded, because HTTP
libraries print hosts and paths on their own.
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import parse_qsl, quote, unquote, urlsplit

HIDDEN = "<hidden>"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_URL = re.compile(r"\b(?:https?|wss?|ipc)://[^\s'\"<>\])}]+", re.IGNORECASE)
_SHORTEST_SECRET = 6  # shorter path words ("v1", "rpc", "eth") say nothing and would blank out plain text
_PLAIN_WORDS = frozenset({"mainnet", "ethereum", "optimism", "arbitrum", "polygon", "json-rpc", "jsonrpc", "archive"})

_secrets: dict[str, re.Pattern[str]] = {}


def remember(url: str) -> None:
    """Register a provider's URL: from now on none of its parts leaves `redact` readable."""
    parts = urlsplit(url)
    words = [parts.username or "", parts.password or "", *parts.path.split("/")]
    words += [value for _, value in parse_qsl(parts.query)] + [parts.query]
    telling = {w for w in words if len(w) >= _SHORTEST_SECRET and w.lower() not in _PLAIN_WORDS}
    if parts.hostname and parts.hostname not in LOOPBACK:
        telling.add(parts.hostname)
    if parts.password:
        telling.add(parts.password)
        telling.add(_basic(parts.username or "", parts.password))
    for word in telling:
        for form in {word, unquote(word), quote(word, safe="")}:
            _secrets.setdefault(form, re.compile(re.escape(form), re.IGNORECASE))


def _basic(user: str, password: str) -> str:
    """What HTTP makes of user and password: a server may repeat the header that it was sent."""
    return b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def redact(text: object) -> str:
    """`text` without URLs and without any part of a registered one."""
    clean = _URL.sub(HIDDEN, str(text))
    for secret in sorted(_secrets, key=len, reverse=True):
        clean = _secrets[secret].sub(HIDDEN, clean)
    return clean
