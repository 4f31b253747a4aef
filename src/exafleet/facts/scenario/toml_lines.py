"""On which line each key of a TOML text stands, and the comment that goes with it.

`tomllib` reads values and forgets where they were. This walks over a text that `tomllib` has already accepted (so it
need not judge it) and remembers the line of every key, array element and table header. Comments are kept because the
scenario format reads them as the source of a number.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_BLANKS = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile("|".join((
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', r"'''(?:[^']|'(?!''))*'{3,5}", r'"(?:[^"\\\n]|\\.)*"', r"'[^'\n]*'")),
    re.DOTALL)
_CONTINUED = re.compile(r"[ \t]+#")
_SCALAR = re.compile(r"[^,\]}#\n]+")


@dataclass(slots=True)
class Lines:
    """Lines (from 1) and comments by path; a path is keys and indices: ("offers", 2, "price")."""

    lines: dict[Path, int] = field(default_factory=dict)
    comments: dict[Path, str] = field(default_factory=dict)

    def line(self, path: Sequence[str | int]) -> int:
        """Line of a path, or of the nearest enclosing thing that has one; 1 when there is none."""
        for end in range(len(path), 0, -1):
            found = self.lines.get(tuple(path[:end]))
            if found is not None:
                return found
        return 1

    def comment(self, path: Sequence[str | int]) -> str:
        """The comment that belongs to a path, or ""."""
        return self.comments.get(tuple(path), "")


def locate(text: str) -> Lines:
    """Lines and comments of a text that tomllib accepts; line ends must be "\\n"."""
    return _Walker(text).walk()


class _Walker:
    """A cursor over the text. Every method starts at `self.at` and leaves it behind what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = Lines()
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.rows = text.split("\n")
        self.arrays: dict[Path, int] = {}

    def walk(self) -> Lines:
        table: Path = ()
        self.skip(_BLANKS)
        while self.at < len(self.text):
            before = self.at
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.statement(table)
            self.skip(_BLANKS)
            if self.at == before:  # never on valid TOML; a locator must not hang on what it misreads
                break
        return self.found

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Text matched here (possibly "") and moved over."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def line_of(self, position: int) -> int:
        return bisect_right(self.starts, position)

    def note(self, path: Path, position: int) -> None:
        """Remember a line for a path, and for dotted parents seen first here."""
        line = self.line_of(position)
        for end in range(1, len(path) + 1):
            self.found.lines.setdefault(path[:end], line)

    def header(self) -> Path:
        """[table] or [[array of tables]]; gives its path with indices."""
        start = self.at
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        keys = self.keys()
        self.skip(_BLANK)
        self.at += 2 if double else 1
        path: Path = (*self.resolve(keys[:-1]), keys[-1])
        if double:
            self.arrays[path] = self.arrays.get(path, 0) + 1
        path = self.indexed(path)
        self.note(path, start)
        return path

    def resolve(self, keys: Path) -> Path:
        path: Path = ()
        for key in keys:
            path = self.indexed((*path, key))
        return path

    def indexed(self, path: Path) -> Path:
        """A path into an array of tables means its latest element."""
        return (*path, self.arrays[path] - 1) if path in self.arrays else path

    def keys(self) -> Path:
        """A dotted key."""
        parts: list[str] = []
        while True:
            self.skip(_BLANK)
            quoted = self.skip(_STRING)
            parts.append(_unquoted(quoted) if quoted else self.skip(_BARE_KEY))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def statement(self, table: Path) -> None:
        """key = value, with its comment."""
        start = self.at
        path = self.pair(table)
        comment = self.comment(self.line_of(start), self.line_of(max(start, self.at - 1)))
        if comment:
            self.found.comments[path] = comment

    def pair(self, table: Path) -> Path:
        start = self.at
        path = (*table, *self.keys())
        self.note(path, start)
        self.skip(_BLANK)
        self.at += 1  # the "="
        self.skip(_BLANK)
        self.value(path)
        return path

    def value(self, path: Path) -> None:
        here = self.text[self.at:self.at + 1]
        if here == "[":
            self.array(path)
        elif here == "{":
            self.inline_table(path)
        elif not self.skip(_STRING):
            self.skip(_SCALAR)

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        self.skip(_BLANKS)
        while self.at < len(self.text) and self.text[self.at] != "]":
            before = self.at
            self.note((*path, index), self.at)
            self.value((*path, index))
            self.separator()
            index += 1
            if self.at == before:
                break
        self.at += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        self.skip(_BLANKS)
        while self.at < len(self.text) and self.text[self.at] != "}":
            before = self.at
            self.pair(path)
            self.separator()
            if self.at == before:
                break
        self.at += 1

    def separator(self) -> None:
        self.skip(_BLANKS)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_BLANKS)

    def comment(self, first: int, last: int) -> str:
        """The comment behind a statement with its indented continuation, else the block of comment lines above it."""
        behind = self.text[self.at:self.starts[last] if last < len(self.starts) else len(self.text)].strip()
        if behind.startswith("#"):
            end = last
            while end < len(self.rows) and _CONTINUED.match(self.rows[end]):
                end += 1
            return _plain([behind, *self.rows[last:end]])
        above: list[str] = []
        for number in range(first - 2, -1, -1):
            if not self.rows[number].startswith("#"):
                break
            above.insert(0, self.rows[number])
        return _plain(above)


def _unquoted(text: str) -> str:
    if text.startswith('"') and "\\" in text:
        return str(tomllib.loads(f"k = {text}")["k"])
    return text[1:-1]


def _plain(rows: Sequence[str]) -> str:
    """Comment rows as one text; rulers ("# -----") and directives ("#:schema") say nothing."""
    words = [row.strip().lstrip("#").strip() for row in rows if not row.startswith("#:")]
    return " ".join(w for w in words if w and not w.startswith("---"))
