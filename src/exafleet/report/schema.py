"""JSON Schema of a report as JSON; docs/report.schema.json is generated from it.

The version counts changes that could break a reader: a key that goes or changes its meaning. A new key does not.
"""

from __future__ import annotations

from typing import Any

from exafleet.report.table import KINDS, VERSION
from exafleet.terms.forms import LANGUAGES

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of exafleet",
        "description": "Sentences, and tables of raw values in base units; a month is written YYYY-MM.",
        **_object({
            "version": {"const": VERSION, "description": "Version of this format."},
            "language": {"enum": list(LANGUAGES), "description": "Language of titles, sentences and texts."},
            "title": _TEXT, "subtitle": _TEXT,
            "summary": {**_TEXTS, "description": "The answer in sentences, most important first."},
            "cards": {"type": "array", "description": "The numbers people look for first, in words.",
                      "items": _object({"label": _TEXT, "value": _TEXT, "note": _TEXT})},
            "meta": {"type": "object", "description": "What makes the answer repeatable: version, data, seed, gap.",
                     "additionalProperties": {"type": ["string", "number"]}},
            "tables": {"type": "object", "description": "Every section by its id, in the order of the report.",
                       "additionalProperties": _table()},
        }),
    }


def _table() -> dict[str, Any]:
    column = _object({
        "key": {**_TEXT, "description": "Stable name in every language; empty for a column named in the scenario."},
        "title": _TEXT, "kind": {"enum": ["text", *KINDS]},
        "unit": {"enum": sorted({"", *KINDS.values()}), "description": "Base unit of the raw values."},
    })
    return _object({
        "id": _TEXT, "title": _TEXT, "lead": {**_TEXT, "description": "The one sentence a hurried reader needs."},
        "how": {**_TEXT, "description": "How these figures come about."},
        "columns": {"type": "array", "items": column},
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": ["string", "number", "null"]},
                                            "description": "One cell a column; null where there is no value."}},
        "origins": {"type": "array", "items": _TEXTS,
                    "description": "By row, the keys of the numbers it rests on; see the table `facts`."},
    })


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
