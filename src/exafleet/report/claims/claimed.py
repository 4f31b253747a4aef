"""What a claim says: a figure, a range, a bound, a day or a yes, and how exactly its words mean it.

Tolerance follows from how the figure is written, the same for every claim:
- half a unit of its last significant digit, at least 0.5 % (no fact here is better) and at most 10 %;
- twice that where it says "about";
- a range and a bound take the tolerance of the figures they are made of;
- a month, a quarter, a half, a season or a year is every day of it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date

from exafleet.report.claims import claimed_words
from exafleet.report.claims.amount import DAY, PURE, Dims, dims_of, spoken
from exafleet.report.claims.bounds import unbounded
from exafleet.terms.calendar import month_end
from exafleet.terms.errors import ExafleetError, Problem
from exafleet.terms.units import parse, units

LEAST, MOST = 0.005, 0.10
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_LETTERS = re.compile(r"[^\W_]")
_YES_NO = {"是": "yes", "否": "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A kind of claim: the dimensions its figure may have, and whether it means nothing without a baseline."""

    name: str
    meaning: str
    dimensions: tuple[str, ...]
    baseline: bool = False
    example: str = ""


_PRICES = ("price_per_chip", "price_per_superchip", "price_per_unit", "rent", "rent_per_superchip", "energy_price",
           "token_price", "capex_per_power", "power_rent")
QUANTITIES = {q.name: q for q in (
    Quantity(name="speed-up", meaning="how many times as fast as the baseline", dimensions=("number",), baseline=True,
             example="about 5 x"),
    Quantity(name="ratio", meaning="how many times the baseline, of anything but speed", dimensions=("number",),
             baseline=True, example="2 x"),
    Quantity(name="price", meaning="what one of something costs", dimensions=_PRICES, example="$3.0M/rack"),
    Quantity(name="money", meaning="a sum, in any currency", dimensions=("money",), example="1.08B USD"),
    Quantity(name="power", meaning="a power drawn or rated", dimensions=("power",), example="700 W to 1200 W"),
    Quantity(name="energy", meaning="an energy, or one per token", dimensions=("energy", "energy_per_token"),
             example="0.4 J/token"),
    Quantity(name="count", meaning="how many of something", example="100,000 GPUs",
             dimensions=("number", "chips", "superchips", "system_units", "tokens", "parameters")),
    Quantity(name="rank", meaning="a place in an order, 1 the first", dimensions=("number",), example="2"),
    Quantity(name="share", meaning="a part of a whole", dimensions=("number",), example="40 %"),
    Quantity(name="date", meaning="a day, or a time that holds it", dimensions=("date",), example="2025-03"),
    Quantity(name="duration", meaning="how long something takes, or how far apart two days are", dimensions=("time",),
             example="19 d"),
    Quantity(name="rate", meaning="how many a time", example="4 racks/day",
             dimensions=("rate", "install_rate", "token_rate", "flop_rate", "byte_rate", "money_rate")),
    Quantity(name="size", meaning="bytes, or a length", dimensions=("bytes", "length", "area", "mass"),
             example="186 GB"),
    Quantity(name="yes or no", meaning="whether something holds", dimensions=("number",), example="yes"),
)}
# How a claim bounds its figure, longest words first.
BOUNDS = (("not before", "least"), ("no earlier than", "least"), ("at least", "least"), ("up to", "top"),
          ("at most", "most"), ("more than", "above"), ("less than", "below"), ("no later than", "most"),
          ("over", "above"), ("above", "above"), ("after", "above"), ("under", "below"), ("below", "below"),
          ("before", "below"), ("by", "most"))
ABOUT = ("about", "around", "roughly", "approximately", "nearly", "≈", "~")
_SEASONS = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "mid": (4, 9), "early": (1, 4), "late": (9, 12)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A figure as claimed, in base units.

    low, high   ends of what is claimed; equal for one figure
    slack       tolerance at either end, in the figure's own unit
    bound       "" for a figure or range; least, most, above, below, or top ("up to")
    text        as written
    """

    low: float
    high: float
    slack: tuple[float, float]
    dims: Dims
    bound: str = ""
    text: str = ""
    about: bool = False

    @property
    def bottom(self) -> float:
        """The least figure that still agrees."""
        return self.low - self.slack[0]

    @property
    def top(self) -> float:
        """The largest figure that still agrees."""
        return self.high + self.slack[1]

    @property
    def middle(self) -> float:
        """One figure that stands for it."""
        return (self.low + self.high) / 2

    @property
    def written(self) -> str:
        """As written, or in words."""
        return self.text or spoken(self.middle, self.dims)


def claimed(said: object, quantity: Quantity) -> Claimed:
    """Read what a claim says: text, a plain number, a day or true and false. Raises ExafleetError with what is wrong.

    >>> claimed("about 5 x", QUANTITIES["speed-up"]).bottom
    4.0
    >>> claimed("2025-03", QUANTITIES["date"]).written
    '2025-03'
    """
    text = _in_english(_text(said))
    if quantity.name == "yes or no":
        return _yes(text)
    rest, bound, about = _unbound(text)
    if quantity.dimensions == ("date",):
        return _dates(rest, text, bound, about)
    return _figures(rest, text, bound, about, quantity)


def _in_english(text: str) -> str:
    """A figure in Chinese words, "约10.8亿美元", as it is written here; other text as it stands."""
    if not _CHINESE.search(text):
        return text
    if text in _YES_NO:
        return _YES_NO[text]
    from exafleet.report.claims.figures import figures

    found = figures(text)
    whole = len(found) == 1 and not _LETTERS.search(unbounded(text[:found[0].start] + text[found[0].end:]))
    return found[0].claimed if whole and found[0].claimed else text


def _text(said: object) -> str:
    if isinstance(said, bool):
        return "yes" if said else "no"
    if isinstance(said, date):
        return said.isoformat()
    if isinstance(said, int | float):
        return f"{said:,.15g}"
    return " ".join(str(said).split())


def _yes(text: str) -> Claimed:
    if text not in ("yes", "no"):
        raise ExafleetError(Problem(what="neither yes nor no", got=repr(text), allowed='"yes" or "no"'))
    value = float(text == "yes")
    return Claimed(low=value, high=value, slack=(0.0, 0.0), dims=PURE, text=claimed_words.yes(text))


def _unbound(text: str) -> tuple[str, str, bool]:
    """The figure without the words before it, its bound, and whether it is said to be near."""
    rest, bound, about = text.strip(), "", False
    for word in ABOUT:
        if rest.casefold().startswith(word):
            rest, about = rest[len(word):].strip(), True
    for said, name in BOUNDS:
        if rest.casefold().startswith(said + " "):
            rest, bound = rest[len(said):].strip(), name
            break
    for word in ABOUT:
        if rest.casefold().startswith(word):
            rest, about = rest[len(word):].strip(), True
    return rest, bound, about


# ------------------------------------------------------------------------------------------------------------ days
def _dates(rest: str, text: str, bound: str, about: bool = False) -> Claimed:
    parts = re.split(r"\s+to\s+", rest)
    spans = [_span(part) for part in parts]
    first, last = min(s[0] for s in spans), max(s[1] for s in spans)
    return Claimed(low=float(first.toordinal()), high=float(last.toordinal()), slack=(0.0, 0.0), dims=DAY, bound=bound,
                   text=claimed_words.whole(text, [claimed_words.time(p, _months(p)) for p in parts], bound=bound,
                                            about=about, day=True))


def _span(text: str) -> tuple[date, date]:
    """First and last day of "2025-03-01", "2025-03", "2025-Q1", "2025-H2", "summer 2023", "mid 2025" or "2025"."""
    months = _months(text)
    if months is not None:
        year, first, last = months
        return date(year, first, 1), month_end(year * 12 + last - 1)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ExafleetError(Problem(what="not a day or a time that holds one", got=repr(text), allowed=(
            '"2025-03-01", "2025-03", "2025-Q1", "2025-H2", "2025", "summer 2023", "mid 2025", or two with "to"'),
        )) from None
    return day, day


def _months(text: str) -> tuple[int, int, int] | None:
    season = re.fullmatch(rf"({'|'.join(_SEASONS)})[ -](\d{{4}})", text.casefold())
    found = re.fullmatch(r"(\d{4})(?:-(?:(\d\d)|Q([1-4])|H([12])))?", text)
    if season is not None:
        return int(season[2]), *_SEASONS[season[1]]
    if found is None or (found[2] and not 1 <= int(found[2]) <= 12) or int(found[1]) < 1900:
        return None
    if found[2]:
        return int(found[1]), int(found[2]), int(found[2])
    if found[3]:
        return int(found[1]), 3 * int(found[3]) - 2, 3 * int(found[3])
    if found[4]:
        return int(found[1]), 6 * int(found[4]) - 5, 6 * int(found[4])
    return int(found[1]), 1, 12


# --------------------------------------------------------------------------------------------------------- figures
def _figures(rest: str, text: str, bound: str, about: bool, quantity: Quantity) -> Claimed:
    parts = re.split(r"\s+to\s+|\s*–\s*", rest)
    if len(parts) == 2 and not re.search(r"[^\d.,\s]", parts[0]):  # "2 to 3 mo": the unit is that of the second
        parts[0] += re.sub(r"^[^\d]*[\d.,]+", "", parts[1])
    read = [_figure(part, quantity, about) for part in parts[:2]]
    low, high = read[0], read[-1]
    if len(parts) > 2 or low.dims != high.dims or low.low > high.high:
        raise ExafleetError(Problem(what="not a range from low to high", got=repr(text), allowed='"700 W to 1200 W"'))
    words = claimed_words.whole(text, [one.text for one in read], bound=bound, about=about)
    return replace(high, low=low.low, slack=(low.slack[0], high.slack[1]), bound=bound, text=words, about=about)


def _figure(text: str, quantity: Quantity, about: bool) -> Claimed:
    found = parse(text, *quantity.dimensions)
    dims = dims_of(found.dimension)
    if found.currency != "USD":
        dims = tuple(sorted((found.currency if name == "USD" else name, power) for name, power in dims))
    slack = abs(found.value) * tolerance(text, about)
    return Claimed(low=found.value, high=found.value, slack=(slack, slack), dims=dims, about=about,
                   text=claimed_words.figure(found))


def tolerance(text: str, about: bool) -> float:
    """Relative tolerance of a figure as it is written. [1]

    >>> tolerance("5", False), tolerance("1.08", False), round(tolerance("about 72.65", True), 3)
    (0.1, 0.005, 0.01)
    """
    found = re.search(r"\d[\d,]*(?:\.\d+)?", text)
    digits = found[0].replace(",", "") if found else "1"
    significant = digits.replace(".", "").lstrip("0")
    if "." not in digits:
        significant = significant.rstrip("0")
    value = float(digits) or 1.0
    exponent = math.floor(math.log10(value)) - max(0, len(significant) - 1)
    half = 0.5 * 10.0**exponent / value
    return min(max(half, LEAST), MOST) * (2.0 if about else 1.0)


def any_amount(text: str) -> Claimed | None:
    """A literal of an expression: any quantity of units.csv, a plain number, or a day; None when it is neither."""
    everything = tuple(dict.fromkeys(u.dimension for u in units().values()))
    try:
        if re.match(r"\d{4}-|\d{4}$", text):
            return _dates(text, text, "")
        return _figure(text, Quantity(name="", meaning="", dimensions=everything), False)
    except ExafleetError:
        return None
