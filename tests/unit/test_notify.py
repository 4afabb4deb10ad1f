"""Messages and pings against a real server: what arrives, what is tried again, and that no address is ever said."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from operate import notify
from operate.notify import COMMAND, PING, URL, Notifier

SECRET = "s3cr3t-topic-of-nobody"


class Server(ThreadingHTTPServer):
    got: list[tuple[str, str, bytes]]
    answers: list[int]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.got.append((self.path, self.headers.get("Content-Type", ""), body))
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(notify, "PAUSE_SECONDS", 0.0)
    made = Server(("127.0.0.1", 0), Handler)
    made.got, made.answers = [], []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/{SECRET}"


def test_a_webhook_gets_json_and_ntfy_plain_text(server: Server) -> None:
    assert Notifier.of({URL: address(server)}).tell("Title", "one\ntwo")
    assert Notifier.of({URL: f"ntfy+{address(server)}"}).tell("Title", "päng")
    (path, kind, body), (_, plain, text) = server.got
    assert path == f"/{SECRET}" and kind == "application/json"
    assert json.loads(body)["text"] == json.loads(body)["content"] == "Title\none\ntwo"
    assert plain.startswith("text/plain") and text.decode() == "Title\npäng"


def test_a_ping_says_how_it_went(server: Server) -> None:
    pinged = Notifier.of({PING: address(server)})
    assert pinged.ping(True) and pinged.ping(False) and Notifier().ping(True)
    assert [path for path, _, _ in server.got] == [f"/{SECRET}", f"/{SECRET}/fail"]


def test_a_busy_service_is_asked_again_and_a_dead_one_stops_nobody(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [503, 429]
    assert Notifier.of({URL: address(server)}).tell("a", "b") and len(server.got) == 3
    server.answers = [302] * 3
    assert not Notifier.of({URL: address(server)}).tell("a", "b"), "a redirect is followed nowhere"
    assert all(path == f"/{SECRET}" for path, _, _ in server.got)
    for bad in ("http://127.0.0.1:9/" + SECRET, "not an address " + SECRET, "ftp://" + SECRET):
        assert not Notifier.of({URL: bad}).tell("a", "b")
    assert SECRET not in caplog.text and "did not take a message" in caplog.text


def test_a_command_reads_the_message(tmp_path: Path) -> None:
    target = tmp_path / "got"
    assert Notifier.of({COMMAND: f"tee {target}"}).tell("Title", "text") and target.read_text() == "Title\ntext"
    assert not Notifier.of({COMMAND: "false"}).tell("a", "b")
    assert not Notifier.of({COMMAND: f"{tmp_path}/nothing"}).tell("a", "b")
    assert not Notifier.of({COMMAND: "unclosed 'quote"}).tell("a", "b")
    assert Notifier.of({}).is_silent and Notifier.of({}).tell("a", "b")
