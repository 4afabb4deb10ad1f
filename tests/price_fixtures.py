"""A server that speaks the historical price API, with its own bad days."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from extract import prices
from tests.polymarket_fixtures import hasty


class Api(BaseHTTPRequestHandler):
    """Answers every token with 2.5 USD, made `age` seconds before the moment asked for."""

    age = 60
    failures = 0
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if type(self).failures > 0:
            type(self).failures -= 1
            self.send_response(503)
            self.end_headers()
            return
        moment, names = self.path.split("?")[0].split("/")[-2:]
        coins = {n: {"price": 2.5, "timestamp": int(moment) - type(self).age} for n in names.split(",")}
        body = json.dumps({"coins": coins}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(prices, "CLOCK", hasty())
    Api.age, Api.failures, Api.asked = 60, 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
