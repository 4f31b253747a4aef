"""The published description of the format: complete, fresh, and of one mind with the reader."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exafleet.facts import records
from exafleet.facts.scenario.docs import DOCS, page
from exafleet.facts.scenario.document import ARRAY_NAMES, TABLE_NAMES
from exafleet.facts.scenario.schema import ARRAYS, JOBS, File, json_schema, schema_text, sections
from exafleet.facts.scenario.schema_words import SCHEMA_FILE, Keys
from exafleet.facts.world import load_world

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "samples" / "tiny"
REFRESH = "run: python -m exafleet.facts.scenario.docs"


def plain(value: Any) -> Any:
    """TOML values as JSON would hold them."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value


def complaints(document: Any) -> list[str]:
    return [e.message for e in jsonschema.Draft202012Validator(json_schema()).iter_errors(document)]


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    return dict(plain(tomllib.loads((TINY / "scenario.toml").read_text(encoding="utf-8"))))


def test_the_schema_files_are_fresh() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), REFRESH
    assert (DOCS / SCHEMA_FILE.name).read_text(encoding="utf-8") == schema_text(), REFRESH


def test_the_page_is_fresh() -> None:
    text = (DOCS / "scenario.md").read_text(encoding="utf-8")
    assert page(text) == text, REFRESH


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_the_sample_holds(tiny: dict[str, Any]) -> None:
    assert complaints(tiny) == []


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in (ROOT / "examples").glob("*/scenario.toml")))
def test_the_examples_hold(folder: str) -> None:
    text = (ROOT / "examples" / folder / "scenario.toml").read_text(encoding="utf-8")
    assert complaints(plain(tomllib.loads(text))) == []


@pytest.mark.parametrize(("path", "value"), [
    (("sites", 0, "power"), 150), (("sites", 0, "power"), {"January": "1 MW"}), (("sites", 0, "cooling"), ["water"]),
    (("jobs", 0, "kind"), "server"), (("jobs", 0, "dtype"), "bf61"), (("owners", 0, "nam"), "x"),
    (("holdings", 0, "owner"), ["lab", "shop"]), (("scenario", "start"), "January"), (("nothing",), {}),
    (("offers", 1, "queue", "prem"), "x"), (("offers", 0, "lead"), ["1 wk", "2 wk"]), (("risk", "draws"), 3.5)])
def test_the_schema_refuses_what_the_reader_refuses(tiny: dict[str, Any], path: tuple[str | int, ...],
                                                    value: object) -> None:
    document = copy.deepcopy(tiny)
    here: Any = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    assert complaints(document)


@pytest.mark.parametrize(("table", "key"), [("owners", "id"), ("sites", "power"), ("sites", "cooling"),
                                            ("holdings", "units"), ("offers", "supply"), ("rentals", "term"),
                                            ("jobs", "model"), ("loans", "price"), ("moves", "months")])
def test_the_schema_misses_what_must_be_given(tiny: dict[str, Any], table: str, key: str) -> None:
    document = copy.deepcopy(tiny)
    del document[table][0][key]
    # A job is one of three kinds, and the validator says only that it is none of them.
    told = f"'{key}' is a required property" if table != "jobs" else "is not valid under any of the given schemas"
    assert any(told in text for text in complaints(document))


def test_every_key_is_explained_with_an_example_of_its_unit() -> None:
    for heading, keys in sections():
        for name, info in keys.model_fields.items():
            assert info.description, f"{heading} {name}"


def test_every_key_is_a_field_of_its_record_and_every_field_a_key() -> None:
    # Left of "!=": what only the file has (sources of values); what only the record has is computed.
    only_file = {"sites": {"region", "grid"}, "rentals": {"factor"}, "finance": {"base", "spread"},
                 "train": {"flops", "kind"}, "serve": {"kind"}, "research": {"kind"}}
    kinds: Iterator[tuple[str, tuple[type[Keys], type]]] = iter(
        [*((n, pair) for n, pair in ARRAYS.items() if n != "jobs"), *JOBS.items()])
    for name, (keys, record) in kinds:
        written = set(keys.model_fields) - only_file.get(name, set())
        assert written == {f.name for f in fields(record)} - {"where"}, name


def test_the_file_knows_every_array_of_the_scenario() -> None:
    assert set(File.model_fields) == {*ARRAY_NAMES, *TABLE_NAMES}
    assert set(ARRAY_NAMES) <= {f.name for f in fields(records.Scenario)}


def test_the_page_shows_every_key() -> None:
    text = (DOCS / "scenario.md").read_text(encoding="utf-8")
    for _, keys in sections():
        for name, info in keys.model_fields.items():
            assert f"| `{info.alias or name}`" in text


def test_the_first_example_of_the_page_can_be_read(tmp_path: Path) -> None:
    text = (DOCS / "scenario.md").read_text(encoding="utf-8")
    first = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert first is not None
    (tmp_path / "scenario.toml").write_text(first[1], encoding="utf-8")
    world = load_world(tmp_path)
    assert [j.id for j in world.scenario.jobs] == ["base"]
    assert world.value("scenario.resale") == world.facts.value("chip-owners.residual_share@1yr")


def test_pydantic_is_imported_only_when_a_scenario_is_read() -> None:
    code = "import sys, exafleet.facts.world, exafleet.facts.scenario.build; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(ROOT / "src")})
    assert done.stdout.strip() == "False"
