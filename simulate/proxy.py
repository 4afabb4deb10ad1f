"""A provider in front of the node: limits by profile, faults on demand, over the real JSON-RPC protocol.

`/` is a clean endpoint, `/p/NAME` a profile of `profiles.py`. `POST /_control` switches a fault on,
`DELETE /_control` all of them off, `GET /_stats` counts requests by profile and method.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from simulate.profiles import PROFILES, Profile, Refused, refuse_blocks, refuse_results

Reply = dict[str, Any]
HEADERS = {"content-type": "application/json"}
TAGS = ("latest", "safe", "finalized", "pending")


@dataclass
class Fault:
    """What goes wrong, for which profile and methods (empty: all), and how many more times (None: for ever).

    `kind`: status, malformed, reset, hang, chain_id, lag, truncate, no_archive, reorg, wrong_id, drop_items.
    `value`: HTTP status, seconds, chain id, blocks, number of logs kept, or block number.
    """

    kind: str
    value: Any = None
    profile: str | None = None
    methods: list[str] = field(default_factory=list)
    count: int | None = None

    def takes(self, profile: str, methods: list[str]) -> bool:
        """Whether it strikes this request; counts itself down."""
        if self.count == 0 or (self.profile is not None and self.profile != profile):
            return False
        if self.methods and not set(self.methods) & set(methods):
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Proxy:
    """Forwards to one node; all state is in memory."""

    def __init__(self, node_url: str) -> None:
        self.node_url = node_url
        self.faults: list[Fault] = []
        self.stats: dict[str, Counter[str]] = defaultdict(Counter)
        self._spent: dict[str, list[float]] = defaultdict(list)
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        made = web.Application(client_max_size=64 * 2**20)
        made.router.add_post("/_control", self._add_fault)
        made.router.add_delete("/_control", self._clear_faults)
        made.router.add_get("/_stats", self._get_stats)
        made.router.add_post("/", self._serve)
        made.router.add_post("/p/{profile}", self._serve)
        made.cleanup_ctx.append(self._client)
        return made

    async def _client(self, app: web.Application) -> Any:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            self._session = session
            yield

    async def _add_fault(self, request: web.Request) -> web.Response:
        self.faults.append(Fault(**await request.json()))
        return web.json_response({"faults": len(self.faults)})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        return web.json_response({"faults": 0})

    async def _get_stats(self, request: web.Request) -> web.Response:
        return web.json_response(self.stats)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("profile", "clean")
        if name not in PROFILES:
            return web.json_response({"error": f"no profile {name}; there are {', '.join(PROFILES)}"}, status=404)
        profile, body = PROFILES[name], await request.read()
        if profile.latency_seconds:
            await asyncio.sleep(profile.latency_seconds)
        if profile.is_transparent and not self.faults:
            self.stats[name]["requests"] += 1
            return web.Response(body=await self._forward(body), headers=HEADERS)
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        methods = [call["method"] for call in calls]
        self.stats[name].update(["requests", *methods])
        struck = [fault for fault in self.faults if fault.takes(name, methods)]
        return await self._answer(request, name, profile, asked, calls, struck)

    async def _forward(self, body: bytes) -> bytes:
        assert self._session is not None
        async with self._session.post(self.node_url, data=body, headers=HEADERS) as reply:
            return await reply.read()

    async def _answer(
        self, request: web.Request, name: str, profile: Profile, asked: Any, calls: list[Reply], struck: list[Fault]
    ) -> web.StreamResponse:
        for fault in struck:
            early = await _instead(request, fault)
            if early is not None:
                return early
        limited = self._over_rate(name, profile, len(calls))
        if limited is not None:
            return limited
        if profile.max_batch is not None and len(calls) > profile.max_batch:
            return _error_response(413, -32600, f"batch too large, batch limit is {profile.max_batch}")
        replies, status = [], 200
        for call in calls:
            refused = _refuse_before(call, profile, struck) or None
            if refused is None:
                reply = json.loads(await self._forward(json.dumps(await self._lagging(call, struck)).encode()))
                refused = _refuse_after(call, reply, profile)
            if refused is not None:
                status = refused[0]
                reply = {"jsonrpc": "2.0", "id": call["id"], "error": {"code": refused[1], "message": refused[2]}}
            replies.append(_bent(call, reply, struck))
        if any(fault.kind == "drop_items" for fault in struck):
            replies = replies[: len(replies) // 2]
        text = json.dumps(replies if isinstance(asked, list) else (replies[0] if replies else {}))
        return web.Response(text=text, headers=HEADERS, status=status if len(calls) == 1 else 200)

    async def _lagging(self, call: Reply, struck: list[Fault]) -> Reply:
        """The request as a lagging node understands it: its newest block lies some blocks back."""
        behind = sum(int(fault.value) for fault in struck if fault.kind == "lag")
        if not behind or call["method"] != "eth_getBlockByNumber" or call["params"][0] not in TAGS:
            return call
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})
        newest = int(json.loads(await self._forward(body.encode()))["result"], 16)
        return {**call, "params": [hex(max(newest - behind, 0)), *call["params"][1:]]}

    def _over_rate(self, name: str, profile: Profile, calls: int) -> web.Response | None:
        if profile.calls_per_second is None:
            return None
        now = time.monotonic()
        recent = [at for at in self._spent[name] if at > now - 1.0]
        self._spent[name] = recent
        if len(recent) + calls > max(profile.calls_per_second, calls):
            self.stats[name]["429"] += 1
            extra = {} if profile.retry_after is None else {"Retry-After": str(profile.retry_after)}
            return _error_response(429, -32005, "too many requests: rate limit exceeded", extra)
        recent.extend([now] * calls)
        return None


def _error_response(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return web.Response(text=json.dumps(body), status=status, headers={**HEADERS, **(headers or {})})


async def _instead(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """The faults that take the place of an answer."""
    if fault.kind == "status":
        return _error_response(int(fault.value), -32000, f"upstream says {fault.value}")
    if fault.kind == "malformed":
        return web.Response(text='{"jsonrpc": "2.0", "id": 1, "result": [{"address": "0x', headers=HEADERS)
    if fault.kind == "reset" and request.transport is not None:
        request.transport.abort()
        return web.Response()
    if fault.kind == "hang":
        await asyncio.sleep(float(fault.value))
        return _error_response(504, -32000, "gateway timeout")
    return None


def _refuse_before(call: Reply, profile: Profile, struck: list[Fault]) -> Refused | None:
    """Refusals that need no look at the node."""
    if any(f.kind == "no_archive" for f in struck) and call["method"] == "eth_call":
        return 200, -32000, "missing trie node 5e1a (path ) state is not available"
    if call["method"] != "eth_getLogs":
        return None
    wanted = call["params"][0]
    addresses = wanted.get("address") or []
    if profile.max_addresses is not None and isinstance(addresses, list) and len(addresses) > profile.max_addresses:
        return 200, -32602, "specify less number of addresses"
    span = _range_of(wanted)
    if profile.max_blocks is not None and span is not None and span[1] - span[0] + 1 > profile.max_blocks:
        return refuse_blocks(profile.style, *span, profile.max_blocks)
    return None


def _refuse_after(call: Reply, reply: Reply, profile: Profile) -> Refused | None:
    """Refusals that depend on how much was found."""
    found, span = reply.get("result"), None
    if call["method"] != "eth_getLogs" or not isinstance(found, list):
        return None
    span = _range_of(call["params"][0])
    if profile.max_results is not None and len(found) > profile.max_results and span is not None:
        return refuse_results(profile.style, *span, profile.max_results, len(found))
    if profile.max_bytes is not None and len(json.dumps(found)) > profile.max_bytes:
        return 200, -32000, "Response is too big"
    return None


def _range_of(wanted: Reply) -> tuple[int, int] | None:
    first, last = wanted.get("fromBlock", ""), wanted.get("toBlock", "")
    return (int(first, 16), int(last, 16)) if str(first).startswith("0x") and str(last).startswith("0x") else None


def _bent(call: Reply, reply: Reply, struck: list[Fault]) -> Reply:
    """A valid answer, made wrong in one way per fault."""
    for fault in struck:
        method, result = call["method"], reply.get("result")
        if fault.kind == "chain_id" and method == "eth_chainId":
            reply = {**reply, "result": hex(int(fault.value))}
        elif fault.kind == "lag" and method == "eth_blockNumber":
            reply = {**reply, "result": hex(max(int(str(result), 16) - int(fault.value), 0))}
        elif fault.kind == "truncate" and method == "eth_getLogs" and isinstance(result, list):
            reply = {**reply, "result": result[: int(fault.value)]}
        elif fault.kind == "reorg" and method == "eth_getBlockByNumber" and isinstance(result, dict):
            if int(result["number"], 16) == int(fault.value):
                reply = {**reply, "result": {**result, "hash": "0x" + "de" * 32}}
        elif fault.kind == "wrong_id":
            reply = {**reply, "id": 987_654_321}
    return reply
