"""Providers as data: the limits of real endpoints and the words they refuse with (observed publicly, 2024-2026)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Profile:
    """Limits of one provider; None is no limit. `style` picks the words of a refused range or result count."""

    max_blocks: int | None = None
    max_results: int | None = None
    max_bytes: int | None = None
    max_addresses: int | None = None
    max_batch: int | None = None
    calls_per_second: float | None = None
    retry_after: int | None = None
    latency_seconds: float = 0.0
    style: str = "plain"

    @property
    def is_transparent(self) -> bool:
        """Nothing in a request or an answer needs to be looked at."""
        return replace(self, latency_seconds=0.0, style="plain") == Profile()


@dataclass(frozen=True)
class Refused:
    """A provider's refusal of one call; the HTTP status counts when the call came alone."""

    code: int
    message: str
    status: int = 200
    data: Any = None

    def reply(self, call_id: Any) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message}
        return {"jsonrpc": "2.0", "id": call_id, "error": error if self.data is None else {**error, "data": self.data}}


PROFILES = {
    "clean": Profile(),
    "liar": Profile(),  # takes everything; what it answers is for the faults to say
    "slow": Profile(latency_seconds=0.08),
    "second": Profile(latency_seconds=0.03),  # slow enough that another endpoint of the world is preferred to it
    "alchemy_free": Profile(max_blocks=10, style="alchemy_free"),
    "alchemy": Profile(max_results=10_000, max_bytes=150_000_000, style="alchemy"),
    "infura": Profile(max_blocks=10_000, max_results=10_000, style="infura"),
    "quicknode": Profile(max_blocks=10_000, style="quicknode"),
    "quicknode_free": Profile(max_blocks=5, style="quicknode"),
    "reth": Profile(max_blocks=100_000, max_results=20_000, style="reth"),
    "small_results": Profile(max_results=40, style="zksync"),
    "zksync": Profile(max_results=10_000, style="zksync"),
    "drpc": Profile(max_blocks=10_000, style="drpc"),
    "blockpi": Profile(max_blocks=1_024, style="blockpi"),
    "one_rpc": Profile(max_blocks=1_000, style="one_rpc"),
    "tenderly": Profile(max_blocks=2_000, style="tenderly"),
    "polygon": Profile(max_blocks=3_000, style="polygon"),
    "ankr": Profile(max_blocks=3_000, max_bytes=200_000, style="ankr"),
    "base_public": Profile(max_blocks=2_000, style="base_public"),
    "publicnode": Profile(max_blocks=50_000, style="publicnode"),
    "chainstack": Profile(max_blocks=100, style="chainstack"),
    "cloudflare": Profile(max_blocks=800, style="cloudflare"),
    "bsc_dataseed": Profile(max_blocks=0, style="bsc_dataseed"),  # no eth_getLogs at all: splitting cannot help
    "llamarpc": Profile(max_results=10_000, style="llamarpc"),
    "time_out": Profile(max_results=500, style="time_out"),
    "few_addresses": Profile(max_addresses=20, style="plain"),
    "small_batches": Profile(max_batch=5, style="plain"),
    "limited": Profile(calls_per_second=25, style="plain"),
    "limited_polite": Profile(calls_per_second=25, retry_after=1, style="plain"),
    "slow_10_blocks": Profile(max_blocks=10, latency_seconds=0.08, style="alchemy_free"),
    "slow_10k_results": Profile(max_results=10_000, latency_seconds=0.08, style="infura"),
}


def refuse_blocks(style: str, first: int, last: int, cap: int) -> Refused:
    """A range of too many blocks, in the provider's own words."""
    asked, fits = last - first + 1, f"[{first:#x}, {first + cap - 1:#x}]"
    if style == "tenderly":
        return Refused(-32602, "invalid params", data={"payload": f"range {asked} is bigger than range limit {cap}"})
    if style == "quicknode":
        return Refused(-32614, f"eth_getLogs is limited to a {cap:,} range", status=413)
    code, message = {
        "alchemy_free": (
            -32600,
            f"Under the Free tier plan, you can make eth_getLogs requests with up to a {cap} block range. "
            f"Based on your parameters, this block range should work: {fits}. "
            "Upgrade to PAYG for expanded block range.",
        ),
        "infura": (-32602, f"range {asked} exceeds limit of {cap}"),
        "reth": (-32602, f"query exceeds max block range {cap}"),
        "drpc": (35, f"ranges over {cap} blocks are not supported on freetier"),
        "blockpi": (-32602, f"eth_getLogs is limited to {cap} block range"),
        "one_rpc": (-32000, f"eth_getLogs is limited to a {cap} blocks range"),
        "polygon": (-32000, "block range exceeds configured limit"),
        "ankr": (-32600, "block range is too wide"),
        "base_public": (-32000, "block range too large"),
        "publicnode": (-32701, f"exceed maximum block range: {cap}"),
        "chainstack": (-32602, "Block range limit exceeded."),
        "cloudflare": (-32047, f"Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {cap}"),
        "bsc_dataseed": (-32005, "limit exceeded"),
    }.get(style, (-32602, f"eth_getLogs range is too large, max is {cap} blocks"))
    return Refused(code, message)


def refuse_results(style: str, first: int, last: int, cap: int, found: int) -> Refused:
    """Too many logs, in the provider's own words; the suggestion scales the range by the density found."""
    fitting = first + max(int((last - first + 1) * cap / found * 0.9), 1) - 1
    fits = f"[{first:#x}, {fitting:#x}]"
    code, message = {
        "alchemy": (
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on "
            "the response size, or you can request any block range with a cap of 10K logs in the response. "
            f"Based on your parameters and the response size limit, this block range should work: {fits}",
        ),
        "infura": (-32005, f"query returned more than {cap} results. Try with this block range {fits}."),
        "zksync": (-32602, f"Query returned more than {cap} results. Try with this block range {fits}."),
        "reth": (-32602, f"query exceeds max results {cap}, retry with the range {first}-{fitting}"),
        "llamarpc": (-32000, f"query exceeds max results {cap}"),
        "time_out": (-32005, "query timeout exceeded"),
    }.get(style, (-32005, f"query returned more than {cap} results"))
    return Refused(code, message)


def refuse_bytes(style: str) -> Refused:
    """An answer of too many bytes."""
    if style == "alchemy":
        return Refused(-32602, "Log response size exceeded.")
    return Refused(-32000, "Response is too big")
