"""What the news said about a market before its snapshot: asked of GDELT's DOC API, turned into dated documents. Pure.

https://blog.gdeltproject.org/gdelt-doc-2-0-api-debuts/ : mode ArtList gives articles with `seendate`, when GDELT saw
them, which is at or after their publication. A document without a readable date lands without one and nobody uses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from extract.markets.normalize import Row
from extract.text import storable

PATH = "/api/v2/doc/doc"
MOST_TERMS = 6
_WORD = re.compile(r"[^\W_][\w'\u2019.&-]*")
_COMMON = frozenset(
    """
    a an and any are as at be before but by did do does end for from has have how if in into is it its least less more
    most much new no not of off on or over than that the their then there this to under up was what when which who will
    win with within january february march april may june july august september october november december
    """.split()  # noqa: SIM905 - one word per place would be a page of quotes
)


def search_terms(question: str) -> str:
    """The words of a question that say what it is about: names and numbers first, in their order; '' when none do."""
    words = [word.strip("'\u2019.-&") for word in _WORD.findall(question)]
    telling = [w for w in words if len(w) > 2 and w.lower() not in _COMMON and not w.isdigit()]
    names = [w for w in telling if w[:1].isupper()]
    chosen = (names if len(names) >= 2 else telling)[:MOST_TERMS]
    return " ".join(dict.fromkeys(chosen))


def query_of(question: str, until: datetime, days: int, most: int) -> dict[str, str] | None:
    """The request's parameters for articles seen in the `days` before `until`; None: there is nothing to ask for."""
    terms = search_terms(question)
    if not terms:
        return None
    since = until - timedelta(days=days)
    return {
        "query": terms,
        "mode": "ArtList",
        "format": "json",
        "sort": "DateDesc",
        "maxrecords": str(most),
        "startdatetime": f"{since:%Y%m%d%H%M%S}",
        "enddatetime": f"{until:%Y%m%d%H%M%S}",
    }


def not_articles(value: Any) -> str | None:
    """What is wrong with an answer's shape; no `articles` at all means that there are none."""
    is_list = isinstance(value, Mapping) and isinstance(value.get("articles", []), list)
    return None if is_list else "an answer without `articles`"


def document_rows(answer: Mapping[str, Any], most: int) -> list[Row]:
    """Columns of DOCUMENTS that come from the answer, at most `most`; an article without title or address is none."""
    found = []
    for article in answer.get("articles", []):
        title, url = (article.get(n) for n in ("title", "url")) if isinstance(article, Mapping) else (None, None)
        if isinstance(title, str) and isinstance(url, str) and title.strip() and url:
            row: Row = {"title": storable(title.strip()), "url": storable(url), "text": None}
            source, language = article.get("domain"), article.get("language")
            row["source"] = storable(source) if isinstance(source, str) else ""
            row["language"] = storable(language) if isinstance(language, str) else None
            row["published_at"] = _seen(article.get("seendate"))
            found.append(row)
    return [{"document_number": n, **row} for n, row in enumerate(found[:most])]


def _seen(value: Any) -> datetime | None:
    """`20260105T071500Z` as a moment; anything else is no date that could be checked."""
    try:
        return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None
