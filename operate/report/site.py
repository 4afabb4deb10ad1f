"""The site: every page from one publication, in a folder that opens from disk without a network.

A new folder is written beside the old one and swapped in: whoever reads has one whole report or the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import vl_convert

from extract.errors import ForeshoreError
from operate.bars.page import page as bars_page
from operate.lending.page import page as lending_page
from operate.markets.page import page as markets_page
from operate.report import operations
from operate.report.page import Note, Page, Section, html
from operate.report.reading import Reader, reading
from operate.voting.page import page as voting_page
from operate.warehouse import Warehouse
from operate.whole import whole_folder

PAGES: Sequence[Callable[[Reader], Page]] = (voting_page, lending_page, bars_page, markets_page, operations.page)
ASSETS = Path(__file__).parent / "assets"
DOCS = Path("target") / "static_index.html"  # where dbt leaves its page
ENTRY = "window.vegaEmbed = vegaEmbed;"

_PUBLISHED = """
    select unit, published_at, invocation_id, build_number, table_count, is_simulated
    from publications
    order by unit
"""


def build(
    warehouse: Warehouse, folder: Path, docs: Path | None = None, own: Sequence[Callable[[Reader], Page]] = ()
) -> list[Path]:
    """Write the site into `folder`; `docs` is dbt's static page, copied beside it so that figures can link to it.

    `own` are pages after the house's. Returns the pages written, the index first. Errors: WarehouseError where nothing
    is published, ForeshoreError for two pages of one name.
    """
    with reading(warehouse) as read:
        published = read.rows(_PUBLISHED)
        pages = [make(read) for make in (*PAGES, *own)]
        if twice := sorted({p.name for p in pages if [q.name for q in pages].count(p.name) > 1}):
            raise ForeshoreError(f"two report pages are called {twice[0]}: give yours another name")
        facts = [
            f"Made {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
            *(
                f"{row['unit']}: {row['table_count']} tables, published {row['published_at']:%Y-%m-%d %H:%M:%S} UTC "
                f"by build {row['build_number']} ({row['invocation_id']})"
                for row in published
            ),
        ]
        if lacking := sorted(read.lacking):
            facts.append(f"Not published, so not shown: {', '.join(lacking)}")
    warning = (
        "These are data of the embedded world: made up, and of no exchange or market."
        if any(row["is_simulated"] for row in published)
        else ""
    )
    pages = [_index(pages, [str(row["unit"]) for row in published]), *pages]
    with whole_folder(folder) as made:
        has_docs = docs is not None and docs.exists()
        for page in pages:
            (made / f"{page.name}.html").write_text(html(page, pages[1:], facts, warning, has_docs))
        (made / "vega.js").write_text(vl_convert.javascript_bundle(ENTRY))
        for asset in ASSETS.iterdir():
            shutil.copy(asset, made / asset.name)
        if has_docs and docs is not None:
            shutil.copy(docs, made / "docs.html")
    return [folder / f"{page.name}.html" for page in pages]


def _index(pages: Sequence[Page], published: Sequence[str]) -> Page:
    """What each page answers, and which of them has nothing yet."""
    blocks = [
        Note(
            page.title,
            page.lead if page.unit in (*published, "") else f"{page.lead} Nothing of it is published yet.",
            f"{page.name}.html",
        )
        for page in pages
    ]
    lead = "Decisions made before a boundary, with what was visible then: one page for each who decides."
    return Page("index", "door", "Report", lead, [Section("Pages", blocks)])
