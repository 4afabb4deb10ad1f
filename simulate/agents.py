"""What the agents do in a week: votes, bribes, fees, price updates, and the awkward moments, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from simulate.exchange import WEEK, Exchange, Gauge, Thena, Velodrome, Voter
from simulate.market import Market

DAY = 86_400
Act = Callable[[int], None]
LATE_BRIBES = (240, 200, 45, 20)  # seconds before the boundary: two after T-5, two after T-1
LATE_FEES = (500, 30)
LATE_VOTES = (560, 420, 180, 50, 14)


@dataclass
class Plan:
    """Timed actions of one week; each gets the second it was planned for."""

    moments: list[tuple[int, Act]]

    def at(self, second: int, act: Act) -> None:
        self.moments.append((second, act))

    def ordered(self) -> list[tuple[int, Act]]:
        return [pair for _, pair in sorted(enumerate(self.moments), key=lambda item: (item[1][0], item[0]))]


class Agents:
    """The actors of both exchanges. `week(n, start)` plans their week `n` that starts at `start` (unix seconds)."""

    def __init__(self, thena: Thena, velodrome: Velodrome, market: Market, chance: random.Random) -> None:
        self.thena, self.velodrome, self.market, self.chance = thena, velodrome, market, chance

    def week(self, number: int, start: int, create: Callable[[Exchange], None]) -> Plan:
        plan = Plan([])
        self._prices(plan, start)
        for exchange in (self.thena, self.velodrome):
            self._rewards(plan, exchange, number, start)
            self._governance(plan, exchange, number, start, create)
        self._thena_votes(plan, start)
        self._velodrome_votes(plan, number, start)
        if number == 3:
            plan.at(start + 2 * DAY, lambda at: self.market.kill_dead_feed())
        return plan

    def _prices(self, plan: Plan, start: int) -> None:
        for day in range(7):
            plan.at(start + day * DAY + 7_200, lambda at: self.market.update())
        for before in (DAY + 120, 900, 330, 90):
            plan.at(start + WEEK - before, lambda at: self.market.update())

    def _governance(
        self, plan: Plan, exchange: Exchange, number: int, start: int, create: Callable[[Exchange], None]
    ) -> None:
        if number == 1:
            plan.at(start + 4 * DAY, lambda at: create(exchange))
        if number in (2, 5):
            victim = exchange.gauges[2 + number]
            plan.at(start + 5 * DAY + 40_000, lambda at: exchange.kill(at, victim))

    def _rewards(self, plan: Plan, exchange: Exchange, number: int, start: int) -> None:
        inner, outer = ("internal", "external") if exchange is self.thena else ("fees", "bribe")
        fee_moment = start + 3_000 if exchange is self.velodrome else start + 3 * DAY
        for gauge in list(exchange.gauges):
            if gauge.bribable:
                fees = gauge.usd * self.chance.uniform(0.1, 0.4)
                self._reward(plan, exchange, fee_moment, start, gauge, inner, fees)
                if self.chance.random() < 0.75:
                    moment = start + int(self.chance.uniform(0.3, 6.2) * DAY)
                    self._reward(
                        plan, exchange, moment, start, gauge, outer, gauge.usd * self.chance.lognormvariate(0, 0.4)
                    )
        for before in LATE_BRIBES:
            gauge = self._bribable(exchange)
            usd = gauge.usd * self.chance.uniform(0.3, 2.0)
            self._reward(plan, exchange, start + WEEK - before, start, gauge, outer, usd)
        if exchange is self.thena:
            for before in LATE_FEES:
                for _ in range(3):
                    gauge = self._bribable(exchange)
                    self._reward(plan, exchange, start + WEEK - before, start, gauge, inner, gauge.usd * 0.1)
            # between the calendar boundary and the flip: still this epoch's, as active_period has not turned
            self._reward(plan, exchange, start + WEEK + 4, start, self._bribable(exchange), outer, 800.0)
        # all of a gauge's rewards at the last moment
        lone = next(g for g in exchange.gauges if not g.bribable)
        self._reward(plan, exchange, start + WEEK - 24, start, lone, outer, 1_500.0)

    def _bribable(self, exchange: Exchange) -> Gauge:
        return self.chance.choice([g for g in exchange.gauges if g.bribable and g.is_alive])

    def _reward(
        self, plan: Plan, exchange: Exchange, moment: int, epoch: int, gauge: Gauge, kind: str, usd: float
    ) -> None:
        token = self.chance.choice(gauge.tokens)

        def act(at: int) -> None:
            if gauge.is_alive:
                exchange.reward(at, epoch, gauge, kind, token, usd)

        plan.at(moment, act)

    def _thena_votes(self, plan: Plan, start: int) -> None:
        voters = self.thena.voters
        for voter in voters:
            if self.chance.random() < 0.93:
                self._vote(plan, self.thena, voter, start, start + int(self.chance.uniform(0.1, 6.95) * DAY))
        for before in LATE_VOTES:
            self._vote(plan, self.thena, self._light(voters), start, start + WEEK - before)
        quitter = self._light(voters)
        plan.at(start + 6 * DAY + 50_000, lambda at: self.thena.reset(at, start, quitter))

    def _light(self, voters: list[Voter]) -> Voter:
        """Late movers are not the whales: together they move a few per cent of all weight."""
        ranked = sorted(voters, key=lambda v: v.power)
        return self.chance.choice(ranked[: max(2, len(ranked) * 3 // 4)])

    def _velodrome_votes(self, plan: Plan, number: int, start: int) -> None:
        exchange = self.velodrome
        late = [v for v in exchange.voters if v.is_whitelisted]
        for voter in exchange.voters:
            if voter in late:
                continue
            if number == 0 or self.chance.random() < 0.15:
                self._vote(plan, exchange, voter, start, start + int(self.chance.uniform(0.1, 6.9) * DAY))
            elif self.chance.random() < 0.02:
                plan.at(start + 3 * DAY + 777, lambda at, v=voter: exchange.reset(at, start, v))  # type: ignore[misc]
        for voter, before in zip(late, (250, 40, 12), strict=False):
            self._vote(plan, exchange, voter, start, start + WEEK - before)

    def _vote(self, plan: Plan, exchange: Thena | Velodrome, voter: Voter, epoch: int, moment: int) -> None:
        size = self.chance.randint(1, 8)
        roll = random.Random(self.chance.random())

        def act(at: int) -> None:
            open_gauges = [g for g in exchange.gauges if g.is_alive and g.votable]
            weights = [g.usd + 20 for g in open_gauges]
            picked = {g.index: g for g in roll.choices(open_gauges, weights, k=size)}
            exchange.vote(at, epoch, voter, [(g, roll.randint(1, 100)) for g in picked.values()])

        plan.at(moment, act)
