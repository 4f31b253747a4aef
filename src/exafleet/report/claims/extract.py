"""Claims proposed from a text, by rules and for a person to complete: nothing here decides anything.

Each figure of the text becomes a proposal with its span, its quantity and what it may be about: a subject or a baseline
is filled in where the sentence names one that can mean one thing only, and left blank otherwise.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from exafleet.facts.subjects import Subjects
from exafleet.report.claims.claimed import QUANTITIES
from exafleet.report.claims.figures import figures
from exafleet.report.claims.naming import Name, Spoken, names
from exafleet.report.claims.spans import Figure
from exafleet.report.claims.texts import Text
from exafleet.report.table import Column, Report, Table

# A line break ends a sentence unless the line is long, as where a text is wrapped, and the next goes on.
_END = re.compile(r"[。！？；]|[.!?;](?=\s|$)|\n(?:(?<![^\n]{50}\n)|(?=\s*(?:[-*\u2022#]|\n|$)))")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# A text is read in pieces of about so many characters, so that progress can be told and Ctrl-C leaves what was found.
PIECE = 50_000
_THAN = re.compile(r"(?:\bthan|\bover|\bvs\.?|\bversus|\bagainst|\bcompared (?:with|to)|\brelative to|\bof|"
                   r"比|相比|较|相对于?|是|前代)"
                   r"[^,，。]{0,30}$", re.IGNORECASE)
_SPEED = re.compile(r"fast|speed|perform|throughput|training|inference|quick|性能|速度|提速|更快|算力|训练|推理",
                    re.IGNORECASE)
_STRAIGHT = re.compile(r"\s*(?:(?:as|more)\s\w+\s(?:as|than)\s)?(?:an?|the|that of)?\s*(?:previous|前代|上一代)?\s*",
                       re.IGNORECASE)
_COMMA = re.compile(r"[,，、](?!\d)")
LONGEST = 400
MOST_ROWS = 500
_BLANK = re.compile(r"\s")
_COMPARED = frozenset(name for name, quantity in QUANTITIES.items() if quantity.baseline)
_YEAR = re.compile(r"[+-]\d(?=-|$)|\?")
_TO_COME = re.compile(r"\b(?:will|shall|next|expects?|expected|plans?|planned|due|scheduled|to follow)\b|"
                      r"预计|将|计划|有望", re.IGNORECASE)
_OF = re.compile(r"\s*(?:GPU|芯片)?\s*的?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A claim as far as rules can tell it.

    start, end         span of the figure in the text, in characters
    text               its sentence
    subject, baseline  ids, or "" for a person to fill in; `meanings` has what the names near it can mean
    """

    id: str
    start: int
    end: int
    said: str
    text: str
    language: str
    quantity: str
    claimed: str
    unit: str
    subject: str
    baseline: str
    meanings: Mapping[str, tuple[str, ...]]

    @property
    def blanks(self) -> tuple[str, ...]:
        """What a person has to fill in before it can be checked."""
        needs = QUANTITIES[self.quantity].baseline
        every = {"subject": self.subject, "claimed": self.claimed, "baseline": self.baseline or ("" if needs else "-")}
        return (*(key for key, value in every.items() if not value), "compute")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sentence:
    """A sentence and the names in it; `words` is blank where it is too long to be given whole."""

    first: int
    last: int
    near: Sequence[Name]
    words: str
    language: str


def extract(text: Text, subjects: Subjects, day: date | None = None) -> list[Proposal]:
    """Proposals from a text, in its order.

    day   the day the text is of, for days without a year; None leaves them blank
    """
    return [p for _, found in in_turn(text, subjects, day) for p in found]


def in_turn(text: Text, subjects: Subjects, day: date | None = None) -> Iterator[tuple[int, list[Proposal]]]:
    """Pieces of a text: up to which character it has been read, and what the piece proposes."""
    spoken = Spoken.of(subjects)
    count = 0
    for first, last in _pieces(text.plain):
        found = _piece(text, first, last, spoken, day, count)
        count += len(found)
        yield last, found


def _pieces(plain: str) -> Iterator[tuple[int, int]]:
    """Spans of about PIECE characters that end where a sentence does, or else between two words."""
    first = 0
    while first < len(plain):
        last = min(first + PIECE, len(plain))
        if last < len(plain):
            tails = ([m.end() for m in rule.finditer(plain, last - PIECE // 5, last)] for rule in (_END, _BLANK))
            last = next((ends[-1] for ends in tails if ends), last)
        yield first, last
        first = last


def _piece(text: Text, first: int, last: int, spoken: Spoken, day: date | None, count: int) -> list[Proposal]:
    plain = text.plain[first:last]
    given = text.given[first:last]
    named = names(plain, spoken)
    ends = [m.end() for m in _END.finditer(plain)]
    starts = [n.start for n in named]
    made: list[Proposal] = []
    sentence = _Sentence(first=0, last=0, near=(), words="", language="")
    for figure in figures(plain, [(n.start, n.end, spoken.counts(n, plain)) for n in named]):
        if not sentence.first <= figure.start < sentence.last:
            at = bisect_right(ends, figure.start)
            begin, end = ends[at - 1] if at else 0, ends[at] if at < len(ends) else len(plain)
            sentence = _sentence(given, begin, end, named[bisect_left(starts, begin):bisect_left(starts, end)])
        made.append(_proposal(f"E{count + len(made) + 1}", plain, given, figure, sentence, day, first))
    return made


def _sentence(given: str, first: int, last: int, near: Sequence[Name]) -> _Sentence:
    words = " ".join(given[first:last].split()) if last - first <= LONGEST else ""
    return _Sentence(first=first, last=last, near=near, words=words, language=_language(words))


def _language(words: str) -> str:
    return "zh" if _CHINESE.search(words) else "en"


def _cut(given: str, figure: Figure, sentence: _Sentence) -> _Sentence:
    """The part of an endless sentence around a figure."""
    first = max(sentence.first, figure.start - LONGEST // 2)
    last = min(sentence.last, max(figure.end, first + LONGEST))
    words = " ".join(given[first:last].split())
    near = sentence.near[bisect_left(sentence.near, first, key=_start):bisect_left(sentence.near, last, key=_start)]
    return _Sentence(first=first, last=last, near=near, words=words, language=_language(words))


def _start(name: Name) -> int:
    return name.start


def _proposal(name: str, plain: str, given: str, figure: Figure, sentence: _Sentence, day: date | None,
              shift: int) -> Proposal:
    if not sentence.words:
        sentence = _cut(given, figure, sentence)
    quantity = figure.quantity
    if quantity == "ratio" and _SPEED.search(_clause(plain, figure, sentence)):
        quantity = "speed-up"
    base = _baseline(plain, figure, sentence.near) if quantity in _COMPARED else None
    subject = _subject(figure, sentence.near if base is None else [n for n in sentence.near if n.said != base.said])
    return Proposal(
        id=name, start=shift + figure.start, end=shift + figure.end, said=given[figure.start:figure.end],
        text=sentence.words, language=sentence.language, quantity=quantity, unit=figure.unit,
        claimed=_dated(figure.claimed, day, sentence.words) if quantity == "date" else figure.claimed,
        subject=_only(subject), baseline=_only(base),
        meanings={n.said: n.meant for n in (subject, base) if n is not None and len(n.meant) > 1})


def _clause(plain: str, figure: Figure, sentence: _Sentence) -> str:
    """The part of a sentence between commas that holds a figure."""
    first = max((m.end() for m in _COMMA.finditer(plain, sentence.first, figure.start)), default=sentence.first)
    after = _COMMA.search(plain, figure.end, sentence.last)
    return plain[first:after.start() if after else sentence.last]


def _only(name: Name | None) -> str:
    return name.meant[0] if name is not None and len(name.meant) == 1 else ""


def _subject(figure: Figure, near: Sequence[Name]) -> Name | None:
    """The last name before the figure, else the first behind it; one that means one thing before one that does not."""
    if not near:
        return None
    ordered = [n for n in reversed(near) if n.end <= figure.start] + [n for n in near if n.start >= figure.end]
    return next((n for n in ordered if len(n.meant) == 1), ordered[0] if ordered else None)


def _baseline(plain: str, figure: Figure, near: Sequence[Name]) -> Name | None:
    """A name that words of comparison lead to: "than the H100", "H100的5倍"."""
    for name in near:
        led = _THAN.search(plain, max(0, name.start - 40), name.start)
        followed = name.end <= figure.start and _OF.fullmatch(plain, name.end, figure.start)
        straight = name.start >= figure.end and _STRAIGHT.fullmatch(plain, figure.end, name.start)
        if followed or straight or (led and name.start >= figure.end) or (led and "比" in led[0]):
            return name
    return None


def _dated(said: str, day: date | None, words: str) -> str:
    """A day whose year the text leaves out, by the year of the text; "" where that is not known.

    A month that is over when the text is written, in a sentence about what is to come, is that of the next year.
    """
    found = _YEAR.search(said)
    if found is None:
        return said
    if day is None:
        return ""
    year = day.year + (0 if found[0] == "?" else int(found[0]))
    month = re.search(r"\?-(\d\d)$", said)
    if month is not None and int(month[1]) < day.month and _TO_COME.search(words):
        year += 1
    return said.replace(found[0], str(year), 1)


# --------------------------------------------------------------------------------------------------------- answers
def as_json(found: Sequence[Proposal], text: Text) -> dict[str, Any]:
    """Proposals as plain data."""
    return {"claims": [{
        "id": p.id, "start": p.start, "end": p.end, "said": p.said, "quantity": p.quantity, "claimed": p.claimed,
        "unit": p.unit, "subject": p.subject, "baseline": p.baseline, "blanks": list(p.blanks), "text": p.text,
        "language": p.language, "meanings": {said: list(ids) for said, ids in p.meanings.items()},
    } for p in found], "characters": len(text.given), "notes": list(text.notes)}


def as_json_text(found: Sequence[Proposal], text: Text) -> str:
    """The same as JSON, a proposal a line: a large text has hundreds of thousands."""
    data = as_json(found, text)
    head, tail = json.dumps({**data, "claims": []}, indent=2, ensure_ascii=False).split("[]", 1)
    lines = ",\n".join("    " + json.dumps(one, ensure_ascii=False) for one in data["claims"])
    return f"{head}[\n{lines}\n  ]{tail}\n" if lines else f"{head}[]{tail}\n"


def as_toml(found: Sequence[Proposal], text: Text, day: date | None) -> str:
    """A file of claims with blanks, which `claims check` names until a person has filled them in."""
    lines = ["# Proposed by rules from a text: complete what is blank, throw away what is no claim.",
             *(f"# {note}" for note in text.notes), "", 'title = "Claims of a text"',
             f"as_of = {day.isoformat()}" if day else 'as_of = ""  # the day the text is of', ""]
    if not found:
        lines.insert(1, "# No figure with a unit was found.")
    for p in found:
        lines += [f"# characters {p.start} to {p.end}: {_comment(p.said)}", "[[claims]]", f"id = {_quoted(p.id)}",
                  f"text = {{ {p.language} = {_quoted(p.text)} }}", f"quantity = {_quoted(p.quantity)}",
                  f"subject = {_quoted(p.subject)}{_hint(p, p.subject)}"]
        if QUANTITIES[p.quantity].baseline:
            lines.append(f"baseline = {_quoted(p.baseline)}{_hint(p, p.baseline)}")
        lines += [f"claimed = {_quoted(p.claimed)}", "compute = {}", ""]
    return "\n".join(lines)


def _hint(proposal: Proposal, value: str) -> str:
    if value or not proposal.meanings:
        return ""
    return "  # " + "; ".join(f"{_comment(said)} can mean {', '.join(ids)}" for said, ids in proposal.meanings.items())


def _comment(said: str) -> str:
    """Text that stays on its line."""
    return said if said.isprintable() else "".join(c if c.isprintable() else " " for c in said)


def _quoted(said: str) -> str:
    """A TOML string; marks that turn the writing direction and control characters are escaped."""
    if said.isprintable() and '"' not in said and "\\" not in said:
        return f'"{said}"'
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else
                         f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in said) + '"'


def report(found: Sequence[Proposal], text: Text) -> Report:
    """Proposals as a table: the first of them, where a text holds more than anybody reads in a terminal."""
    rows = tuple((p.id, f"{p.start}-{p.end}", p.said, p.quantity, p.claimed or None, p.subject or None,
                  p.baseline or None, ", ".join(p.blanks)) for p in found[:MOST_ROWS])
    cut = f" The first {MOST_ROWS} of {len(found):,}; toml and json hold all." if len(found) > MOST_ROWS else ""
    table = Table(id="proposals", title="Proposed claims", rows=rows, empty="No figure with a unit was found.",
                  lead=f"For a person to complete; --format toml writes a file for `claims check`.{cut}",
                  columns=tuple(Column(title=t) for t in (
                      "id", "characters", "said", "quantity", "claimed", "subject", "baseline", "blank")))
    return Report(title="Claims of a text", subtitle=f"{len(text.given):,} characters", summary=text.notes, cards=(),
                  tables=(table,))
