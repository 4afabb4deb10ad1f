"""What the agents do in a week: votes, bribes, fees, price updates, and the awkward moments, all from one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from simulate.voting.clock import DAY, WEEK
from simulate.voting.exchange import Exchange, Gauge, Thena, Velodrome, Voter
from simulate.voting.tokens import Market

Act = Callable[[int], None]  # takes the time of the block it is done in

# Seconds before the boundary; negative ones lie between the calendar boundary and the flip.
LATE_BRIBES = (240, 200, 45, 20, 1)  # two after T-5, two after T-1, one for the block on the boundary or just past it
LATE_FEES = (500, 301, 30)
LATE_VOTES = (560, 420, 180, 50, 14, 1)
STALE_VOTE = -3  # between the calendar boundary and the flip: it reverts
LATE_CHASES = (540, 260, 90, 33)  # 4 to 9 % of Hydrex's weight moves in the last ten minutes
LATE_WHITELISTED_VOTES = (250, 40, 12)
EMPTY = 10_000  # an empty gauge counts as holding one part in this many of one's own power, as for a real keeper
PRICE_UPDATES = (DAY + 120, 900, 330, 90)
BRIBE_PAST_BOUNDARY = -4


@dataclass(frozen=True)
class Lateness:
    """Who of Hydrex's conduits there is and when they act.

    `share` of all power is theirs together (None: as much as the sizes of their NFTs add up to). Each votes first some
    `hours` before the boundary and, with the chance `chase`, again within the last ten minutes, over at most `most`
    gauges each time.
    """

    conduits: int
    nfts: int  # of each
    share: float | None
    hours: tuple[float, float]
    chase: float
    most: int
    rewards: float  # the chance that a reward of the last minutes comes
    is_best: bool = False  # votes are the best answer to what is seen, as keepers work it out; else in proportion
    is_hourly: bool = False  # blocks in the last hours too, so that they can be told apart


# `recorded`: calibrated to eight recorded weeks of one Hydrex voter with 1.81 M votes (August to October 2026) and to
# a conduit's keeper. About 11 conduits run two thirds of the locks; a vote 6.7 to 10.6 hours before the boundary was
# promised 1.4 to 3.2 times (median 2.8) what the same week then paid, one 240 seconds before it 0.85 to 1.13 times; 4
# to 9 % of all weight moved in the last ten minutes, one conduit in eleven. The best in hindsight held 15 to 50 gauges.
LATENESS = {
    "usual": Lateness(conduits=2, nfts=3, share=None, hours=(0.3, 11), chase=1.0, most=12, rewards=1.0),
    "recorded": Lateness(
        conduits=11, nfts=1, share=2 / 3, hours=(0.2, 11), chase=0.1, most=20, rewards=0.3, is_hourly=True
    ),
}


def best_answer(gauges: dict[int, tuple[float, float]], power: float) -> dict[int, float]:
    """Votes x by gauge that earn Σ R·x/(V + x) most: where x > 0, R·V/(V + x)² is the same, found by halving.

    gauges: others' votes V > 0 and USD R of each.
    """
    low, high = 0.0, max((usd / votes for votes, usd in gauges.values()), default=0.0)
    found = dict.fromkeys(gauges, 0.0)
    for _ in range(60 if high > 0 and power > 0 else 0):
        price = (low + high) / 2
        found = {i: max((usd * votes / price) ** 0.5 - votes, 0.0) for i, (votes, usd) in gauges.items()}
        low, high = (price, high) if sum(found.values()) > power else (low, price)
    return found


@dataclass
class Plan:
    """Timed actions of one week that starts at `start` (unix seconds)."""

    start: int
    moments: list[tuple[int, Act]] = field(default_factory=list)

    def after(self, seconds: float, act: Act) -> None:
        """Do it this long after the week's start."""
        self.moments.append((self.start + int(seconds), act))

    def before(self, seconds: int, act: Act) -> None:
        """Do it this long before the week's end."""
        self.after(WEEK - seconds, act)

    def ordered(self) -> list[tuple[int, Act]]:
        return sorted(self.moments, key=lambda moment: moment[0])


class Agents:
    """The actors of both exchanges, week by week."""

    def __init__(
        self, thena: Thena, velodrome: Velodrome, market: Market, chance: random.Random, lateness: Lateness
    ) -> None:
        self.thena, self.velodrome, self.market, self.chance = thena, velodrome, market, chance
        self.lateness = lateness
        self._killed: dict[str, Gauge] = {}

    def week(self, number: int, start: int, create: Callable[[Exchange], None]) -> Plan:
        """The plan of week `number`; `create` makes a new gauge."""
        plan = Plan(start)
        self._prices(plan, number)
        for exchange in (self.thena, self.velodrome):
            self._governance(plan, exchange, number, create)
            self._regular_rewards(plan, exchange)
            self._late_rewards(plan, exchange)
        self._thena_votes(plan)
        self._velodrome_votes(plan, number)
        return plan

    def _prices(self, plan: Plan, number: int) -> None:
        for day in range(7):
            plan.after(day * DAY + 7_200, lambda at: self.market.update())
        for seconds in PRICE_UPDATES:
            plan.before(seconds, lambda at: self.market.update())
        if number == 3:
            plan.after(2 * DAY, lambda at: self.market.kill_dead_feed())

    def _governance(self, plan: Plan, exchange: Exchange, number: int, create: Callable[[Exchange], None]) -> None:
        plan.after(1_800, lambda at: exchange.emit())
        if number == 1:
            plan.after(4 * DAY, lambda at: create(exchange))
        if exchange is self.thena:
            self._thena_governance(plan, number)
        if number in (2, 5):
            plan.after(5 * DAY + 40_000, lambda at: self._kill(exchange))
        if number == 4:
            plan.after(DAY, lambda at: exchange.revive(self._killed[exchange.name]))

    def _thena_governance(self, plan: Plan, number: int) -> None:
        """A holder delegates to a conduit in mid-epoch; an external bribe is replaced with votes in the old one."""
        if number == 1:
            conduit = next(v for v in self.thena.voters if v.is_conduit)
            holder = max(self.thena.locks)
            plan.after(3 * DAY, lambda at: self.thena.delegate(at, holder, conduit.address))
        if number == 2:
            plan.after(4 * DAY, lambda at: self.thena.replace_bribe(self.thena.ranked()[1]))
        gauge, token = self._bribable(self.thena), self.market.tokens[0]
        plan.before(330, lambda at: self.thena.sweep(at, gauge, token, 75.0))

    def _kill(self, exchange: Exchange) -> None:
        """Kill a gauge in the middle of the field, with votes on it."""
        ranked = exchange.ranked()
        victim = ranked[len(ranked) // 2]
        self._killed.setdefault(exchange.name, victim)
        exchange.kill(victim)

    def _regular_rewards(self, plan: Plan, exchange: Exchange) -> None:
        inner, outer = exchange.gauges[0].bribes
        fees_at = 3_000 if exchange is self.velodrome else 3 * DAY  # Velodrome pays last week's fees after the flip
        for gauge in exchange.gauges:
            if gauge.bribable:
                plan.after(fees_at, self._reward(exchange, gauge, inner, gauge.usd * self.chance.uniform(0.1, 0.4)))
                if self.chance.random() < 0.75:
                    usd = gauge.usd * self.chance.lognormvariate(0, 0.4)
                    plan.after(self.chance.uniform(0.3, 6.2) * DAY, self._reward(exchange, gauge, outer, usd))

    def _late_rewards(self, plan: Plan, exchange: Exchange) -> None:
        inner, outer = exchange.gauges[0].bribes

        def late(seconds: int, act: Act) -> None:
            if self.lateness.rewards >= 1 or self.chance.random() < self.lateness.rewards:
                plan.before(seconds, act)

        for seconds in LATE_BRIBES:
            gauge = self._bribable(exchange)
            late(seconds, self._reward(exchange, gauge, outer, gauge.usd * self.chance.uniform(0.3, 2.0)))
        if exchange is self.thena:
            for seconds in LATE_FEES * 3:
                gauge = self._bribable(exchange)
                late(seconds, self._reward(exchange, gauge, inner, gauge.usd * 0.1))
            # still the old epoch's: active_period has not turned
            late(BRIBE_PAST_BOUNDARY, self._reward(exchange, self._bribable(exchange), outer, 800.0))
        lone = next(g for g in exchange.gauges if not g.bribable)
        late(24, self._reward(exchange, lone, outer, 1_500.0))  # all it gets, at the last moment

    def _bribable(self, exchange: Exchange) -> Gauge:
        return self.chance.choice([g for g in exchange.gauges if g.bribable and g.is_alive])

    def _reward(self, exchange: Exchange, gauge: Gauge, kind: str, usd: float) -> Act:
        token = self.chance.choice(gauge.tokens)

        def act(at: int) -> None:
            if gauge.is_alive:
                exchange.reward(at, gauge, kind, token, usd)

        return act

    def _thena_votes(self, plan: Plan) -> None:
        for voter in self.thena.voters:
            if voter.is_conduit:
                self._conduit_votes(plan, voter)
            elif self.chance.random() < 0.93:
                plan.after(self.chance.uniform(0.1, 6.95) * DAY, self._vote(self.thena, voter))
        for seconds in LATE_VOTES:
            plan.before(seconds, self._vote(self.thena, self._light()))
        plan.before(STALE_VOTE, self._vote(self.thena, self._light()))
        quitter = self._light()
        plan.after(6 * DAY + 50_000, lambda at: self.thena.reset(at, quitter))

    def _conduit_votes(self, plan: Plan, voter: Voter) -> None:
        """A first vote some hours before the end, and maybe another that chases reward per vote in the last minutes."""
        late = self.lateness
        plan.before(int(self.chance.uniform(*late.hours) * 3_600) + 600, self._chase(voter, late.most))
        if late.chase >= 1 or self.chance.random() < late.chase:
            plan.before(self.chance.choice(LATE_CHASES), self._chase(voter, late.most))

    def _chase(self, voter: Voter, most: int) -> Act:
        """Votes where a gauge pays most per vote that others have on it, as the books stand, on `most` at most."""

        def act(at: int) -> None:
            exchange = self.thena
            held = Counter[int]()
            for index, votes in exchange.standing.items():
                if index != voter.index:
                    held.update(votes)
            open_gauges = [g for g in exchange.gauges if g.is_alive and g.votable]
            pots = {g.index: exchange.pots[exchange.epoch, g.index] for g in open_gauges}
            if self.lateness.is_best:
                power = exchange.power(voter, at) / 1e18
                worth = best_answer({i: (held[i] / 1e18 + power / EMPTY, usd) for i, usd in pots.items()}, power)
            else:
                worth = {i: usd / (held[i] / 1e18 + 1_000) for i, usd in pots.items()}
            best = sorted(open_gauges, key=lambda g: -worth[g.index])[:most]
            choice = [(g, int(1e9 * worth[g.index])) for g in best if worth[g.index] > 1e-7]
            if choice:
                exchange.vote(at, voter, choice)

        return act

    def _light(self) -> Voter:
        """Late movers are not the whales: together they move a few per cent of all weight."""
        ranked = sorted((v for v in self.thena.voters if not v.is_conduit), key=lambda v: v.power)
        return self.chance.choice(ranked[: max(2, len(ranked) * 3 // 4)])

    def _velodrome_votes(self, plan: Plan, number: int) -> None:
        late = [v for v in self.velodrome.voters if v.is_whitelisted]
        managed = next(v for v in self.velodrome.voters if not v.power)
        self._managed_votes(plan, managed, number)
        for voter in self.velodrome.voters:
            if voter in late or voter is managed:
                continue
            if number == 0 or self.chance.random() < 0.15:
                plan.after(self.chance.uniform(0.1, 6.9) * DAY, self._vote(self.velodrome, voter))
            elif self.chance.random() < 0.02:
                plan.after(3 * DAY + 777, lambda at, v=voter: self.velodrome.reset(at, v))  # type: ignore[misc]
        for seconds in (5 * DAY, 2 * DAY, 1_200):
            poked = self.chance.choice(self.velodrome.voters)
            plan.before(seconds, lambda at, v=poked: self.velodrome.poke(at, v))  # type: ignore[misc]
        for voter, seconds in zip(late, LATE_WHITELISTED_VOTES, strict=False):
            plan.before(seconds, self._vote(self.velodrome, voter))

    def _managed_votes(self, plan: Plan, managed: Voter, number: int) -> None:
        """Two NFTs go into the managed one in the second week; it votes each week from then on."""
        permanent = [v for v in self.velodrome.voters if v.power and not self.velodrome.locks[v.token_id].end]
        members = [v for v in permanent if not v.is_whitelisted][:2]
        if number == 1:
            for day, member in zip((1, 4), members, strict=False):
                plan.after(day * DAY, lambda at, v=member: self.velodrome.deposit_managed(at, v, managed))  # type: ignore[misc]
        if number >= 1:
            plan.after(2 * DAY, self._vote(self.velodrome, managed))

    def _vote(self, exchange: Exchange, voter: Voter) -> Act:
        size, roll = self.chance.randint(1, 8), random.Random(self.chance.random())

        def act(at: int) -> None:
            open_gauges = [g for g in exchange.gauges if g.is_alive and g.votable]
            picked = {g.index: g for g in roll.choices(open_gauges, [g.usd + 20 for g in open_gauges], k=size)}
            exchange.vote(at, voter, [(g, roll.randint(1, 100)) for g in picked.values()])

        return act
