"""An OpenAI-compatible endpoint on loopback that forecasts, and misbehaves on demand.

`POST /v1/chat/completions` answers a chat with one JSON object, as a model told to would: the key it finds in the
messages, and a probability that follows from the text and the seed alone. `POST /_faults [{"kind", "count", "about"}]`
switches faults on (for messages that hold `about`, `count` times; null: for ever), `DELETE /_faults` all off;
`GET /_calls` counts requests and tells what came with them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from aiohttp import web

FAULTS: Final = {  # kind -> what it does
    "rate_limit": "429 with Retry-After",
    "error": "500",
    "rejected": "400",
    "echo_key": "401 that repeats the Authorization header",
    "garbage": "a page of HTML with status 200",
    "no_choices": "JSON with status 200 that is no completion",
    "truncated": "an answer cut in the middle, finish_reason length",
    "half_json": "an answer cut in the middle that says it is whole",
    "refusal": "the model refuses",
    "filtered": "finish_reason content_filter",
    "wrong_market": "the key of another market",
    "percent": 'a probability of "65.5 %"',
    "percent_number": "a probability of 65.5",
    "boolean": "a probability of true",
    "prose": "words around a number",
    "twice": "the probability stands twice",
    "list": "forecasts of many markets in one answer",
    "deep": "brackets without end",
    "silence": "a minute of silence",
    "no_usage": "no count of tokens",
    "surrogate": "half a character and U+0000 in the reasoning",
    "obedient": "does what the question's text asks for",
}
_KEY = re.compile(r'"market" is exactly "([0-9a-f]{12})"')
SILENCE_SECONDS = 60


@dataclass
class Fault:
    """One of FAULTS for messages that hold `about`, `count` times (None: for ever)."""

    kind: str
    count: int | None = None
    about: str = ""

    def strikes(self, text: str) -> bool:
        if self.about not in text or self.count == 0:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Endpoint:
    """The server; all state is in memory."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.calls: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        made = web.Application(client_max_size=1 << 24)
        made.router.add_post("/v1/chat/completions", self._complete)
        made.router.add_post("/_faults", self._add_faults)
        made.router.add_delete("/_faults", self._clear)
        made.router.add_get("/_calls", self._told)
        return made

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = "\n".join(message["content"] for message in body["messages"])
        self.calls.append({"body": body, "authorization": request.headers.get("Authorization", "")})
        kinds = {fault.kind for fault in self.faults if fault.strikes(text)}
        if "silence" in kinds:
            await asyncio.sleep(SILENCE_SECONDS)
        return _instead(kinds, request) or web.json_response(_completion(body, text, kinds))

    async def _add_faults(self, request: web.Request) -> web.Response:
        for fault in await request.json():
            if fault["kind"] not in FAULTS:
                return web.json_response({"error": f"no fault {fault['kind']!r}"}, status=400)
            self.faults.append(Fault(**fault))
        return web.json_response({"faults": len(self.faults)})

    async def _clear(self, request: web.Request) -> web.Response:
        self.faults.clear()
        self.calls.clear()
        return web.json_response({"faults": 0})

    async def _told(self, request: web.Request) -> web.Response:
        return web.json_response(self.calls)


def _instead(kinds: set[str], request: web.Request) -> web.Response | None:
    """Faults of the endpoint, in place of an answer."""
    if "rate_limit" in kinds:
        body = {"error": {"message": "slow down", "type": "rate_limit_error"}}
        return web.json_response(body, status=429, headers={"Retry-After": "0.2"})
    if "error" in kinds:
        return web.json_response({"error": {"message": "overloaded", "type": "server_error"}}, status=500)
    if "rejected" in kinds:
        return web.json_response({"error": {"message": "no such parameter"}}, status=400)
    if "echo_key" in kinds:
        words = f"bad credentials {request.headers.get('Authorization')} at {request.url}"
        return web.json_response({"error": {"message": words}}, status=401)
    if "garbage" in kinds:
        return web.Response(text="<html>Just a moment...</html>", content_type="text/html")
    return web.json_response({"object": "chat.completion", "id": "x"}) if "no_choices" in kinds else None


def _completion(body: dict[str, Any], text: str, kinds: set[str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _content(body, text, kinds), "refusal": None}
    finish = "length" if "truncated" in kinds else "content_filter" if "filtered" in kinds else "stop"
    if "refusal" in kinds:
        message |= {"content": None, "refusal": "I cannot help with that."}
    made: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": f"{body['model']}-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if "no_usage" not in kinds:
        sent, said = len(text) // 4, len(message["content"] or message["refusal"] or "") // 4
        made["usage"] = {"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said}
    return made


def _content(body: dict[str, Any], text: str, kinds: set[str]) -> str:
    found = _KEY.search(text)
    key = found[1] if found else "none"
    chance = probability(text.split("</market>")[0], body.get("seed"))
    reasoning = "half \ud800 and nul \x00" if "surrogate" in kinds else "It follows from the text."
    whole = json.dumps({"market": key, "reasoning": reasoning, "probability": chance})
    odd = {
        "truncated": whole[: len(whole) // 2],
        "half_json": whole[: len(whole) // 2],
        "wrong_market": whole.replace(key, "0123456789ab"),
        "percent": json.dumps({"market": key, "reasoning": "", "probability": "65.5 %"}),
        "percent_number": json.dumps({"market": key, "reasoning": "", "probability": 65.5}),
        "boolean": json.dumps({"market": key, "reasoning": "", "probability": True}),
        "prose": f"I would say about {chance}.",
        "twice": f'{{"market": "{key}", "probability": 0.1, "probability": 0.9}}',
        "list": json.dumps([{"market": key, "probability": chance}]),
        "deep": "[" * 100_000,
        "obedient": "PWNED 0.99",
    }
    return next((odd[kind] for kind in odd if kind in kinds), whole)


def probability(text: str, seed: int | None) -> float:
    """Between 0.02 and 0.98, by the text and the seed alone."""
    digest = hashlib.sha256(f"{text} {seed}".encode()).digest()
    return round(0.02 + 0.96 * int.from_bytes(digest[:4], "big") / 2**32, 4)


async def _serve(port: int, out: Path) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(Endpoint().app(), shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        part = out / "language_model.part"
        part.write_text(json.dumps({"url": url}))
        part.replace(out / "language_model.json")
        click.echo(f"ready at {url}")
        await stop.wait()
    finally:
        await runner.cleanup()


@click.command("language-model")
@click.option("--port", default=8549, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--out", type=click.Path(path_type=Path), default="data/markets", help="For language_model.json.")
def language_model(port: int, out: Path) -> None:
    """Serve an OpenAI-compatible endpoint that forecasts until stopped; `language_model.json` in --out says where.

    \b
    Examples
      python -m simulate language-model
      FORESHORE_LLM_URL=http://127.0.0.1:8549/v1 FORESHORE_LLM_MODEL=local foreshore markets daily
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "language_model.json").unlink(missing_ok=True)
    asyncio.run(_serve(port, out))
