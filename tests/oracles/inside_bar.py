"""The inside-bar rules once more, bar by bar with a small state, written from their description, not from the code."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from decide.bars.bars import Bars
from decide.bars.rules import Rules, Windows


def slow_signals(bars: Bars, rules: Rules, windows: Windows) -> list[tuple[int, int, int, str]]:
    """(mother, inside, trigger, side) of every signal."""
    rows = [
        {"t": t, "o": _price(o), "h": _price(h), "l": _price(low), "c": _price(c)}
        for t, o, h, low, c in zip(bars.labels.tolist(), bars.open, bars.high, bars.low, bars.close, strict=True)
    ]
    found: list[tuple[int, int, int, str]] = []
    window, armed, is_done = None, None, False
    for n, row in enumerate(rows):
        now = _window(row["t"], windows)
        if now != window:
            window, armed, is_done = now, None, False
        if now is None or is_done:
            continue
        if armed is not None and (row["t"] - armed["inside"]["t"]) / rules.step > rules.max_pattern_age_candles:
            armed = None
        if rules.entry_legs == "both_sides" and armed is not None and row["t"] < armed["until"]:
            continue
        if rules.entry_legs == "breakout" and armed is not None:
            side = _broken(row, armed, rules)
            if side is None:
                continue
            level = armed["top"] if side == "BUY" else armed["bottom"]
            inside, atr = armed["inside"], armed["atr"]
            armed = None
            if side == "both" or (
                rules.max_deviation_atr and not abs(level - inside["c"]) <= _exact(rules.max_deviation_atr) * atr
            ):
                continue
            found.append((inside["mother"], inside["t"], row["t"], side))
            is_done = rules.first_inside_bar_only
            continue
        if n == 0 or row["t"] - rows[n - 1]["t"] != rules.step or _window(rows[n - 1]["t"], windows) != now:
            continue
        mother = rows[n - 1]
        atr = _atr(rows, n - 1, rules.atr_period)
        if _is_inside(mother, row, rules) and _is_good(mother, row, atr, rules):
            source = mother if rules.entry_level_mode == "mother_bar" else row
            armed = {"inside": {**row, "mother": mother["t"]}, "top": source["h"], "bottom": source["l"], "atr": atr}
            if rules.entry_legs == "both_sides":
                far = max(abs(armed[side] - row["c"]) for side in ("top", "bottom"))
                if rules.max_deviation_atr and not far <= _exact(rules.max_deviation_atr) * atr:
                    armed = None
                    continue
                found += [(mother["t"], row["t"], row["t"], side) for side in ("BUY", "SELL")]
                armed["until"] = _ends(row["t"] + rules.step, int(windows.ends[now]), rules)
                is_done = rules.first_inside_bar_only
    return found


def _ends(begin: int, window_end: int, rules: Rules) -> int:
    lives = [window_end, begin + rules.max_pattern_age_candles * rules.step]
    if rules.order_validity_policy == "one_bar":
        lives.append(begin + rules.step)
    if rules.order_validity_policy == "fixed_minutes":
        lives.append(begin + 60 * rules.order_validity_minutes)
    return min(lives)


def _price(value: float) -> Fraction:
    return Fraction(Decimal(repr(float(value))).quantize(Decimal("0.000001")))


def _exact(parameter: float) -> Fraction:
    return Fraction(Decimal(repr(float(parameter))))


def _window(label: int, windows: Windows) -> int | None:
    hits = [n for n, (a, b) in enumerate(zip(windows.starts, windows.ends, strict=True)) if a <= label < b]
    return hits[0] if hits else None


def _broken(row: Any, armed: Any, rules: Rules) -> str | None:
    high, low = (row["c"], row["c"]) if rules.require_close_beyond_mother else (row["h"], row["l"])
    up, down = high > armed["top"], low < armed["bottom"]
    return "both" if up and down else "BUY" if up else "SELL" if down else None


def _atr(rows: Any, n: int, period: int) -> Fraction | None:
    if n < period:
        return None
    ranges = []
    for k in range(n - period + 1, n + 1):
        before = rows[k - 1]["c"]
        ranges.append(max(rows[k]["h"] - rows[k]["l"], abs(rows[k]["h"] - before), abs(rows[k]["l"] - before)))
    return sum(ranges, Fraction(0)) / period


def _is_inside(m: Any, i: Any, rules: Rules) -> bool:
    m_top, m_bottom = max(m["o"], m["c"]), min(m["o"], m["c"])
    needs = {
        "mb_range_hl__ib_hl": [(i["h"], m["h"]), (m["l"], i["l"])],
        "mb_body_oc__ib_hl": [(i["h"], m_top), (m_bottom, i["l"])],
        "mb_body_oc__ib_body": [(max(i["o"], i["c"]), m_top), (m_bottom, min(i["o"], i["c"]))],
        "mb_high__ib_high_and_close_in_mb_range": [(i["h"], m["h"]), (m["l"], i["c"]), (i["c"], m["h"])],
    }[rules.inside_bar_definition_mode]
    return all(a < b if rules.inside_bar_mode == "strict" else a <= b for a, b in needs)


def _is_good(m: Any, i: Any, atr: Fraction | None, rules: Rules) -> bool:
    def share(bar: Any) -> Fraction:
        size = bar["h"] - bar["l"]
        return abs(bar["c"] - bar["o"]) / size if size > 0 else Fraction(0)

    if atr is None or not m["h"] - m["l"] >= _exact(rules.min_mother_bar_size_atr_multiple) * atr:
        return False
    return share(m) >= _exact(rules.min_mother_body_fraction) and share(i) >= _exact(rules.min_inside_body_fraction)
