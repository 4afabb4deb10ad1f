"""JSON-RPC to the node over one kept-open connection, in batches."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any

Request = tuple[str, Sequence[Any]]


class RpcError(RuntimeError):
    """The node refused a call."""


class Rpc:
    """A blocking client of one node on loopback."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._connection = http.client.HTTPConnection(host, port, timeout=120)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def call(self, method: str, *params: Any) -> Any:
        return self.batch([(method, params)])[0]

    def batch(self, requests: Sequence[Request]) -> list[Any]:
        """Results in the order asked; RpcError for the first refusal."""
        if not requests:
            return []
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": list(p)} for i, (m, p) in enumerate(requests)]
        replies = {reply["id"]: reply for reply in self._post(body)}
        for i, (method, _) in enumerate(requests):
            if "error" in replies[i]:
                raise RpcError(f"{method}: {replies[i]['error']}")
        return [replies[i]["result"] for i in range(len(requests))]

    def _post(self, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            self._connection.request("POST", "/", json.dumps(body), {"content-type": "application/json"})
            answer: list[dict[str, Any]] = json.loads(self._connection.getresponse().read())
        except http.client.HTTPException as error:
            self._connection.close()
            raise OSError(f"the node did not answer: {error}") from None
        except OSError:
            self._connection.close()
            raise
        return answer

    def close(self) -> None:
        self._connection.close()
