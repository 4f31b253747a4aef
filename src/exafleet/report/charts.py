"""Pictures as Vega-Lite specifications: plain data in, a dictionary out, drawn by a real library in the page.

The colours follow Okabe and Ito, which colour-blind readers can tell apart; those too light for white paper or too dark
for a dark page are replaced, so that every one has a contrast of at least 3 on both. Text and lines take the colour of
the page around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exafleet.terms.said import named, said, say

Spec = dict[str, Any]
Rows = Sequence[dict[str, Any]]

PALETTE = ("#0072B2", "#B87F00", "#009E73", "#CC79A7", "#7B61C9", "#D55E00", "#8C5A2B", "#7A7A7A")
_INK = "currentColor"
_CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
             "labelColor": _INK, "titleColor": _INK,
             "domainColor": _INK, "tickColor": _INK, "domainOpacity": 0.5, "tickOpacity": 0.5, "gridColor": _INK,
             "gridOpacity": 0.12},
    "axisY": {"labelLimit": 260},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "labelColor": _INK, "titleColor": _INK, "orient": "bottom",
               "columns": 3, "labelLimit": 260},
    "view": {"stroke": None},
}
# A long name goes on two lines rather than being cut.
_TWO_LINES = "length(datum.label) > 22 ? [slice(datum.label, 0, 22), slice(datum.label, 22)] : datum.label"


def translated(data: Any, language: str) -> Any:
    """Plain data with every sentence of the catalogue in a language."""
    if isinstance(data, str):
        return say(data, language)
    if isinstance(data, dict):
        return {k: translated(v, language) for k, v in data.items()}
    return [translated(v, language) for v in data] if isinstance(data, list | tuple) else data


def _spec(rows: Rows, **parts: Any) -> Spec:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "data": {"values": list(rows)},
            "width": "container", "background": None, "config": _CONFIG, **parts}


def is_empty(spec: Spec) -> bool:
    """Whether a picture would show nothing: no rows, or numbers that are all zero."""
    layers = spec.get("layer", [])
    rows = [row for part in (spec, *layers) for row in part.get("data", {}).get("values", [])]
    numbers = [v for row in rows for v in row.values() if isinstance(v, int | float)]
    return not rows or (bool(numbers) and not any(numbers))


def _month(months: Sequence[str]) -> Spec:
    # Months are names ("2025-01"): an ordinal axis keeps them exact whatever the reader's time zone is.
    return {"field": "month", "type": "ordinal", "title": said("column.month"), "scale": {"domain": list(months)},
            "axis": {"labelAngle": -60, "labelOverlap": "greedy", "title": None}}


def _names(field: str, order: Sequence[str], title: str, room: int = 0) -> Spec:
    """Names at the left; `room` is the least width they take, for a slanted label that stands below them. [px]"""
    return {"field": field, "type": "nominal", "sort": list(order), "title": title,
            "axis": {"title": None, "labelExpr": _TWO_LINES, "labelFontSize": 11, "minExtent": room}}


def _colour(rows: Rows, field: str) -> Spec:
    names = list(dict.fromkeys(row[field] for row in rows))
    return {"field": field, "type": "nominal", "title": named("picture", field), "legend": {"title": None},
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
    told = [{"field": "month", "title": said("column.month")},
            *({"field": f, "type": "quantitative", "title": said(f"column.{words}"), "format": ",.3~f"}
              for f, words in (("used", "in use"), ("limit", "limit")))]
    return _spec(rows, height=150, layer=[
        {"mark": {"type": "bar", "color": PALETTE[0]},
         "encoding": {"x": _month(months), "y": {"field": "used", "type": "quantitative", "title": title},
                      "tooltip": told}},
        {"mark": {"type": "line", "interpolate": "step", "color": PALETTE[5], "strokeWidth": 2},
         "encoding": {"x": _month(months), "y": {"field": "limit", "type": "quantitative", "title": title}}}])


def gantt(rows: Rows, order: Sequence[str]) -> Spec:
    """Bars from `start` to `end` (YYYY-MM), one line per `task`. rows: task, detail, owner, start, end, from, to."""
    return _spec(rows, height=_lines(len(order), 26), padding={"left": 5, "top": 5, "bottom": 5, "right": 10},
                 mark={"type": "bar", "tooltip": True, "height": 16, "cornerRadius": 3},
                 encoding={
                     "y": _names("task", order, said("column.run"), room=44),
                     "x": {"field": "start", "type": "temporal", "timeUnit": "utcyearmonthdate",
                           "title": said("column.starts"), "scale": {"type": "utc"}, "axis": {
                               "format": "%Y-%m", "title": None, "labelAngle": -60, "labelOverlap": "greedy",
                               "labelSeparation": 4, "tickCount": {"interval": "month", "step": 1}}},
                     "x2": {"field": "end", "timeUnit": "utcyearmonthdate"},
                     "color": _colour(rows, "owner"),
                     "tooltip": [{"field": f, "title": said(f"picture.{f}")}
                                 for f in ("task", "detail", "owner", "from", "to")]})


def pieces(rows: Rows, order: Sequence[str], title: str) -> Spec:
    """Horizontal bars, one per named piece. rows: part, value."""
    return _spec(rows, height=_lines(len(order), 22), mark={"type": "bar", "tooltip": True}, encoding={
        "y": _names("part", order, said("column.part")),
        "x": {"field": "value", "type": "quantitative", "title": title},
        "color": {"condition": {"test": "datum.value < 0", "value": PALETTE[2]}, "value": PALETTE[0]}})


def tornado(rows: Rows, order: Sequence[str], title: str) -> Spec:
    """Low and high answer per fact around today's. rows: fact, low, high (change of the answer)."""
    return _spec(rows, height=_lines(len(order), 26), encoding={
        "y": _names("fact", order, said("column.fact"))},
        layer=[{"mark": {"type": "bar", "height": 14, "tooltip": True, "color": colour},
                "encoding": {"x": {"field": field, "type": "quantitative", "title": said(f"column.10 {field}"),
                                   "axis": {"title": title}}, "x2": {"datum": 0}}}
               for field, colour in (("less", PALETTE[0]), ("more", PALETTE[5]))])


def demand(rows: Rows, months: Sequence[str], title: str) -> Spec:
    """Served and unserved work by month. rows: month, value, kind."""
    return _spec(rows, height=130, mark={"type": "bar", "tooltip": True}, encoding={
        "x": _month(months), "y": {"field": "value", "type": "quantitative", "title": title},
        "color": _colour(rows, "kind")})


def against_measured(rows: Rows) -> Spec:
    """Predicted over measured on logarithmic axes, with the line where both are equal. rows: measured, predicted, kind.

    Two points of the line are enough: on equal logarithmic axes it is straight.
    """
    values = [float(row[name]) for row in rows for name in ("measured", "predicted")]
    ends = [{"at": min(values)}, {"at": max(values)}]
    axis = {"type": "quantitative", "scale": {"type": "log", "nice": False, "domain": [e["at"] for e in ends]}}
    return _spec(rows, height=340, layer=[
        {"data": {"values": ends}, "mark": {"type": "line", "color": "#888888", "strokeDash": [5, 4]},
         "encoding": {"x": {"field": "at", **axis, "title": "measured"},
                      "y": {"field": "at", **axis, "title": "predicted"}}},
        {"mark": {"type": "point", "filled": True, "size": 30, "opacity": 0.7, "tooltip": {"content": "data"}},
         "encoding": {"x": {"field": "measured", **axis}, "y": {"field": "predicted", **axis},
                      "color": _colour(rows, "kind")}}])


def spread(rows: Rows, order: Sequence[str], title: str) -> Spec:
    """One tick per row, one line per group, around zero, and the median of each. rows: group, error."""
    return _spec(rows, height=_lines(len(order), 26), encoding={
        "y": {"field": "group", "type": "nominal", "sort": list(order), "title": None, "axis": {"labelLimit": 180}}},
        layer=[
            {"mark": {"type": "rule", "color": "#888888"}, "encoding": {"x": {"datum": 0}, "y": None}},
            {"mark": {"type": "tick", "color": PALETTE[0], "opacity": 0.7, "tooltip": {"content": "data"}},
             "encoding": {"x": {"field": "error", "type": "quantitative", "title": title}}},
            {"mark": {"type": "point", "filled": True, "color": PALETTE[5], "size": 60},
             "encoding": {"x": {"field": "error", "type": "quantitative", "aggregate": "median"}}}])


def kept(rows: Rows, title: str) -> Spec:
    """Throughput kept over the size of a run, measured and predicted. rows: chips, share, kind."""
    sizes = sorted({float(row["chips"]) for row in rows})
    shares = [float(row["share"]) for row in rows]
    # One scale for all such pictures unless a run loses more than a fifth, so that a per cent looks like a per cent.
    ends = [min(80.0, 10.0 * (min(shares) // 10.0)), max(105.0, *shares)]
    return _spec(rows, height=150, mark={"type": "line", "point": True, "tooltip": {"content": "data"}}, encoding={
        "x": {"field": "chips", "type": "quantitative", "title": "accelerators",
              "scale": {"type": "log", "nice": False, "domain": [sizes[0], sizes[-1]]},
              "axis": {"values": sizes, "format": ",d", "labelOverlap": "greedy"}},
        "y": {"field": "share", "type": "quantitative", "title": title, "scale": {"domain": ends, "nice": False}},
        "color": _colour(rows, "kind")})


def frontier(rows: Rows, x: str, y: str) -> Spec:
    """Points joined in the order of their weight. rows: mean, cvar, weight."""
    return _spec(rows, height=260, encoding={
        "x": {"field": "mean", "type": "quantitative", "title": x, "scale": {"zero": False}},
        "y": {"field": "cvar", "type": "quantitative", "title": y, "scale": {"zero": False}}},
        layer=[{"mark": {"type": "line", "color": PALETTE[0]}, "encoding": {"order": {"field": "weight"}}},
               {"mark": {"type": "point", "filled": True, "size": 60, "color": PALETTE[0], "tooltip": True}},
               {"mark": {"type": "text", "dy": -12}, "encoding": {"text": {"field": "weight"}}}])
