"""An S3 server on loopback (moto's) that throttles, breaks off and lags when asked to."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import unquote

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
KEY, SECRET = "AKIDOFNOBODYEVER0001", "s3cr3t-that-must-stand-nowhere-0001"
SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)


@dataclass
class Faults:
    """What goes wrong, in shares of requests; `lag_seconds` keeps new keys out of listings."""

    throttled: float = 0.0
    cut: float = 0.0
    lag_seconds: float = 0.0
    random: Random = field(default_factory=lambda: Random(17))
    seen: Counter[str] = field(default_factory=Counter)
    _put_at: dict[str, float] = field(default_factory=dict)

    def heal(self) -> None:
        self.throttled = self.cut = self.lag_seconds = 0.0

    def around(self, app: Application) -> Application:
        """The application with these faults."""

        def faulty(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            method, path = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"])
            is_listing = method == "GET" and ("list-type" in environ["QUERY_STRING"] or path.count("/") < 2)
            self.seen["LIST" if is_listing else method] += 1
            if self.random.random() < self.throttled:
                self.seen["throttled"] += 1
                start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
                return [SLOW_DOWN]
            if method == "PUT":
                self._put_at[path.split("/", 2)[-1]] = time.monotonic()
            if is_listing and self.lag_seconds:
                return self._lagging(app, environ, start)
            body = app(environ, start)
            if method == "GET" and path.endswith(".parquet") and self.random.random() < self.cut:
                self.seen["cut"] += 1
                whole = b"".join(body)
                return [whole[: len(whole) // 2]]  # the length that was announced is the whole one's
            return body

        return faulty

    def _lagging(self, app: Application, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """A listing without what was put in the last `lag_seconds`."""
        said: list[Any] = []
        whole = b"".join(app(environ, lambda *told: said.extend(told)))
        limit = time.monotonic() - self.lag_seconds

        def old(found: re.Match[bytes]) -> bytes:
            key = _KEY.search(found[0])
            is_new = key is not None and self._put_at.get(unquote(key[1].decode()), 0.0) > limit
            self.seen["hidden"] += is_new
            return b"" if is_new else found[0]

        shown = _CONTENTS.sub(old, whole)
        headers = [(name, value) for name, value in said[1] if name.lower() != "content-length"]
        start(said[0], [*headers, ("Content-Length", str(len(shown)))])
        return [shown]


@dataclass(frozen=True)
class ObjectStore:
    """A running server, with one bucket `lake`."""

    endpoint: str
    faults: Faults

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def stored(self) -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="lake")
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return bytes(self.client().get_object(Bucket="lake", Key=key)["Body"].read())

    def write(self, key: str, body: bytes) -> None:
        self.client().put_object(Bucket="lake", Key=key, Body=body)


@contextmanager
def running() -> Iterator[ObjectStore]:
    """The server for the duration, empty but for its bucket."""
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    faults = Faults()
    app = faults.around(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        store = ObjectStore(f"http://127.0.0.1:{server.server_port}", faults)
        store.client().create_bucket(Bucket="lake")
        yield store
    finally:
        server.shutdown()
        thread.join(timeout=10)
