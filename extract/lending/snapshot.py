"""One CSU at one block: its family's state, then decimals and symbols of its tokens, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from extract.evm.calls import Reply
from extract.evm.client import ChainClient
from extract.evm.views import call, view, word
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.families.base import NATIVE, NOT_DEPLOYED, OK, UNSUPPORTED, At, Memory, State, reply_status
from extract.lending.registry import Csu
from extract.lending.tables import MARKETS, RESERVES, SNAPSHOTS

_SLACK = timedelta(days=1)  # a start date is a UTC date, a day is New York's
_MOST_DECIMALS = 77  # 10^77 < 2^256: more is no token but a mistake


@dataclass
class Token:
    """What a token says of itself; `status` why its decimals are not known."""

    decimals: int | None
    symbol: str | None
    status: str = OK


@dataclass
class Snapshot:
    """A CSU at the last block of a day, with everything that its liquidations and prices need."""

    csu: Csu
    day: Day
    block: int
    timestamp: int
    state: State
    tokens: dict[str, Token] = field(default_factory=dict)
    calls: int = 0

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
        return {"observed_block": self.block, "observed_at": datetime.fromtimestamp(self.timestamp, UTC)}


async def read_snapshot(
    client: ChainClient, csu: Csu, day: Day, block: int, timestamp: int, memory: Memory
) -> Snapshot:
    """Read a CSU at a block. A registry that is not there, or a family that cannot be read, is a status."""
    if csu.family not in FAMILIES:
        state = State(UNSUPPORTED, f"family {csu.family} is not read by this version: see docs/lending/families.md")
        return Snapshot(csu, day, block, timestamp, state)
    if csu.start_block is not None and block < csu.start_block:
        state = State(NOT_DEPLOYED, f"deployed at block {csu.start_block}, after block {block}")
        return Snapshot(csu, day, block, timestamp, state)
    if csu.start_block is None and csu.start_date is not None and day.date < csu.start_date - _SLACK:
        state = State(NOT_DEPLOYED, f"not deployed before {csu.start_date}")
        return Snapshot(csu, day, block, timestamp, state)
    at = At(client, block, timestamp)
    state = await FAMILIES[csu.family].read(at, csu, memory)
    wanted = state.assets() | {m.loan for m in state.markets.values()} | {m.collateral for m in state.markets.values()}
    snapshot = Snapshot(csu, day, block, timestamp, state, await read_tokens(at, wanted))
    state.prices = FAMILIES[csu.family].pricing(state, snapshot.decimals())
    state.provider, snapshot.calls, state.confirmation = at.provider, at.calls, at.confirmation
    for reserve in state.reserves:
        token = snapshot.tokens.get(reserve.asset or "")
        if token is not None and token.decimals is None:
            reserve.fail(token.status)
    return snapshot


async def read_tokens(at: At, assets: set[str]) -> dict[str, Token]:
    """Decimals and symbols; the chain's own coin has 18 by definition."""
    contracts = sorted(assets - {NATIVE})
    decimals = await at.ask({a: call(a, "decimals()") for a in contracts})
    symbols = await at.ask({a: call(a, "symbol()") for a in contracts})
    found = {a: _token(decimals[a], symbols[a]) for a in contracts}
    return found | ({NATIVE: Token(18, "native")} if NATIVE in assets else {})


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
        "read_status": reserve.status,
        "is_frozen": reserve.is_frozen,
        "is_paused": reserve.is_paused,
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
