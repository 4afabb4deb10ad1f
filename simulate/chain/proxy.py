"""A provider in front of the node: limits by profile, faults on demand, over the real JSON-RPC protocol.

`/` is a clean endpoint, `/p/NAME` a profile of `profiles.py`. `POST /_control` with
`{"profile": NAME, "fault": {"kind": ..., "value": ...}, "count": n, "methods": [...]}` switches a fault on,
`DELETE /_control` all of them off, `GET /_stats` counts requests by profile and method.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from simulate.chain.faults import STATE_READS, Fault, Reply, bend, lagging, log_range, other_hash, refuse
from simulate.chain.lies import BODIES, REQUESTS, bomb
from simulate.chain.profiles import PROFILES, Profile, Refused, refuse_blocks, refuse_bytes, refuse_results

HEADERS = {"content-type": "application/json"}
METHOD = re.compile(rb'"method"\s*:\s*"(\w+)"')


class Proxy:
    """Forwards to one node; all state is in memory."""

    def __init__(self, node_url: str) -> None:
        self.node_url = node_url
        self.faults: list[Fault] = []
        self.stats: dict[str, Counter[str]] = defaultdict(Counter)
        self._spent: dict[str, list[float]] = defaultdict(list)
        self._session: aiohttp.ClientSession

    def app(self) -> web.Application:
        made = web.Application(client_max_size=64 * 2**20)
        made.router.add_post("/_control", self._add_fault)
        made.router.add_delete("/_control", self._clear_faults)
        made.router.add_get("/_stats", self._get_stats)
        made.router.add_post("/", self._serve)
        made.router.add_post("/p/{profile}", self._serve)
        made.router.add_get("/", self._socket)
        made.router.add_get("/p/{profile}", self._socket)
        made.cleanup_ctx.append(self._client)
        return made

    async def _client(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            yield

    async def _add_fault(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        try:
            fault = Fault(**wanted["fault"], **{key: wanted.get(key) for key in ("profile", "methods", "count")})
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.faults.append(fault)
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
        methods = [method.decode() for method in METHOD.findall(body)]
        self.stats[name].update(["requests", *methods])
        if profile.latency_seconds:
            await asyncio.sleep(profile.latency_seconds)
        struck = [fault for fault in self.faults if fault.strikes(name, methods)]
        try:
            if profile.is_transparent and not struck:
                return web.Response(body=await self._forward(body), headers=HEADERS)
            early = await _instead(request, struck) or self._limited(name, profile, len(methods))
            return early or await self._answer(msgspec.json.decode(body), profile, struck)
        except aiohttp.ClientError as error:
            return _refusal(Refused(-32000, f"the node is gone: {error}", status=502))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """A websocket to the node's own. `hang` on eth_subscribe: nothing is told any more; `reset`: it is closed;
        `malformed`: what is told breaks off in the middle.
        """
        name = request.match_info.get("profile", "clean")
        if name not in PROFILES:
            return web.json_response({"error": f"no profile {name}; there are {', '.join(PROFILES)}"}, status=404)
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        async with self._session.ws_connect(self.node_url) as node:
            asking = asyncio.create_task(_relay(ours, node))
            try:
                async for message in node:
                    await asyncio.sleep(PROFILES[name].latency_seconds / 2)
                    kinds = {fault.kind for fault in self.faults if fault.strikes(name, ["eth_subscribe"])}
                    if "reset" in kinds:
                        break
                    text = message.data[: len(message.data) // 2] if "malformed" in kinds else message.data
                    if "hang" not in kinds:
                        self.stats[name].update(["told"])
                        await ours.send_str(text)
            except ConnectionError:
                pass  # whoever listened is gone
            finally:
                asking.cancel()
        await ours.close()
        return ours

    async def _forward(self, body: bytes) -> bytes:
        async with self._session.post(self.node_url, data=body, headers=HEADERS) as reply:
            return await reply.read()

    async def _ask(self, method: str, *params: Any) -> Any:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return msgspec.json.decode(await self._forward(body))["result"]

    async def _by_number(self, call: Reply) -> Reply:
        """A call that names its block by hash (EIP-1898), as one that names it by number: faults speak of numbers."""
        place = STATE_READS.get(call["method"])
        named = call["params"][place] if place is not None and len(call["params"]) > place else None
        if not isinstance(named, dict) or "blockHash" not in named or place is None:
            return call
        header = await self._ask("eth_getBlockByHash", named["blockHash"], False)
        params = list(call["params"])
        params[place] = header["number"] if header else named
        return {**call, "params": params}

    def _limited(self, name: str, profile: Profile, calls: int) -> web.Response | None:
        """Limits on the request as a whole."""
        if profile.max_batch is not None and calls > profile.max_batch:
            return _refusal(Refused(-32600, f"batch too large, batch limit is {profile.max_batch}", status=413))
        if profile.calls_per_second is None:
            return None
        now = time.monotonic()
        recent = self._spent[name] = [at for at in self._spent[name] if at > now - 1.0]
        if len(recent) + calls > max(profile.calls_per_second, calls if not recent else 0):
            self.stats[name]["429"] += 1
            extra = {} if profile.retry_after is None else {"Retry-After": str(profile.retry_after)}
            return _refusal(Refused(-32005, "too many requests: rate limit exceeded", status=429), extra)
        recent.extend([now] * calls)
        return None

    async def _answer(self, asked: Any, profile: Profile, struck: list[Fault]) -> web.Response:
        calls = [await self._by_number(call) for call in (asked if isinstance(asked, list) else [asked])]
        head = int(await self._ask("eth_blockNumber"), 16)
        refused = [_refuse_before(call, profile, struck, head) for call in calls]
        passed = [call for call, no in zip(calls, refused, strict=True) if no is None]
        found = iter(await self._found(passed, struck, head))
        bent: list[Reply] = []
        status = 200
        for call, no in zip(calls, refused, strict=True):
            reply = next(found) if no is None else {}
            no = no or _refuse_after(call, reply, profile, head)
            status = no.status if no else status
            bent.append(_bent(call, no.reply(call["id"]) if no else {**reply, "id": call["id"]}, struck, head))
        if any(fault.kind == "drop_items" for fault in struck):
            bent = bent[: len(bent) // 2]
        if any(fault.kind == "swapped_ids" for fault in struck):
            ids = [reply.get("id") for reply in bent]
            bent = [{**reply, "id": other} for reply, other in zip(bent, ids[1:] + ids[:1], strict=True)]
        is_batch = isinstance(asked, list)
        body = msgspec.json.encode(bent if is_batch else (bent[0] if bent else {}))
        return web.Response(
            body=await self._reorganized(body, struck), headers=HEADERS, status=200 if is_batch else status
        )

    async def _found(self, calls: list[Reply], struck: list[Fault], head: int) -> list[Reply]:
        """The node's replies, in order, through one batch."""
        if not calls:
            return []
        for fault in struck:
            if fault.kind == "lag":
                calls = [
                    lagging(call, head - int(fault.value)) if fault.hits(call["method"]) else call for call in calls
                ]
            if fault.kind in REQUESTS:
                lie, back = REQUESTS[fault.kind], int(fault.value or 1)
                calls = [lie(call, back, head) if fault.hits(call["method"]) else call for call in calls]
        body = msgspec.json.encode([{**call, "id": position} for position, call in enumerate(calls)])
        for fault in struck:
            if fault.kind == "reorg":  # who asks for the state of the other hash gets that of the block
                true_hash = await self._hash(int(fault.value))
                body = body.replace(other_hash(true_hash)[2:].encode(), true_hash[2:].encode())
        replies = {reply["id"]: reply for reply in msgspec.json.decode(await self._forward(body))}
        return [replies[position] for position in range(len(calls))]

    async def _reorganized(self, body: bytes, struck: list[Fault]) -> bytes:
        """Another hash for a block wherever it is named: in its header, its child's, its logs, and by the EVM."""
        for fault in struck:
            if fault.kind == "reorg":
                true_hash = await self._hash(int(fault.value))
                body = body.replace(true_hash[2:].encode(), other_hash(true_hash)[2:].encode())
        return body

    async def _hash(self, block: int) -> str:
        return str((await self._ask("eth_getBlockByNumber", hex(block), False))["hash"])


async def _relay(ours: web.WebSocketResponse, node: aiohttp.ClientWebSocketResponse) -> None:
    """What is asked over a websocket, to the node; closed with the one who asks."""
    async for message in ours:
        await node.send_str(message.data)
    await node.close()


def _refusal(refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(refused.reply(None))
    return web.Response(body=body, status=refused.status, headers={**HEADERS, **(headers or {})})


async def _instead(request: web.Request, struck: Sequence[Fault]) -> web.StreamResponse | None:
    """The faults that take the place of an answer."""
    for fault in struck:
        if fault.kind == "status":
            return _refusal(Refused(-32000, f"upstream says {fault.value}", status=int(fault.value)))
        if fault.kind == "malformed":
            return web.Response(text='{"jsonrpc": "2.0", "id": 1, "result": [{"address": "0x', headers=HEADERS)
        if fault.kind in BODIES:
            return web.Response(body=BODIES[fault.kind][0], headers={**HEADERS, **BODIES[fault.kind][1]})
        if fault.kind == "gzip_bomb":
            return web.Response(body=bomb(), headers={**HEADERS, "Content-Encoding": "gzip"})
        if fault.kind == "redirect":
            return web.Response(status=307, headers={"Location": str(request.url.with_path("/p/clean"))})
        if fault.kind == "long_wait":
            return _refusal(Refused(-32005, "too many requests", status=429), {"Retry-After": "86400"})
        if fault.kind == "slow_body":
            return await _trickle(request, float(fault.value))
        if fault.kind == "reset" and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if fault.kind == "hang":
            await asyncio.sleep(float(fault.value))
            return _refusal(Refused(-32000, "gateway timeout", status=504))
    return None


async def _trickle(request: web.Request, seconds: float) -> web.StreamResponse:
    """A body that comes a blank at a time, for so many seconds: every read succeeds, the answer never ends."""
    answer = web.StreamResponse(headers=HEADERS)
    await answer.prepare(request)
    for _ in range(int(seconds * 10)):
        await answer.write(b" ")
        await asyncio.sleep(0.1)
    return answer


def _refuse_before(call: Reply, profile: Profile, struck: Sequence[Fault], head: int) -> Refused | None:
    """Refusals that need no look at the answer."""
    for fault in struck:
        refused = refuse(call, fault, head) if fault.hits(call["method"]) else None
        if refused is not None:
            return refused
    if call["method"] != "eth_getLogs":
        return None
    wanted = call["params"][0]
    addresses, span = wanted.get("address") or [], log_range(wanted, head)
    if profile.max_addresses is not None and isinstance(addresses, list) and len(addresses) > profile.max_addresses:
        return Refused(-32602, "specify less number of addresses")
    if profile.max_blocks is not None and span is not None and span[1] - span[0] + 1 > profile.max_blocks:
        return refuse_blocks(profile.style, *span, profile.max_blocks)
    return None


def _refuse_after(call: Reply, reply: Reply, profile: Profile, head: int) -> Refused | None:
    """Refusals that depend on how much was found."""
    found = reply.get("result")
    if call["method"] != "eth_getLogs" or not isinstance(found, list):
        return None
    span = log_range(call["params"][0], head)
    if profile.max_results is not None and len(found) > profile.max_results and span is not None:
        return refuse_results(profile.style, *span, profile.max_results, len(found))
    if profile.max_bytes is not None and len(msgspec.json.encode(found)) > profile.max_bytes:
        return refuse_bytes(profile.style)
    return None


def _bent(call: Reply, reply: Reply, struck: Sequence[Fault], head: int) -> Reply:
    for fault in struck:
        if fault.hits(call["method"]):
            reply = bend(call, reply, fault, head)
    return reply
