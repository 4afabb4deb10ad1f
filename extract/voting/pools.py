"""What a sale into a configured pool brings, from the pool's state at the block: constant product and concentrated.

A concentrated pool is taken as the constant product of its virtual reserves at the current price, and no deeper than
the quote tokens it really holds. Fees of the pool (under 1 %) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.errors import ConfigError
from extract.evm.calls import Call, Reply
from extract.evm.views import address, call, word
from extract.voting.pricing import PriceQuote

KINDS = ("constant_product", "concentrated", "algebra")
_PRICE_VIEW = {"concentrated": "slot0()", "algebra": "globalState()"}  # both hold sqrtPriceX96 in their first word
_Q96 = 2**96


@dataclass(frozen=True)
class Pool:
    """`[[chains.NAME.pools]]`: a pool in which `token` is sold for `quote`, which has a feed."""

    token: str
    pool: str
    quote: str
    kind: str

    def questions(self) -> dict[str, Call]:
        """What to ask at a block."""
        asked = {"token0": call(self.pool, "token0()"), "held": call(self.quote, "balanceOf(address)", self.pool)}
        if self.kind == "constant_product":
            return asked | {"reserves": call(self.pool, "getReserves()")}
        return asked | {"liquidity": call(self.pool, "liquidity()"), "price": call(self.pool, _PRICE_VIEW[self.kind])}

    def reserves(self, replies: Mapping[str, Reply]) -> tuple[int, int] | None:
        """Raw reserves (token, quote), virtual ones where liquidity is concentrated; None where they cannot be read."""
        first = address(replies["token0"])
        held = word(replies["held"])
        if first is None or held is None:
            return None
        if self.kind == "constant_product":
            pair = word(replies["reserves"], 0), word(replies["reserves"], 1)
        else:
            liquidity, root = word(replies["liquidity"]), word(replies["price"])
            pair = (liquidity * _Q96 // root, liquidity * root // _Q96) if liquidity and root else (None, None)
        mine, other = pair if first == self.token else pair[::-1]
        return (mine, other) if mine and other else None


def sale(
    pool: Pool, replies: Mapping[str, Reply], decimals: tuple[int, int], quote_usd: float, size_usd: float, made_at: int
) -> PriceQuote | None:
    """What selling about `size_usd` of the pool's token brings per token; `decimals` of token and quote token."""
    found = pool.reserves(replies)
    if found is None:
        return None
    x, y = found[0] / 10 ** decimals[0], found[1] / 10 ** decimals[1]
    sold = size_usd / (y * quote_usd / x)
    brought = y * sold / (x + sold)
    held = (word(replies["held"]) or 0) / 10 ** decimals[1]
    depth = min(y, held) * quote_usd
    if brought > held or depth <= 0:
        return None
    return PriceQuote(f"pool:{pool.pool}", "sale", brought * quote_usd / sold, made_at, size_usd, depth)


def load_pools(chain: str, tables: Any, feeds: Mapping[str, str]) -> tuple[Pool, ...]:
    """The pools of a chain; ConfigError names what is wrong."""
    return tuple(_pool(f"[[chains.{chain}.pools]]", table, feeds) for table in tables or [])


def _pool(where: str, table: Mapping[str, Any], feeds: Mapping[str, str]) -> Pool:
    missing = [key for key in ("token", "pool", "quote", "kind") if not isinstance(table.get(key), str)]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    if table["kind"] not in KINDS:
        raise ConfigError(f"{where} kind = {table['kind']!r}: use one of {', '.join(KINDS)}")
    quote = table["quote"].lower()
    if quote not in feeds:
        raise ConfigError(
            f"{where} quote {quote} has no feed in [chains.NAME.feeds]: a sale for it has no worth in USD"
        )
    return Pool(table["token"].lower(), table["pool"].lower(), quote, table["kind"])


def of_tokens(pools: Sequence[Pool], tokens: Sequence[str]) -> list[Pool]:
    return [pool for pool in pools if pool.token in tokens]
