"""The truth: what every reserve holds and every liquidation moved, from the agents' own arithmetic, never read back.

Only what the node alone decides is taken from it: transaction hashes and the places of logs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from eth_utils.crypto import keccak

from simulate.chain.chain import Chain
from simulate.lending.market import Quote, Token

Row = dict[str, Any]


@dataclass(frozen=True)
class Holding:
    """One reserve at one moment, in raw units. `available` is what could leave now; None for pure collateral."""

    reserve_id: str
    role: str  # reserve, base, loan, collateral
    token: Token
    supplied: int
    variable: int
    stable: int
    available: int | None
    quote: Quote
    is_frozen: bool = False
    is_paused: bool = False
    deficit: int = 0  # owed to lenders, and by nobody any more
    held: int | None = None  # the token's balance at the address that keeps this reserve; None where it is shared
    facts: Row = field(default_factory=dict)

    @property
    def price(self) -> tuple[Fraction | None, str | None, int | None]:
        """USD for one whole token, where that comes from, and when it was posted: own oracle, else the public feed."""
        if self.quote.status == "ok":
            return self.quote.usd, "oracle", self.quote.updated_at
        public = self.token.feed
        if public is not None and not public.is_dead and public.answer > 0:
            return public.value, "chainlink", public.updated_at
        return None, None, None

    def row(self) -> Row:
        """As in lending_world.json: raw integers and exact USD as text."""
        price, source, price_at = self.price
        usd = None if price is None else price / 10**self.token.decimals
        public = self.token.feed
        return {
            "reserve_id": self.reserve_id,
            "role": self.role,
            "token_address": self.token.address,
            "symbol": self.token.symbol,
            "decimals": self.token.known_decimals,
            "supplied_raw": str(self.supplied),
            "borrowed_variable_raw": str(self.variable),
            "borrowed_stable_raw": str(self.stable),
            "available_raw": None if self.available is None else str(self.available),
            "deficit_raw": str(self.deficit),
            "held_raw": None if self.held is None else str(self.held),
            "is_frozen": self.is_frozen,
            "is_paused": self.is_paused,
            "oracle_status": self.quote.status,
            "oracle_price_raw": None if self.quote.raw is None else str(self.quote.raw),
            "feed_price_usd": None if public is None or public.answer <= 0 else text(public.value),
            "price_usd": text(price),
            "price_source": source,
            "price_at": price_at,
            "supplied_usd": text(None if usd is None else self.supplied * usd),
            "borrowed_usd": text(None if usd is None else (self.variable + self.stable) * usd),
            "net_usd": text(
                None if usd is None else (self.supplied - self.variable - self.stable - self.deficit) * usd
            ),
            **self.facts,
        }


@dataclass
class Liquidation:
    """One log of a liquidation: who, what, and by which contract; priced when its block is mined."""

    csu_id: str
    event: str  # its signature
    emitter: str
    place: int  # of its transaction
    borrower: str | None
    liquidator: str | None
    collateral: Token | None = None
    collateral_raw: int | None = None
    debt: Token | None = None
    debt_raw: int | None = None
    bad_debt_raw: int | None = None
    is_readable: bool = True  # False: a log with this topic that does not decode
    facts: Row = field(default_factory=dict)
    usd: dict[str, Fraction | None] = field(default_factory=dict)
    block: int = 0
    timestamp: int = 0

    @property
    def topic(self) -> str:
        return "0x" + keccak(text=self.event).hex()

    def row(self, tx_hash: str, log_index: int) -> Row:
        return {
            "csu_id": self.csu_id,
            "event": self.event.split("(")[0],
            "emitter": self.emitter,
            "block": self.block,
            "timestamp": self.timestamp,
            "tx_hash": tx_hash,
            "log_index": log_index,
            "liquidator": self.liquidator,
            "borrower": self.borrower,
            "collateral_asset": self.collateral and self.collateral.address,
            "collateral_raw": None if self.collateral_raw is None else str(self.collateral_raw),
            "collateral_usd": text(self.usd.get("collateral")),
            "debt_asset": self.debt and self.debt.address,
            "debt_raw": None if self.debt_raw is None else str(self.debt_raw),
            "debt_usd": text(self.usd.get("debt")),
            "bad_debt_raw": None if self.bad_debt_raw is None else str(self.bad_debt_raw),
            "bad_debt_usd": text(self.usd.get("bad_debt")),
            "seized_shares_raw": None,
            "market_id": None,
            "event_usd_raw": None,
            **self.facts,
        }


def text(value: Fraction | None) -> str | None:
    """A number as decimal text: exact where its decimals end, else to 50 digits."""
    if value is None:
        return None
    with localcontext() as context:
        context.prec = 90
        number = Decimal(value.numerator) / Decimal(value.denominator)
        if Fraction(number) != value:
            context.prec = 50
            number = +number
        return format(number, "f")


def locate(chain: Chain, liquidations: list[Liquidation]) -> list[Row]:
    """Rows with transaction hash and log index: the n-th log of this contract and topic in its transaction."""
    hashes = [chain.hashes[one.place] for one in liquidations]
    unique = list(dict.fromkeys(hashes))
    receipts = dict(zip(unique, chain.rpc.batch([("eth_getTransactionReceipt", [tx]) for tx in unique]), strict=True))
    taken: set[tuple[str, str]] = set()
    rows = []
    for one, tx in zip(liquidations, hashes, strict=True):
        log = next(
            log
            for log in receipts[tx]["logs"]
            if (log["address"], log["topics"][0]) == (one.emitter, one.topic) and (tx, log["logIndex"]) not in taken
        )
        taken.add((tx, log["logIndex"]))
        rows.append(one.row(tx, int(log["logIndex"], 16)))
    return rows
