"""Strangers' words in CSV, the list of what Foreshore is made of, and an audit that never passes unasked."""

from __future__ import annotations

import http.server
import importlib.util
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operate.csv_text import unformulated
from operate.sql import WRITERS
from operate.warehouse import Answer

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-2+3+cmd|'/C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\uff1d1"])
def test_a_formula_is_quoted(text: str) -> None:
    assert unformulated(text) == f"'{text}"


@given(st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(str))
def test_numbers_stay_numbers(text: str) -> None:
    assert unformulated(text) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_csv_on_a_terminal_has_no_control_sequence_and_in_a_file_is_exact() -> None:
    answer = Answer(["=name"], [("\x1b]8;;http://evil\x1b\\link",), ("=cmd()",), (-1,)])
    shown, kept = Terminal(), io.StringIO()
    WRITERS["csv"](answer, shown)
    WRITERS["csv"](answer, kept)
    assert "\x1b" not in shown.getvalue() and "\x1b]8;;http://evil" in kept.getvalue()
    assert kept.getvalue().splitlines()[0] == "'=name" and kept.getvalue().splitlines()[-2:] == ["'=cmd()", "-1"]


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_has_every_pin_with_its_hashes(supply: ModuleType) -> None:
    text = (ROOT / "requirements.lock").read_text()
    parts = supply.sbom(text)["components"]
    assert {"duckdb", "dlt", "dbt-core", "pyarrow"} <= {part["name"] for part in parts}
    assert all(part["hashes"] for part in parts)
    assert sum(len(part["hashes"]) for part in parts) == text.count("--hash=sha256:")


@pytest.fixture
def database() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            told = [{"vulns": [{"id": "X-1"}]} if q["package"]["name"] == "duckdb" else {} for q in asked]
            body = json.dumps({"results": told[1:] if self.path == "/short" else told}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_audit_names_what_is_known(supply: ModuleType, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert supply.main(["audit", database]) == 1
    assert "duckdb" in capsys.readouterr().out


def test_an_audit_that_could_not_ask_says_so(
    supply: ModuleType, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert supply.main(["audit", "http://127.0.0.1:1"]) == 3
    assert supply.main(["audit", f"{database}/short"]) == 3
    assert capsys.readouterr().err.count("NOT AUDITED") == 2
