"""Fixtures shared by every test."""

pytest_plugins = [
    "tests.world_fixtures",
    "tests.line_fixtures",
    "tests.polymarket_fixtures",
    "tests.postgres_fixtures",
    "tests.market_run_fixtures",
]
