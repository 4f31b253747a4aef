"""A report as one HTML file: no external address, works offline, on a phone, in print, light and dark.

The charts are Vega-Lite specifications drawn by the Vega bundle that vl-convert ships; it is inlined, so the page asks
the network for nothing, and a policy in the page forbids it. Everything that came from a scenario is escaped as text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from exafleet.report.charts import is_empty, translated
from exafleet.report.table import Column, Report, Table
from exafleet.terms.said import ENGLISH, Said, said, say

TEMPLATES = Path(__file__).parent / "templates"
_SHORT = 20
_DATED = re.compile(r"\d{4}-\d\d(?:-\d\d)?")
TAGS = {"en": "en", "zh": "zh-CN"}
# Where the number in a sentence or a card is told in full, by the beginning of its key in the catalogue.
SECTIONS = {
    "orders.empty": "orders", "summary.first orders": "orders", "summary.orders": "orders", "card.ordered": "orders",
    "summary.renting": "rentals", "summary.run": "training", "card.runs": "training", "binding.": "binding",
    "summary.risk": "cost", "card.cost": "cost", "card.paid": "cash", "card.power": "power", "note.power": "facts",
    "note.": "speeds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One chart: `id` of its place in the page, the caption above it, and whether it has nothing to draw.

    height   room kept for it until it is drawn, so that what stands below does not jump [px]
    """

    id: str
    caption: str
    spec: Mapping[str, Any]
    empty: bool

    @property
    def height(self) -> int:
        """The picture, its axis and its legend."""
        return int(self.spec.get("height", 200)) + 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One number a row rests on: `anchor` of its row in the table of facts, and a short name to click on."""

    key: str
    anchor: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table as the page shows it, without columns in which nothing stands.

    links, anchors   by row, and empty where the table has none
    """

    table: Table
    columns: list[Column]
    rows: list[list[str]]
    numeric: list[bool]
    pictures: list[Picture]
    links: list[list[Link]]
    anchors: list[str]


def page(report: Report, language: str = ENGLISH) -> str:
    """The report as a self-contained HTML page in a language."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
                                     autoescape=jinja2.select_autoescape(["html.j2"], default=True),
                                     trim_blocks=True, lstrip_blocks=True)
    environment.globals["word"] = functools.partial(_word, language)
    environment.filters["say"] = lambda text: say(text, language).replace(" %", "\u00a0%")  # "20 %" stays on its line
    environment.filters["section"] = section_of
    environment.filters["whole"] = _whole
    environment.filters["dated"] = _DATED.fullmatch
    sections = _sections(report, language)
    drawn = {p.id: p.spec for s in sections for p in s.pictures if s.rows and not p.empty}
    return environment.get_template("report.html.j2").render(
        report=report, language=TAGS[language], meta=report.footer(language), sections=sections,
        ids={s.table.id for s in sections}, charts=_inline(translated(drawn, language)),
        vega=_vega() if drawn else "")


def section_of(text: str) -> str:
    """Id of the table that tells a sentence in full; "" where none does."""
    key = text.key if isinstance(text, Said) else ""
    return next((section for begin, section in SECTIONS.items() if key.startswith(begin)), "")


def _whole(cell: str) -> bool:
    """Whether a cell is one short word, such as a name or a month, that reads best on one line."""
    return " " not in cell and sum(2 if east_asian_width(c) in "WF" else 1 for c in cell) <= _SHORT


def _word(language: str, key: str, **values: Any) -> str:
    return say(said(f"page.{key}", **values), language)


def _sections(report: Report, language: str) -> list[Section]:
    facts = next((t for t in report.tables if t.id == "facts"), None)
    anchors = {key: f"fact-{i}" for i, (key,) in enumerate(facts.origins)} if facts is not None else {}
    return [_section(t, language, links=[] if t is facts else _links(t, anchors),
                     anchors=list(anchors.values()) if t is facts else []) for t in report.tables]


def _section(table: Table, language: str, links: list[list[Link]], anchors: list[str]) -> Section:
    rows = table.written(language)
    kept = [i for i in range(len(table.columns)) if not rows or any(row[i] for row in rows)]
    columns = [table.columns[i] for i in kept]
    return Section(table=table, columns=columns, rows=[[row[i] for i in kept] for row in rows],
                   pictures=_pictures(table), numeric=[c.numeric for c in columns],
                   links=links, anchors=anchors)


def _pictures(table: Table) -> list[Picture]:
    return [Picture(id=f"{table.id}-{i}", caption=caption, spec=spec, empty=is_empty(spec))
            for i, (caption, spec) in enumerate(table.charts)]


def _links(table: Table, anchors: Mapping[str, str]) -> list[list[Link]]:
    found = [[Link(key=key, anchor=anchors[key], name=key.rpartition(".")[2]) for key in keys if key in anchors]
             for keys in table.origins]
    return found if any(found) else []


def _inline(data: object) -> str:
    """JSON that can stand inside a script element whatever text it holds."""
    return json.dumps(data, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028")


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, as vl-convert ships them."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")).replace("</script", "<\\/script")
