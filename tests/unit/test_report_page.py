"""Pages of the report: what strangers wrote is text and nothing else; what is not known is no number."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operate.report.charts import lines
from operate.report.page import Figure, Grid, Note, Page, Section, columns, html, plain, show

EVIL = "</script><script>alert(1)</script>\x1b[31m<img src=x onerror=alert(1)>\u202e"


def page(text: str) -> str:
    grid = Grid(text, text, columns(("name", text), ("n", "n", "count")), [{"name": text, "n": 3}], [text], text)
    spec = lines([{"x": 1, "y": 2.0, "by": text}], "x:Q", "y:Q", "by", x_title="x", y_title="y", y_format="")
    figure = Figure(text, text, spec, [text], text)
    made = Page("one", "voting", text, text, [Section(text, [grid, figure, Note(text, text)])])
    return html(made, [made], [text], text, docs=True)


@pytest.mark.parametrize("text", [EVIL, "<b>", "\"'><svg onload=alert(1)>", "&amp;"])
def test_what_strangers_wrote_is_text(text: str) -> None:
    found = page(text)
    outside = re.sub(r'<script type="application/json".*?</script>', "", found, flags=re.DOTALL)
    assert "<img" not in outside and "<svg" not in outside and "<b>" not in outside
    assert outside.count("<script") == 2 and "\x1b" not in found and "\u202e" not in found
    (spec,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', found, flags=re.DOTALL)
    assert "<" not in spec and json.loads(spec)["data"]["values"][0]["x"] == 1


@given(st.text(max_size=40))
def test_any_text_leaves_two_scripts_and_a_readable_specification(text: str) -> None:
    found = page(text)
    assert len(re.findall(r"<script src=", found)) == 2
    (spec,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', found, flags=re.DOTALL)
    json.loads(spec)


def test_values_are_shown_whole() -> None:
    assert show(1234567.891, "usd") == "1,234,567.89" and show(Decimal("12345678901234567890123"), "count") == (
        "12,345,678,901,234,567,890,123"
    )
    assert show(None, "usd") == show(float("nan"), "number") == show(float("inf"), "share") == "&ndash;"
    assert show(0.12345, "share") == "12.3 %" and show(3.5, "count") == "3.50"
    assert show(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "time") == "2026-01-02 03:04:05"
    address = "0x" + "ab" * 20
    assert f'title="{address}"' in show(address, "address") and "0xabab…abab" in show(address, "address")


def test_what_is_not_finite_is_null_in_a_figure() -> None:
    assert plain(float("inf")) is None and plain(float("nan")) is None and plain(Decimal("1.5")) == 1.5
    assert plain(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00+00:00"


def test_a_sentence_gets_a_lines_width_and_a_word_does_not() -> None:
    assert 'class="left prose">' in page(
        "it gains 20,132.03 USD over what stands, if it lands"
    ) and "prose" not in page("T-5")
