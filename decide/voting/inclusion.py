"""The chance that a vote lands in time, from counts of recorded submissions.

What takes late votes away is mostly common to all of them (a provider is down for hours), not independent window by
window. So there are two chances: that of an outage over an epoch's late windows, and that of one vote landing when
there is none. Both are means of a Beta posterior under Jeffreys' prior, (k + 1/2) / (n + 1): a window that was never
missed in six tries is not certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """Submissions of one kind: triggered `seconds_before` the boundary, in `epochs` epochs, or in the one `epoch`.

    landed + reverted were sent; in `outages` epochs nothing could be sent.
    """

    seconds_before: int
    epochs: int
    landed: int
    reverted: int
    outages: int
    epoch: int | None = None


@dataclass(frozen=True)
class Chances:
    """Chance to land without an outage, and of an outage; `outage` is 0 for windows that no outage reaches."""

    landing: float
    outage: float


def chances(seconds_before: int, records: Sequence[Record], late_seconds: int, early_tries: int = 1) -> Chances:
    """Chances of a vote decided `seconds_before` the boundary; late windows lie within `late_seconds` of it.

    Votes triggered from half that time on count; where there are none, the next later trigger, or the latest of all: a
    vote decided still later lands no more often than those. A vote of an earlier window that did not land is seen in
    its receipt with hours left, so it is sent up to `early_tries` times: 1 − (1 − p)^tries.
    """
    sent = [r for r in records if r.landed + r.reverted > 0]
    near = [r for r in sent if seconds_before / 2 <= r.seconds_before <= seconds_before]
    if not near and sent:
        below = [r.seconds_before for r in sent if r.seconds_before <= seconds_before]
        trigger = max(below) if below else min(r.seconds_before for r in sent)
        near = [r for r in sent if r.seconds_before == trigger]
    landed, reverted = sum(r.landed for r in near), sum(r.reverted for r in near)
    once = _mean(landed, landed + reverted)
    if seconds_before > late_seconds:
        return Chances(1 - (1 - once) ** early_tries, 0.0)
    return Chances(once, _outage([r for r in records if r.seconds_before <= late_seconds]))


def _outage(late: Sequence[Record]) -> float:
    """An outage takes all late windows of an epoch, so each epoch counts once; counts without epochs, by their most."""
    epochs = max((r.epochs for r in late if r.epoch is None), default=0)
    outages = max((r.outages for r in late if r.epoch is None), default=0)
    for epoch in {r.epoch for r in late if r.epoch is not None}:
        epochs += 1
        outages += all(r.outages > 0 for r in late if r.epoch == epoch)
    return _mean(outages, epochs)


def _mean(hits: int, tries: int) -> float:
    return (hits + 0.5) / (tries + 1)
