"""Tokens and their price feeds: USD feeds every chain has, and the protocols' own, some of which fail on purpose."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction

from simulate.chain.chain import Chain
from simulate.chain.contracts import Contract

ORACLE = "0x000000000000000000000000000000000000feed"
USD = 8  # decimals of a USD feed
ETH = 18  # decimals of a feed in ETH, of Aave V2


@dataclass
class Feed:
    """A price feed: its newest answer, when that was posted, and whether it reverts by now."""

    name: str
    decimals: int
    address: str = ""
    answer: int = 0
    updated_at: int = 0
    is_dead: bool = False
    is_live: bool = True  # follows the price
    is_in_eth: bool = False

    def say(self, price: float, eth: float) -> int:
        """The answer for a price in USD."""
        if not self.is_in_eth:
            return int(price * 10**self.decimals)
        raised: int = 10 ** (self.decimals - USD)
        return int(price / eth * 10**USD) * raised

    @property
    def value(self) -> Fraction:
        return Fraction(self.answer, 10**self.decimals)


@dataclass
class Token:
    """A token, its price in the agents' minds, and its public USD feed (None: there is none)."""

    symbol: str
    decimals: int
    price: float
    is_bare: bool = False  # has no decimals()
    address: str = ""
    feed: Feed | None = None

    def amount(self, usd: float) -> int:
        """Raw amount worth `usd`."""
        return max(int(usd / self.price * 10**self.decimals), 1)

    @property
    def known_decimals(self) -> int | None:
        return None if self.is_bare else self.decimals


@dataclass(frozen=True)
class Quote:
    """What a protocol's own oracle says of a token: raw as it answers, and USD for one whole token."""

    status: str  # ok, zero, reverted, none
    raw: int | None = None
    usd: Fraction | None = None
    updated_at: int | None = None


NO_QUOTE = Quote("none")


def _tokens() -> list[Token]:
    return [
        Token("USDX", 6, 1.0),
        Token("USDY", 18, 0.9995),
        Token("WETX", 18, 3_900.0),
        Token("WBTX", 8, 110_000.0),
        Token("STEX", 18, 4_700.0),
        Token("GOVX", 18, 42.0),
        Token("BRKN", 18, 7.5),
        Token("LOST", 18, 3.0),
        Token("ZERO", 18, 1.25),
        Token("STAL", 18, 2.0),
        Token("COLD", 18, 12.0),
        Token("NEWT", 18, 0.6),
        Token("BARE", 18, 20.0, is_bare=True),
    ]


UNFED = ("LOST", "ZERO")  # tokens without a public feed


class Market:
    """Deploys tokens and feeds, and lets prices walk."""

    def __init__(self, chain: Chain, contracts: dict[str, Contract], chance: random.Random) -> None:
        self.chain, self.contracts, self.chance = chain, contracts, chance
        self.tokens = {token.symbol: token for token in _tokens()}
        self.feeds: dict[str, Feed] = {}
        self._of: list[tuple[Feed, Token]] = []
        for token in self.tokens.values():
            if token.is_bare:
                token.address = chain.deploy(ORACLE, contracts["asset_bare"])
            else:
                token.address = chain.deploy(ORACLE, contracts["asset"], token.symbol, token.decimals)
            if token.symbol not in UNFED:
                token.feed = self.feed(token, f"{token.symbol} / USD")
        self.eth = Token("ETH", 18, 3_900.0, address="0x" + "0" * 40, feed=self.tokens["WETX"].feed)

    def feed(self, token: Token, name: str, decimals: int = USD, in_eth: bool = False) -> Feed:
        """A new feed of a token's price."""
        address = self.chain.deploy(ORACLE, self.contracts["feed"], name, decimals)
        made = Feed(name, decimals, address, is_in_eth=in_eth)
        self.feeds[name] = made
        self._of.append((made, token))
        return made

    @property
    def eth_usd(self) -> Feed:
        return self.feeds["WETX / USD"]

    def post(self, at: int) -> None:
        """Every live feed says its token's price."""
        calls = []
        for feed, token in self._of:
            if feed.is_live or feed.updated_at == 0:
                feed.answer, feed.updated_at = feed.say(token.price, self.tokens["WETX"].price), at
                calls.append((feed.address, "post(int256)", feed.answer))
        self.chain.together(ORACLE, calls)

    def walk(self, at: int) -> None:
        """A step of every price, posted."""
        for token in self.tokens.values():
            if not token.symbol.startswith("USD"):
                token.price *= 1 + self.chance.gauss(0, 0.006)
        self.post(at)

    def drop(self, at: int, symbol: str, share: float) -> None:
        """A fall of one price, posted."""
        self.tokens[symbol].price *= 1 - share
        self.post(at)

    def still(self, name: str) -> None:
        """From now on a feed posts no more: it grows old."""
        self.feeds[name].is_live = False

    def zero(self, at: int, name: str) -> None:
        """A feed says zero from now on."""
        feed = self.feeds[name]
        feed.answer, feed.updated_at, feed.is_live = 0, at, False
        self.chain.send(ORACLE, feed.address, "post(int256)", 0)

    def kill(self, name: str) -> None:
        """A feed reverts from now on."""
        feed = self.feeds[name]
        feed.is_dead, feed.is_live = True, False
        self.chain.send(ORACLE, feed.address, "kill()")


def quote(feed: Feed | None, unit: Fraction = Fraction(1)) -> Quote:
    """What an oracle that asks a feed says; `unit` is the USD worth of what the feed is quoted in."""
    if feed is None:
        return NO_QUOTE
    if feed.is_dead:
        return Quote("reverted")
    if feed.answer <= 0:
        return Quote("zero", 0, None, feed.updated_at)
    return Quote("ok", feed.answer, feed.value * unit, feed.updated_at)


@dataclass
class Holders:
    """Balances by owner with their sum."""

    of: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, owner: str, amount: int) -> None:
        self.of[owner] = self.of.get(owner, 0) + amount
        self.total += amount
