"""Pictures as Vega-Lite specifications: plain data in, a dictionary out, drawn by a real library in the page.

Colours are Okabe and Ito's eight, which stay apart for colour-blind readers and on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]
Rows = Sequence[dict[str, Any]]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_CONFIG = {"font": "system-ui, sans-serif", "axis": {"labelFontSize": 12, "titleFontSize": 12},
           "legend": {"labelFontSize": 12, "titleFontSize": 12, "orient": "bottom", "columns": 3, "labelLimit": 260},
           "view": {"stroke": None}}


def _spec(rows: Rows, **parts: Any) -> Spec:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "data": {"values": list(rows)},
            "width": "container", "background": "white",
            "config": _CONFIG, **parts}


def _month(months: Sequence[str]) -> Spec:
    # Months are names ("2025-01"): an ordinal axis keeps them exact whatever the reader's time zone is.
    return {"field": "month", "type": "ordinal", "title": None, "scale": {"domain": list(months)},
            "axis": {"labelAngle": -60, "labelOverlap": "greedy"}}


def _colour(rows: Rows, field: str) -> Spec:
    names = list(dict.fromkeys(str(row[field]) for row in rows))
    return {"field": field, "type": "nominal", "title": None,
            "scale": {"domain": names, "range": [PALETTE[i % len(PALETTE)] for i in range(len(names))]}}


def _lines(count: int, step: int) -> int:
    """Height of a chart with one line per item (an explicit height: a stepped one makes Vega-Lite warn)."""
    return step * max(count, 1)


def bars(rows: Rows, months: Sequence[str], value: str, title: str, colour: str) -> Spec:
    """Stacked bars by month. rows: month, `value`, `colour`."""
    return _spec(rows, height=240, mark={"type": "bar", "tooltip": True}, encoding={
        "x": _month(months), "y": {"field": value, "type": "quantitative", "title": title},
        "color": _colour(rows, colour)})


def against_limit(rows: Rows, months: Sequence[str], title: str) -> Spec:
    """Bars of `used` under a stepped line of `limit`. rows: month, used, limit."""
    return _spec(rows, height=150, layer=[
        {"mark": {"type": "bar", "color": PALETTE[0], "tooltip": True},
         "encoding": {"x": _month(months), "y": {"field": "used", "type": "quantitative", "title": title}}},
        {"mark": {"type": "line", "interpolate": "step", "color": PALETTE[5], "strokeWidth": 2},
         "encoding": {"x": _month(months), "y": {"field": "limit", "type": "quantitative"}}}])


def gantt(rows: Rows, order: Sequence[str]) -> Spec:
    """Bars from `start` to `end`, one line per `task`. rows: task, start, end (both YYYY-MM), kind."""
    return _spec(rows, height=_lines(len(order), 26),
                 mark={"type": "bar", "tooltip": True, "height": 16, "cornerRadius": 3},
                 encoding={
                     "y": {"field": "task", "type": "nominal", "sort": list(order), "title": None,
                           "axis": {"labelLimit": 240}},
                     "x": {"field": "start", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": None,
                           "axis": {"format": "%Y-%m"}, "scale": {"type": "utc"}},
                     "x2": {"field": "end", "timeUnit": "utcyearmonthdate"},
                     "color": _colour(rows, "kind")})


def pieces(rows: Rows, order: Sequence[str], title: str) -> Spec:
    """Horizontal bars, one per named piece. rows: part, value."""
    return _spec(rows, height=_lines(len(order), 22), mark={"type": "bar", "tooltip": True}, encoding={
        "y": {"field": "part", "type": "nominal", "sort": list(order), "title": None, "axis": {"labelLimit": 240}},
        "x": {"field": "value", "type": "quantitative", "title": title},
        "color": {"condition": {"test": "datum.value < 0", "value": PALETTE[2]}, "value": PALETTE[0]}})


def tornado(rows: Rows, order: Sequence[str], title: str) -> Spec:
    """Low and high answer per fact around today's. rows: fact, low, high (change of the answer)."""
    return _spec(rows, height=_lines(len(order), 26), encoding={
        "y": {"field": "fact", "type": "nominal", "sort": list(order), "title": None, "axis": {"labelLimit": 320}}},
        layer=[{"mark": {"type": "bar", "height": 14, "tooltip": True, "color": colour},
                "encoding": {"x": {"field": field, "type": "quantitative", "title": title}, "x2": {"datum": 0}}}
               for field, colour in (("less", PALETTE[4]), ("more", PALETTE[5]))])


def demand(rows: Rows, months: Sequence[str], title: str) -> Spec:
    """Served and unserved work by month. rows: month, value, kind."""
    return _spec(rows, height=130, mark={"type": "bar", "tooltip": True}, encoding={
        "x": _month(months), "y": {"field": "value", "type": "quantitative", "title": title},
        "color": _colour(rows, "kind")})
