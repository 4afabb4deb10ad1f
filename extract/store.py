"""Where raw files stand: a folder, or an S3-compatible store; what it says when it refuses, and its cure."""

from __future__ import annotations

import importlib.util
from typing import Any
from urllib.parse import urlsplit

from extract.errors import ConfigError

_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,  # a listing of a minute ago does not know what was landed since
    "config_kwargs": {
        "retries": {"mode": "standard", "max_attempts": 3},  # of each of fsspec's five attempts
        "connect_timeout": 10,
        "read_timeout": 60,
    },
}
_NO_KEYS = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_CURES = {
    "NoCredentialsError": _NO_KEYS,
    "PartialCredentialsError": _NO_KEYS,
    "ProfileNotFound": "the AWS_PROFILE that is set stands in no file: set another",
    "EndpointConnectionError": "it is out of reach: check AWS_ENDPOINT_URL and the network",
    "ConnectTimeoutError": "it is out of reach: check AWS_ENDPOINT_URL and the network",
    "ReadTimeoutError": "it does not answer in time: run the same command again",
    "HTTPClientError": "it broke off: run the same command again",
    "ResponseStreamingError": "it broke off: run the same command again",
    "ConnectionClosedError": "it broke off: run the same command again",
    "NoSuchBucket": "there is no such bucket: make it, or correct [storage] raw_url",
    "AccessDenied": "the key may not do this there: give it the right to list, read, write and delete",
    "403": "the key may not do this there: give it the right to list, read, write and delete",
    "Forbidden": "the key may not do this there: give it the right to list, read, write and delete",
    "InvalidAccessKeyId": "it knows no such key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret does not fit the key: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired: renew them",
    "SlowDown": "it is throttling: run the same command again later, or with fewer at once",
    "503": "it is throttling: run the same command again later, or with fewer at once",
}
_AGAIN = "run the same command again; what was committed stays"


def is_remote(url: str) -> bool:
    """Whether a raw zone is no folder of this machine."""
    return "://" in url and not url.startswith("file://")


def without_secrets(url: str, key: str = "raw_url") -> str:
    """The URL itself. Errors: ConfigError where it holds credentials, which would land in files and logs."""
    if is_remote(url) and "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"[storage] {key} holds credentials: take them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(or AWS_PROFILE) instead"
        )
    return url


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it; ConfigError where nothing here speaks its protocol."""
    import fsspec  # a third of the start-up of a command that reads no raw file

    protocol = without_secrets(url).split("://", 1)[0]
    if protocol == "s3" and importlib.util.find_spec("s3fs") is None:
        raise ConfigError(
            "[storage] raw_url s3://...: the package that speaks it is missing: pip install 'foreshore[s3]'"
        )
    try:
        fs, path = fsspec.core.url_to_fs(url, **(_OPTIONS if protocol == "s3" else {}))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"[storage] raw_url {protocol}://...: nothing installed speaks it ({type(error).__name__}): "
            "name a folder, which may be a mounted one, or an S3-compatible store (s3://bucket/path)"
        ) from None
    return fs, str(path)


def refusal(error: BaseException | None) -> str | None:
    """What an object store said no to, in words without any of its answer's text; None where it is no such error."""
    seen = 0
    while error is not None and seen < 20:
        if type(error).__module__.split(".", 1)[0] in ("botocore", "aiobotocore"):
            answer = getattr(error, "response", None) or {}
            code = str(answer.get("Error", {}).get("Code", "")) or type(error).__name__
            return f"the object store refused ({code}): {_CURES.get(code, _AGAIN)}"
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None
