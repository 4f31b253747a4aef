"""World: a scenario and the facts known as of its date, frozen. The only way to ask "what if" is `with_fact`.

    world = load_world(Path("examples/xai-2024-12"))
    world.value("gb200-gpu.hbm_bw"), world.value("sites.memphis.power")
    faster = world.with_fact("gb200-gpu.hbm_bw", "9 TB/s").scaled("offers.gb200-list.price", 1.1)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import System, system
from exafleet.facts.records import Scenario
from exafleet.facts.scenario.tables import Folder, decoded, read_bytes
from exafleet.terms.calendar import Month, month, month_name
from exafleet.terms.errors import ExafleetError, FactError, Problem, ScenarioError

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found
    from exafleet.facts.scenario.keys import ScenarioKey

FILE = "scenario.toml"
OWN = ("subjects.csv", "facts.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Facts and a scenario; every change gives a new World.

    notes     what is worth knowing about the scenario and no mistake
    origins   facts the scenario's values were taken from, by scenario key
    places    file and line, and the comment, of each key written
    changes   what-if values of scenario keys, in the order they were made: (key, "=" or "*", value)
    document  the file the scenario was read from; None for a scenario made in Python
    """

    facts: Facts
    scenario: Scenario
    notes: tuple[str, ...] = ()
    origins: Mapping[str, Fact] = field(default_factory=dict)
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    changes: tuple[tuple[str, str, float | str], ...] = ()
    document: Document | None = None

    @property
    def as_of(self) -> date:
        """The day the question is asked on; facts published later are not seen."""
        return self.facts.as_of

    @property
    def data_hash(self) -> str:
        """sha256 of the scenario's bytes, its tables' bytes, the facts and every what-if value."""
        digest = hashlib.sha256()
        for part in (*self._contents(), self.facts.data_hash.encode(), repr(self.changes).encode()):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def value(self, key: str) -> float:
        """A number by key: of a fact in base units, of the scenario in the unit `keys` names.

        Raises MissingFact or ScenarioError with the nearest keys.
        """
        from exafleet.facts.scenario.keys import is_scenario_key, value

        return value(self.scenario, key) if is_scenario_key(key) else self.facts.value(key)

    def with_fact(self, key: str, value: float | str) -> World:
        """The same world with one number replaced, of a fact or of the scenario: a float, or words ("9 TB/s").

        A float is in base units for a fact and in the unit `keys` names for the scenario. What the scenario took from
        a fact follows it. Raises FactError for an unknown key or a bad value.
        """
        from exafleet.facts.scenario.keys import is_scenario_key

        if is_scenario_key(key):
            return self._changed(key, "=", value)
        return self._with_facts(self.facts.with_fact(key, value))

    def scaled(self, key: str, factor: float) -> World:
        """The same world with one number, or every number of its series or spread, times `factor`.

        Raises FactError for an unknown key, OutOfRange for a result outside its range.
        """
        from exafleet.facts.scenario.keys import is_scenario_key

        if is_scenario_key(key):
            return self._changed(key, "*", factor)
        return self._with_facts(self.facts.with_fact(key, self.facts.value(key) * factor))

    def with_facts(self, facts: Facts) -> World:
        """The same scenario with other facts; what it took from a fact follows."""
        return self._with_facts(facts)

    def files(self) -> dict[str, bytes]:
        """Every file the scenario was read from, by its name in the folder; {} for one made in Python."""
        if self.document is None:
            return {}
        from exafleet.facts.scenario.later import FILE as HISTORY

        later = {HISTORY: self.document.history} if self.document.history else {}
        return {self.document.file: self.document.data, **later, **self.document.folder.used}

    def keys(self) -> tuple[ScenarioKey, ...]:
        """Every number of the scenario with its value, unit, place and source."""
        from exafleet.facts.scenario.keys import keys

        return tuple(self._placed(one) for one in keys(self.scenario))

    def system(self, name: str) -> System:
        """A system by id or unambiguous name; raises FactError."""
        return system(self.facts, name)

    def arch(self, name: str) -> Arch:
        """A model's architecture by id or unambiguous name; raises FactError."""
        return arch(self.facts, name)

    def _contents(self) -> list[bytes]:
        if self.document is None:
            return [repr(self.scenario).encode()]
        used = self.document.folder.used
        later = [repr((row.array, row.raw)).encode() for row in self.document.later]
        return [self.document.data, *later, *(part for name in sorted(used) for part in (name.encode(), used[name]))]

    def _placed(self, one: ScenarioKey) -> ScenarioKey:
        where, said = self.places.get(one.key, (one.where, ""))
        return replace(one, where=where, source=said or self._origin(one.key))

    def _origin(self, key: str) -> str:
        fact = self.origins.get(key)
        return f"fact {fact.key} ({fact.source}, {fact.as_of.isoformat()})" if fact is not None else ""

    def _with_facts(self, facts: Facts) -> World:
        if self.document is None:
            return replace(self, facts=facts)
        return _built(self.document, facts, self.changes)

    def _changed(self, key: str, sign: str, value: float | str) -> World:
        changes = (*self.changes, (key, sign, value))
        return replace(self, scenario=_apply(self.scenario, self.facts, self.document, changes[-1:]), changes=changes)


def load_world(path: Path | str, *, as_of: date | None = None, horizon: tuple[Month, int] | None = None,
               state: date | None = None) -> World:
    """Read a scenario.toml, or the folder that holds one, with the facts known on its day (or on `as_of`).

    What history.toml beside it tells of days up to that one is read with it.

    horizon  first month and length, in place of the scenario's own
    state    day from which holdings and open orders are taken; the same day unless given

    Raises ScenarioError (a FactError) that lists every problem of the scenario, of its tables and of its own facts
    with file, line and key.
    """
    from exafleet.facts.scenario.document import as_of as day_of
    from exafleet.facts.scenario.later import as_known, read_later

    document = read_document(Path(path))
    own = day_of(document)
    day = as_of or own or date.max
    document = as_known(document, read_later(document.folder.path, own), day, state)
    if horizon is not None:
        document = _over(document, *horizon)
    problems: list[Problem] = []
    facts = _facts(document, day, problems)
    return _built(document, facts, earlier=problems)


def known_days(path: Path | str) -> tuple[Month, tuple[date, ...]]:
    """The scenario's first month (0 when it does not say), and its own day with those of its history.toml, in order.

    Raises ScenarioError.
    """
    from exafleet.facts.scenario.document import as_of as day_of
    from exafleet.facts.scenario.later import read_later

    document = read_document(Path(path))
    own = day_of(document)
    later = [block.day for block in read_later(document.folder.path, own)]
    top = document.raw.get("scenario")
    try:
        start = month(str(top["start"])) if isinstance(top, dict) else 0
    except (LookupError, ExafleetError):
        start = 0  # `load_world` says what is wrong with it
    return start, (*([own] if own is not None else []), *later)


def _over(document: Document, start: Month, months: int) -> Document:
    """The document with another first month and length."""
    top = document.raw.get("scenario")
    if not isinstance(top, dict):
        return document
    asked = {**top, "start": month_name(start), "months": months}
    return replace(document, raw={**document.raw, "scenario": asked}, part=True)


def read_document(path: Path) -> Document:
    """A scenario file as written; raises ScenarioError when it cannot be read as UTF-8 TOML."""
    from exafleet.facts.scenario.document import parse_text

    file = path / FILE if path.is_dir() else path
    data = read_bytes(file, file.name)
    if isinstance(data, Problem):
        remedy = f"A scenario is a file {FILE}, or the folder that holds one." if data.what == "no such file" else ""
        raise ScenarioError(replace(data, remedy=remedy) if remedy else data)
    text = decoded(data, file.name)
    if isinstance(text, Problem):
        raise ScenarioError(text)
    return replace(parse_text(text, file.name, Folder(file.parent)), data=data)


def _built(document: Document, facts: Facts, changes: tuple[tuple[str, str, float | str], ...] = (),
           earlier: list[Problem] | None = None) -> World:
    from exafleet.facts.scenario.build import build

    scenario, found = build(document, facts, earlier or ())
    places = _places(document, found)
    sources = tuple((key, source) for key, (_, source) in places.items() if source)
    scenario = replace(scenario, sources=(*_named_sources(document), *sources))
    return World(facts=facts, scenario=_apply(scenario, facts, document, changes), notes=tuple(found.notes),
                 origins=found.origins, places=places, changes=changes, document=document)


def _apply(scenario: Scenario, facts: Facts, document: Document | None,
           changes: tuple[tuple[str, str, float | str], ...]) -> Scenario:
    """The scenario with what-if values of its own keys."""
    from exafleet.facts.scenario.keys import scaled, with_value
    from exafleet.facts.scenario.values import Reading

    folder = document.folder if document is not None else Folder(Path())
    for key, sign, value in changes:
        if sign == "*":
            scenario = scaled(scenario, key, float(value))
        else:
            reading = Reading(facts=facts, folder=folder, start=scenario.start)
            scenario = with_value(scenario, key, value, reading)
    return scenario


# ------------------------------------------------------------------------------------------------------- own facts
def _facts(document: Document, day: date, problems: list[Problem]) -> Facts:
    """The package's facts with the scenario's own; mistakes are noted, and what is wrong is left out."""
    own = _own_files(document, problems)
    try:
        facts = load_facts(day, own=own)
    except FactError as error:
        problems += error.problems
        facts = load_facts(day)
    if document.forget:
        facts = facts.without_own(document.forget)
    table = document.raw.get("facts")
    given = table.get("set", {}) if isinstance(table, dict) else {}
    for path, key, value in _flat(given, ("facts", "set")) if isinstance(given, dict) else ():
        facts = _set(facts, document, path, key, value, problems)
    return facts


def _own_files(document: Document, problems: list[Problem]) -> list[Path]:
    folder = document.folder
    found = [folder.path / name for name in OWN if (folder.path / name).exists()]
    table = document.raw.get("facts")
    named = table.get("files", []) if isinstance(table, dict) else []
    for index, name in enumerate(named if isinstance(named, list) else []):
        if isinstance(name, str) and folder.path / name not in found:
            found.append(folder.path / name)
            place = folder.inside(name)
            if isinstance(place, Problem) or not place.is_file():
                wrong = place if isinstance(place, Problem) else Problem(what="no such file", got=repr(name))
                problems.append(replace(wrong, where=document.place(("facts", "files", index))))
                found.pop()
    return [path for path in found if _sound(folder, path, problems)]


def _sound(folder: Folder, path: Path, problems: list[Problem]) -> bool:
    """The file lies in the folder and can be read; its bytes become part of the scenario's identity."""
    data = folder.contents(str(path.relative_to(folder.path)))
    if isinstance(data, Problem):
        problems.append(data)
    return not isinstance(data, Problem)


def _flat(table: Mapping[str, Any], path: tuple[str | int, ...],
          name: str = "") -> list[tuple[tuple[str | int, ...], str, Any]]:
    """Facts by key; TOML reads h100-sxm.hbm_bw without quotes as a table in a table."""
    found: list[tuple[tuple[str | int, ...], str, Any]] = []
    for step, value in table.items():
        key = f"{name}.{step}" if name else step
        if isinstance(value, dict) and "value" not in value:
            found += _flat(value, (*path, step), key)
        else:
            found.append(((*path, step), key, value))
    return found


def _set(facts: Facts, document: Document, path: tuple[str | int, ...], key: str, value: Any,
         problems: list[Problem]) -> Facts:
    """Facts with one own value; a bad one is a problem."""
    where = document.place(path)
    source = value.get("source", "") if isinstance(value, dict) else document.lines.comment(path)
    said = value.get("value") if isinstance(value, dict) else value
    extra = [k for k in value if k not in ("value", "source")] if isinstance(value, dict) else []
    if extra or not isinstance(said, str) or not isinstance(source, str):
        problems.append(Problem(where=where, what="not a fact", got=str(value)[:80], allowed=(
            '"3.2 TB/s", or { value = "3.2 TB/s", source = "own measurement" }')))
        return facts
    try:
        changed = facts.with_fact(key, said)
    except ExafleetError as error:
        problems += [replace(p, where=where) for p in error.problems]
        return facts
    fact = replace(changed.get(key), source=source or "scenario", where=where, kind="estimate", file=document.file,
                   line=document.lines.line(path))
    pair = (fact.subject, fact.term)
    return replace(changed, overlay={**changed.overlay, pair: {**changed.overlay[pair], fact.at: fact}})


# --------------------------------------------------------------------------------------------------------- sources
def _places(document: Document, found: Found) -> dict[str, tuple[str, str]]:
    """Place and comment of every key written, by scenario key; keys of a table's row stand where the row does."""
    from exafleet.facts.scenario.document import record_key

    names: dict[tuple[str | int, ...], str] = {("scenario",): "scenario", ("risk",): "risk",
                                              ("uncertainty",): "uncertainty"}
    rows = [(record_key(array, record), row) for array, many in found.rows.items() for row, record in many]
    names |= {row.path: name for name, row in rows if row.path}
    places = {f"{name}.{key}": (row.where, "") for name, row in rows if not row.path for key in row.raw}
    for path, line in document.lines.lines.items():
        depth = 2 if len(path) > 2 and isinstance(path[1], int) else 1
        name = names.get(path[:depth])
        if name is not None and len(path) > depth:
            key = ".".join(str(step) for step in (name, *path[depth:]))
            places[key] = (f"{document.file}:{line}", document.lines.comment(path))
    return places


def _named_sources(document: Document) -> tuple[tuple[str, str], ...]:
    table = document.raw.get("sources")
    return tuple((f"sources.{k}", v) for k, v in table.items() if isinstance(v, str)) if isinstance(table, dict) else ()
