"""What a page of the report is made of, and how it becomes HTML. Everything that comes from data is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from html import escape
from typing import Any

from operate.console import printable

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A chart with the sentence that says how to read it, the tables it stands on and the query that filled it."""

    title: str
    reading: str
    spec: Mapping[str, Any]
    tables: Sequence[str]
    sql: str


@dataclass(frozen=True)
class Column:
    """A column of a grid: its name in the rows, its head, and how its values read."""

    name: str
    head: str
    kind: str = "text"  # text, usd, share, count, number, score, time, day, address, name


def columns(*told: tuple[str, ...]) -> list[Column]:
    """Columns from (name, head) or (name, head, kind)."""
    return [Column(*one) for one in told]


@dataclass(frozen=True)
class Grid:
    """A table of rows, shown whole."""

    title: str
    reading: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    tables: Sequence[str]
    sql: str


@dataclass(frozen=True)
class Note:
    """A sentence in the place of a figure: what is missing and what makes it appear, or where a link leads."""

    title: str
    text: str
    link: str = ""


Block = Figure | Grid | Note


@dataclass(frozen=True)
class Section:
    """Blocks under one heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """One page; `unit` is the part of the publication it shows, `door` what all share, empty on a page of one's own."""

    name: str
    unit: str
    title: str
    lead: str
    sections: Sequence[Section] = field(default_factory=list)


def show(value: object, kind: str = "text") -> str:
    """A value as people read it, escaped; nothing known is a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "&ndash;"
    if kind == "usd":
        return f"{float(str(value)):,.2f}"
    if kind == "share":
        return f"{100 * float(str(value)):.1f} %"
    if kind == "count":
        number = Decimal(str(value))
        return f"{number:,.0f}" if number == number.to_integral_value() else f"{number:,.2f}"
    if kind == "number":
        size = abs(float(str(value)))
        return f"{float(str(value)):,.0f}" if size >= 1000 else f"{float(str(value)):.4g}"
    if kind == "score":
        return f"{float(str(value)):.4f}".replace("-0.0000", "0.0000")
    if kind == "address":
        text = str(value)
        short = f"{text[:6]}…{text[-4:]}" if len(text) > 12 else text
        return f'<span class="address" title="{_text(text)}">{_text(short)}</span>'
    if kind == "time" and isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return _text(value)


def plain(value: object) -> Any:
    """A value as a chart's data take it: what JSON has, times in ISO form, nothing that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return printable(value) if isinstance(value, str) else value


def html(page: Page, pages: Sequence[Page], facts: Sequence[str], warning: str, docs: bool) -> str:
    """The page as one document; `facts` say when and from what it was made, `docs` whether docs.html lies beside it."""
    links = "".join(
        f'<a href="{p.name}.html"{" aria-current=page" if p.name == page.name else ""}>{_text(p.title)}</a>'
        for p in pages
    )
    body = "".join(_section(section, n, docs) for n, section in enumerate(page.sections))
    alarm = f'<p class="warning">{_text(warning)}</p>' if warning else ""
    told = "".join(f"<li>{_text(fact)}</li>" for fact in facts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{_text(page.title)} · Foreshore</title><link rel="stylesheet" href="style.css"></head><body>'
        f'<header><a class="mark" href="index.html">Foreshore</a><nav>{links}</nav></header><main>'
        f'<h1>{_text(page.title)}</h1><p class="lead">{_text(page.lead)}{_lineage(page, docs)}</p>{alarm}{body}</main>'
        f"<footer><ul>{told}</ul></footer>"
        '<script src="vega.js"></script><script src="figures.js"></script></body></html>\n'
    )


def _lineage(page: Page, docs: bool) -> str:
    """A link to the graph of the page's wing in dbt's docs, where those lie beside it."""
    if not docs or page.unit in ("", "door"):
        return ""
    return f' <a class="lineage" href="docs.html#!/overview?g_v=1&amp;g_i=tag:{page.unit}">Lineage of its tables</a>'


def _section(section: Section, number: int, docs: bool) -> str:
    blocks = "".join(_block(block, f"f{number}-{n}", docs) for n, block in enumerate(section.blocks))
    return f"<section><h2>{_text(section.title)}</h2>{blocks}</section>" if blocks else ""


def _block(block: Block, name: str, docs: bool) -> str:
    if isinstance(block, Note):
        title = f'<a href="{block.link}">{_text(block.title)}</a>' if block.link else _text(block.title)
        return f'<article class="note"><h3>{title}</h3><p>{_text(block.text)}</p></article>'
    inner = _chart(block, name) if isinstance(block, Figure) else _grid(block)
    return (
        f"<article><h3>{_text(block.title)}</h3><p>{_text(block.reading)}</p>{inner}"
        f"<details><summary>From {_sources(block.tables, docs)}</summary>"
        f"<pre>{_code(block.sql.strip())}</pre></details></article>"
    )


def _sources(tables: Sequence[str], docs: bool) -> str:
    if not docs:
        return ", ".join(_text(table) for table in tables)
    return ", ".join(
        f'<a href="docs.html#!/model/model.foreshore.{_text(table)}">{_text(table)}</a>' for table in tables
    )


def _chart(block: Figure, name: str) -> str:
    # JSON inside a script element: only `<` could end it
    spec = json.dumps(block.spec, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    label = _text(f"{block.title}. {block.reading}")
    return (
        f'<div class="figure" id="{name}" role="img" aria-label="{label}"></div>'
        f'<script type="application/json" class="spec" data-for="{name}">{spec}</script>'
    )


_CLASSES = {"text": "left", "address": "left", "time": "left whole", "day": "left whole", "name": "left whole"}


PROSE = 40  # letters from which a text is a sentence: it gets a line's width, also on a phone


def _class(value: object, kind: str) -> str:
    is_prose = kind == "text" and isinstance(value, str) and len(value) > PROSE
    return "left prose" if is_prose else _CLASSES.get(kind, "right")


def _grid(block: Grid) -> str:
    heads = "".join(f'<th class="{c.kind}">{_text(c.head)}</th>' for c in block.columns)
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td class="{_class(row.get(c.name), c.kind)}">{show(row.get(c.name), c.kind)}</td>' for c in block.columns
        )
        + "</tr>"
        for row in block.rows
    )
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _code(text: str) -> str:
    """Lines of a query: names in it come from data."""
    return "\n".join(_text(line) for line in text.splitlines())


def _text(value: object) -> str:
    return escape(printable(str(value)))
