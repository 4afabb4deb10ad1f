"""Secrets in every place where one can stand, and every verb: none of them in what it prints, logs, lands or draws.

Twice: where things work, and where everybody refuses and repeats all that was sent, keys included.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlsplit

import click
import pyarrow.parquet as pq
import pytest

from operate.cli import cli
from operate.worlds import world_config
from simulate.bars import RunningBars
from tests.line_fixtures import ROOT, Line
from tests.polymarket_fixtures import MarketLine

pytestmark = [pytest.mark.long, pytest.mark.node]

SECRETS = {
    "user of a provider's URL": "hidden-user-4711",
    "password of a provider's URL": "hidden-pass-4712",
    "path of a provider's URL": "hidden-path-4713",
    "query of a provider's URL": "hidden-query-4714",
    "key of a price source": "hidden-price-4715",
    "key of a bar provider": "hidden-bars-key-4716",
    "secret of a bar provider": "hidden-bars-secret-4717",
    "password of the ledger's database": "hidden-database-4718",
    "key of a language model": "hidden-model-key-4719",
    "query of a language model's URL": "hidden-model-url-4720",
    "key of the object store": "HIDDENSTOREKEY4721",
    "secret of the object store": "hidden-store-secret-4722",
    "topic of the notifier": "hidden-notify-4723",
    "word of the notifier's command": "hidden-command-4724",
    "address of the ping": "hidden-ping-4725",
    "word of the sender's command": "hidden-sender-4726",
}
S = dict(zip(("user", "password", "path", "query", "price", "bars_key", "bars_secret", "database", "model_key",
              "model_url", "store_key", "store_secret", "notify", "command", "ping", "sender"),
             SECRETS.values(), strict=True))  # fmt: skip
VERBS = {
    "init": ["{folder}/project"],
    "status": [],
    "verify": ["--notify"],
    "doctor": [],
    "overnight": [],
    "overnight install": ["--for", "systemd", "--env-file", "{folder}/keys.env"],
    "repair": [],
    "compact": [],
    "prune": ["--before", "2020-01-01"],
    "build": [],
    "report": [],
    "tables": [],
    "describe": ["extract_ledger"],
    "sql": ["from extract_ledger", "--format", "csv"],
    "recommend": [],
    "watch": ["--protocol", "hydrex_world", "--check", "--sender", "false {sender}"],
    "review": [],
    "submitted": [],
    "allocate": ["--instance", "{folder}/none.json"],
    "backtest": [],
    "backtest bars": ["--symbol", "FORE", "--from", "2026-01-02", "--to", "2026-01-16"],
    "strategy check": ["opening_range"],
    "pre-paper land": [],
    "pre-paper run": ["--manifest", "{folder}/none.json"],
    "markets backfill": [],
    "markets daily": ["--run-date", "2026-01-05"],
    "markets replay": ["--run-date", "2026-01-05"],
    "markets resolve": [],
    "markets transcript": ["--run-date", "2026-01-05"],
    "export lending": ["--since", "2026-01-01", "--until", "2026-01-02", "--out", "{folder}/package"],
    "extract voting": ["--epochs", "1"],
    "extract lending": ["--days", "1"],
    "extract bars": ["--symbol", "FORE", "--from", "2026-01-02", "--to", "2026-01-16"],
    "extract markets": ["--run-date", "2026-01-05"],
    "extract all": [],
}
WITHOUT = {"demo up", "demo down", "demo run", "demo with", "demo night"}  # a world of their own, which has no keys
FIRST = ("extract voting", "extract bars", "markets daily", "build")  # what the others look at
ONCE = {"overnight"}  # a night is these verbs again, and a build: only where everybody refuses


def test_every_verb_is_here() -> None:
    assert set(leaves(cli, click.Context(cli), ())) - WITHOUT == VERBS.keys()


def leaves(command: click.Command, ctx: click.Context, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(command, click.Group):
        if command.invoke_without_command and path:
            yield " ".join(path)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from leaves(found, ctx, (*path, name))
    else:
        yield " ".join(path)


class Parrot(http.server.BaseHTTPRequestHandler):
    """Refuses everything and repeats it: the worst that an honest server's error page does. Only prices it answers."""

    heard: ClassVar[list[str]] = []
    answers_prices: ClassVar[bool] = True

    def refuse(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode(errors="replace")
        said = f"{self.command} {self.path}\n{self.headers}\n{body}"
        if said_by := self.headers.get("authorization", "").removeprefix("Basic "):
            with suppress(ValueError):
                said += base64.b64decode(said_by).decode(errors="replace")
        self.heard.append(said)
        answer = json.dumps({"error": {"code": -32000, "message": said}}).encode()
        if "/historical/" in self.path and self.answers_prices:
            answer = b'{"coins": {}}'
        self.send_response(200 if answer == b'{"coins": {}}' else 403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = refuse

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def parrot() -> Iterator[str]:
    Parrot.heard.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def secret_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{S['user']}:{S['password']}@{parts.netloc}{parts.path.rstrip('/')}?key={S['query']}"


def keys(refuse: str, rpc_url: str, token: str) -> dict[str, str]:
    """Every variable that holds a secret."""
    return {
        "WORLD_RPC_URL": rpc_url,
        "PRICE_URL": f"{refuse}/prices/{S['price']}",
        "WORLD_BARS_TOKEN": token,
        "WORLD_BARS_KEY": S["bars_key"],
        "WORLD_BARS_SECRET": S["bars_secret"],
        "FORESHORE_LLM_URL": f"{refuse}/v1/{S['model_url']}",
        "FORESHORE_LLM_KEY": S["model_key"],
        "FORESHORE_LLM_MODEL": "made-up",
        "AWS_ACCESS_KEY_ID": S["store_key"],
        "AWS_SECRET_ACCESS_KEY": S["store_secret"],
        "AWS_ENDPOINT_URL": refuse,
        "AWS_EC2_METADATA_DISABLED": "true",
        "FORESHORE_NOTIFY_URL": f"{refuse}/{S['notify']}",
        "FORESHORE_NOTIFY_COMMAND": f"false {S['command']}",
        "FORESHORE_PING_URL": f"{refuse}/{S['ping']}",
    }


def config(line: Line, market: RunningBars, markets: MarketLine, provider: str, more: str = "") -> None:
    text = world_config(line.world.info).replace(f'url = "{line.world.rpc_url}"', 'url_env = "WORLD_RPC_URL"')
    source = '[[chains.world.price_sources]]\nname = "p"\nchain_key = "x"\nurl_env = "PRICE_URL"\n'
    text = text.replace("[chains.world.feeds]", source + "[chains.world.feeds]")
    urls = f'gamma_url = "{markets.server.url}"\nclob_url = "{markets.server.url}"\ntries = 1\n'
    model = '[markets.language_models.blind]\nprompt = "blind"\n'
    night = '[overnight]\nretries = 0\n[overnight.steps]\nvoting = ["extract", "voting", "--epochs", "1"]\n'
    line.configure(f"{text}{market.config(provider)}[polymarket]\n{urls}{model}{night}{more}")


def run(line: Line, verb: str, environ: dict[str, str]) -> str:
    """What a verb says, on both streams."""
    places = {"folder": str(line.folder), "sender": S["sender"]}
    asked = [*verb.split(), *(word.format(**places) for word in VERBS[verb])]
    done = subprocess.run(
        [sys.executable, "-m", "operate.cli", *asked],
        cwd=ROOT,
        env={**os.environ, **line.environment(), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert "Traceback" not in done.stderr, f"{verb}: {done.stderr}"
    return f"{verb} -> {done.returncode}\n{done.stdout}\n{done.stderr}"


def found_in(text: str) -> list[str]:
    """Names of the secrets that a text holds, also percent-encoded or as basic authorisation."""
    forms = {name: {secret, quote(secret, safe="")} for name, secret in SECRETS.items()}
    pair = base64.b64encode(f"{S['user']}:{S['password']}".encode()).decode()
    forms["password of a provider's URL"].add(pair)
    return [name for name, of in forms.items() if any(form in text for form in of)]


def leaks(folder: Path) -> dict[str, list[str]]:
    """Files that hold a secret, in their bytes or in the rows of a parquet file."""
    found = {}
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        text = file.read_bytes().decode("latin-1")
        if file.suffix == ".parquet":
            text += repr(pq.read_table(file).to_pydict())
        if names := found_in(text):
            found[str(file.relative_to(folder))] = names
    return found


def test_where_things_work(line: Line, bars_market: RunningBars, market_line: MarketLine) -> None:
    market_line.at(date(2026, 1, 5))
    config(line, bars_market, market_line, "eodhd")
    with parrot() as refuse:
        environ = keys(refuse, secret_url(line.world.rpc_url), bars_market.environ["WORLD_BARS_TOKEN"])
        said = {verb: run(line, verb, environ) for verb in FIRST}
        others = [verb for verb in VERBS if verb not in FIRST and verb not in ONCE]
        with ThreadPoolExecutor(2) as pool:
            said |= dict(zip(others, pool.map(partial(run, line, environ=environ), others), strict=True))
        heard = "\n".join(Parrot.heard)
    assert {verb: names for verb, text in said.items() if (names := found_in(text))} == {}
    assert leaks(line.folder) == {}
    assert "extract voting -> 0" in said["extract voting"] and "report -> 0" in said["report"], said["report"]
    for name in ("price", "model_key", "model_url", "notify"):
        assert S[name] in heard, f"{name} was never used: this test shows nothing of it"


def test_where_everybody_refuses_and_repeats_what_was_sent(
    line: Line, bars_market: RunningBars, market_line: MarketLine
) -> None:
    with parrot() as refuse:
        market = RunningBars(
            bars_market.folder, {**bars_market.info, "alpaca_url": refuse, "eodhd_url": refuse}, bars_market.process
        )
        config(line, market, market_line, "alpaca")
        for name, raw in (("folder", f"{line.folder}/raw"), ("store", "s3://lake/raw")):
            text = (line.folder / "foreshore.toml").read_text()
            (line.folder / "foreshore.toml").write_text(text.replace(f'"{line.folder}/raw"', f'"{raw}"'))
            rpc = f"{refuse.replace('http://', 'http://' + S['user'] + ':' + S['password'] + '@')}/{S['path']}"
            environ = {
                **keys(refuse, f"{rpc}?key={S['query']}", S["bars_key"]),
                "FORESHORE_LEDGER_URL": f"postgresql://foreshore:{S['database']}@127.0.0.1:9/ledger?connect_timeout=1",
            }
            on_store = ("extract", "build", "doctor", "repair")
            few = [verb for verb in VERBS if name == "folder" or verb.startswith(on_store)]
            with ThreadPoolExecutor(2) as pool:
                said = dict(zip(few, pool.map(partial(run, line, environ=environ), few), strict=True))
            assert {verb: names for verb, text in said.items() if (names := found_in(text))} == {}
        heard = "\n".join(Parrot.heard)
    assert leaks(line.folder) == {}
    for name in ("user", "password", "path", "query", "bars_key", "bars_secret", "store_key", "notify"):
        assert S[name] in heard, f"{name} was never used: this test shows nothing of it"
