"""What was said to fit beside what did: counted in the four cases, whatever the order."""

import json
import math
from datetime import date

import pytest

from exafleet.apps.output import as_json
from exafleet.facts.catalogue import load_facts
from exafleet.report.terminal import text
from exafleet.report.validation import memory
from exafleet.step.measured.memory_tables import GIB, MemoryCompared

FACTS = load_facts(date(2026, 11, 23))


def compared(name, needed, outcome, measured=math.nan, why=""):
    predicted = needed if math.isnan(measured) else 1.1 * measured
    return MemoryCompared(row=None, id=name, measured=measured, predicted=predicted, needed=needed, usable=80e9,
                          outcome=outcome, why=why)


FOUND = [compared("right", 50e9, "ok", 40 * GIB), compared("out", 99e9, "oom"), compared("false fit", 79e9, "oom"),
         compared("refused", 81e9, "ok", 70 * GIB), compared("silent", 60e9, "", 50 * GIB),
         compared("lost", math.nan, "ok", why="no figure")]


def test_outcomes_are_counted_in_four_cases():
    found = memory.fits(FOUND)
    assert (found.right, found.right_oom, found.false_fits, found.false_refusals) == (1, 1, 1, 1)
    said = found.as_json()
    assert (said["rows"], said["accuracy"], said["false_fits_of_out_of_memory"]) == (4, 0.5, 0.5)
    assert memory.fits(FOUND[::-1]) == found


def test_what_needs_exactly_what_there_is_fits():
    assert memory.fits([compared("edge", 80e9, "ok")]).right == 1


def test_nothing_stated_is_no_accuracy():
    assert math.isnan(memory.fits([FOUND[4]]).as_json()["accuracy"])


def test_every_row_is_in_the_json_with_its_outcome():
    rows = memory.judge(FOUND, FACTS)
    data = json.loads(as_json(memory.as_json(rows, FOUND, FACTS, "0" * 64)))
    assert [r["case_id"] for r in data["rows"]] == [c.id for c in FOUND]
    by = {r["case_id"]: r for r in data["rows"]}
    assert by["right"]["measured"] == pytest.approx(40)
    assert by["right"]["predicted"] == pytest.approx(44)
    assert (by["out"]["measured"], by["out"]["outcome"], by["out"]["predicted_fits"]) == (None, "oom", False)
    assert (by["lost"]["predicted"], by["lost"]["why"]) == (None, "no figure")
    assert data["overall"]["predicted"] == 3
    assert data["overall"]["median_abs_error"] == pytest.approx(0.1)


def test_the_terminal_shows_the_table_of_outcomes():
    rows = memory.judge(FOUND, FACTS)
    said = text(memory.report(rows, FOUND, FACTS, "some rows", "0" * 64), width=120)
    assert "50.0 % are foretold" in said
    assert "1 of 2 that ran out were said to fit" in said
