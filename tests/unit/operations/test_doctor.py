"""The doctor against providers that are well, wrong, shallow, narrow or early: each line is told with its cure."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extract.config import read_config
from operate.cli import cli
from operate.doctor import chains, machine
from operate.doctor.line import FAIL, OK, WARN

ROOT = Path(__file__).parents[3]
HEAD = 2_000_000


@dataclass
class Node:
    """What a provider answers."""

    chain_id: int = 1
    ahead: float = 0.0
    depth: int = HEAD
    width: int = 100_000
    code: str = "0x60"
    max_gauges: int = 30

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            return {"number": hex(HEAD), "timestamp": hex(int(time.time() + self.ahead))}
        if method == "eth_getBalance":
            return "0x0" if HEAD - int(params[1], 16) <= self.depth else None
        if method == "eth_getLogs":
            wide = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            return [] if wide <= self.width else None
        if method == "eth_getCode":
            return self.code
        return f"0x{self.max_gauges:064x}"


@contextmanager
def serving(node: Node) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            calls = asked if isinstance(asked, list) else [asked]
            told = []
            for call in calls:
                found = node.answer(call["method"], call["params"])
                member = {"result": found} if found is not None else {"error": {"code": -32000, "message": "refused"}}
                told.append({"jsonrpc": "2.0", "id": call["id"], **member})
            body = json.dumps(told if isinstance(asked, list) else told[0]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v2/s3cret-api-key"
        server.shutdown()


def configured(folder: Path, url: str) -> Path:
    path = folder / "foreshore.toml"
    path.write_text(
        f'[storage]\nseeds = "{ROOT / "seeds"}"\n'
        f'[chains.base]\nchain_id = 1\nfinality_depth = 1\nproviders = [{{name = "one", url = "{url}"}}]\n'
        '[voting.aerodrome]\nfamily = "velodrome"\nchain = "base"\n'
        f'voter = "0x{"1" * 40}"\nminter = "0x{"2" * 40}"\n'
    )
    return path


def lines_of(folder: Path, node: Node) -> dict[str, tuple[str, str]]:
    with serving(node) as url:
        found = chains.look(read_config(configured(folder, url)))
    assert all(line.cure for line in found if line.verdict != OK)
    return {line.about: (line.verdict, line.found) for line in found}


def test_a_sound_provider(tmp_path: Path) -> None:
    told = lines_of(tmp_path, Node())
    assert {verdict for verdict, _ in told.values()} == {OK}
    assert told["base/one logs"][1].startswith("10,000 blocks")


@pytest.mark.parametrize(
    ("node", "about", "verdict", "words"),
    [
        (Node(chain_id=10), "base/one", FAIL, "serves chain 10, not 1"),
        (Node(ahead=300), "base/one", FAIL, "ahead of this clock"),
        (Node(ahead=-600), "base/one", WARN, "s old"),
        (Node(depth=10_000), "base/one archive", WARN, "10,000 blocks back"),
        (Node(width=10), "base/one logs", WARN, "10 blocks a request"),
        (Node(code="0x"), "base aerodrome voter", FAIL, "no contract at"),
        (Node(max_gauges=50), "aerodrome rules", FAIL, "takes 50 gauges today, the seed says 30"),
    ],
    ids=["wrong chain", "clock", "late", "shallow", "narrow", "no code", "rule"],
)
def test_what_is_wrong_is_named(tmp_path: Path, node: Node, about: str, verdict: str, words: str) -> None:
    told = lines_of(tmp_path, node)
    assert told[about][0] == verdict and words in told[about][1]


def test_nobody_there_and_no_key_is_shown(tmp_path: Path) -> None:
    path = configured(tmp_path, "http://127.0.0.1:1/v2/s3cret-api-key")
    told = CliRunner().invoke(cli, ["doctor", "--config", str(path)])
    assert told.exit_code == 2 and "does not answer" in told.output and "s3cret" not in told.output


def test_a_store_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    config = read_config(configured(tmp_path, "http://127.0.0.1:1"))
    store = Path(config.raw_url) / "_store.json"
    store.parent.mkdir(parents=True)
    store.write_text('{"version": 1, "is_simulated": true}')
    (line,) = machine.store(config)
    assert line.verdict == FAIL and "never share a store" in line.found
    store.write_text("{")
    (line,) = machine.store(config)
    assert line.verdict == FAIL and "damaged" in line.found


def test_a_broken_section_is_one_line(tmp_path: Path) -> None:
    path = configured(tmp_path, "http://127.0.0.1:1")
    path.write_text(path.read_text().replace('family = "velodrome"', 'family = "nobody"'))
    told = {line.about: line for line in machine.configuration(read_config(path))}
    assert told["[voting]"].verdict == FAIL and told["[lending]"].verdict == OK
