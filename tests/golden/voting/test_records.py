"""Eight recorded weeks of one Hydrex voter: what the seeds and the world's lateness are read off, to the number."""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path

import pytest

from benchmarks.voting.decision_tables import seed_rows
from decide.thresholds import thresholds
from decide.voting.constants import records
from decide.voting.inclusion import chances

pytestmark = pytest.mark.golden


def rows(golden: Path, name: str) -> list[dict[str, str]]:
    with (golden / "hydrex" / name).open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_seed_of_submissions_is_the_record(golden: Path) -> None:
    kept = {int(row["seconds_before"]): row for row in seed_rows("submission_counts")}
    recorded = rows(golden, "submissions.csv")
    assert {int(row["trigger_seconds_before"]) for row in recorded} == set(kept)
    for row in recorded:
        seed = kept[int(row["trigger_seconds_before"])]
        for ours, theirs in (
            ("epochs", "epochs_tried"),
            ("landed", "landed"),
            ("reverted", "reverted"),
            ("outages", "not_sent"),
        ):
            assert int(seed[ours]) == int(row[theirs]), (row, ours)


def test_the_chances_of_the_method_note_are_those_counts(golden: Path) -> None:
    """(k + 1/2)/(n + 1): 6 of 6 landed at 240 s, one of four at 20 s, and one outage in seven weeks."""
    counts = {int(row["trigger_seconds_before"]): row for row in rows(golden, "submissions.csv")}
    found = {seconds: chances(seconds, records(seed_rows("submission_counts")), 12_600) for seconds in (300, 20, 0)}
    assert found[300].landing == pytest.approx((int(counts[240]["landed"]) + 0.5) / 7)
    assert found[20].landing == found[0].landing == pytest.approx((int(counts[20]["landed"]) + 0.5) / 5)
    assert {round(each.outage, 4) for each in found.values()} == {round(1.5 / 8, 4)}


def test_a_vote_takes_no_longer_to_land_than_the_seed_says(golden: Path) -> None:
    longest = max(
        int(row["trigger_seconds_before"]) - int(re.findall(r"\d+", row["landed_seconds_before"])[0])
        for row in rows(golden, "submissions.csv")
    )
    assert thresholds(seed_rows("thresholds"))["vote_landing_seconds"] == longest == 33


def test_early_promises_are_as_much_too_high_as_the_method_note_says(golden: Path) -> None:
    """What a vote hours before was promised against what was received, and what one 240 s before was."""
    found = rows(golden, "epoch_records.csv")
    hours = [float(row["backup_expected_usd"]) / _paid(row) for row in found]
    minutes = [float(row["phase1_expected_usd"]) / _paid(row) for row in found]
    assert (round(min(hours), 2), round(max(hours), 1)) == (1.35, 3.2) and statistics.median(hours) == pytest.approx(
        2.8, abs=0.05
    )
    assert (round(min(minutes), 2), round(max(minutes), 2)) == (0.85, 1.13)
    assert min(float(row["backup_hours_before"]) for row in found) == 6.7


def test_the_best_practitioner_earned_what_the_method_note_says(golden: Path) -> None:
    """92 to 97 % of hindsight in four weeks, 75 % in a fifth; the best in hindsight held 15 to 50 gauges."""
    found = [row for row in rows(golden, "epoch_records.csv") if row["hindsight_usd"]]
    shares = sorted(_paid(row) / float(row["hindsight_usd"]) for row in found)
    assert round(shares[0], 2) == 0.75
    assert len(shares) == 5 and round(shares[1], 2) >= 0.92 and round(shares[-1], 2) <= 0.97
    pools = [int(row["hindsight_k"]) for row in found if row["hindsight_k"]]
    assert (min(pools), max(pools)) == (15, 50)


def _paid(row: dict[str, str]) -> float:
    return float(row["entitled_usd"] or row["received_usd"])
