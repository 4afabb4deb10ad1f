"""Fixtures shared by every test."""

pytest_plugins = [
    "tests.world_fixtures",
    "tests.lending_fixtures",
    "tests.aave_v3_fixture",
    "tests.aave_origin_fixture",
    "tests.morpho_fixture",
    "tests.line_fixtures",
    "tests.lending_line_fixtures",
    "tests.bars_line_fixtures",
    "tests.price_fixtures",
    "tests.polymarket_fixtures",
    "tests.postgres_fixtures",
    "tests.market_run_fixtures",
    "tests.publication_fixtures",
]
