"""Which suites take many minutes: a wing's whole line, through worlds, lake, dbt builds and the command line."""

from __future__ import annotations

import pytest

LONG = {
    "test_deciding_killed",
    "test_real_aave",
    "test_decisions_line",
    "test_own_votes",
    "test_voting_faults",
    "test_voting_line",
    "test_lending_line",
    "test_lending_world",
    "test_real_aave_panel",
    "test_real_morpho_panel",
    "test_real_origin_panel",
    "test_bars_line",
    "test_pre_paper_line",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in LONG:
            item.add_marker(pytest.mark.long)
