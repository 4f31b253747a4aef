"""The reader of tables: all mistakes at once, with file and line, and never anything but FactError."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.table import COLUMNS
from exafleet.terms.errors import FactError

DAY = date(2026, 6, 30)
GOOD = ("h100-sxm", "chip_price", "2025-01", "25000", "24000", "26000", "USD/GPU", "price", "quote 17", "page 1",
        "2025-01-10", "")
ODD = ("", "nan", "inf", "1e999", "-1", "TB", "2025-13", "0000", "@", "  ", "ü", '"')
CELLS = st.one_of(st.sampled_from([*GOOD, *ODD]), st.text(max_size=8))


def _table(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "quotes.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def _row(**cells: str) -> tuple[str, ...]:
    return tuple({**dict(zip(COLUMNS, GOOD, strict=True)), **cells}.values())


def _read(path: Path) -> Facts:
    return load_facts(DAY, own=[path])


def test_an_own_fact_wins_and_is_read_in_its_unit(tmp_path: Path) -> None:
    facts = _read(_table(tmp_path, _row(unit="kUSD/GPU", value="25", low="24", high="26")))
    fact = facts.get("h100-sxm.chip_price@2025-01")
    assert (fact.value, fact.low, fact.high) == (25e3, 24e3, 26e3)
    assert (fact.own, fact.file, fact.line) == (True, "quotes.csv", 2)


@pytest.mark.parametrize(("cells", "told"), [
    ({"unit": "USD/GPUs"}, 'unknown unit "USD/GPUs"'),
    ({"unit": "kWh"}, 'unit "kWh" is one of energy, chip_price needs price_per_chip'),
    ({"unit": "USD/rack"}, "needs price_per_chip"),
    ({"term": "chip_prise"}, "Did you mean 'chip_price'"),
    ({"subject": "h100-sxn"}, "Did you mean 'h100-sxm'"),
    ({"subject": "My GPU"}, "lower case, without spaces"),
    ({"value": "-5", "low": "", "high": ""}, "out of range"),
    ({"value": "nan", "low": "", "high": ""}, "value is not a number"),
    ({"value": "1e999", "low": "", "high": ""}, "value is not a number"),
    ({"value": "25_000"}, "value is not a number"),
    ({"value": "25,000"}, "value is not a number"),
    ({"low": "27000"}, "low <= value <= high does not hold"),
    ({"kind": "fact"}, "allowed: measured, spec, published"),
    ({"source": ""}, "no source"),
    ({"where": ""}, "no place in the source"),
    ({"as_of": "yesterday"}, "as_of is not a date"),
    ({"as_of": "2025-13"}, "as_of is not a date"),
    ({"as_of": "0000"}, "as_of is not a date"),
    ({"at": "a@b"}, "holds no '@'"),
    ({"term": "announced", "unit": "date", "value": "soon", "low": "", "high": ""}, "value is not a date"),
])
def test_a_wrong_cell_is_told_with_its_line(tmp_path: Path, cells: dict[str, str], told: str) -> None:
    with pytest.raises(FactError) as caught:
        _read(_table(tmp_path, _row(at="2024-12"), _row(**cells)))
    (problem,) = caught.value.problems
    assert problem.where == "quotes.csv:3"
    assert told in str(problem)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    wrong = _row(unit="kWh", kind="x", as_of="soon", source="")
    with pytest.raises(FactError) as caught:
        _read(_table(tmp_path, wrong, _row(value="x"), GOOD, GOOD))
    assert [p.where for p in caught.value.problems] == ["quotes.csv:2"] * 4 + ["quotes.csv:3", "quotes.csv:5"]
    assert "the same fact twice; got first at quotes.csv:4" in str(caught.value)


@pytest.mark.parametrize(("content", "told"), [
    (b"", "quotes.csv: empty"),
    (b"\xff\xfe\x00", "quotes.csv: not UTF-8; got byte 0"),
    (b"subject,term\nx,y\n", "quotes.csv:1: wrong columns, lacks at, value"),
    (",".join(COLUMNS).encode() + b',colour\n', "has 'colour'"),
    (",".join(COLUMNS).encode() + b'\n"a,b\n', "not CSV"),
    (",".join(COLUMNS).encode() + b"\na,b,c\n", "quotes.csv:2: 3 cells under 12 columns"),
])
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "quotes.csv"
    path.write_bytes(content)
    with pytest.raises(FactError) as caught:
        _read(path)
    assert told in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FactError, match=r"quotes.csv: cannot be read"):
        _read(tmp_path / "quotes.csv")


def test_columns_may_come_in_any_order_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = _table(tmp_path, GOOD[::-1], header=COLUMNS[::-1])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert _read(path).value("h100-sxm.chip_price@2025-01") == 25e3


def test_own_tables_may_name_new_subjects_and_declare_new_systems(tmp_path: Path) -> None:
    declared = tmp_path / "mine.csv"
    declared.write_text("subject,name,kind,vendor,family,chip,aliases,note\n"
                        "our-node,Our node,system,us,,h100-sxm,mynode,\n", encoding="utf-8")
    plain = {"at": "", "low": "", "high": ""}
    rows = _table(tmp_path, _row(subject="our-node", term="chips", value="4", unit="1", **plain),
                  _row(subject="framework-deal-7", term="contract_value", unit="MUSD", value="3", **plain))
    facts = load_facts(DAY, own=[declared, rows])
    assert facts.value("our-node.chips") == 4
    assert facts.value("framework-deal-7.contract_value") == 3e6
    assert facts.subjects.resolve("MyNode").chip == "h100-sxm"


def test_a_system_of_an_unknown_chip_is_refused(tmp_path: Path) -> None:
    declared = tmp_path / "mine.csv"
    declared.write_text("subject,name,kind,vendor,family,chip,aliases,note\nour-node,Our node,system,us,,h100-sxn,,\n",
                        encoding="utf-8")
    with pytest.raises(FactError, match=r'mine.csv:2: system our-node holds an unknown chip "h100-sxn"'):
        load_facts(DAY, own=[declared])


def _package(folder: Path) -> Path:
    """The smallest package: one chip, no facts."""
    folder.mkdir()
    folder.joinpath("subjects.csv").write_text(
        "subject,name,kind,vendor,family,chip,aliases,note\nh100-sxm,H100,chip,,,,,\n", encoding="utf-8")
    folder.joinpath("sources.csv").write_text("source,title,url_or_ref,date,note\n", encoding="utf-8")
    return folder


def _survives(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quotes.csv"
        path.write_bytes(content)
        try:
            facts = load_facts(DAY, own=[path], data=_package(Path(folder) / "data"))
        except FactError as error:
            sound = all("quotes.csv" in p.where for p in error.problems)
        else:
            sound = all(f.low <= f.value <= f.high for f in facts if f.own)
    assert sound


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _survives(content)


@given(st.lists(st.lists(CELLS, min_size=12, max_size=12), max_size=4))
def test_any_cells_are_read_or_refused(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    _survives(text.getvalue().encode("utf-8", "surrogatepass"))


@given(st.lists(CELLS, min_size=1, max_size=13), st.lists(st.lists(CELLS, max_size=13), max_size=3))
def test_any_header_is_read_or_refused(header: list[str], rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    _survives(text.getvalue().encode("utf-8", "surrogatepass"))
