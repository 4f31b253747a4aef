"""The generated page: every set other tools were judged on has rows here, and tables are sound Markdown."""

import csv
import math
from datetime import date

from exafleet.facts.catalogue import load_facts
from exafleet.report.table import Column, Table
from exafleet.report.validation.page import PEERS, SET_TITLES, SETS, _table, peers
from exafleet.step.measured.training import published


def test_figures_of_other_tools_have_a_known_set_and_a_source():
    facts = load_facts(date.max)
    with PEERS.open(encoding="utf-8", newline="") as file:
        assert [c["peer"] for c in csv.DictReader(file) if c["source"] not in facts.sources or not c["where"]] == []
    assert {p.set for p in peers()} - {"serving"} == set(SETS) == set(SET_TITLES)
    errors = {p: [e for e in (p.mean_error, p.median_error) if math.isfinite(e)] for p in peers()}
    assert all(found and all(0 < e < 1 for e in found) for found in errors.values())
    assert all(p.rows > 0 and p.basis in ("reproduced", "claimed") for p in peers())


def test_every_set_has_rows_in_the_package_and_no_row_is_in_two():
    ids = [row.id for row in published()]
    inside = {name: {i for i in ids if belongs(i)} for name, belongs in SETS.items()}
    assert all(inside.values())
    assert sum(map(len, inside.values())) == len(set().union(*inside.values()))


def test_a_table_is_sound_markdown_whatever_its_cells_hold():
    table = Table(id="t", title="T", lead="L", columns=(Column(title="a"), Column(title="b", kind="count")),
                  rows=(("x | y\nz", 1), (None, 2)))
    lines = list(_table(table))
    assert lines[:5] == ["### T", "", "L", "", "| a | b |"]
    assert lines[5] == "|---|---:|"
    assert lines[6] == "| x \\| y z | 1 |"
    assert lines[7] == "| – | 2 |"
