"""One CSU at one block: its family's state, then decimals and symbols of its tokens, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from extract.evm.calls import Reply
from extract.evm.views import call, view, word
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.families.base import (
    NATIVE,
    NOT_DEPLOYED,
    OK,
    UNREADABLE,
    UNSUPPORTED,
    At,
    Chain,
    Memory,
    State,
    reply_status,
)
from extract.lending.registry import Csu
from extract.lending.tables import MARKETS, RESERVES, SNAPSHOTS

_MOST_DECIMALS = 77  # 10^77 < 2^256: more is no token but a mistake


@dataclass
class Token:
    """What a token says of itself; `status` why its decimals are not known."""

    decimals: int | None
    symbol: str | None
    status: str = OK


@dataclass
class Snapshot:
    """A CSU at the last block of a day (None: the chain had none yet), with all its liquidations and prices need."""

    csu: Csu
    day: Day
    block: int | None
    timestamp: int | None
    state: State
    tokens: dict[str, Token] = field(default_factory=dict)

    def decimals(self) -> dict[str, int]:
        return {a: t.decimals for a, t in self.tokens.items() if t.decimals is not None}

    def common(self, partition_id: str, fetched_at: datetime) -> dict[str, Any]:
        """The columns that every row of this CSU and day has."""
        return {
            "partition_id": partition_id,
            "chain_id": self.csu.chain_id,
            "day": self.day.date,
            "csu_id": self.csu.csu_id,
            "provider": self.state.provider,
            "fetched_at": fetched_at,
        }

    def observed(self) -> dict[str, Any]:
        at = None if self.timestamp is None else datetime.fromtimestamp(self.timestamp, UTC)
        return {"observed_block": self.block, "observed_at": at}

    def take(self, tokens: Mapping[str, Token]) -> None:
        """What its tokens say; a reserve whose token has no decimals cannot be scaled."""
        self.tokens.update(tokens)
        for reserve in self.state.reserves:
            token = self.tokens.get(reserve.asset or "")
            if token is not None and token.decimals is None:
                reserve.fail(token.status)

    def wanted(self) -> set[str]:
        """Tokens that must say how they are scaled."""
        markets = self.state.markets.values()
        return self.state.assets() | {m.loan for m in markets} | {m.collateral for m in markets}


async def read_state(chain: Chain, csu: Csu, block: int, timestamp: int, memory: Memory) -> State:
    """A CSU at a block. A registry that is not there, or a family that cannot be read, is a status."""
    if csu.family not in FAMILIES:
        return State(UNSUPPORTED, f"family {csu.family} is not read by this version: see docs/lending/families.md")
    at = At(chain, block, timestamp)
    return checked(await FAMILIES[csu.family].read(at, csu, memory), csu, at)


def checked(state: State, csu: Csu, at: At) -> State:
    """The state, unless the registry row contradicts it: the chain says what is deployed, not a date."""
    state.provider, state.calls, state.confirmation = at.provider, at.calls, at.confirmation
    if state.status == NOT_DEPLOYED and csu.start_block is not None and at.block >= csu.start_block:
        return State(
            UNREADABLE,
            f"nothing answers at {csu.registry_address} at block {at.block}, though the registry row says deployed at "
            f"{csu.start_block}: check its address and start_block",
            provider=at.provider,
        )
    return state


async def read_tokens(at: At, assets: set[str]) -> dict[str, Token]:
    """Decimals and symbols; the chain's own coin has 18 by definition."""
    contracts = sorted(assets - {NATIVE})
    asked = {(a, v): call(a, v) for a in contracts for v in ("decimals()", "symbol()")}
    found = await at.ask(asked)
    tokens = {a: _token(found[a, "decimals()"], found[a, "symbol()"]) for a in contracts}
    return tokens | ({NATIVE: Token(18, "native")} if NATIVE in assets else {})


def _token(decimals: Reply, symbol: Reply) -> Token:
    places = word(decimals)
    if places is None or places > _MOST_DECIMALS:
        said = "malformed" if places is not None else reply_status(decimals)
        return Token(None, _symbol(symbol), f"no_decimals ({said})")
    return Token(places, _symbol(symbol))


def _symbol(reply: Reply) -> str | None:
    """A symbol as `string`, or as the `bytes32` of old tokens; None where it is neither."""
    if reply.status != OK:
        return None
    if len(reply.data) == 32:
        return reply.data.rstrip(b"\0").decode("utf-8", "replace") or None
    try:
        return str(view_symbol(reply.data)) or None
    except Exception:  # a symbol is a label: whatever is wrong with it, the amounts are not
        return None


def view_symbol(data: bytes) -> Any:
    return type(view("symbol()"))("symbol()", "string").decode(data)


def snapshot_tables(snapshot: Snapshot, partition_id: str, fetched_at: datetime) -> dict[str, pa.Table]:
    """The rows of a snapshot: one of the CSU, one per reserve, one per market that is remembered."""
    csu, state = snapshot.csu, snapshot.state
    confirmed = {"confirmation": state.confirmation if state.provider else None}
    common = snapshot.common(partition_id, fetched_at) | snapshot.observed() | confirmed
    head = common | {
        "family": csu.family,
        "chain": csu.chain,
        "registry_address": csu.registry_address,
        "status": state.status,
        "reason": state.reason,
        "reserve_count": len(state.reserves),
    }
    reserves = [common | _reserve_row(r, snapshot.tokens) for r in state.reserves]
    markets = [
        common
        | {
            "market_id": m.market_id,
            "loan_asset": m.loan,
            "collateral_asset": m.collateral,
            "oracle": m.oracle,
            "rate_model": m.rate_model,
            "lltv": str(m.lltv),
            "collateral_raw": str(m.collateral_raw),
        }
        for m in state.markets.values()
    ]
    return {
        "lending_snapshots": pa.Table.from_pylist([head], schema=SNAPSHOTS),
        "lending_reserves": pa.Table.from_pylist(reserves, schema=RESERVES),
        "lending_markets": pa.Table.from_pylist(markets, schema=MARKETS),
    }


def _reserve_row(reserve: Any, tokens: Mapping[str, Token]) -> dict[str, Any]:
    token = tokens.get(reserve.asset or "", Token(None, None))
    return {
        "reserve_id": reserve.reserve_id,
        "market_id": reserve.market_id,
        "asset_address": reserve.asset,
        "asset_symbol": token.symbol,
        "asset_decimals": token.decimals,
        "role": reserve.role,
        "supplied_raw": _text(reserve.supplied),
        "borrowed_variable_raw": _text(reserve.borrowed),
        "borrowed_stable_raw": _text(reserve.borrowed_stable),
        "available_raw": _text(reserve.available),
        "held_raw": _text(reserve.held),
        "minted_raw": str(reserve.minted),
        "deficit_raw": str(reserve.deficit),
        "absorbed_raw": str(reserve.absorbed),
        "accrual": reserve.accrual,
        "read_status": reserve.status,
        "is_frozen": reserve.is_frozen,
        "is_paused": reserve.is_paused,
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
