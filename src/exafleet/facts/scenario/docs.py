"""The generated half of docs/scenario.md, and the JSON Schema files: `python -m exafleet.facts.scenario.docs`.

Run in a source checkout it rewrites the tables of keys between the markers of the page, data/scenario.schema.json, and
docs/scenario.schema.json, which is the same file where editors and links look for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from exafleet.facts.scenario.kinds import Choice, Several
from exafleet.facts.scenario.schema import schema_text, sections
from exafleet.facts.scenario.schema_words import SCHEMA_FILE, Keys, kind_of
from exafleet.facts.scenario.values import Amount, Kind
from exafleet.terms.units import of_dimension

DOCS = Path(__file__).resolve().parents[4] / "docs"
BEGIN, END = "<!-- keys: begin (generated, do not edit) -->", "<!-- keys: end -->"


def page(text: str) -> str:
    """The page with its generated part made anew."""
    made = f"{BEGIN}\n\n{tables()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, text, flags=re.DOTALL)


def tables() -> str:
    """One Markdown table for each table of a scenario: key, meaning, units, example."""
    return "\n".join(line for heading, keys in sections() for line in _table(heading, keys))


def _table(heading: str, keys: type[Keys]) -> Iterator[str]:
    yield f"### {heading}"
    yield ""
    yield (keys.__doc__ or "").strip().replace("\n", " ")
    yield ""
    yield "| key | meaning | units or words | example |"
    yield "|---|---|---|---|"
    for name, info in keys.model_fields.items():
        kind = kind_of(info)
        must = " (required)" if info.is_required() else ""
        cells = (f"`{info.alias or name}`{must}", _meaning(info), units(kind), _example(info, kind))
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
    yield ""


def _meaning(info: FieldInfo) -> str:
    given = info.default not in (None, (), 0.0) and not info.is_required() and info.default_factory is None
    return f"{info.description}" + (f"; {_said(info.default)} unless given" if given else "")


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def units(kind: Kind | None) -> str:
    """The units an amount may be written in, or the words a choice allows."""
    if isinstance(kind, Several):
        return units(kind.of)
    if isinstance(kind, Choice):
        return ", ".join(f"`{word}`" for word in kind.words)
    if not isinstance(kind, Amount):
        inside = getattr(kind, "of", None) or getattr(kind, "price", None)
        return units(inside) if isinstance(inside, Kind) else ""
    names = dict.fromkeys(u for d in kind.dims if d != "number" for u in of_dimension(d))
    said = [f"`{name}`" for name in names] + (["`%`"] if "number" in kind.dims and not kind.whole else [])
    return ", ".join(said + (["a plain number"] if kind.bare else []))


def _example(info: FieldInfo, kind: Kind | None) -> str:
    extra = info.json_schema_extra
    example = str(extra.get("example", "")) if isinstance(extra, dict) else ""
    example = example or getattr(kind, "example", "") or getattr(getattr(kind, "of", None), "example", "")
    return f"`{example}`" if example and example != '"..."' else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Rewrite what is generated."""
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    (DOCS / SCHEMA_FILE.name).write_text(schema_text(), encoding="utf-8")
    place = DOCS / "scenario.md"
    place.write_text(page(place.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
