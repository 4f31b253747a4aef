"""A report as an Excel workbook: one sheet a section, totals and running sums as live formulas, units in the heads.

A formula is written only where the report's own number is that sum or product, and carries that number as its value, so
that a reader without a calculating program sees the same. Text is written as text whatever it begins with.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from exafleet.report.table import Cell, Column, Report, Table
from exafleet.terms.calendar import month_start
from exafleet.terms.said import ENGLISH, Said, said, say

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

# kind -> (unit in the head, raw value of one such unit, number format)
FORMS: dict[str, tuple[str, float, str]] = {
    "money": ("USD", 1.0, "#,##0.00"),
    "power": ("kW", 1e3, "#,##0.0"),
    "energy": ("MWh", 3.6e9, "#,##0.0"),
    "count": ("", 1.0, "#,##0"),
    "share": ("", 1.0, "0.0%"),
    "error": ("", 1.0, "0.0%"),
    "change": ("", 1.0, "+0.0%;-0.0%"),
    "points": ("%", 0.01, "+0.0;-0.0"),
    "month": ("", 1.0, "yyyy-mm"),
    "tokens": ("token", 1.0, "#,##0"),
    "token_rate": ("token/s", 1.0, "#,##0.0"),
    "number": ("", 1.0, "#,##0.####"),
    "rent": ("USD/GPU-h", 1 / 3600, "0.000"),
    "time": ("s", 1.0, "#,##0.000"),
    "bytes": ("GB", 1e9, "#,##0.0"),
    "energy_per_token": ("J/token", 1.0, "0.0000"),
    "short": ("", 1.0, "#,##0"),
}
_HEAD = 3            # the row of the column heads, counted from 0
_WIDEST = 60
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_SHEET = 31          # characters Excel allows in the name of a sheet

# The formula of a cell from its row and the letters of the columns by key, or None: (row as Excel counts, columns).
Rule = Callable[[int, dict[str, str]], str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its name, its table, and where the table's columns stand, by key."""

    name: str
    table: Table
    letters: dict[str, str]

    @property
    def first(self) -> int:
        """Row of the first cell, as Excel counts."""
        return _HEAD + 2

    @property
    def last(self) -> int:
        """Row of the last cell, as Excel counts."""
        return self.first + len(self.table.rows) - 1


def workbook(report: Report, language: str = ENGLISH) -> bytes:
    """The report as an .xlsx file; the same report gives the same bytes."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
                                     "strings_to_numbers": False, "nan_inf_to_errors": False})
    day = date.fromisoformat(str(report.meta.get("as of", "2000-01-01")))
    book.set_properties({"title": _clean(say(report.title, language)), "created": datetime.combine(day, time(), UTC)})
    forms = _Forms(book)
    sheets = _sheets(report, language)
    _overview(book, forms, report, sheets, language)
    for sheet in sheets:
        _section(book.add_worksheet(sheet.name), forms, sheet, language)
    book.close()
    return out.getvalue()


class _Forms:
    """Cell formats of one workbook, each made once."""

    def __init__(self, book: Workbook) -> None:
        self._book, self._made = book, {}  # type: tuple[Workbook, dict[tuple[Any, ...], Any]]

    def __call__(self, **properties: Any) -> Any:
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format({"valign": "top", **properties})
        return self._made[key]


def _sheets(report: Report, language: str) -> list[Sheet]:
    taken: set[str] = {say(said("page.overview"), language)}
    return [Sheet(_name(say(t.title, language), taken), t, {_key(c): _letter(i) for i, c in enumerate(t.columns)})
            for t in report.tables if t.rows]


def _name(title: str, taken: set[str]) -> str:
    """A name Excel takes: short, without the characters it forbids, each once."""
    plain = "".join(" " if c in "[]:*?/\\'" else c for c in _clean(title)).strip() or "-"
    if len(plain) > _SHEET:  # rather a word less than half a word
        plain = plain[:_SHEET + 1].rpartition(" ")[0].rstrip() or plain
    name, number = plain[:_SHEET], 2
    while name.casefold() in {t.casefold() for t in taken}:
        name, number = f"{plain[:_SHEET - 4]} {number}", number + 1
    taken.add(name)
    return name


def _key(column: Column) -> str:
    return column.title.key if isinstance(column.title, Said) else f"name:{column.title}"


def _letter(index: int) -> str:
    """Name of a column: 0 is A, 26 is AA."""
    return (_letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


# --------------------------------------------------------------------------------------------------------- contents
def _overview(book: Workbook, forms: _Forms, report: Report, sheets: Sequence[Sheet], language: str) -> None:
    """The sentences, the large numbers (live where a sheet holds their total), and what the sheets are."""
    page = book.add_worksheet(say(said("page.overview"), language))
    page.set_column(0, 0, 40)
    page.set_column(1, 2, 44)
    _one_page_wide(page)
    row = _lines(page, forms, 0, [(say(report.title, language), {"bold": True, "font_size": 14}),
                                  (say(report.subtitle, language), {"font_color": "#56616C"})])
    row = _lines(page, forms, row + 1, [(say(s, language), {}) for s in report.summary])
    row += 1
    for label, value, small in report.cards:
        _text(page, forms, row, 0, say(label, language), bold=True)
        _text(page, forms, row, 1, say(value, language))
        _text(page, forms, row, 2, say(small, language))
        row += 1
    row += 1
    for name, form, formula, number in _totals(sheets):
        _text(page, forms, row, 0, f"{say(name, language)} [{form}]", bold=True)
        page.write_formula(row, 1, formula, forms(num_format="#,##0.00", align="left"), number)
        row += 1
    row = _lines(page, forms, row + 1, [(say(said("page.contents"), language), {"bold": True})])
    link = {"font_color": "#0B5CAD", "underline": 1}
    for sheet in sheets:
        page.write_url(row, 0, f"internal:'{sheet.name}'!A1", forms(**link), say(sheet.table.title, language))
        lead = say(sheet.table.lead, language)
        page.merge_range(row, 1, row, 2, "", forms(text_wrap=True))
        page.set_row(row, 16 * (1 + _width(lead) // 96))
        _text(page, forms, row, 1, lead, text_wrap=True)
        row += 1
    _lines(page, forms, row + 1, [(line, {"font_color": "#56616C"}) for line in report.footer(language)])


def _totals(sheets: Sequence[Sheet]) -> Iterator[tuple[str, str, str, float]]:
    """Name, unit, formula and value of the totals the sheets hold."""
    for sheet in sheets:
        if _is_total(sheet.table):
            for i, column in enumerate(sheet.table.columns):
                value = sheet.table.rows[-1][i]
                told = column.kind == "money" and _key(column) in ("column.mean", "column.all")
                if told and isinstance(value, int | float):
                    yield sheet.table.title, "USD", f"='{sheet.name}'!{_letter(i)}{sheet.last}", float(value)
        elif sheet.table.id == "orders":
            total = sum(float(row[7] or 0) for row in sheet.table.rows)
            yield sheet.table.title, "USD", f"='{sheet.name}'!{sheet.letters['column.total']}{sheet.last + 1}", total


def _lines(page: Worksheet, forms: _Forms, row: int, lines: Sequence[tuple[str, dict[str, Any]]]) -> int:
    for text, form in lines:
        _text(page, forms, row, 0, text, **form)
        row += 1
    return row


def _section(page: Worksheet, forms: _Forms, sheet: Sheet, language: str) -> None:
    table = sheet.table
    _text(page, forms, 0, 0, say(table.title, language), bold=True, font_size=13)
    head, written = [_head(c, language) for c in table.columns], table.written(language)
    widths = [min(_WIDEST, 2 + max(map(_width, (text, *(row[c] for row in written))))) for c, text in enumerate(head)]
    _lead(page, forms, say(table.lead, language), widths)
    for i, text in enumerate(head):
        page.set_column(i, i, widths[i])
        _text(page, forms, _HEAD, i, text, bold=True, bg_color="#E8ECF0", text_wrap=True, bottom=1,
              **_side(table.columns, i))
    rules = _formulas(sheet)
    for r, row in enumerate(table.rows):
        total = _is_total(table) and r == len(table.rows) - 1
        for c, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
            _cell(page, forms, (_HEAD + 1 + r, c), column, cell, rules.get((r, c), ""), language,
                  bold=total, **_side(table.columns, c))
    if table.id == "orders":
        _sums(page, forms, sheet, language)
    page.freeze_panes(_HEAD + 1, 1)
    page.repeat_rows(_HEAD)
    _one_page_wide(page)


def _side(columns: Sequence[Column], at: int) -> dict[str, Any]:
    """Numbers stand right, words and months left, and not at once beside the number in the column before."""
    if columns[at].numeric:
        return {"align": "right"}
    return {"align": "left", "indent": 1} if at and columns[at - 1].numeric else {"align": "left"}


def _one_page_wide(page: Worksheet) -> None:
    """On paper a sheet is as wide as the page and as long as it needs."""
    page.set_landscape()
    page.fit_to_pages(1, 0)


def _lead(page: Worksheet, forms: _Forms, text: str, widths: Sequence[int]) -> None:
    """The sentence above a table, as wide as the table and as high as it needs."""
    form: dict[str, Any] = {"font_color": "#56616C", "text_wrap": True}
    if len(widths) > 1:
        page.merge_range(1, 0, 1, len(widths) - 1, "", forms(**form))
    page.set_row(1, 16 * (1 + int(1.1 * _width(text)) // sum(widths)))
    _text(page, forms, 1, 0, text, **form)


def _head(column: Column, language: str) -> str:
    unit = FORMS[column.kind][0] if column.kind in FORMS else ""
    title = say(column.title, language)
    return f"{title} [{unit}]" if unit and "[" not in title else title


def _cell(page: Worksheet, forms: _Forms, at: tuple[int, int], column: Column, cell: Cell, formula: str, language: str,
          **properties: Any) -> None:
    """One cell: a formula with its value, a date, a number in the unit of the head, or text; absence stays empty."""
    if cell is None:
        return
    if isinstance(cell, str):
        _text(page, forms, *at, say(cell, language), text_wrap=_width(cell) > _WIDEST, **properties)
        return
    _, factor, number = FORMS[column.kind]
    form = forms(num_format=number, **properties, **({"top": 1} if properties["bold"] else {}))
    if column.kind == "month":
        page.write_datetime(*at, datetime.combine(month_start(int(cell)), time()), form)
    elif formula:
        page.write_formula(*at, formula, form, cell / factor)
    elif cell == cell and abs(cell) != float("inf"):
        page.write_number(*at, cell / factor, form)
    else:
        _text(page, forms, *at, column.written(cell, language))


def _text(page: Worksheet, forms: _Forms, row: int, column: int, text: str, **form: Any) -> None:
    """Text that stays text: also where it is edited, when it begins like a formula."""
    plain = _clean(text)
    quoted = {"quote_prefix": True} if plain.startswith(_RISKY) else {}
    page.write_string(row, column, plain, forms(**form, **quoted))


def _sums(page: Worksheet, forms: _Forms, sheet: Sheet, language: str) -> None:
    """A line of totals below the order book, which the report tells in its sentence."""
    _text(page, forms, sheet.last, 0, say(said("text.total"), language), bold=True)
    for c, column in enumerate(sheet.table.columns):
        if _key(column) in ("column.units", "column.chips", "column.total"):
            value = sum(float(row[c] or 0) for row in sheet.table.rows)
            page.write_formula(sheet.last, c, f"=SUM({_letter(c)}{sheet.first}:{_letter(c)}{sheet.last})",
                               forms(num_format=FORMS[column.kind][2], bold=True, top=1), value)


# --------------------------------------------------------------------------------------------------------- formulas
def _is_total(table: Table) -> bool:
    """Whether the last row is the sum of those above it."""
    first = table.rows[-1][0] if table.rows else None
    return isinstance(first, Said) and first.key == "text.total"


def _formulas(sheet: Sheet) -> dict[tuple[int, int], str]:
    """Formula by row and column, counted from 0, wherever the table's number is a sum or product of its others."""
    table, found = sheet.table, dict[tuple[int, int], str]()
    keys = [_key(c) for c in table.columns]
    if _is_total(table):
        last = len(table.rows) - 1
        found |= {(last, c): f"=SUM({_letter(c)}{sheet.first}:{_letter(c)}{sheet.last - 1})"
                  for c, column in enumerate(table.columns) if column.kind == "money"}
    if "column.all" in keys:
        at = keys.index("column.all")
        found |= {(r, at): f"=SUM(B{sheet.first + r}:{_letter(at - 1)}{sheet.first + r})"
                  for r in range(len(table.rows))}
    if table.id == "orders":
        at, units, each = (keys.index(f"column.{name}") for name in ("total", "units", "price each"))
        found |= {(r, at): f"={_letter(units)}{sheet.first + r}*{_letter(each)}{sheet.first + r}"
                  for r in range(len(table.rows))}
    if table.id == "cash-by-month":
        found |= _running(sheet, keys)
    return found


def _running(sheet: Sheet, keys: Sequence[str]) -> dict[tuple[int, int], str]:
    """What was paid so far and what is left of the budget, by owner, each from the row of the month before."""
    owner, out, far, budget, left = (keys.index(f"column.{name}") for name in
                                     ("owner", "cash out", "so far", "budget so far", "balance"))
    found, before = {}, dict[Cell, int]()
    for r, row in enumerate(sheet.table.rows):
        line = sheet.first + r
        earlier = f"{_letter(far)}{before[row[owner]]}+" if row[owner] in before else ""
        found[r, far] = f"={earlier}{_letter(out)}{line}"
        found[r, left] = f"={_letter(budget)}{line}-{_letter(far)}{line}"
        before[row[owner]] = line
    return found


def _clean(text: str) -> str:
    """Text without characters that cannot be shown."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def _width(text: str) -> int:
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)
