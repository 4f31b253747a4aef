"""Subjects named in a text: ids, names and aliases of the package as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exafleet.facts.subjects import Subject, Subjects

# What claims are about; models of software, markets and regions are named in passing far more often than meant.
_KINDS = ("chip", "system", "model", "component", "event", "fleet", "site")
_WORD = re.compile(r"[A-Za-z0-9]")
_PLURAL = re.compile(r"s(?![A-Za-z0-9])")
_SORT = re.compile(r"[\s-]*(?:(?P<superchip>superchips?\b|超级芯片)|racks?\b|cabinets?\b|servers?\b|nodes?\b|机柜|"
                   r"机架|服务器|节点)", re.IGNORECASE)
# A run of letters and digits, or up to eight characters of another script: where a name can begin.
_FIRST = re.compile(r"[A-Za-z0-9]+|[^\W\d_A-Za-z]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A subject named in a text: where, and what the name can mean."""

    start: int
    end: int
    said: str
    meant: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Names as people write them.

    meant   the ids each can mean, by the name in small letters
    rules   patterns of the names that begin with a word, by that word
    kinds   kind of each id
    """

    meant: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, re.Pattern[str]]
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, subjects: Subjects) -> Spoken:
        """The names of what claims are about."""
        meant = _meant(subjects)
        by_first: dict[str, list[str]] = {}
        for said in meant:
            by_first.setdefault(_FIRST.match(said)[0], []).append(said)  # type: ignore[index]
        rules = {first: re.compile("|".join(_pattern(s) for s in sorted(many, key=_longest)), re.IGNORECASE)
                 for first, many in by_first.items()}
        return cls(meant=meant, rules=rules, kinds={s.id: s.kind for s in subjects.of_kind(*_KINDS)})

    def counts(self, name: Name, plain: str) -> str:
        """What a number before a name counts: "100,000 H100" are GPUs, "360 NVL72" racks; "" where nothing is."""
        said = _SORT.match(plain, name.end)
        if said is not None:  # "two B200 nodes"
            return "superchips" if said["superchip"] else "racks"
        kinds = {self.kinds[one] for one in name.meant}
        return "GPUs" if kinds & {"chip", "component"} else "racks" if kinds == {"system"} else ""


def names(plain: str, spoken: Spoken) -> list[Name]:
    """Subjects named in a text, the longest name where several begin."""
    found: list[Name] = []
    known: dict[str, tuple[str, ...]] = {}  # most words of a text stand in it often, and begin no name
    end = 0
    for word in _FIRST.finditer(plain):
        said = word[0]
        firsts = known.get(said)
        if firsts is None:
            firsts = known[said] = tuple(_firsts(said.casefold(), spoken.rules))
        if firsts and word.start() >= end:
            name = _name(plain, word.start(), firsts, spoken)
            if name is not None:
                end = name.end
                found.append(name)
    return found


def _name(plain: str, start: int, firsts: Sequence[str], spoken: Spoken) -> Name | None:
    """The name that begins at a place, if one does."""
    for first in firsts:
        match = spoken.rules[first].match(plain, start)
        if match is not None and _whole(plain, match):
            meant = spoken.meant[_sought(match[0], spoken.meant)]
            return Name(start=start, end=match.end(), said=match[0], meant=meant)
    return None


def _firsts(word: str, rules: Mapping[str, re.Pattern[str]]) -> Iterator[str]:
    """Names may begin with a word, or with the first characters of a run of Chinese."""
    if word.isascii():
        if word in rules:
            yield word
        if word.endswith("s") and word[:-1] in rules:
            yield word[:-1]
        if not word.isalpha():  # "GB200NVL72"
            yield from (word[:size] for size in range(len(word) - 1, 2, -1) if word[:size] in rules)
    else:
        yield from (word[:size] for size in range(len(word), 0, -1) if word[:size] in rules)


def _pattern(said: str) -> str:
    return re.escape(said).replace(r"\ ", r"[ \-]?")


def _longest(said: str) -> tuple[int, str]:
    return -len(said), said


def _whole(plain: str, match: re.Match[str]) -> bool:
    """Whether a name is not part of a longer word; a plural is its name."""
    before, after = plain[match.start() - 1:match.start()], plain[match.end():match.end() + 2]
    inside = _WORD.match(before) if match.start() else None
    return not inside and (not _WORD.match(after) or _PLURAL.match(after) is not None)


def _sought(said: str, spoken: Mapping[str, object]) -> str:
    """The key of a name however its parts are joined."""
    key = _key(said)
    return key if key in spoken else next(k for k in spoken if k.replace(" ", "") == key.replace(" ", ""))


def _key(said: str) -> str:
    return re.sub(r"[ \-]+", " ", said.casefold())


def _meant(subjects: Subjects) -> dict[str, tuple[str, ...]]:
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
