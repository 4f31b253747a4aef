"""Reads a scenario: TOML text and its tables into the frozen records of facts/records.py.

Three steps, each of which collects every problem it can see: the text (`parse_text`), the records one by one
(pydantic models of facts/scenario/schema.py), and what only shows between records (facts/scenario/checks.py). One
`ScenarioError` then lists all of them with file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.records import Risk, Scenario, Uncertainty
from exafleet.facts.scenario.document import ARRAY_NAMES, TABLE_NAMES, Document, Found, Row, record_key
from exafleet.facts.scenario.tables import records as records_of
from exafleet.facts.scenario.toml_lines import Path
from exafleet.facts.sharing import Fairness
from exafleet.terms.errors import Problem, ScenarioError, nearest, raise_all

if TYPE_CHECKING:
    from exafleet.facts.scenario.schema_words import Keys
    from exafleet.facts.scenario.values import Reading


def build(document: Document, facts: Facts, earlier: Sequence[Problem] = ()) -> tuple[Scenario, Found]:
    """The scenario of a document with these facts, and where its values came from.

    earlier    problems already known, listed with the others

    Raises ScenarioError with every problem of the document.
    """
    from exafleet.facts.scenario.checks import check
    from exafleet.facts.scenario.fill import resale

    found = Found(problems=list(earlier))
    reading = _reading(document, facts, found)
    top = _head(document, reading, found)
    risk = _risk(document, reading, found)
    fairness = _fairness(document, reading, found)
    drawn = _uncertainty(document, reading, found)
    for array in ARRAY_NAMES:
        found.rows[array] = list(_records(document, array, reading, found))
    arrays: dict[str, Any] = {array: found.of(array) for array in ARRAY_NAMES}
    scenario = Scenario(
        name=top.get("name", ""), file=document.file, as_of=facts.as_of, start=reading.start, months=reading.months,
        discount=top.get("discount", 0.0), resale=resale(top, document, facts, found), summary=top.get("summary", ""),
        resale_most=top.get("resale_most"), risk=risk, fairness=fairness, uncertainty=drawn, sources=(),
        **arrays)
    check(document, facts, scenario, found, horizon=reading.horizon)
    raise_all(ScenarioError, sorted(found.problems, key=_line_order))
    return scenario, found


def _line_order(problem: Problem) -> tuple[str, int]:
    found = re.match(r"([^:]*):(\d+)", problem.where)
    return (found[1], int(found[2])) if found else (problem.where, 0)


def _reading(document: Document, facts: Facts, found: Found) -> Reading:
    """What values may refer to: facts, the folder, and the ids that records declare (sound or not)."""
    from exafleet.facts.scenario.values import CURRENCIES, Reading

    _check_tables(document, found)
    reading = Reading(facts=facts, folder=document.folder)
    reading.ids = {array: _ids(document, array, found) for array in ("owners", "sites", "offers", "open_orders",
                                                                     "rentals", "jobs")}
    top = document.raw.get("scenario")
    currency = top.get("currency") if isinstance(top, dict) else None
    if currency in CURRENCIES:
        reading.currency = str(currency)
    return reading


def _check_tables(document: Document, found: Found) -> None:
    """Unknown names at the top, and arrays that are no arrays."""
    from exafleet.facts.scenario.schema import ScenarioKeys

    known = (*TABLE_NAMES, *ARRAY_NAMES)
    for name, value in document.raw.items():
        if name not in known:
            inside = name in ScenarioKeys.model_fields
            found.problems.append(Problem(
                where=document.place((name,)), what=f'unknown {"table" if isinstance(value, dict | list) else "key"} '
                f'"{name}"', remedy="It belongs under [scenario]." if inside else nearest(name, known)))
        elif name in ARRAY_NAMES and not (isinstance(value, list) and all(isinstance(v, dict) for v in value)):
            found.problems.append(Problem(where=document.place((name,)), what=f"{name} is a list of records",
                                          remedy=f"Begin each record with [[{name}]]."))


def _rows(document: Document, array: str, problems: list[Problem] | None = None) -> list[Row]:
    """Records of an array as written: those of the TOML text, then those of its table, with what is known later."""
    from exafleet.facts.scenario.later import changed

    value = document.raw.get(array, [])
    inside = [Row(array, raw, f"{document.file}:{document.lines.line((array, i))}", (array, i))
              for i, raw in enumerate(value if isinstance(value, list) else []) if isinstance(raw, dict)]
    tables = document.raw.get("tables")
    name = tables.get(array) if isinstance(tables, dict) else None
    if not isinstance(name, str):
        return changed(inside, document.later, array)
    table = document.folder.table(name)
    if isinstance(table, Problem):
        if problems is not None:
            where = document.place(("tables", array))
            problems.append(Problem(where=where, what=f"{table.where}: {table.what}".lstrip(": "), got=table.got,
                                    allowed=table.allowed, remedy=table.remedy))
        return changed(inside, document.later, array)
    outside = [Row(array, raw, f"{name}:{line}") for line, raw in records_of(table)]
    return changed([*inside, *outside], document.later, array)


def _ids(document: Document, array: str, found: Found) -> tuple[str, ...]:
    """Ids an array declares; one declared twice is a problem."""
    first: dict[str, str] = {}
    for row in _rows(document, array):
        name = row.raw.get("id")
        if isinstance(name, str) and name in first:
            found.problems.append(Problem(where=document.key_place(row, ("id",)), what=f'the id "{name}" is used twice',
                                          got=f"first at {first[name]}", remedy="Give each record its own id."))
        elif isinstance(name, str):
            first[name] = row.where
    return tuple(first)


def _head(document: Document, reading: Reading, found: Found) -> dict[str, Any]:
    """[scenario]; sets the reading's horizon as far as it is sound."""
    from exafleet.facts.scenario.schema import ScenarioKeys

    raw = document.raw.get("scenario")
    if raw is None:
        what = "no [scenario] table" if document.raw else "an empty scenario"
        found.problems.append(Problem(where=document.file, what=what, remedy=(
            "Begin with [scenario] and the keys name, as_of, start, months and discount (docs/scenario.md).")))
        reading.horizon = False
        return {}
    top = _read(document, Row("scenario", raw, document.file, ("scenario",)), ScenarioKeys, reading, found)
    reading.horizon = _horizon(raw, reading)
    _origins("scenario", reading, found)
    return top


def _horizon(raw: Any, reading: Reading) -> bool:
    """Start and length, each for itself: a mistake elsewhere in [scenario] must not raise others about months."""
    from exafleet.facts.scenario.schema import ScenarioKeys
    from exafleet.facts.scenario.schema_words import kind_of
    from exafleet.facts.scenario.values import Where, Wrong

    sound = True
    for name in ("start", "months"):
        kind = kind_of(ScenarioKeys.model_fields[name])
        try:
            setattr(reading, name, kind.read(raw[name], Where(reading, {}, name)))  # type: ignore[union-attr]
        except (Wrong, LookupError, TypeError):
            sound = False
    return sound


def _risk(document: Document, reading: Reading, found: Found) -> Risk:
    from exafleet.facts.scenario.schema import FactsKeys, RiskKeys, TablesKeys

    tables: tuple[tuple[str, type[Keys]], ...] = (("tables", TablesKeys), ("facts", FactsKeys), ("risk", RiskKeys))
    values: dict[str, Any] = {}
    for name, keys in tables:
        if name in document.raw:
            values = _read(document, Row(name, document.raw[name], document.file, (name,)), keys, reading, found)
    return Risk(**values) if "risk" in document.raw else Risk()


def _uncertainty(document: Document, reading: Reading, found: Found) -> Uncertainty:
    """[uncertainty] with the facts for what is left out; their keys are noted."""
    from exafleet.facts.scenario.schema import UncertaintyKeys
    from exafleet.facts.scenario.uncertain import uncertainty

    reading.origins, written, known = {}, {}, len(found.problems)
    if "uncertainty" in document.raw:
        row = Row("uncertainty", document.raw["uncertainty"], document.file, ("uncertainty",))
        written = _read(document, row, UncertaintyKeys, reading, found)
    where = document.place(("uncertainty",)) if "uncertainty" in document.raw else ""
    made = uncertainty(written, reading.facts, reading, where) if len(found.problems) == known else Uncertainty()
    _origins("uncertainty", reading, found)
    return made


def _fairness(document: Document, reading: Reading, found: Found) -> Fairness:
    from exafleet.facts.scenario.schema_deals import FairnessKeys

    if "fairness" not in document.raw:
        return Fairness()
    row = Row("fairness", document.raw["fairness"], document.file, ("fairness",))
    return Fairness(**_read(document, row, FairnessKeys, reading, found), where=document.place(("fairness",)))


def _records(document: Document, array: str, reading: Reading, found: Found) -> Iterator[tuple[Row, Any]]:
    """Sound records of an array with their rows; problems of the others are noted."""
    from exafleet.facts.scenario.fill import filled

    for row in _rows(document, array, found.problems):
        keys, kind = _keys_of(document, row, found)
        if keys is None:
            continue
        known = len(found.problems)
        reading.origins = {}
        values = _read(document, row, keys, reading, found)
        if len(found.problems) == known:
            values = filled(array, values, document, row, reading, found)
        if len(found.problems) == known:
            names = {f.name for f in fields(kind)}
            record = kind(**{k: v for k, v in values.items() if k in names and v is not None}, where=row.where)
            _origins(record_key(array, record), reading, found)
            yield row, record


def _keys_of(document: Document, row: Row, found: Found) -> tuple[type[Keys] | None, type]:
    """Model and record of a row; a job's depend on its kind."""
    from exafleet.facts.scenario.schema import ARRAYS, JOBS

    if row.array != "jobs":
        return ARRAYS[row.array]
    kind = row.raw.get("kind")
    if isinstance(kind, str) and kind in JOBS:
        return JOBS[kind]
    what = 'a job without "kind"' if kind is None else f"unknown kind of job {kind!r}"
    found.problems.append(Problem(where=document.key_place(row, ("kind",)), what=what, allowed=", ".join(JOBS),
                                  remedy=nearest(kind, JOBS) if isinstance(kind, str) else ""))
    return None, object


def _origins(key: str, reading: Reading, found: Found) -> None:
    found.origins |= {f"{key}.{name}": fact for name, fact in reading.origins.items()}


# --------------------------------------------------------------------------------------------------------- one record
def _read(document: Document, row: Row, keys: type[Keys], reading: Reading, found: Found) -> dict[str, Any]:
    """Values of the keys that are written; the sound ones even when others are not."""
    from pydantic import ValidationError

    try:
        model = keys.model_validate(row.raw, context=reading)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            found.problems += _told(document, row, keys, one)
        return {}
    return _written(model)


def _written(model: Keys) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields if name in model.model_fields_set}


def _told(document: Document, row: Row, keys: type[Keys], error: Mapping[str, Any]) -> Iterator[Problem]:
    """pydantic's errors in our words, with the line of the key."""
    loc: Path = tuple(error["loc"])
    if error["type"] == "wrong":
        for below, problem in error["ctx"]["wrongs"]:
            where = document.key_place(row, (*loc, *below))
            yield Problem(where=f"{problem.where} (from {where})" if problem.where else where, what=problem.what,
                          got=problem.got, allowed=problem.allowed, remedy=problem.remedy)
    elif error["type"] == "missing":
        yield Problem(where=document.key_place(row, loc[:-1]), what=f'"{loc[-1]}" is missing',
                      remedy=_example(keys, loc))
    elif error["type"] == "extra_forbidden":
        known = _model_at(keys, loc[:-1]).model_fields
        yield Problem(where=document.key_place(row, loc), what=f'unknown key "{loc[-1]}"', allowed=", ".join(known),
                      remedy=nearest(str(loc[-1]), known))
    else:
        yield Problem(where=document.key_place(row, loc), what=_plain(str(error["msg"])))


def _plain(message: str) -> str:
    """pydantic's remaining messages are about tables that are no tables."""
    return "needs a table of keys" if "dictionary" in message else message[:1].lower() + message[1:]


def _model_at(keys: type[Keys], loc: Path) -> type[Keys]:
    from exafleet.facts.scenario.schema_deals import QueueKeys

    return QueueKeys if loc and loc[0] == "queue" else keys


def _example(keys: type[Keys], loc: Path) -> str:
    from exafleet.facts.scenario.schema_words import kind_of

    info = _model_at(keys, loc[:-1]).model_fields.get(str(loc[-1]))
    if info is None:
        return ""
    kind = kind_of(info)
    example = getattr(kind, "example", "") or getattr(getattr(kind, "of", None), "example", "")
    meaning = f"It is: {info.description}" if info.description else ""
    return f"{meaning}; write e.g. {loc[-1]} = {example}" if example and meaning else meaning
