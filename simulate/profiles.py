"""Providers as data: the limits of real endpoints and the words they refuse with (observed publicly, 2024-2026)."""

from __future__ import annotations

from dataclasses import dataclass


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
        return self == Profile()


PROFILES = {
    "clean": Profile(),
    "slow": Profile(latency_seconds=0.08),
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
    "few_addresses": Profile(max_addresses=20, style="plain"),
    "small_batches": Profile(max_batch=5, style="plain"),
    "limited": Profile(calls_per_second=25, style="plain"),
    "limited_polite": Profile(calls_per_second=25, retry_after=1, style="plain"),
    "slow_10_blocks": Profile(max_blocks=10, latency_seconds=0.08, style="alchemy_free"),
    "slow_10k_results": Profile(max_results=10_000, latency_seconds=0.08, style="infura"),
}

Refused = tuple[int, int, str]  # HTTP status, JSON-RPC code, message


def refuse_blocks(style: str, first: int, last: int, cap: int) -> Refused:
    """A range of too many blocks, in the provider's own words."""
    asked, fits = last - first + 1, f"[{first:#x}, {first + cap - 1:#x}]"
    return {
        "alchemy_free": (
            200,
            -32600,
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. "
            f"Based on your parameters, this block range should work: {fits}. Upgrade to PAYG for more.",
        ),
        "infura": (200, -32602, f"range {asked} exceeds limit of {cap}"),
        "quicknode": (413, -32614, f"eth_getLogs is limited to a {cap:,} range"),
        "reth": (200, -32602, f"query exceeds max block range {cap}"),
        "drpc": (200, 35, f"ranges over {cap} blocks are not supported on freetier"),
        "blockpi": (200, -32602, f"eth_getLogs is limited to {cap} block range"),
        "one_rpc": (200, -32000, f"eth_getLogs is limited to a {cap} blocks range"),
        "tenderly": (200, -32602, f"range {asked} is bigger than range limit {cap}"),
        "polygon": (200, -32000, "block range exceeds configured limit"),
        "ankr": (200, -32600, "block range is too wide"),
    }.get(style, (200, -32602, f"eth_getLogs range is too large, max is {cap} blocks"))


def refuse_results(style: str, first: int, last: int, cap: int, found: int) -> Refused:
    """Too many logs, in the provider's own words; the suggestion scales the range by the density found."""
    fitting = first + max(int((last - first + 1) * cap / found * 0.9), 1) - 1
    return {
        "alchemy": (
            200,
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on "
            f"the response size, or you can request any block range with a cap of 10K logs in the response. "
            "Based on your parameters and the response size limit, this block range should work: "
            f"[{first:#x}, {fitting:#x}]",
        ),
        "infura": (
            200,
            -32005,
            f"query returned more than {cap} results. Try with this block range [{first:#x}, {fitting:#x}].",
        ),
        "zksync": (
            200,
            -32602,
            f"Query returned more than {cap} results. Try with this block range [{first:#x}, {fitting:#x}].",
        ),
        "reth": (200, -32602, f"query exceeds max results {cap}, retry with the range {first}-{fitting}"),
    }.get(style, (200, -32005, f"query returned more than {cap} results"))
