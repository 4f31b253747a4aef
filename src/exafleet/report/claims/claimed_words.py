"""What a claim says, in words: English stays as its author wrote it, other languages say what it means.

Figures keep every digit that was written, since their number says how exact the claim is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

from exafleet.terms.said import Said, catalogue, named, said
from exafleet.terms.units import Quantity, base_unit, unit, units

_SCALED = re.compile(r"[kMB](?=USD)")
_YES = {"yes": "claims.yes", "no": "claims.no"}


def yes(text: str) -> str:
    """Yes or no."""
    return said(_YES[text])


def figure(found: Quantity) -> Said:
    """A figure in the unit it was written in; money in whole dollars, euros or yuan."""
    wanted = (_SCALED.sub("", found.unit), base_unit(found.dimension), found.unit)
    name = next(one for one in wanted if one in units())
    value = found.value / unit(name).to_base
    if name == "1":
        return said("claims.figure", value=value)
    name = name.replace("USD", found.currency)
    first, *others = name.split("/")
    words = reduce(lambda above, below: said("claims.over", above=above, below=below),
                   [named("claims.unit", first), *(named("claims.per", one) for one in others)])
    key = "claims.figure of" if f"claims.unit.{first}" in catalogue() else "claims.figure symbol"
    return said(key, value=value, unit=words)


def time(text: str, months: tuple[int, int, int] | None) -> str:
    """A day, or a time that holds it.

    months   year, first and last month; None for a day
    """
    if months is None:
        return text
    year, first, last = months
    season = re.match(r"[a-z]+", text.casefold())
    if season is not None:
        return said(f"claims.season.{season[0]}", year=str(year))
    parts = {0: ("month", 1), 2: ("quarter", 3), 5: ("half", 6), 11: ("year", 12)}
    kind, length = parts[last - first]
    if kind == "month":
        return said("claims.time.month", month=year * 12 + first - 1)
    part = (first - 1) // length + 1
    return named("claims.time", f"half {part}" if kind == "half" else kind, year=str(year), part=part)


def whole(text: str, ends: Sequence[str], *, bound: str, about: bool, day: bool = False) -> Said:
    """The claim in one: its range, what bounds it, and whether it is said to be near. English is `text`."""
    words = said("claims.as is", figure=ends[0]) if len(ends) == 1 else said("amount.span", low=ends[0], high=ends[-1])
    if about:
        words = said("claims.bound.about", figure=words)
    if bound:
        words = said(f"claims.bound.{'day ' if day else ''}{bound}", figure=words)
    return Said(text, words.key, words.values)
