"""The docs site in a real browser: it opens offline, and the lineage runs from raw to the leakage checks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.line_fixtures import Line

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.long]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
GRAPH = "document.getElementById('cy')._cyreg.cy"


@pytest.fixture(scope="module")
def site(built_line: Line) -> Path:
    done = built_line.dbt("docs", "generate", "--static")
    assert done.returncode == 0, done.stdout[-2000:]
    return built_line.folder / "target" / "static_index.html"


@pytest.fixture(scope="module")
def page(site: Path) -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package `chromium`, or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser.new_page(viewport={"width": 1600, "height": 900})
        browser.close()


def open_model(page: object, site: Path, model: str, view: str = "") -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))  # type: ignore[attr-defined]
    page.goto("about:blank")  # type: ignore[attr-defined]
    page.goto(f"{site.as_uri()}#!/model/model.foreshore.{model}{view}")  # type: ignore[attr-defined]
    page.get_by_text(model).first.wait_for(timeout=20_000)  # type: ignore[attr-defined]
    return [url for url in asked if not url.startswith(("file:", "about:", "data:", "blob:"))]


def test_it_opens_without_any_network(page: object, site: Path) -> None:
    assert open_model(page, site, "preboundary_snapshots") == []
    text = page.inner_text("body")  # type: ignore[attr-defined]
    assert "what was visible then" in text
    assert "votes_now_raw" in text


def test_lineage_runs_from_raw_to_the_leakage_checks(page: object, site: Path) -> None:
    view = "?g_v=1&g_i=%2Bpreboundary_leakage_checks"
    open_model(page, site, "preboundary_leakage_checks", view)
    drawing = f"() => document.getElementById('cy')?._cyreg && {GRAPH}.nodes().length > 10"
    page.wait_for_function(drawing)  # type: ignore[attr-defined]
    drawn = set(page.evaluate(f"{GRAPH}.nodes().map(node => node.id())"))  # type: ignore[attr-defined]
    for source in ("epochs", "windows", "gauges", "rewards", "prices", "events"):
        assert f"source.foreshore.raw.voting_{source}" in drawn
    assert {"model.foreshore.preboundary_snapshots", "model.foreshore.preboundary_leakage_checks"} <= drawn
    first, last = "source.foreshore.raw.voting_gauges", "model.foreshore.preboundary_leakage_checks"
    paths = f"{GRAPH}.elements().dijkstra({{root: {GRAPH}.getElementById('{first}'), directed: true}})"
    route = page.evaluate(f"{paths}.distanceTo({GRAPH}.getElementById('{last}'))")  # type: ignore[attr-defined]
    assert 2 <= route <= 8
    page.screenshot(path=str(site.parent / "lineage.png"))  # type: ignore[attr-defined]
    assert (site.parent / "lineage.png").stat().st_size > 20_000


def test_a_recommended_vote_can_be_followed_to_the_raw_zone(page: object, site: Path) -> None:
    """Every number of a decision has its way through the Python models back to what was landed."""
    view = "?g_v=1&g_i=%2Bpreboundary_backtest_summary%20%2Bpreboundary_recommended_votes"
    open_model(page, site, "preboundary_recommended_votes", view)
    page.wait_for_function(  # type: ignore[attr-defined]
        f"() => document.getElementById('cy')?._cyreg && {GRAPH}.nodes().length > 30"
    )
    drawn = set(page.evaluate(f"{GRAPH}.nodes().map(node => node.id())"))  # type: ignore[attr-defined]
    steps = (
        "preboundary_features",
        "forecast_quantiles",
        "forecast_scenarios",
        "vote_recommendations",
        "vote_backtest",
    )
    assert {f"model.foreshore.{name}" for name in steps} <= drawn
    assert {"source.foreshore.raw.voting_events", "source.foreshore.raw.submitted_votes"} <= drawn
    assert {f"seed.foreshore.{name}" for name in ("voters", "risk_profiles", "scenario_weights", "thresholds")} <= drawn
    page.screenshot(path=str(site.parent / "decisions.png"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wing", "mart"),
    [("voting", "preboundary_recommendations"), ("lending", "csu_daily_panel"), ("bars", "pre_paper_parity"),
     ("markets", "experiment_scores")],
)  # fmt: skip
def test_the_reports_link_opens_the_lineage_of_its_wing(page: object, site: Path, wing: str, mart: str) -> None:
    page.goto("about:blank")  # type: ignore[attr-defined]  # a selection is read when the page is loaded, not later
    page.goto(f"{site.as_uri()}#!/overview?g_v=1&g_i=tag:{wing}")  # type: ignore[attr-defined]
    drawing = f"() => document.getElementById('cy')?._cyreg && {GRAPH}.nodes().length > 10"
    page.wait_for_function(drawing)  # type: ignore[attr-defined]
    drawn = set(page.evaluate(f"{GRAPH}.nodes().map(node => node.id())"))  # type: ignore[attr-defined]
    assert f"model.foreshore.{mart}" in drawn and "model.foreshore.extract_ledger" not in drawn
