"""A recommendation as people read it on a terminal."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from decide.voting.limits import LIMITS
from extract.voting.epochs import utc
from operate.console import out, printable, table

ACTION_STYLE = {"submit": "green", "wait": "yellow", "keep": "cyan", "closed": "magenta"}
HEADS = (
    "gauge", "pool", "address", "rewards in", "votes", "last", "change", "expected USD", "worst", "best",
    "others' votes", "rewards USD", "history",
)  # fmt: skip
DROPPED = (  # one after the other, where it is narrow
    "history", "worst", "best", "rewards USD", "others' votes", "pool", "address", "rewards in", "last",
)  # fmt: skip


def show(row: dict[str, Any]) -> None:
    """A recommendation as people read it: what to do and why, the votes, what they are worth and how sure that is."""
    style = ACTION_STYLE[row["action"]]
    out.print(
        f"\n[bold]{row['protocol']}[/bold] voter {row['voter_id']}, epoch {utc(row['epoch']):%a %Y-%m-%d}, window "
        f"[bold]{row['decision_window']}[/bold] (block {row['decision_block']:,}, "
        f"{row['decision_at']:%Y-%m-%d %H:%M:%S} UTC)"
    )
    out.print(f"[bold {style}]{row['action'].upper()}[/bold {style}]  {escape(row['reason'])}")
    if row["clock"]:
        out.print(f"[yellow]late[/yellow]  {escape(row['clock'])}")
    if row["action"] == "closed":
        return
    if row["outcome"] != "ok":
        out.print(f"outcome {row['outcome']}; what stands is expected to earn {row['standing_usd']:,.2f} USD")
        return
    votes = sorted(row["votes"], key=lambda v: -v["votes"])
    lines = [
        [
            escape(printable(v["gauge_name"] or short(v["gauge_address"]))),
            v["pool_address"] or "",
            v["gauge_address"],
            escape(printable(" ".join(v["reward_tokens"]))),
            f"{v['votes']:,.0f}",
            f"{v['previous_votes']:,.0f}",
            f"{v['change_votes']:+,.0f}",
            f"{v['expected_usd']:,.2f}",
            f"{v['conservative_usd']:,.2f}",
            f"{v['aggressive_usd']:,.2f}",
            f"{v['base_other_votes']:,.0f}",
            f"{v['base_rewards_usd']:,.2f}",
            v["forecast_level"],
        ]
        for v in votes
    ]
    out.print(table("", HEADS, lines, right=HEADS[4:12], drop=DROPPED))
    for line in [*_sums(row), *_ballot_lines(row)]:
        out.print(line)


def short(address: str) -> str:
    """An address as names end in it, where there is no name."""
    return f"{address[:4]}…{address[-2:]}"


def _ballot_lines(row: dict[str, Any]) -> list[str]:
    """The transaction to send and what the contract says to it; why there is none."""
    ballot = row.get("ballot")
    if ballot is None:
        problem = row.get("ballot_problem")
        return [f"no transaction: {escape(problem)}"] if problem else []
    said = ballot["simulation"]
    gas = f", about {ballot['gas_estimate']:,} gas" if ballot["gas_estimate"] is not None else ""
    word = {
        "ok": "[green]lands[/green]",
        "reverted": "[red]reverts[/red]",
        "not_simulated": "[yellow]not tried[/yellow]",
    }
    why = f": {escape(said['reason'])}" if said["reason"] else ""
    return [
        f"unsigned transaction on chain {ballot['chain_id']}: from {ballot['from']} to {ballot['to']}{gas}",
        f"at block {said['block']:,} it {word[said['status']]}{why}",
        f"[dim]its data, {len(ballot['data']) // 2 - 1:,} bytes: --json has them, and what is saved[/dim]",
    ]


def _shared(row: dict[str, Any]) -> list[str]:
    """What of it belongs to the NFTs that are counted, where a vote is cast for others too."""
    share = row["reward_share"]
    if share >= 1:
        return []
    return [
        f"of this, {share:.1%} is counted ({share * row['expected_usd']:,.2f} USD): the vote is cast for others too"
    ]


def _sums(row: dict[str, Any]) -> list[str]:
    unlimited, cost = row["unlimited_usd"], row["limits_cost_share"]
    return [
        f"expected {row['expected_usd']:,.2f} USD ({row['conservative_usd']:,.2f} to {row['aggressive_usd']:,.2f}); "
        f"what stands {row['standing_usd']:,.2f}; downside {row['downside_usd']:,.2f}; inclusion risk "
        f"{row['inclusion_risk']} ({row['inclusion_prob']:.0%}); confidence {row['confidence']:.2f}",
        f"sent now it is worth {row['value_if_submitted_usd']:,.2f} USD, not sent {row['value_if_kept_usd']:,.2f}; "
        f"{row['turnover_share']:.0%} of {row['voting_power']:,.0f} votes move; optimal within "
        f"{row['optimality_gap']:.0e}",
        *_shared(row),
        *_joint(row),
        *(
            [
                f"the limits of profile {row['risk_profile']} cost {cost:.1%} of the {unlimited:,.2f} USD that the "
                f"exchange's own limits allow{_limit_costs(row)}"
            ]
            if unlimited is not None and cost is not None and unlimited >= 0.01  # a share of a cent says nothing
            else []
        ),
    ]


def _joint(row: dict[str, Any]) -> list[str]:
    """What all voters of the holder earn together, where they are decided together."""
    if row["joint_expected_usd"] is None:
        return []
    return [
        f"all of {escape(row['holder'])} together: expected {row['joint_expected_usd']:,.2f} USD, what stands "
        f"{row['joint_standing_usd']:,.2f}; this voter's figures count the others' new votes among those of others"
    ]


def _limit_costs(row: dict[str, Any]) -> str:
    """What each limit that binds costs alone."""
    costs = [(name, row[f"{name}_cost_usd"]) for name in LIMITS]
    named = [f"{name} {usd:,.2f}" for name, usd in costs if usd]
    return f"; USD each takes alone: {', '.join(named)}" if named else ""
