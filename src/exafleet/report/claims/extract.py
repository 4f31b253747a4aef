"""Claims proposed from a text, by rules and for a person to complete: nothing here decides anything.

Each figure of the text becomes a proposal with its span, its quantity and what it may be about: a subject or a baseline
is filled in where the sentence names one that can mean one thing only, and left blank otherwise.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from exafleet.facts.subjects import Subject, Subjects
from exafleet.report.claims.claimed import QUANTITIES
from exafleet.report.claims.figures import figures
from exafleet.report.claims.spans import Figure
from exafleet.report.claims.texts import Text
from exafleet.report.table import Column, Report, Table

# What claims are about; models of software, markets and regions are named in passing far more often than meant.
_KINDS = ("chip", "system", "model", "component", "event", "fleet", "site")
_END = re.compile(r"[。！？；\n]|[.!?;](?=\s|$)")
_THAN = re.compile(r"(?:\bthan|\bover|\bvs\.?|\bversus|\bagainst|\bcompared (?:with|to)|\brelative to|\bof|"
                   r"比|相比|较|相对于?|是|前代)"
                   r"[^,，。]{0,30}$", re.IGNORECASE)
_SPEED = re.compile(r"fast|speed|perform|throughput|training|inference|quick|性能|速度|提速|更快|算力|训练|推理",
                    re.IGNORECASE)
_STRAIGHT = re.compile(r"\s*(?:(?:as|more)\s\w+\s(?:as|than)\s)?(?:an?|the|that of)?\s*(?:previous|前代|上一代)?\s*",
                       re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9]")
# A run of letters and digits, or up to eight characters of another script: where a name can begin.
_FIRST = re.compile(r"[A-Za-z0-9]+|[^\W\d_A-Za-z]{1,8}")
_COMMA = re.compile(r"[,，、](?!\d)")
LONGEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A subject named in a text: where, and what the name can mean."""

    start: int
    end: int
    said: str
    meant: tuple[str, ...]


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


def extract(text: Text, subjects: Subjects, day: date | None = None) -> list[Proposal]:
    """Proposals from a text, in its order.

    day   the day the text is of, for days without a year; None leaves them blank
    """
    named = names(text.plain, subjects)
    ends = [m.end() for m in _END.finditer(text.plain)]
    found = figures(text.plain, [(n.start, n.end, _counts(n, subjects)) for n in named])
    starts = [n.start for n in named]
    made: list[Proposal] = []
    for figure in found:
        at = bisect_right(ends, figure.start)
        first, last = ends[at - 1] if at else 0, ends[at] if at < len(ends) else len(text.plain)
        near = named[bisect_right(starts, first - 1):bisect_right(starts, last)]
        made.append(_proposal(f"E{len(made) + 1}", text, figure, (first, max(last, figure.end)), near, day))
    return made


def _proposal(name: str, text: Text, figure: Figure, span: tuple[int, int], near: Sequence[Name],
              day: date | None) -> Proposal:
    sentence = " ".join(text.given[span[0]:span[1]].split())[:LONGEST]
    quantity = figure.quantity
    if quantity == "ratio" and _SPEED.search(_clause(text.plain, figure, span)):
        quantity = "speed-up"
    base = _baseline(text.plain, figure, near) if QUANTITIES[quantity].baseline else None
    subject = _subject(figure, [n for n in near if n is not base and (base is None or n.said != base.said)])
    return Proposal(
        id=name, start=figure.start, end=figure.end, said=text.given[figure.start:figure.end], text=sentence,
        language="zh" if re.search(r"[\u4e00-\u9fff]", sentence) else "en", quantity=quantity, unit=figure.unit,
        claimed=_dated(figure.claimed, day) if quantity == "date" else figure.claimed,
        subject=_only(subject), baseline=_only(base),
        meanings={n.said: n.meant for n in (subject, base) if n is not None and len(n.meant) > 1})


def _clause(plain: str, figure: Figure, span: tuple[int, int]) -> str:
    """The part of a sentence between commas that holds a figure."""
    first = max((m.end() for m in _COMMA.finditer(plain, span[0], figure.start)), default=span[0])
    after = _COMMA.search(plain, figure.end, span[1])
    return plain[first:after.start() if after else span[1]]


def _counts(name: Name, subjects: Subjects) -> str:
    """What a number before a name counts: "100,000 H100" are GPUs, "360 NVL72" racks; "" where nothing is counted."""
    kinds = {subjects.by_id[one].kind for one in name.meant}
    return "GPUs" if kinds & {"chip", "component"} else "racks" if kinds == {"system"} else ""


def _only(name: Name | None) -> str:
    return name.meant[0] if name is not None and len(name.meant) == 1 else ""


def _subject(figure: Figure, near: Sequence[Name]) -> Name | None:
    """The last name before the figure, else the first behind it; one that means one thing before one that does not."""
    before = [n for n in near if n.end <= figure.start]
    after = [n for n in near if n.start >= figure.end]
    ordered = [*reversed(before), *after]
    return next((n for n in ordered if len(n.meant) == 1), ordered[0] if ordered else None)


def _baseline(plain: str, figure: Figure, near: Sequence[Name]) -> Name | None:
    """A name that words of comparison lead to: "than the H100", "H100的5倍"."""
    for name in near:
        led = _THAN.search(plain, max(0, name.start - 40), name.start)
        followed = name.end <= figure.start and re.fullmatch(r"\s*(?:GPU|芯片)?\s*的?\s*", plain[name.end:figure.start])
        straight = name.start >= figure.end and _STRAIGHT.fullmatch(plain, figure.end, name.start)
        if followed or straight or (led and name.start >= figure.end) or (led and "比" in led[0]):
            return name
    return None


def _dated(said: str, day: date | None) -> str:
    """A day whose year the text leaves out, by the year of the text; "" where that is not known."""
    found = re.search(r"[+-]\d(?=-|$)|\?", said)
    if found is None:
        return said
    if day is None:
        return ""
    year = day.year + (0 if found[0] == "?" else int(found[0]))
    return said.replace(found[0], str(year), 1)


# ----------------------------------------------------------------------------------------------------------- names
def names(plain: str, subjects: Subjects) -> list[Name]:
    """Subjects named in a text, the longest name where several begin."""
    spoken = _spoken(subjects)
    by_first: dict[str, list[str]] = {}
    for said in spoken:
        by_first.setdefault(_FIRST.match(said)[0], []).append(said)  # type: ignore[index]
    rules = {first: re.compile("|".join(re.escape(s).replace(r"\ ", r"[ \-]?") for s in sorted(many, key=_longest)),
                               re.IGNORECASE) for first, many in by_first.items()}
    heads = {first[:2] for first in rules}
    found: list[Name] = []
    end = 0
    for word in _FIRST.finditer(plain):
        said = word[0].casefold()
        if said[:2] not in heads or (said.isalpha() and said.isascii() and not {said, said.rstrip("s")} & rules.keys()):
            continue  # most words of a text begin no name
        for first in _firsts(said, rules):
            match = rules[first].match(plain, word.start()) if word.start() >= end else None
            if match is not None and _whole(plain, match):
                end = match.end()
                found.append(Name(start=match.start(), end=end, said=match[0], meant=spoken[_sought(match[0], spoken)]))
                break
    return found


def _firsts(word: str, rules: Mapping[str, re.Pattern[str]]) -> Iterator[str]:
    """Names may begin with a word, or with the first characters of a run of Chinese."""
    if word.isascii():
        if word in rules:
            yield word
        if word.endswith("s") and word[:-1] in rules:
            yield word[:-1]
        for size in range(len(word) - 1, 2, -1):  # "GB200NVL72"
            if word[:size] in rules:
                yield word[:size]
    else:
        yield from (word[:size] for size in range(len(word), 0, -1) if word[:size] in rules)


def _longest(said: str) -> tuple[int, str]:
    return -len(said), said


def _whole(plain: str, match: re.Match[str]) -> bool:
    """Whether a name is not part of a longer word; a plural is its name."""
    before, after = plain[match.start() - 1:match.start()], plain[match.end():match.end() + 2]
    inside = _WORD.match(before) if match.start() else None
    return not inside and (not _WORD.match(after) or re.match(r"s(?![A-Za-z0-9])", after) is not None)


def _sought(said: str, spoken: Mapping[str, object]) -> str:
    """The key of a name however its parts are joined."""
    key = _key(said)
    return key if key in spoken else next(k for k in spoken if k.replace(" ", "") == key.replace(" ", ""))


def _key(said: str) -> str:
    return re.sub(r"[ \-]+", " ", said.casefold())


def _spoken(subjects: Subjects) -> dict[str, tuple[str, ...]]:
    """Names as people write them, and the ids each can mean."""
    found: dict[str, list[str]] = {}
    for subject in subjects.of_kind(*_KINDS):
        for said in _says(subject):
            if len(said) > 2 and subject.id not in found.setdefault(_key(said), []):
                found[_key(said)].append(subject.id)
    return {said: tuple(ids) for said, ids in found.items()}


def _says(subject: Subject) -> Iterator[str]:
    """A subject's id, name and aliases, and its name without maker and without what stands in brackets."""
    things = subject.kind in ("chip", "system", "component")
    short = re.sub(r"\s*\([^)]*\)|,.*$" if things else r"\s*\([^)]*\)", "", subject.name).strip()
    yield from (subject.id, subject.name, *subject.aliases, short)
    if subject.vendor and short.casefold().startswith(subject.vendor.casefold() + " "):
        yield short[len(subject.vendor) + 1:]
    for tail in (" rack", " server"):
        if short.casefold().endswith(tail):
            yield short[:-len(tail)].removeprefix(f"{subject.vendor} ")


# --------------------------------------------------------------------------------------------------------- answers
def as_json(found: Sequence[Proposal], text: Text) -> dict[str, Any]:
    """Proposals as plain data."""
    return {"claims": [{
        "id": p.id, "start": p.start, "end": p.end, "said": p.said, "quantity": p.quantity, "claimed": p.claimed,
        "unit": p.unit, "subject": p.subject, "baseline": p.baseline, "blanks": list(p.blanks), "text": p.text,
        "language": p.language, "meanings": {said: list(ids) for said, ids in p.meanings.items()},
    } for p in found], "characters": len(text.given), "notes": list(text.notes)}


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
    return "".join(c if c.isprintable() else " " for c in said)


def _quoted(said: str) -> str:
    """A TOML string; marks that turn the writing direction and control characters are escaped."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else
                         f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in said) + '"'


def report(found: Sequence[Proposal], text: Text) -> Report:
    """Proposals as a table."""
    rows = tuple((p.id, f"{p.start}-{p.end}", p.said, p.quantity, p.claimed or None, p.subject or None,
                  p.baseline or None, ", ".join(p.blanks)) for p in found)
    table = Table(id="proposals", title="Proposed claims", rows=rows, empty="No figure with a unit was found.",
                  lead="For a person to complete; --format toml writes a file for `claims check`.",
                  columns=tuple(Column(title=t) for t in (
                      "id", "characters", "said", "quantity", "claimed", "subject", "baseline", "blank")))
    return Report(title="Claims of a text", subtitle=f"{len(text.given):,} characters", summary=text.notes, cards=(),
                  tables=(table,))
