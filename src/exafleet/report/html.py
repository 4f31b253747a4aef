"""A report as one HTML file: no external address, works offline, on a phone, in print, light and dark.

The charts are Vega-Lite specifications drawn by the Vega bundle that vl-convert ships; it is inlined, so the page asks
the network for nothing. Everything that came from a scenario is escaped as text.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from exafleet.report.charts import translated
from exafleet.report.table import Report, Table
from exafleet.terms.said import ENGLISH, said, say

TEMPLATES = Path(__file__).parent / "templates"


def page(report: Report, language: str = ENGLISH) -> str:
    """The report as a self-contained HTML page in a language."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     autoescape=True, trim_blocks=True, lstrip_blocks=True)
    charts = {f"{t.id}-{i}": spec for t in report.tables if t.rows for i, (_, spec) in enumerate(t.charts)}
    environment.globals["word"] = lambda key, **values: say(said(f"page.{key}", **values), language)
    environment.filters["say"] = lambda text: say(text, language)
    return environment.get_template("report.html.j2").render(
        report=report, language="zh-CN" if language == "zh" else language,
        meta=report.footer(language),
        sections=[(t, t.written(language), _numeric(t)) for t in report.tables],
        charts=_inline(translated(charts, language)),
        vega=_vega() if charts else "",
    )


def _numeric(table: Table) -> list[bool]:
    return [c.kind not in ("text", "month") for c in table.columns]


def _inline(data: object) -> str:
    """JSON that can stand inside a script element whatever text it holds."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028")


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, as vl-convert ships them."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")).replace("</script", "<\\/script")
