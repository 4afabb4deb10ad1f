"""Fixtures shared by every test."""

pytest_plugins = ["tests.world_fixtures", "tests.lending_fixtures", "tests.line_fixtures"]
