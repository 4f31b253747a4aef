"""The workbook: its formulas, calculated by others, give our numbers; and no text of a scenario becomes a formula."""

import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, replace
from xml.etree import ElementTree

import pytest

from exafleet.report.build import report
from exafleet.report.sections.money import cash_by_month
from exafleet.report.table import KINDS, Column, Report, Table, column
from exafleet.report.workbook import FORMS, _letter, workbook
from exafleet.terms.said import said

SPACE = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass(frozen=True, slots=True)
class Found:
    """A cell as the file holds it: a number, text, or a formula with the value it carries."""

    value: float | str | None
    formula: str = ""


@pytest.fixture(scope="module")
def told(tiny):
    """The sample's report, with an order book of three orders, because the sample orders nothing."""
    made = report(tiny.world, tiny.rates, tiny.plan, tiny.trace)
    orders = made.table("orders")
    start = tiny.plan.market.start
    rows = tuple((start + i, "lab", "gb200-nvl72", "maker", units, units * 72.0, each, units * each, start + 9, "")
                 for i, (units, each) in enumerate(((3, 3.1e6), (7, 2.9e6), (1, 3.3333333e6))))
    assert len(rows[0]) == len(orders.columns)
    return replace(made, tables=tuple(replace(t, rows=rows, origins=()) if t is orders else t for t in made.tables))


def read(data: bytes) -> dict[str, dict[str, Found]]:
    """Cells by sheet and reference."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        book = ElementTree.fromstring(file.read("xl/workbook.xml"))
        links = {r.get("Id"): r.get("Target") for r in ElementTree.fromstring(file.read("xl/_rels/workbook.xml.rels"))}
        shared = ["".join(t.text or "" for t in item.iter(f"{{{SPACE['m']}}}t"))
                  for item in ElementTree.fromstring(file.read("xl/sharedStrings.xml"))]
        return {str(s.get("name")): _cells(file.read("xl/" + str(links[s.get(RELATION)]).removeprefix("/xl/")), shared)
                for s in book.findall("m:sheets/m:sheet", SPACE)}


def _cells(sheet: bytes, shared: list[str]) -> dict[str, Found]:
    found = {}
    for cell in ElementTree.fromstring(sheet).iter(f"{{{SPACE['m']}}}c"):
        value, formula = cell.findtext("m:v", None, SPACE), cell.findtext("m:f", "", SPACE)
        if cell.get("t") == "s":
            found[str(cell.get("r"))] = Found(shared[int(str(value))])
        elif cell.get("t") == "str":
            found[str(cell.get("r"))] = Found(value, formula)
        elif value is not None or formula:
            found[str(cell.get("r"))] = Found(float(value) if value else None, formula)
    return found


def calculate(book: dict[str, dict[str, Found]], sheet: str, at: str) -> float:
    """A second way to a cell's number: the formula worked out from the cells it names."""
    cell = book[sheet].get(at, Found(0.0))
    if not cell.formula:
        return float(cell.value or 0.0)
    formula = cell.formula.removeprefix("=")
    if found := re.fullmatch(r"'([^']+)'!([A-Z]+\d+)", formula):
        return calculate(book, found[1], found[2])
    if found := re.fullmatch(r"SUM\(([A-Z]+)(\d+):([A-Z]+)(\d+)\)", formula):
        letters = [_letter(i) for i in range(60)]
        across = letters[letters.index(found[1]):letters.index(found[3]) + 1]
        return sum(calculate(book, sheet, f"{c}{r}") for c in across for r in range(int(found[2]), int(found[4]) + 1))
    if found := re.fullmatch(r"([A-Z]+\d+)([-+*])([A-Z]+\d+)", formula):
        left, right = calculate(book, sheet, found[1]), calculate(book, sheet, found[3])
        return {"+": left + right, "-": left - right, "*": left * right}[found[2]]
    return calculate(book, sheet, formula)


def formulas(book: dict[str, dict[str, Found]]) -> list[tuple[str, str, float]]:
    return [(sheet, at, float(cell.value or 0.0)) for sheet, cells in book.items() for at, cell in cells.items()
            if cell.formula]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_formula_gives_the_number_it_carries(told, language):
    book = read(workbook(told, language))
    live = formulas(book)
    assert len(live) > 50
    for sheet, at, value in live:
        assert calculate(book, sheet, at) == pytest.approx(value, rel=1e-9, abs=1e-6), f"{sheet}!{at}"


@pytest.mark.skipif(shutil.which("soffice") is None, reason="no LibreOffice (Debian: libreoffice-calc-nogui)")
def test_libreoffice_calculates_the_same(told, tmp_path):
    data = workbook(told)
    bare = tmp_path / "bare.xlsx"
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():  # without the values we carry, so that it has to calculate
            new.writestr(name, re.sub(rb"(<f>[^<]*</f>)<v>[^<]*</v>", rb"\1", old.read(name)))
    subprocess.run(["soffice", f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--headless",
                    "--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", str(tmp_path / "out"), str(bare)],
                   check=True, capture_output=True, timeout=300)
    ours, theirs = read(data), read((tmp_path / "out" / "bare.xlsx").read_bytes())
    assert all(value == 0.0 for _, _, value in formulas(read(bare.read_bytes())))
    for sheet, at, value in formulas(ours):
        assert theirs[sheet][at].value == pytest.approx(value, rel=1e-9, abs=1e-6), f"{sheet}!{at}"


def test_totals_and_running_sums_are_formulas(told):
    book = read(workbook(told))
    cash = book["Cash by month"]
    owners = len({cell.value for at, cell in cash.items() if at.startswith("B") and int(at[1:]) > 4})
    assert cash["D5"].formula.removeprefix("=") == "C5"
    assert cash[f"D{5 + owners}"].formula.removeprefix("=") == f"D5+C{5 + owners}"
    assert cash["F5"].formula.removeprefix("=") == "E5-D5"
    orders = book["Order book"]
    assert [orders[f"H{r}"].formula.removeprefix("=") for r in (5, 6, 8)] == ["E5*G5", "E6*G6", "SUM(H5:H7)"]
    cost = told.table("cost")
    last = 4 + len(cost.rows)
    assert book["What it costs"][f"B{last}"].formula.removeprefix("=") == f"SUM(B5:B{last - 1})"
    assert any(cell.formula.endswith(f"!B{last}") for cell in book["Overview"].values())


def test_budget_left_is_budget_less_what_was_paid(tiny):
    for *_, paid, budget, left in cash_by_month(tiny.plan).rows:
        assert (left is None) == (budget is None)
        assert left is None or left == pytest.approx(budget - paid)


def test_heads_name_units_and_numbers_are_in_them(told):
    book, power = read(workbook(told)), told.table("power")
    heads = [book["Power against the limit"][f"{_letter(i)}4"].value for i in range(len(power.columns))]
    assert heads[1] == "Limit at start [kW]"
    assert book["Power against the limit"]["B5"].value == pytest.approx(float(power.rows[0][1]) / 1e3)
    assert set(FORMS) == set(KINDS)


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1", "\r=1", "\n=1",
                                  "{=1}", "</t><f>1</f>", "\x1b[31mred", "a\x00b"])
def test_text_of_a_scenario_is_never_a_formula(evil):
    table = Table(id="t", title=said("text.total"), lead=evil, columns=(Column(title=evil), column("units", "count")),
                  rows=((evil, 1),))
    data = workbook(Report(title=evil, subtitle=evil, summary=(evil,), cards=((evil, evil, evil),), tables=(table,),
                           meta={"exafleet": evil}))
    book = read(data)
    assert formulas(book) == []
    shown = "".join(c if c.isprintable() else " " for c in evil)
    assert book["total"]["A5"].value == shown
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        if shown.startswith(("=", "+", "-", "@")):
            assert b'quotePrefix="1"' in file.read("xl/styles.xml")


def test_the_same_report_gives_the_same_bytes(told):
    assert workbook(told) == workbook(told)


def test_names_of_sheets_are_short_and_each_once():
    tables = tuple(Table(id=f"t{i}", title="A title: that is [much] longer than / Excel takes", lead="", rows=((1,),),
                         columns=(Column(title="n", kind="count"),)) for i in range(3))
    names = list(read(workbook(Report(title="t", subtitle="", summary=(), cards=(), tables=tables))))
    assert len({n.casefold() for n in names}) == 4
    assert all(len(n) <= 31 and not re.search(r"[\[\]:*?/\\]", n) for n in names)
