"""No word of a plan's report stays English in Chinese, and no section writes words past the catalogue."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exafleet.plan.plan import PARTS
from exafleet.report.build import report
from exafleet.report.charts import translated
from exafleet.report.terminal import text
from exafleet.sweep.sensitivity import sensitivity
from exafleet.terms.said import say

REPORT = Path(__file__).parents[3] / "src" / "exafleet" / "report"
WRITERS = [*sorted((REPORT / "sections").glob("*.py")),
           *(REPORT / name for name in ("build.py", "summary.py", "backtest.py"))]
# What stays in Latin letters in Chinese: units, codes of the trade, and the solver's own figures.
KEPT = {"GPU", "IT", "token", "W", "kW", "MW", "GW", "kWh", "MWh", "GWh", "TWh", "PUE", "USD", "CO", "e", "t",
        "exafleet", "toml", "csv"}
# Keys of Vega-Lite whose text a reader sees.
SEEN = ("title", "text")


@pytest.fixture(scope="module")
def told(tiny):
    return report(tiny.world, tiny.rates, tiny.plan, tiny.trace, sensitivity(tiny.world, tiny.rates, tiny.plan))


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        for field in dataclasses.fields(data):
            yield from _texts(getattr(data, field.name))
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)


def _pictures(spec: Any) -> Iterator[str]:
    """Titles and values of a chart; not its grammar."""
    if isinstance(spec, dict):
        yield from (s for key in SEEN for s in _texts(spec.get(key)))
        yield from (s for key in ("values", "domain", "sort") for s in _texts(spec.get(key)))
        for value in spec.values():
            yield from _pictures(value)
    elif isinstance(spec, list | tuple):
        for value in spec:
            yield from _pictures(value)


def _words(texts: Iterator[str]) -> set[str]:
    return {word for one in texts for word in re.findall(r"[A-Za-z]+", one)}


def _said(told: Any) -> Iterator[str]:
    """Everything a reader of the Chinese report sees."""
    data = told.as_json("zh")
    yield from (data["title"], data["subtitle"], *data["summary"], *told.footer("zh"))
    yield from _texts(translated(told.cards, "zh"))
    for table in told.tables:
        yield from (data["tables"][table.id]["title"], data["tables"][table.id]["lead"])
        yield from _texts(translated([table.empty, re.sub("`[^`]*`", "", say(table.how, "zh"))], "zh"))
        yield from _texts(translated([c.title for c in table.columns], "zh"))
        yield from (cell for row in table.written("zh") for cell in row)
        yield from _pictures(translated(table.charts, "zh"))


def test_in_chinese_only_names_and_units_are_in_latin_letters(tiny, told):
    """Names come from the scenario, its files and the facts; whatever else is spelt in Latin letters was forgotten."""
    names = _words(_texts((tiny.world.scenario, tiny.rates.jobs, tiny.rates.systems, tiny.rates.units)))
    numbers = tiny.world.keys()
    names |= _words(one for key in numbers for one in (key.key, key.where, key.source))
    table = told.table("sensitivity")
    names |= _words(str(row[i]) for row in table.rows for i in (0, 2))           # keys of facts, and their sources
    names |= _words(str(row[i]) for row in told.table("facts").rows for i in (0, 1, 3, 4, 6))
    names |= _words(str(row[-1]) for row in told.table("speeds").rows if row[2])  # layouts: "TP8 PP2 ..."
    names |= _words(iter([str(told.meta["data"])]))
    assert sorted(_words(_said(told)) - names - KEPT) == []


def test_a_forgotten_word_would_be_found(tiny, told):
    worse = dataclasses.replace(told, summary=(*told.summary, f"{told.summary[0]} Nobody translated this."))
    assert {"Nobody", "translated", "this"} <= _words(_said(worse))


def test_no_section_writes_words_past_the_catalogue():
    """A sentence between quotes in a section is one that no translator will see."""
    found = []
    for path in WRITERS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        fine = {id(node) for call in ast.walk(tree) if isinstance(call, ast.Call)
                and getattr(call.func, "id", "") in ("said", "named", "column") for node in ast.walk(call)}
        fine |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        fine |= {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
        found += [f"{path.name}:{node.lineno}: {node.value!r}" for node in ast.walk(tree)
                  if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in fine
                  and node.value not in PARTS
                  and re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}|[a-z]{3,}[.:;] | [a-z]{2,} ", node.value)]
    assert found == [], "say these with said(...), see CONTRIBUTING.md"


def test_wide_characters_line_up_and_keep_to_the_width(told):
    from rich.cells import cell_len

    lines = text(told, width=110, language="zh").split("\n")
    assert max(map(cell_len, lines)) <= 110
    head = next(i for i, line in enumerate(lines) if line.startswith("站点") and "期初上限" in lines[i])
    edges = [m.end() for m in re.finditer(r"\S+", lines[head])]
    right = [cell_len(lines[head][:end]) for end in edges][1:4]
    for row in (lines[head + 2], lines[head + 3]):
        ends = {cell_len(row[:m.end()]) for m in re.finditer(r"\S+", row)}
        assert set(right) <= ends


def test_both_languages_hold_the_same_numbers(told):
    english, chinese = told.as_json("en"), told.as_json("zh")
    for name, table in english["tables"].items():
        for left, right in zip(table["rows"], chinese["tables"][name]["rows"], strict=True):
            assert [c for c in left if not isinstance(c, str)] == [c for c in right if not isinstance(c, str)], name
