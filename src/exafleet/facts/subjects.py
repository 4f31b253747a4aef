"""The things facts are about: chips, systems, models, markets, practices; and how people name them.

One thing has one id and any number of spoken names. A spoken name that means two things ("GB200": a GPU, a superchip
or a rack) is refused with what each of them is, because guessing wrong there is worth a factor of two or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exafleet.terms.errors import FactError, Problem, nearest

COLUMNS = ("subject", "name", "kind", "vendor", "family", "chip", "aliases", "note")
KINDS = ("chip", "system", "model", "site", "market", "fleet", "practice", "fabric", "event", "component")
# What a published model's name carries behind its shape: number formats, tuning, releases, accuracy of a benchmark.
_BEHIND = re.compile(r"[-_ ](bf16|fp16|fp8|fp4|nvfp4|mxfp4|int8|int4|w4a8|w4a16|w8a8|awq|gptq|kv|dynamic|static|"
                     r"pertensor|block|channel|instruct|chat|it|hf|base|original|preview|exp|thinking|reasoning|"
                     r"speciale|terminus|v\d+(\.\d+)?|\d+k|\d{4}|99(\.9)?)$", re.IGNORECASE)
_BEFORE = ("meta-", "nvidia-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One row of subjects.csv. `chip` names the chip a system holds; `aliases` are further spoken names."""

    id: str
    name: str
    kind: str
    vendor: str = ""
    family: str = ""
    chip: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Subjects:
    """Every subject by id, and by folded spoken name (a name may belong to several)."""

    by_id: Mapping[str, Subject]
    by_name: Mapping[str, tuple[Subject, ...]]

    @classmethod
    def of(cls, subjects: Iterable[Subject]) -> Subjects:
        """Index subjects; a later one with the same id replaces an earlier one (own files come last)."""
        by_id = {s.id: s for s in subjects}
        by_name: dict[str, tuple[Subject, ...]] = {}
        for subject in by_id.values():
            for name in dict.fromkeys(fold(n) for n in (subject.id, subject.name, *subject.aliases)):
                by_name[name] = (*by_name.get(name, ()), subject)
        return cls(by_id, by_name)

    def of_kind(self, *kinds: str) -> tuple[Subject, ...]:
        """Subjects of these kinds, in the order of the table; all of them when none is named."""
        return tuple(s for s in self.by_id.values() if not kinds or s.kind in kinds)

    def resolve(self, name: str, *kinds: str, where: str = "") -> Subject:
        """The one subject called `name`: an exact id, else a name or alias in any case, of one of `kinds`.

        Raises FactError when the name is unknown, is of another kind, or means several things.
        """
        exact = self.by_id.get(name)
        found = (exact,) if exact is not None else self.by_name.get(fold(name), ())
        if not found:
            raise FactError(self._unknown(name, kinds, where))
        # Two meanings of two kinds are as ambiguous as two of one: "GB200" for a chip may well be meant as a superchip.
        if len(found) > 1:
            raise FactError(_ambiguous(name, found, where))
        if kinds and found[0].kind not in kinds:
            raise FactError(_wrong_kind(name, found[0], kinds, where))
        return found[0]

    def _unknown(self, name: str, kinds: tuple[str, ...], where: str) -> Problem:
        known = {spoken: s.id for spoken, many in self.by_name.items() for s in many if not kinds or s.kind in kinds}
        import difflib

        close = difflib.get_close_matches(fold(name), list(known), n=4, cutoff=0.5)
        ids = list(dict.fromkeys(known[c] for c in close))[:3]
        return Problem(where=where, what=f'unknown {" or ".join(kinds) or "subject"} "{name}"',
                       remedy=f"Did you mean {' or '.join(repr(i) for i in ids)}?" if ids else "")


def fold(name: str) -> str:
    """A spoken name without case, spaces or dashes: "GB200 NVL72" and "gb200-nvl72" are one name."""
    return "".join(c for c in name.casefold() if c not in " -_")


def spoken_model(subjects: Subjects, name: str, *, where: str = "") -> Subject:
    """The model that a table of measurements calls `name`: with its organisation, number format, tuning and release.

    A name is tried as it stands, then without what stands before and behind it, one part at a time, so that a release
    with a shape of its own is found before the model it came from. Raises the FactError of the whole name when no part
    of it is a model.

    "nvidia/DeepSeek-R1-0528-NVFP4" is DeepSeek-R1; "llama2-70b-99.9" is Llama-2-70B.
    """
    for form in _forms(name.strip()):
        if form in subjects.by_id or fold(form) in subjects.by_name:
            return subjects.resolve(form, "model", where=where)
    return subjects.resolve(name, "model", where=where)


def _forms(name: str) -> Iterator[str]:
    """`name` and ever shorter forms of it: without parts behind, without a maker before, without its organisation.

    >>> list(_forms("org/Model-7B-FP8"))
    ['org/Model-7B-FP8', 'org/Model-7B', 'Model-7B-FP8', 'Model-7B']
    """
    at = 0
    while True:
        short, longer = name[at:], ""
        while short != longer:
            yield short
            for maker in _BEFORE:
                if short.casefold().startswith(maker):
                    yield short[len(maker):]
            short, longer = _BEHIND.sub("", short), short
        at = name.find("/", at) + 1
        if not at:
            return


def _ambiguous(name: str, found: tuple[Subject, ...], where: str) -> Problem:
    meanings = "; ".join(f"{s.id} = {s.name}" + (f" ({s.note})" if s.note else "") for s in found)
    return Problem(where=where, what=f'"{name}" can mean {len(found)} things', allowed=meanings,
                   remedy="Write the id of the one that is meant.")


def _wrong_kind(name: str, found: Subject, kinds: tuple[str, ...], where: str) -> Problem:
    what = f'"{name}" is a {found.kind}, not a {" or ".join(kinds)}'
    return Problem(where=where, what=what, remedy=f"{found.id} = {found.name}" + (f": {found.note}" * bool(found.note)))


def read_subjects(rows: Iterable[tuple[int, list[str]]], file: str, problems: list[Problem]) -> list[Subject]:
    """Subjects from numbered rows (header already checked); mistakes are added to `problems`."""
    found: dict[str, Subject] = {}
    for line, row in rows:
        where = f"{file}:{line}"
        cells = dict(zip(COLUMNS, (c.strip() for c in row), strict=True))
        subject = Subject(id=cells["subject"], name=cells["name"], kind=cells["kind"], vendor=cells["vendor"],
                          family=cells["family"], chip=cells["chip"], note=cells["note"], file=file, line=line,
                          aliases=tuple(a.strip() for a in cells["aliases"].split(";") if a.strip()))
        problem = _mistake(subject, found)
        if problem is not None:
            problems.append(replace(problem, where=where))
        else:
            found[subject.id] = subject
    return list(found.values())


def _mistake(subject: Subject, earlier: Mapping[str, Subject]) -> Problem | None:
    if not subject.id or not subject.name:
        return Problem(what="a subject needs an id and a name")
    if any(c in subject.id for c in "@ \t,;") or subject.id != subject.id.casefold():
        return Problem(what="a subject id is lower case, without spaces or '@'", got=repr(subject.id))
    if subject.kind not in KINDS:
        return Problem(what=f'unknown kind "{subject.kind}" of subject {subject.id}', allowed=", ".join(KINDS),
                       remedy=nearest(subject.kind, KINDS))
    if subject.id in earlier:
        return Problem(what=f'subject "{subject.id}" is defined twice', got=f"first on line {earlier[subject.id].line}")
    return None


def unresolved_chips(subjects: Subjects) -> list[Problem]:
    """Systems whose chip is not a chip of the table."""
    return [
        Problem(where=f"{s.file}:{s.line}", what=f'system {s.id} holds an unknown chip "{s.chip}"',
                remedy=nearest(s.chip, (c.id for c in subjects.of_kind("chip"))))
        for s in subjects.of_kind("system")
        if s.chip not in subjects.by_id or subjects.by_id[s.chip].kind != "chip"
    ]
