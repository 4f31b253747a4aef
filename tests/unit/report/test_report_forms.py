"""Markdown and JSON of a report: the same numbers, text that stays text, and a published schema that holds."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from exafleet.report.build import report
from exafleet.report.markdown import markdown
from exafleet.report.schema import schema
from exafleet.report.table import Column, Report, Table

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def told(tiny):
    return report(tiny.world, tiny.rates, tiny.plan, tiny.trace)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_json_of_a_report_keeps_to_the_schema(told, language):
    data = json.loads(json.dumps(told.as_json(language), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(data, schema())
    assert data["language"] == language
    for table in data["tables"].values():
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
        assert len(table["origins"]) in (0, len(table["rows"]))


def test_the_schema_refuses_what_is_no_report(told):
    for broken in ({"version": 2}, {"tables": {"t": {}}}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**told.as_json(), **broken}, schema())


def test_columns_have_the_same_key_in_every_language(told):
    english, chinese = (told.as_json(language)["tables"]["power"]["columns"] for language in ("en", "zh"))
    assert [c["key"] for c in english] == [c["key"] for c in chinese]
    assert english[1]["key"] == "column.limit at start"


def test_markdown_holds_every_row(told):
    lines = markdown(told).split("\n")
    for table in told.tables:
        if table.rows:
            at = lines.index(f"## {table.title}")
            body = [line for line in lines[at:at + len(table.rows) + 8] if line.startswith("| ")]
            assert len(body) >= len(table.rows) + 1, table.id
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in body[:len(table.rows) + 1]}
            assert bars == {len(table.columns) + 1}, table.id


def test_no_mark_of_markdown_or_html_comes_from_a_name():
    evil = "# *a* _b_ [c](javascript:d) `e` | f | <script>g</script> ![h](i) \\ ~~j~~ $k$ &lt; \x1b[31m\nnew"
    table = Table(id="t", title=evil, lead="1. " + evil, columns=(Column(title=evil),), rows=((evil,),), how=evil)
    written = markdown(Report(title=evil, subtitle="- " + evil, summary=(evil,), cards=((evil, evil, evil),),
                              tables=(table,)))
    assert "<" not in written
    assert "\x1b" not in written
    assert not re.search(r"(?<!\\)(?:\]\(|`|!\[)", written)
    rows = [line for line in written.split("\n") if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {2}
    assert "\n1\\. # \\*a\\*" in written
    assert "\n\\- # " in written
