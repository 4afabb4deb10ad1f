"""`foreshore review`: the week after, from what was promised to what was received, and who and what moved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from extract.errors import RequestError
from extract.voting.epochs import utc
from operate.console import out, printable, table
from operate.voting.recommend_view import short
from operate.voting.watch.attempts import read_attempts
from operate.warehouse import Warehouse, read_tables

_RECEIVED = ("received_then_usd", "not_received_usd", "received_as_claimed_usd", "unread_receipt_count")
MOST_SHOWN = 8  # tokens that were not received as owed
MOST_MOVERS = 5  # of others whose votes moved most on the gauges voted for


def reviews(warehouse: Warehouse, protocol: str | None, voter: str | None, epoch: int | None) -> list[dict[str, Any]]:
    """A review per voter of the newest ended epoch, or of `epoch` (Unix seconds): windows, movers, attempts.

    Errors: RequestError where there is none of what was asked for.
    """
    rows = read_tables(warehouse, {"rows": "select * from epoch_reviews"})["rows"].to_pylist()
    wanted = None if voter is None else voter.lower()
    mine = [r for r in rows if protocol in (None, r["protocol"]) and wanted in (None, r["voter_id"])]
    if not mine:
        known = sorted({f"{r['protocol']} {r['voter_id']}" for r in rows})
        raise RequestError(f"no epoch of that voter has ended yet; there is: {', '.join(known) or 'none'}")
    epochs = sorted({r["epoch"] for r in mine})
    chosen = epochs[-1] if epoch is None else epoch
    if chosen not in epochs:
        raise RequestError(f"epoch {chosen} has not ended, or was not extracted: there is {epochs[0]} to {epochs[-1]}")
    keys = dict.fromkeys((r["protocol"], r["voter_id"]) for r in mine if r["epoch"] == chosen)
    return [_review(warehouse, mine, *key, chosen) for key in keys]


def _review(
    warehouse: Warehouse, rows: Sequence[dict[str, Any]], protocol: str, voter: str, epoch: int
) -> dict[str, Any]:
    windows = [r for r in rows if (r["protocol"], r["voter_id"], r["epoch"]) == (protocol, voter, epoch)]
    windows = sorted(windows, key=lambda r: r["decision_at"])
    facts = {name: windows[0][name] for name in ("entitled_usd", *_RECEIVED, "gauges_voted", "unvalued_count")}
    kept = ("protocol", "voter_id", "epoch", "is_simulated", *_RECEIVED, "gauges_voted", "unvalued_count")
    return {
        "protocol": protocol,
        "voter_id": voter,
        "epoch": epoch,
        **facts,
        "windows": [{k: v for k, v in r.items() if k not in kept} for r in windows],
        "receipts": _receipts(warehouse, protocol, voter, epoch),
        "movers": _movers(warehouse, protocol, voter, epoch),
        "attempts": _attempts(warehouse.root, protocol, voter, epoch),
    }


def _receipts(warehouse: Warehouse, protocol: str, voter: str, epoch: int) -> list[dict[str, Any]]:
    """What each bribe owed and what claims have paid, token by token, the largest first."""
    query = f"""
        select * exclude (protocol, voter_id, epoch, is_simulated) from reward_receipts
        where protocol = '{protocol}' and voter_id = '{voter}' and epoch = {epoch}
        order by entitled_usd desc nulls last, bribe_address, token_address
    """
    return read_tables(warehouse, {"receipts": query})["receipts"].to_pylist()


def _movers(warehouse: Warehouse, protocol: str, voter: str, epoch: int) -> list[dict[str, Any]]:
    """Others who moved most on the voter's gauges from the first late window to the end: who, where, how many votes."""
    query = f"""
        with votes as (
            select * from main_intermediate.int_votes_by_voter where protocol = '{protocol}' and epoch = {epoch}
        ),
        mine as (
            select gauge_address from main_intermediate.int_own_votes
            where protocol = '{protocol}' and epoch = {epoch} and voter_id = '{voter}'
                and decision_window = 'boundary' and stake_raw > 0
        ),
        own as (
            select coalesce(account_address, token_id::varchar) as actor from main_intermediate.int_voter_windows
            where protocol = '{protocol}' and epoch = {epoch} and voter_id = '{voter}'
        )
        select voter_id as actor, gauge_address, any_value(gauges.gauge_name) as gauge_name,
            (sum(votes_raw) filter (where decision_window = 'boundary')) as votes_in_the_end_raw,
            coalesce(sum(votes_raw) filter (where decision_window = 'boundary'), 0)
                - coalesce(sum(votes_raw) filter (where decision_window = 'T-5'), 0) as moved_raw
        from votes
        inner join mine using (gauge_address)
        left join gauges using (protocol, gauge_address)
        where decision_window in ('boundary', 'T-5') and voter_id not in (select actor from own where actor is not null)
        group by all
        having moved_raw <> 0
        order by abs(moved_raw) desc, actor, gauge_address
        limit {MOST_MOVERS}
    """
    return read_tables(warehouse, {"movers": query})["movers"].to_pylist()


def _attempts(root: Path, protocol: str, voter: str, epoch: int) -> list[dict[str, Any]]:
    """What `foreshore watch` handed over in that epoch, and what became of it."""
    found = read_attempts(root / "nights" / protocol / str(epoch) / f"{voter}.jsonl")
    return [{"number": a.number, "outcome": a.outcome, "hash": a.transaction_hash} for a in found]


def show(review: Mapping[str, Any]) -> None:
    """A review as people read it."""
    out.print(
        f"\n[bold]{review['protocol']}[/bold] voter {review['voter_id']}, epoch {utc(review['epoch']):%a %Y-%m-%d}: "
        f"earned [bold]{review['entitled_usd']:,.2f} USD[/bold] on {review['gauges_voted']} gauges"
    )
    if review["unvalued_count"]:
        pay = "pays" if review["unvalued_count"] == 1 else "pay"
        out.print(f"[yellow]{review['unvalued_count']} of them {pay} what nothing prices: counted as 0 USD[/yellow]")
    windows = review["windows"]
    promised, moved = _lines(windows, _PROMISED_USD), _lines(windows, _MOVED_USD, has_action=False)
    out.print(table("from what was promised to what was earned, USD", _PROMISED, promised, right=_PROMISED[2:]))
    out.print(table("what moved after each window, USD", _MOVED, moved, right=_MOVED[1:]))
    _show_receipts(review)
    for mover in review["movers"]:
        where = escape(printable(mover["gauge_name"] or short(mover["gauge_address"])))
        votes = int(mover["moved_raw"]) / 10**18
        out.print(f"since T-5 {escape(mover['actor'])} moved {votes:+,.0f} votes on {where}")
    for attempt in review["attempts"]:
        out.print(f"attempt {attempt['number']}: {attempt['outcome'] or 'pending'} {attempt['hash'] or ''}")


def _show_receipts(review: Mapping[str, Any]) -> None:
    """What came of it, in one line; what did not come as owed, token by token."""
    receipts = review["receipts"]
    if not receipts:
        return
    odd = [r for r in receipts if r["receipt_status"] in ("not_claimed", "differs", "unread")]
    came = len([r for r in receipts if r["receipt_status"] != "not_claimed"])
    claimed = f"{came} of {len(receipts)} rewards claimed"
    if unread := review["unread_receipt_count"]:
        out.print(
            f"[yellow]what was received is not known: claims of {unread} rewards cannot be read[/yellow]; {claimed}"
        )
    else:
        out.print(
            f"received [bold]{review['received_then_usd']:,.2f} USD[/bold] of it at the prices of then "
            f"({review['received_as_claimed_usd'] or 0:,.2f} as claimed): {claimed}"
        )
    if not came or not odd:
        return
    lines = [
        [
            escape(printable(row["gauge_name"] or short(row["gauge_address"]))),
            escape(printable(row["token_symbol"] or short(row["token_address"]))),
            row["receipt_status"],
            *("" if row[n] is None else f"{row[n]:,.6g}" for n in ("entitled_amount", "received_amount")),
            "" if row["entitled_usd"] is None else f"{row['entitled_usd']:,.2f}",
        ]
        for row in odd[:MOST_SHOWN]
    ]
    heads = ["gauge", "token", "status", "owed", "received", "owed USD"]
    out.print(table("not received as owed", heads, lines, right=heads[3:]))
    if len(odd) > MOST_SHOWN:
        out.print(f'and {len(odd) - MOST_SHOWN} more: foreshore sql "from reward_receipts"')


_PROMISED_USD = ("promised_usd", "forecast_error_usd", "voted_otherwise_usd", "entitled_usd", "best_usd", "missed_usd")
_PROMISED = ["window", "action", "promised", "forecast error", "voted otherwise", "earned", "best", "missed"]
_MOVED_USD = ("as_it_stood_usd", "others_votes_usd", "later_rewards_usd", "price_moves_usd", "entitled_usd")
_MOVED = ["window", "as it stood", "others' votes", "later rewards", "prices", "earned"]


def _lines(windows: Sequence[Mapping[str, Any]], names: Sequence[str], has_action: bool = True) -> list[list[str]]:
    return [
        [
            row["decision_window"],
            *([row["recommended_action"] or ""] if has_action else []),
            *("" if row.get(name) is None else f"{row[name]:,.2f}" for name in names),
        ]
        for row in windows
    ]
