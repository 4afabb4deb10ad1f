"""Tokens with 6, 8 and 18 decimals and their price feeds: fresh, stale, dead, and one token without any."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulate.chain.chain import Chain
from simulate.chain.contracts import Contract
from simulate.voting.books import Books

ORACLE = "0x000000000000000000000000000000000000feed"
FEED_DECIMALS = 8


@dataclass
class Token:
    """A token and what it is worth. Its feed is live, stale (one price ever), dead (reverts later) or none."""

    symbol: str
    decimals: int
    price: float
    behaviour: str = "live"
    tax_bps: int = 0  # what a transfer loses on the way
    address: str = ""
    feed: str | None = None
    is_posting: bool = True
    pool: str | None = None
    depth_usd: float = 0.0  # what its pool holds against it

    def amount(self, usd: float) -> int:
        """Raw amount worth `usd`, at least one unit."""
        return max(int(usd / self.price * 10**self.decimals), 1)


def tokens() -> list[Token]:
    return [
        Token("USDX", 6, 1.0),
        Token("WBTX", 8, 64_000.0),
        Token("WETX", 18, 2_600.0),
        Token("TIDE", 18, 0.05),
        Token("AERX", 18, 0.9),
        Token("STAL", 18, 2.0, "stale"),
        Token("DEAD", 18, 5.0, "dead"),
        Token("NOPE", 18, 0.3, "none"),
        Token("UNIT", 0, 12.0),
        Token("CENT", 2, 1.1),
        Token("LONG", 24, 0.000_4),
        Token("TAXD", 18, 0.8, "live", 500),
        Token("HUGE", 24, 1e-13, "none", depth_usd=20_000.0),
        Token("THIN", 18, 0.4, "none", depth_usd=37.0),  # its pool takes a few dollars, whatever it is said to be worth
    ]


class Market:
    """Deploys tokens and feeds, and lets prices walk."""

    def __init__(self, chain: Chain, contracts: dict[str, Contract], books: Books, chance: random.Random) -> None:
        self.chain, self.contracts, self.books, self.chance = chain, contracts, books, chance
        self.tokens = tokens()
        for token in self.tokens:
            token.address = chain.deploy(ORACLE, contracts["token"], token.symbol, token.decimals, token.tax_bps)
            if token.behaviour != "none":
                token.feed = chain.deploy(ORACLE, contracts["feed"], f"{token.symbol} / USD")

    def open_pools(self) -> None:
        """A pool against USDX for each token that has one: reserves as its price says, and the USDX in it."""
        coin = self.tokens[0]
        for token in self.tokens:
            if token.depth_usd:
                token.pool = self.chain.deploy(ORACLE, self.contracts["pool"], token.address, coin.address)
                reserves = token.amount(token.depth_usd), coin.amount(token.depth_usd)
                self.chain.send(ORACLE, token.pool, "sync(uint256,uint256)", *reserves)
                self.chain.send(ORACLE, coin.address, "mint(address,uint256)", token.pool, reserves[1])

    def fund(self, holder: str) -> None:
        """Give an actor more of every token than it can spend."""
        for token in self.tokens:
            self.chain.send(ORACLE, token.address, "mint(address,uint256)", holder, 10 ** (token.decimals + 20))

    def post_all(self) -> None:
        """The first price of every feed, the stale one's only one."""
        for token in self.tokens:
            self._post(token)
            token.is_posting = token.behaviour in ("live", "dead")

    def update(self) -> None:
        """A step of every live price (0.5 % a step), posted."""
        for token in self.tokens:
            if token.is_posting:
                token.price *= 1.0 if token.symbol == "USDX" else 1 + self.chance.gauss(0, 0.005)
                self._post(token)

    def kill_dead_feed(self) -> None:
        """From now on the dead token's feed reverts."""
        for token in self.tokens:
            if token.behaviour == "dead" and token.feed:
                self.chain.send(ORACLE, token.feed, "kill()")
                self.books.note("market", "feed_dies", feed=token.feed, token=token.address)
                token.is_posting = False

    def _post(self, token: Token) -> None:
        if token.feed:
            answer = int(token.price * 10**FEED_DECIMALS)
            self.chain.send(ORACLE, token.feed, "post(int256)", answer)
            self.books.note("market", "price", feed=token.feed, token=token.address, amount=str(answer))
