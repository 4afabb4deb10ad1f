"""No message carries a provider's address or key."""

from __future__ import annotations

import asyncio
import logging
import traceback
from base64 import b64encode

import aiohttp
import pytest

from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import ChainError
from extract.evm.redact import HIDDEN, redact, remember
from extract.evm.sayings import classify
from tests.evm_fake import FakeTime

KEY = "kEy0123456789secret"
URLS = [
    f"https://base.provider.invalid/v2/{KEY}",
    f"https://base.provider.invalid/rpc?apikey={KEY}&x=1",
    f"https://user:{KEY}@base.provider.invalid/",
    f"http://{KEY}.quik.invalid/token/",
]


@pytest.mark.parametrize("url", URLS)
def test_url_and_its_parts_are_hidden(url: str) -> None:
    remember(url)
    for text in (
        url,
        f"Cannot connect to host {url.split('/')[2]}:443",
        f"key {KEY} unknown",
        f"at {KEY.upper()}",
    ):
        assert KEY.lower() not in redact(text).lower()
        assert "invalid" not in redact(text).replace("invalid key", "")


def test_unknown_urls_are_hidden_and_plain_words_stay() -> None:
    assert redact("see https://other.example/abc?k=1 for more") == "see <hidden> for more"
    remember("https://mainnet.provider.invalid/v1/mainnet")
    assert redact("mainnet has v1 blocks") == "mainnet has v1 blocks"
    assert redact("a hash 0x" + "ab" * 32) == "a hash 0x" + "ab" * 32


def test_percent_encoded_keys_are_hidden() -> None:
    remember("https://p.provider.invalid/rpc?key=abc%2Bdef%3D%3D")
    assert "abc+def" not in redact("bad key abc+def==") and "abc%2Bdef" not in redact("bad key abc%2Bdef%3D%3D")


def test_refusals_hide_what_the_provider_echoes() -> None:
    remember(URLS[0])
    assert KEY not in classify(f"invalid key {KEY}", -32000).message


@pytest.mark.parametrize("url", [*URLS, f"http://127.0.0.1:1/{KEY}", f"http://bad host/{KEY}"])
def test_errors_of_a_dead_endpoint_hide_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    spec = ChainSpec("base", 8453, (ProviderSpec("alpha", url, timeout_seconds=0.5),), finality_depth=0)

    async def connect() -> None:
        async with ChainClient.open(spec, clock=FakeTime().clock):
            raise AssertionError("nothing listens there")

    with caplog.at_level(logging.DEBUG), pytest.raises(ChainError) as caught:
        asyncio.run(connect())
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(spec)
    assert KEY not in told and "quik" not in told and "provider.invalid" not in told
    assert "alpha" in str(caught.value)


def test_aiohttp_errors_are_redacted() -> None:
    remember(URLS[0])
    assert KEY not in redact(aiohttp.InvalidURL(URLS[0]))


def test_user_and_password_go_as_a_header_has_them_too() -> None:
    remember("https://some-user:p%40ss-of-nobody@node.example/rpc")
    header = b64encode(b"some-user:p@ss-of-nobody").decode()
    assert redact(f"you sent Authorization: Basic {header}") == f"you sent Authorization: Basic {HIDDEN}"
