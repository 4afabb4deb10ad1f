"""The report in a real browser: it opens from disk, every figure is drawn, and its numbers are the warehouse's."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extract.config import Config
from extract.errors import ConfigError, ForeshoreError
from operate.report.own import own_pages
from operate.report.page import plain
from operate.report.site import build
from operate.warehouse import Warehouse, publish, query
from tests.e2e.test_docs_site import CHROMIUM
from tests.line_fixtures import ROOT, Line

pytestmark = [pytest.mark.browser, pytest.mark.node]
NAMES = ("index", "voting", "lending", "bars", "markets", "operations", "bribes")
EXAMPLE = ROOT / "docs" / "examples" / "bribes_page.py"


@pytest.fixture(scope="module")
def warehouse(built_line: Line) -> Warehouse:
    found = Warehouse(built_line.folder, f"{built_line.folder}/raw")
    publish(found)
    return found


@pytest.fixture(scope="module")
def site(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "site"
    own = own_pages(Config(ROOT / "foreshore.toml", {"report": {"pages": ["docs/examples/bribes_page.py"]}}, {}))
    assert [page.stem for page in build(warehouse, folder, own=own)] == list(NAMES)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package `chromium`, or set CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        started = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


CUT = """() => [...document.querySelectorAll(".figure")].filter((f) => {
    const edge = f.getBoundingClientRect().right + 1;
    return [...f.querySelectorAll("svg text")].some(
        (t) => getComputedStyle(t).opacity > 0 && t.getBoundingClientRect().right > edge);
}).map((f) => f.closest("article").querySelector("h3").textContent)"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_opens_from_disk_and_draws_every_figure(browser: Any, site: Path, width: int, scheme: str) -> None:
    drawn = 0
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        for name in NAMES:
            page, said, asked = context.new_page(), [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_function(
                "() => [...document.querySelectorAll('.figure')].every((f) => f.dataset.drawn === 'yes')"
            )
            drawn += page.locator(".figure svg").count()
            assert said == [] and all(url.startswith("file:") for url in asked), (name, said)
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, f"{name} is wider than {width}"
            assert page.evaluate(CUT) == [], f"words of a figure of {name} are cut at {width}"
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
            page.set_viewport_size({"width": 720, "height": 900})  # A4 less its margins
            page.emulate_media(media="print")
            assert page.evaluate("document.scrollingElement.scrollWidth") <= 720, f"{name} is wider than paper"
            page.close()
    assert drawn >= 10


_EPOCHS = """
    select distinct strftime(to_timestamp(epoch), '%d %b') from preboundary_backtest_results
    where decision_window = 'T-5' and hindsight_share is not null
"""


def test_a_day_is_the_same_day_for_a_reader_anywhere(browser: Any, site: Path, warehouse: Warehouse) -> None:
    """Epochs are labelled by their day: west of Greenwich its midnight is the evening before."""
    days = {day for (day,) in query(warehouse, _EPOCHS)[1]}
    for zone in ("America/Los_Angeles", "Asia/Tokyo"):
        with browser.new_context(timezone_id=zone) as context:
            page = context.new_page()
            page.goto((site / "voting.html").as_uri())
            figure = page.locator("article", has=page.get_by_role("heading", name="Share of hindsight", exact=True))
            figure.locator(".figure[data-drawn=yes]").first.wait_for()
            told = set(figure.first.locator(".role-axis-label text").all_text_contents())
            assert told & days and {text for text in told if not text.endswith("%")} <= days, (zone, told)


def test_the_numbers_of_a_figure_are_those_of_its_query(browser: Any, site: Path, warehouse: Warehouse) -> None:
    page, compared = browser.new_page(), 0
    for name in NAMES[1:]:
        page.goto((site / f"{name}.html").as_uri())
        for article in page.locator("article:has(script.spec)").all():
            spec = json.loads(article.locator("script.spec").text_content())
            shown = spec.get("data", {}).get("values") or spec["layer"][-1]["data"]["values"]
            names, rows = query(warehouse, article.locator("pre").text_content())
            wanted = [{n: plain(value) for n, value in zip(names, row, strict=True)} for row in rows]
            assert shown == wanted, article.locator("h3").text_content()
            compared += len(shown)
    page.close()
    assert compared > 100


def test_each_page_says_when_from_what_and_what_is_missing(site: Path, warehouse: Warehouse) -> None:
    for name in NAMES:
        text = (site / f"{name}.html").read_text()
        assert "Made 2" in text and "by build" in text
    assert "foreshore extract bars" in (site / "bars.html").read_text()


def test_a_page_of_ones_own_that_fails_says_so_and_costs_no_other(warehouse: Warehouse, tmp_path: Path) -> None:
    mine, config = tmp_path / "mine.py", Config(ROOT / "foreshore.toml", {}, {})
    mine.write_text("def page(read):\n    raise ValueError('<b>no')")
    pages = build(warehouse, tmp_path / "site", own=own_pages(config, [mine]))
    assert "ValueError: &lt;b&gt;no" in pages[-1].read_text() and "Change set" in pages[1].read_text()
    for text, said in (
        ("pages = 1", "has no attribute 'page'"),
        ("import nothing", "No module named"),
        (None, "no .py"),
    ):
        mine.unlink() if text is None else mine.write_text(text)
        with pytest.raises(ConfigError, match=said):
            own_pages(config, [mine])
    with pytest.raises(ForeshoreError, match="two report pages are called bribes"):
        build(warehouse, tmp_path / "site", own=own_pages(config, [EXAMPLE, EXAMPLE]))


def test_the_notebook_runs_on_what_is_published(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/notebooks/published.py, every cell, against the warehouse's own numbers; a wing may be missing."""
    monkeypatch.setenv("FORESHORE_PUBLISHED", str(warehouse.shelf.current))
    place = ROOT / "docs" / "notebooks" / "published.py"
    spec = importlib.util.spec_from_file_location("notebook", place)
    assert spec is not None and spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    _, found = notebook.app.run()
    asked = "select count(*), sum(hindsight_share) from preboundary_backtest_results where strategy = 'foreshore' "
    (count, total), *_ = query(warehouse, asked + "and is_votable and hindsight_share is not null")[1]
    assert count == len(found["hindsight"]) > 0 and found["values"] == []
    assert sum(row["hindsight_share"] for row in found["hindsight"]) == pytest.approx(total)
    assert found["tables"]["preboundary_snapshots"] == "voting" and found["rows"] is not None


def test_a_report_is_swapped_whole(site: Path, warehouse: Warehouse, tmp_path: Path) -> None:
    docs = tmp_path / "static_index.html"
    docs.write_text("docs")
    folder = tmp_path / "again"
    shutil.copytree(site, folder)
    (folder / "left.html").write_text("an old page")
    build(warehouse, folder, docs, own_pages(Config(ROOT / "foreshore.toml", {}, {}), [EXAMPLE]))
    assert not (folder / "left.html").exists() and (folder / "docs.html").read_text() == "docs"
    voting = (folder / "voting.html").read_text()
    assert "docs.html#!/model/model.foreshore.preboundary_recommendations" in voting
    assert "docs.html#!/overview?g_v=1&amp;g_i=tag:voting" in voting
    assert "g_i=tag" not in (folder / "operations.html").read_text() + (folder / "bribes.html").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
