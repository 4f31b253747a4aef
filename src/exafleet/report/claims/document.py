"""A file of claims: which keys there are, what each means, and everything that is wrong with a file at once.

The format is TOML: a title, a source and a day, then one [[claims]] for each claim. Every mistake is told with its
file and line and the nearest words that are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import split_key
from exafleet.facts.scenario.document import Document, parse_text
from exafleet.facts.scenario.tables import Folder, decoded, read_bytes
from exafleet.report.claims import vocabulary
from exafleet.report.claims.claimed import QUANTITIES, Claimed, Quantity, any_amount, claimed
from exafleet.report.claims.records import Claim, Claims, Part
from exafleet.terms.calendar import published
from exafleet.terms.errors import ExafleetError, FactError, Problem, nearest, raise_all
from exafleet.terms.term import terms
from exafleet.terms.units import DATA

FOLDER = DATA / "claims"
_NAMED = {("convert", "to"): ("CNY", "EUR"), ("counted", "unit"): ("GPU", "superchip", "rack")}
# How deep a computation may nest: any that people write is far less.
DEEPEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a file, a claim or a part of one."""

    name: str
    meaning: str
    needed: bool = False
    example: str = ""


FILE_KEYS = (
    Key(name="title", meaning="what the claims are of, in one language or by language", needed=True,
        example='"A report on GB200, December 2024"'),
    Key(name="source", meaning="where they can be read", example='"m.zhuocaishang.com/news/show-83535"'),
    Key(name="as_of", meaning="the day they were made on", needed=True, example="2024-12-19"),
)
CLAIM_KEYS = (
    Key(name="id", meaning="what the claim is called", needed=True, example='"C02"'),
    Key(name="text", meaning="its words, in one language or by language", needed=True,
        example='{ en = "1.08 BUSD is 7.265 BCNY", zh = "10.8亿美元" }'),
    Key(name="quantity", meaning="what kind of figure it is about, a word of the table of quantities", needed=True,
        example='"money"'),
    Key(name="subject", meaning="what it is about: the id or an unambiguous name of a subject", needed=True,
        example='"gb200-nvl72"'),
    Key(name="baseline", meaning="what it is compared with; needed for a speed-up and a ratio", example='"hgx-h100"'),
    Key(name="claimed", meaning="the figure, range, bound, day or yes that is claimed, in English or Chinese",
        needed=True,
        example='"about 7.265B CNY"'),
    Key(name="as_of", meaning="the day it was made on, where it is not the file's", example="2024-12-19"),
    Key(name="conditions", meaning="what its words fix: an option, or a list of them, by axis of the readings",
        example='{ work = "training" }'),
    Key(name="compute", meaning="the computation that decides it", needed=True,
        example='{ convert = { money = "1.08 BUSD", to = "CNY" } }'),
    Key(name="also", meaning="further computations: they inform, or must hold too where they have a `claimed`",
        example='[{ name = "rate implied", compute = { ratio = [7.265, 1.08] } }]'),
    Key(name="source", meaning="where the claim itself can be read, where it is not the file's", example='"page 2"'),
    Key(name="note", meaning="what a reader should know", example='"a rumour"'),
)
PART_KEYS = (
    Key(name="name", meaning="what it is", needed=True, example='"in yuan"'),
    Key(name="compute", meaning="the computation", needed=True, example='{ fact = "gb200-nvl72.chips" }'),
    Key(name="claimed", meaning="what it must give for the claim to hold", example='"507,000 CNY"'),
    Key(name="quantity", meaning="the kind of that figure, where it is not the claim's", example='"money"'),
)


def names() -> tuple[str, ...]:
    """Claims that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_claims(what: str, facts: Facts) -> Claims:
    """The claims in a file, or of the package by name. Raises FactError with every mistake."""
    path = Path(what)
    if not path.exists() and what in names():
        path = FOLDER / f"{what}.toml"
    data = read_bytes(path, path.name)
    if isinstance(data, Problem):
        known = f" Claims of the package: {', '.join(names())}." if not path.exists() else ""
        raise FactError(replace(data, remedy=(nearest(what, names()) or "Name a TOML file.") + known))
    text = decoded(data, path.name)
    if isinstance(text, Problem):
        raise FactError(text)
    return read_claims(parse_text(text, path.name, Folder(path.parent)), facts)


def read_claims(document: Document, facts: Facts) -> Claims:
    """The claims of a document. Raises FactError with every mistake."""
    reader = _Reader(document, facts)
    found = reader.read()
    raise_all(FactError, reader.problems)
    return found


class _Reader:
    """A document on its way to records; `problems` grows."""

    def __init__(self, document: Document, facts: Facts) -> None:
        self.document, self.facts = document, facts
        self.problems: list[Problem] = []
        rows = document.raw.get("claims")
        self.rows: list[Any] = rows if isinstance(rows, list) else []
        self.ids = [row.get("id") for row in self.rows if isinstance(row, dict)]

    def wrong(self, path: tuple[str | int, ...], what: str, got: object = "", allowed: str = "",
              remedy: str = "") -> None:
        """Note a mistake at a path."""
        self.problems.append(Problem(where=self.document.place(path), what=what, allowed=allowed, remedy=remedy,
                                     got="" if got == "" else repr(got)[:120]))

    def read(self) -> Claims:
        raw = self.document.raw
        self.keys({k: v for k, v in raw.items() if k != "claims"}, FILE_KEYS, ())
        day = self.day(raw.get("as_of"), ("as_of",)) or date.min
        if not self.rows:
            self.wrong((), "no claim", remedy="Write one with [[claims]]; docs/claims.md shows how.")
        claims = [self.claim(row, ("claims", i), day) for i, row in enumerate(self.rows)]
        for i, name in enumerate(self.ids):
            if isinstance(name, str) and name and name in self.ids[:i]:
                self.wrong(("claims", i, "id"), f'the id "{name}" is used twice')
        return Claims(title=self.words(raw.get("title"), ("title",)), source=str(raw.get("source", "")), day=day,
                      claims=tuple(c for c in claims if c is not None), file=self.document.file)

    def keys(self, row: Mapping[str, Any], known: Iterable[Key], path: tuple[str | int, ...]) -> None:
        """Unknown, missing and blank keys of one table."""
        every = {key.name: key for key in known}
        for name in row:
            if name not in every:
                self.wrong((*path, name), f'unknown key "{name}"', allowed=", ".join(every),
                           remedy=nearest(name, every))
        for key in every.values():
            if key.name not in row and key.needed:
                self.wrong(path, f'"{key.name}" is missing: {key.meaning}', remedy=f"Write e.g. {key.name} = "
                                                                                   f"{key.example}.")
            elif row.get(key.name) in ("", {}, []) and (key.needed or key.name == "baseline"):
                self.wrong((*path, key.name), f'"{key.name}" is blank: complete it', allowed=key.meaning,
                           remedy=f"Write e.g. {key.name} = {key.example}.")

    def claim(self, row: Any, path: tuple[str | int, ...], day: date) -> Claim | None:
        if not isinstance(row, dict):
            self.wrong(path, "not a table", row)
            return None
        before = len(self.problems)
        self.keys(row, CLAIM_KEYS, path)
        quantity = self.quantity(row.get("quantity"), (*path, "quantity"))
        said = self.claimed(row.get("claimed"), quantity, (*path, "claimed"))
        subject = self.subject(row.get("subject"), (*path, "subject"))
        baseline = self.subject(row.get("baseline"), (*path, "baseline"))
        if quantity is not None and quantity.baseline and "baseline" not in row:
            self.wrong(path, f'a {quantity.name} without a baseline: how many times what?',
                       remedy='Write e.g. baseline = "hgx-h100".')
        self.computation(row.get("compute"), (*path, "compute"))
        parts = self.parts(row.get("also", []), quantity, (*path, "also"))
        conditions = self.conditions(row.get("conditions", {}), row, (*path, "conditions"))
        made = self.day(row.get("as_of"), (*path, "as_of")) if "as_of" in row else day
        text, note = self.text(row.get("text"), (*path, "text")), self.words(row.get("note"), (*path, "note"))
        if len(self.problems) > before or quantity is None or said is None:
            return None
        places = {name: self.document.place((*path, name)) for name in ("compute", "conditions", "claimed")}
        return Claim(id=str(row["id"]), text=text, quantity=quantity, subject=subject, baseline=baseline, claimed=said,
                     day=made or day, conditions=conditions, compute=row["compute"], also=tuple(parts),
                     source=str(row.get("source", "")), note=note, places=places)

    # -------------------------------------------------------------------------------------------------- single keys
    def words(self, value: Any, path: tuple[str | int, ...]) -> str:
        """A text, or one by language; "" where none is given or it is neither."""
        if value in (None, "", {}):
            return ""
        if not _is_words(value):
            self.wrong(path, "not a text, or texts by language", value, '"..." or { en = "...", zh = "..." }')
            return ""
        return vocabulary.text_of(value)

    def text(self, value: Any, path: tuple[str | int, ...]) -> dict[str, str]:
        if isinstance(value, str) and value:
            return {"en": value}
        if vocabulary.is_texts(value):
            return dict(value)
        if value not in (None, "", {}):
            self.wrong(path, "not a text, or texts by language", value, '"..." or { en = "...", zh = "..." }')
        return {}

    def day(self, value: Any, path: tuple[str | int, ...]) -> date | None:
        if type(value) is date:
            return value
        if value in (None, ""):
            return None
        try:
            return published(str(value))
        except ExafleetError as error:
            self.problems += [replace(p, where=self.document.place(path)) for p in error.problems]
            return None

    def quantity(self, value: Any, path: tuple[str | int, ...]) -> Quantity | None:
        found = QUANTITIES.get(value) if isinstance(value, str) else None
        if found is None and value not in (None, ""):
            self.wrong(path, "unknown quantity", value, ", ".join(QUANTITIES), nearest(str(value), QUANTITIES))
        return found

    def claimed(self, value: Any, quantity: Quantity | None, path: tuple[str | int, ...]) -> Claimed | None:
        if quantity is None or value in (None, ""):
            return None
        try:
            return claimed(value, quantity)
        except ExafleetError as error:
            self.problems += [replace(p, where=self.document.place(path), what=(
                f"{p.what} (quantity: {quantity.name})")) for p in error.problems]
            return None

    def subject(self, value: Any, path: tuple[str | int, ...]) -> str:
        if value in (None, ""):
            return ""
        try:
            return self.facts.subjects.resolve(str(value), where=self.document.place(path)).id
        except ExafleetError as error:
            self.problems += error.problems
            return ""

    def parts(self, value: Any, quantity: Quantity | None, path: tuple[str | int, ...]) -> list[Part]:
        if not isinstance(value, list):
            self.wrong(path, "not a list of computations", value)
            return []
        found = []
        for i, row in enumerate(value):
            here = (*path, i)
            if not isinstance(row, dict):
                self.wrong(here, "not a table", row)
                continue
            self.keys(row, PART_KEYS, here)
            kind = self.quantity(row["quantity"], (*here, "quantity")) if "quantity" in row else quantity
            self.computation(row.get("compute"), (*here, "compute"))
            said = self.claimed(row.get("claimed"), kind, (*here, "claimed"))
            found.append(Part(name=self.words(row.get("name"), (*here, "name")), compute=row.get("compute"),
                              claimed=said, place=self.document.place(here)))
        return found

    def conditions(self, value: Any, row: Mapping[str, Any], path: tuple[str | int, ...]) -> dict[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            self.wrong(path, "not a table of options by axis", value, '{ work = "training" }')
            return {}
        also = row.get("also")
        nodes = [row.get("compute"), *(p.get("compute") for p in also if isinstance(p, dict))] if isinstance(
            also, list) else [row.get("compute")]
        axes: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            for axis, options in vocabulary.axes_of(node).items():
                axes[axis] = tuple(dict.fromkeys((*axes.get(axis, ()), *options)))
        return {axis: self.options(axis, asked, axes, (*path, axis)) for axis, asked in value.items()}

    def options(self, axis: str, asked: Any, axes: Mapping[str, tuple[str, ...]],
                path: tuple[str | int, ...]) -> tuple[str, ...]:
        if axis not in axes:
            self.wrong(path, f'condition "{axis}" plays no part in this claim', allowed=", ".join(axes) or "none",
                       remedy=nearest(axis, axes))
            return ()
        words = tuple(asked) if isinstance(asked, list) else (asked,)
        for word in words:
            if word not in axes[axis]:
                self.wrong(path, f'no option of "{axis}"', word, ", ".join(axes[axis]),
                           nearest(str(word), axes[axis]))
        return tuple(str(w) for w in words)

    # ------------------------------------------------------------------------------------------------ computations
    def computation(self, node: Any, path: tuple[str | int, ...], deep: int = 0) -> None:
        """Note everything that is wrong with a computation."""
        if deep > DEEPEST:
            self.wrong(path, "nested too deeply", allowed=f"at most {DEEPEST} levels")
        elif isinstance(node, str) and node:
            if any_amount(node) is None:
                self.wrong(path, "neither a quantity nor a day", node, '"1.08 BUSD", "72 GPUs", "2025-03-01", or a '
                           "table with a word such as { fact = ... }")
        elif isinstance(node, dict) and node:
            self.word(node, path, deep)
        elif node not in (None, "", {}) and not isinstance(node, int | float | date):
            self.wrong(path, "not a computation", node, "a number, a quantity, a day, or a table with one word")

    def word(self, node: Mapping[str, Any], path: tuple[str | int, ...], deep: int) -> None:
        unknown = [name for name in node if name not in vocabulary.WORDS]
        for name in unknown:
            self.wrong((*path, name), f'unknown word "{name}"', allowed=", ".join(vocabulary.WORDS),
                       remedy=nearest(name, vocabulary.WORDS))
        if unknown:
            return
        if len(node) > 1:
            self.wrong(path, "more than one word", ", ".join(node), "one word in a table")
            return
        (name,) = node
        word = vocabulary.WORDS[name]
        given = {"": node[name]} if "" in word.takes else node[name]
        if not isinstance(given, dict):
            self.wrong((*path, name), f'"{name}" takes a table', given, word.example)
            return
        self.arguments(word, given, (*path, name))
        for inside, child in vocabulary.children(node):
            self.computation(child, (*path, *inside), deep + 1)

    def arguments(self, word: vocabulary.Word, given: Mapping[str, Any], path: tuple[str | int, ...]) -> None:
        for name in given:
            if name not in word.takes:
                self.wrong((*path, name), f'"{word.name}" does not take "{name}"', allowed=", ".join(word.takes),
                           remedy=nearest(name, word.takes))
        for name in word.needs:
            if name not in given:
                self.wrong(path, f'"{word.name}" lacks "{name}": {vocabulary.MEANING[word.takes[name]]}',
                           remedy=f"Write e.g. {word.example}.")
        for name, value in given.items():
            if name in word.takes:
                self.argument(word, word.takes[name], value, (*path, name) if name else path)

    def argument(self, word: vocabulary.Word, form: str, value: Any, path: tuple[str | int, ...]) -> None:
        """One argument that is no computation itself, or the outside of one that is."""
        if form in (vocabulary.KEY, vocabulary.SERIES):
            self.key(value, path)
        elif form == vocabulary.CLAIM and value not in self.ids:
            self.wrong(path, "no such claim in this file", value, remedy=nearest(str(value), map(str, self.ids)))
        elif (form == vocabulary.TEXT and not (isinstance(value, str) and value)) or (
                form == vocabulary.WORD and value in ("", {})):
            self.wrong(path, "not a name", value)
        elif form == vocabulary.WORD:
            self.words(value, path)
        elif form == vocabulary.TEXT:
            self.named(word, str(path[-1]), value, path)
        elif form == vocabulary.NODES and not (isinstance(value, list) and len(value) >= vocabulary.LEAST.get(
                word.name, 1)):
            self.wrong(path, f'"{word.name}" takes a list of computations', value,
                       f"at least {vocabulary.LEAST.get(word.name, 1)}", f"Write e.g. {word.example}.")
        elif form == vocabulary.WAYS:
            self.ways(value, path)

    def named(self, word: vocabulary.Word, argument: str, value: str, path: tuple[str | int, ...]) -> None:
        """A name that stands for a system, a model, a currency or a unit."""
        kinds = {"system": "system", "of": "system", "over": "system", "model": "model"}
        allowed = (word.axes or {}).get(argument) or _NAMED.get((word.name, argument))
        if allowed is not None and value not in allowed:
            self.wrong(path, f'not a word for "{argument}"', value, ", ".join(allowed), nearest(value, allowed))
        if argument in kinds and word.name != "total":
            try:
                self.facts.subjects.resolve(value, kinds[argument], where=self.document.place(path))
            except ExafleetError as error:
                self.problems += error.problems

    def ways(self, value: Any, path: tuple[str | int, ...]) -> None:
        if not isinstance(value, list) or len(value) < 2:
            self.wrong(path, "not a list of ways", value, "at least two of { when = ..., take = ... }")
            return
        for i, way in enumerate(value):
            if not isinstance(way, dict) or set(way) != {"when", "take"} or not _is_words(way["when"]):
                self.wrong((*path, i), "not a way", way, '{ when = "GPU", take = { fact = ... } }')
        names = [vocabulary.text_of(way["when"]) for way in value if isinstance(way, dict) and "when" in way]
        for twice in dict.fromkeys(name for i, name in enumerate(names) if name in names[:i]):
            self.wrong(path, f'two ways are called "{twice}"', remedy="Name each by what sets it apart.")

    def key(self, value: Any, path: tuple[str | int, ...]) -> None:
        """A key whose subject or term is unknown is a mistake; a fact that is not known by a day is not."""
        subject, name, _ = split_key(value) if isinstance(value, str) else ("", "", "")
        if subject not in self.facts.subjects.by_id:
            self.wrong(path, f'no fact has the subject "{subject}"', value,
                       remedy=nearest(subject, self.facts.subjects.by_id))
        if name not in terms():
            self.wrong(path, f'no fact has the term "{name}"', value, remedy=nearest(name, terms()))


def _is_words(value: Any) -> bool:
    """Whether a value is a text, or texts by language."""
    return (isinstance(value, str) and bool(value)) or vocabulary.is_texts(value)
