"""A small table inside a key, or a list of them: { to = "gb300-list", fee = "5 %" }. Each key has a kind of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exafleet.facts.deals import Payment
from exafleet.facts.scenario.values import Kind, Where, gather, wrong
from exafleet.terms.errors import nearest

NEEDED: Any = object()


@dataclass(frozen=True, kw_only=True)
class Inner(Kind):
    """One small table: `keys` says how each of its values is written, `defaults` what it is when left out."""

    keys: Mapping[str, Kind]
    make: Callable[..., Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def _read(self, value: object, at: Where) -> Any:
        if not isinstance(value, dict):
            wrong("not a table of keys", value, self.example)
        unknown = [k for k in value if k not in self.keys]
        if unknown:
            wrong(f'unknown key "{unknown[0]}"', allowed=", ".join(self.keys), remedy=nearest(unknown[0], self.keys))
        missing = [k for k in self.keys if k not in value and k not in self.defaults]
        if missing:
            wrong(f'"{missing[0]}" is missing', allowed=self.example)
        found = gather([((k,), lambda k=k: (k, self.keys[k].read(value[k], at))) for k in value])  # type: ignore[misc]
        return self.make(**{**self.defaults, **dict(found)})

    def _schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": False,
                "required": [k for k in self.keys if k not in self.defaults],
                "properties": {k: kind.schema() for k, kind in self.keys.items()}}


@dataclass(frozen=True, kw_only=True)
class Rows(Kind):
    """A list of small tables, which may be empty where that says something."""

    of: Inner
    empty: bool = False

    def _read(self, value: object, at: Where) -> tuple[Any, ...]:
        if not isinstance(value, list) or not (value or self.empty):
            wrong("not a list of tables", value, self.example)
        return tuple(gather([((i,), lambda v=v: self.of.read(v, at)) for i, v in enumerate(value)]))  # type: ignore[misc]

    def _schema(self) -> dict[str, Any]:
        return {"type": "array", **({} if self.empty else {"minItems": 1}), "items": self.of.schema()}


WHEN = re.compile(r"(?:(\d{1,3}) mo (before|after) )?(order|arrival)")


@dataclass(frozen=True, kw_only=True)
class When(Kind):
    """The month of an instalment: "order", "3 mo after order", "2 mo before arrival", "1 mo after arrival"."""

    example: str = '"2 mo before arrival"'

    def _read(self, value: object, at: Where) -> tuple[str, int]:
        found = WHEN.fullmatch(" ".join(value.split())) if isinstance(value, str) else None
        if found is None or (found[2], found[3]) == ("before", "order"):
            wrong("not the month of an instalment", value,
                  '"order", "N mo after order", "N mo before arrival", "arrival" or "N mo after arrival"')
        months = int(found[1] or 0)
        return found[3], -months if found[2] == "before" else months

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^((\d{1,3}) mo (before|after) )?(order|arrival)$"}


@dataclass(frozen=True, kw_only=True)
class Payments(Kind):
    """Instalments whose shares sum to the whole price."""

    share: Kind

    def _read(self, value: object, at: Where) -> tuple[Payment, ...]:
        rows = Rows(of=Inner(keys={"at": When(), "share": self.share}, make=_payment, example=self.example),
                    example=self.example)
        found: tuple[Payment, ...] = rows.read(value, at)
        total = sum(p.share for p in found)
        if abs(total - 1.0) > 1e-6:
            wrong(f"the shares add up to {100 * total:.6g} %", allowed="shares that add up to 100 %",
                  remedy=f"Add or take away {100 * abs(1.0 - total):.6g} %.")
        return found

    def _schema(self) -> dict[str, Any]:
        return Rows(of=Inner(keys={"at": When(), "share": self.share}, make=_payment)).schema()


def _payment(at: tuple[str, int], share: float) -> Payment:
    return Payment(anchor=at[0], months=at[1], share=share)


@dataclass(frozen=True, kw_only=True)
class Shares(Kind):
    """A share for each owner: { xai = "60 %", tesla = "40 %" }."""

    owner: Kind
    share: Kind

    def _read(self, value: object, at: Where) -> tuple[tuple[str, float], ...]:
        if not isinstance(value, dict):
            wrong("not shares by owner", value, self.example)
        pieces = [((k,), lambda k=k, v=v: (self.owner.read(k, at), self.share.read(v, at))) for k, v in value.items()]
        return tuple(gather(pieces))

    def _schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.share.schema()}
