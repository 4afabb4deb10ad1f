"""`[bars]`: keys from the environment, never in the file, in a message or in a log."""

from __future__ import annotations

import asyncio
import socket
import tomllib
from pathlib import Path

import pytest

from extract.bars import http
from extract.bars.config import BarSource, bar_source
from extract.bars.provider import ProviderDown
from extract.config import Config
from extract.errors import ConfigError
from extract.evm.redact import redact
from tests.polymarket_fixtures import hasty

ROOT = Path(__file__).parents[3]
EODHD = (
    '[[bars.providers]]\nname = "e"\nkind = "eodhd"\nfeed = "sip"\nurl = "https://eodhd.com/api"\nkey_env = "TOKEN"\n'
)
ALPACA = (
    '[[bars.providers]]\nname = "a"\nkind = "alpaca"\nfeed = "iex"\nurl = "https://data.alpaca.markets"\n'
    'stream_url = "wss://stream.data.alpaca.markets"\nkey_env = "KEY"\nsecret_env = "SECRET"\n'
)


def load(text: str, name: str | None = None, **environ: str) -> BarSource:
    return bar_source(Config(Path("foreshore.toml"), tomllib.loads(text), environ), name)


def test_the_shipped_configuration_names_variables_only() -> None:
    raw = tomllib.loads((ROOT / "foreshore.toml").read_text())
    config = Config(Path("foreshore.toml"), raw, {"EODHD_API_TOKEN": "0123456789", "ALPACA_API_KEY_ID": "PK01234567"})
    assert bar_source(config).kind == "eodhd" and bar_source(config).settle_minutes == 240
    assert bar_source(config, "files").path == "data/bars"
    with pytest.raises(ConfigError, match="set ALPACA_API_SECRET_KEY"):
        bar_source(config, "alpaca")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bars]\n", r"has no \[\[bars.providers\]\]"),
        (EODHD.replace("feed", "flow"), "unknown key flow"),
        (EODHD.replace('feed = "sip"\n', ""), "lacks feed"),
        (EODHD.replace('"eodhd"\nfeed', '"yahoo"\nfeed'), "'yahoo' is not one of files, eodhd, alpaca"),
        (EODHD.replace('key_env = "TOKEN"\n', ""), "lacks key_env"),
        (EODHD.replace("TOKEN", "UNSET"), "set UNSET"),
        (EODHD.replace("/api", "/api?api_token=abc123456"), "holds a key"),
        (EODHD.replace("https:", "http:"), "in the clear"),
        (EODHD.replace("https://eodhd.com/api", "eodhd"), "is not a URL"),
        ('[[bars.providers]]\nname = "f"\nkind = "files"\nfeed = "x"\n', "lacks path"),
        (
            '[[bars.providers]]\nname = "f"\nkind = "files"\nfeed = "x"\npath = "p"\nlabel = "mid"\n',
            "`open` or `close`",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(text, TOKEN="tok-0123456789")
    assert "tok-0123456789" not in str(caught.value)


def test_a_provider_that_is_not_there_and_one_without_live_bars() -> None:
    with pytest.raises(ConfigError, match="it has: e, a"):
        load(EODHD + ALPACA, "polygon", TOKEN="tok-0123456789")
    with pytest.raises(ConfigError, match="has no live bars"):
        load(EODHD, TOKEN="tok-0123456789").socket()
    alpaca = load(ALPACA, KEY="key-0123456789", SECRET="sec-0123456789")
    assert alpaca.socket().feed == "iex"


def test_a_token_in_the_query_never_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """EODHD's token is part of the URL, and HTTP libraries print URLs."""
    monkeypatch.setattr(http, "CLOCK", hasty())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, but nobody listens
        token = "s3cr3t/tok en+%2F"
        text = EODHD.replace("https://eodhd.com/api", f"http://127.0.0.1:{port}")
        provider = load(text, TOKEN=token).open()
        with pytest.raises(ProviderDown) as caught:
            asyncio.run(provider.fetch(["HOOD"], "M5", 0, 300))
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__context__} {load(text, TOKEN=token)!r}"
    assert "bar provider e did not answer for HOOD M5" in shown
    for form in (token, "s3cr3t", "tok%20en", "api_token"):
        assert form not in shown
    assert token not in redact(f"GET /intraday?x={token} and {token.replace(' ', '%20')}")
    assert "key-0123456789" not in repr(load(ALPACA, KEY="key-0123456789", SECRET="sec-0123456789"))
