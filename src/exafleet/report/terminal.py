"""A report in the terminal: sentences, then one rich table per section. Wide tables are left to HTML and JSON."""

from __future__ import annotations

import io

from exafleet.report.table import Report, Table
from exafleet.terms.said import ENGLISH, say


def text(report: Report, *, width: int = 100, colour: bool = False, language: str = ENGLISH) -> str:
    """The report as text in a language, `width` columns wide; without colour it is the same bytes everywhere."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, no_color=not colour, highlight=False,
                      color_system="standard" if colour else None, legacy_windows=False)
    console.print(f"[bold]{_plain(say(report.title, language))}[/]")
    console.print(_plain(say(report.subtitle, language)), style="dim")
    console.print()
    for sentence in report.summary:
        console.print(f"• {_plain(say(sentence, language))}")
    for table in report.tables:
        if not table.wide:
            console.print()
            _section(console, table, language)
    console.print()
    console.print(_plain(" · ".join(report.footer(language))), style="dim")
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def _section(console: object, table: Table, language: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    assert isinstance(console, Console)
    console.print(f"[bold]{_plain(say(table.title, language))}[/]")
    console.print(_plain(say(table.lead if table.rows else table.empty, language)))
    if not table.rows:
        return
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        grid.add_column(_plain(say(column.title, language)), overflow="fold",
                        justify="right" if column.numeric else "left")
    for row in table.written(language):
        grid.add_row(*(_plain(cell) for cell in row))
    console.print(grid)


def _plain(text: str) -> str:
    """Text that rich must not read as markup, and that cannot move the cursor."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else " " for c in text))
