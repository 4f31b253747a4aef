"""Numbers in words, for people: the one place that turns base units back into "$1.08B", "150 MW" or "43.2 %".

Three significant digits, no trailing zeros, thousands separated. Nothing here is read back: files carry base units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

from exafleet.terms.calendar import SECONDS_PER_DAY
from exafleet.terms.units import base_unit, unit

_LARGE = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))
_SHORT = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("", 1.0))
_SHORT_K = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))
_HOUR = 3600.0
_TIMES = (("d", SECONDS_PER_DAY), ("h", _HOUR), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def significant(value: float, digits: int = 3) -> str:
    """`value` with this many significant digits; whole digits are never rounded away.

    >>> significant(1234.5), significant(0.012345), significant(9.999), significant(-3.10)
    ('1,234', '0.0123', '10', '-3.1')
    """
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("-" if value < 0 else "") + "unlimited"
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: float, scales: tuple[tuple[str, float], ...], digits: int) -> tuple[str, str]:
    """Number and scale name: the largest scale whose rounded number is at least 1 (the smallest scale otherwise)."""
    if not math.isfinite(value) or value == 0:
        return significant(value), next(name for name, factor in scales if factor == 1.0)
    for name, factor in scales:
        if abs(value) / factor >= 1 - 0.5 * 10.0**-digits:
            return significant(value / factor, digits), name
    name, factor = scales[-1]
    return significant(value / factor, digits), name


def si(value: float, symbol: str, digits: int = 3) -> str:
    """A base-unit value with a metric prefix.

    >>> si(1.5e8, "W"), si(2.5e15, "FLOP/s"), si(0, "B")
    ('150 MW', '2.5 PFLOP/s', '0 B')
    """
    number, prefix = _scaled(value, _LARGE, digits)
    return f"{number} {prefix}{symbol}"


def count(value: float) -> str:
    """A whole number with thousands separated.

    >>> count(25920)
    '25,920'
    """
    return f"{value:,.0f}" if math.isfinite(value) else significant(value)


def short(value: float) -> str:
    """A large number in words of a headline.

    >>> short(405.9e9), short(15.6e12), short(1200)
    ('406B', '15.6T', '1.2k')
    """
    number, scale = _scaled(value, _SHORT_K, 3)
    return number + scale


def money(value: float) -> str:
    """US dollars.

    >>> money(1.08e9), money(-26_900), money(2.65)
    ('$1.08B', '-$26,900', '$2.65')
    """
    if abs(value) < 1e-6:  # less than any price per token: rounding left over from sums
        return "$0"
    number, scale = _scaled(abs(value), _SHORT, 3)
    if scale == "" and 0.1 <= abs(value) < 100:  # cents are written as cents: $2.50, not $2.5
        number = f"{abs(value):.2f}"
    return ("-$" if value < 0 else "$") + number + scale


def percent(value: float) -> str:
    """A share as per cent.

    >>> percent(0.4321), percent(1)
    ('43.2 %', '100 %')
    """
    return f"{significant(value * 100)} %"


def error(value: float) -> str:
    """A relative error as per cent, to a tenth, so that errors line up.

    >>> error(0.0321), error(1)
    ('3.2 %', '100.0 %')
    """
    return f"{100 * value:.1f} %" if math.isfinite(value) else significant(value)


def change(value: float) -> str:
    """A share that may be more or less, with its sign.

    >>> change(0.0321), change(-0.5)
    ('+3.2 %', '-50.0 %')
    """
    return f"{100 * value:+.1f} %" if math.isfinite(value) else significant(value)


def points(value: float, *, signed: bool = False) -> str:
    """A difference of two shares, in points of a hundred.

    >>> points(0.0123), points(-0.02, signed=True)
    ('1.2 points', '-2.0 points')
    """
    if not math.isfinite(value):
        return significant(value)
    return f"{100 * value:+.1f} points" if signed else f"{100 * value:.1f} points"


def power(value: float) -> str:
    """Watts with a prefix."""
    return si(value, "W")


def energy(value: float) -> str:
    """Joules as watt-hours.

    >>> energy(3.6e12)
    '1 GWh'
    """
    return si(value / _HOUR, "Wh")


def data(value: float) -> str:
    """Bytes with a decimal prefix."""
    return si(value, "B")


def duration(value: float) -> str:
    """Seconds in the unit people would use, up to days.

    >>> duration(0.0123), duration(90), duration(86400 * 54)
    ('12.3 ms', '1.5 min', '54 d')
    """
    if value == 0 or not math.isfinite(value):
        return f"{significant(value)} s"
    number, name = _scaled(value, _TIMES, 3)
    return f"{number} {name}"


def tokens(value: float) -> str:
    """A number of tokens.

    >>> tokens(15.6e12)
    '15.6T tokens'
    """
    return f"{short(value)} tokens"


def token_rate(value: float) -> str:
    """Tokens per second.

    >>> token_rate(1_230_000)
    '1.23M tokens/s'
    """
    return f"{short(value)} tokens/s"


def rent(value: float) -> str:
    """USD per chip-second as the market quotes it.

    >>> rent(2.65 / 3600)
    '$2.65/GPU-h'
    """
    return f"{money(value * _HOUR)}/GPU-h"


def energy_price(value: float) -> str:
    """USD per joule as USD per MWh."""
    return f"${significant(value * _HOUR * 1e6)}/MWh"


def band(low: float, high: float, form: Callable[[float], str]) -> str:
    """A band in words; one number where both ends read the same.

    >>> band(9e5, 1.2e6, token_rate)
    '900k tokens/s to 1.2M tokens/s'
    """
    bottom, top = form(low), form(high)
    return bottom if bottom == top else f"{bottom} to {top}"


def written(value: float, name: str) -> str:
    """A base-unit value in a unit of the closed list: how its source wrote it.

    >>> written(8e12, "TB/s"), written(738945, "date"), written(0.25, "1")
    ('8 TB/s', '2024-02-29', '0.25')
    """
    if name == "date":
        return date.fromordinal(round(value)).isoformat()
    number = exact(value / unit(name).to_base)
    return number if name == "1" else f"{number} {name}"


def figure(value: float) -> str:
    """A plain number: in full below a million, in words of a headline above.

    >>> figure(25920), figure(3.22e6), figure(4.9e19)
    ('25,920', '3.22M', '4.9e+19')
    """
    if math.isfinite(value) and abs(value) >= 1e15:
        return f"{value:.3g}"
    return significant(value) if abs(value) < 1e6 else short(value)


def exact(value: float) -> str:
    """Every digit a person wrote, and none that only floating point added.

    >>> exact(7.265e9), exact(0.1 + 0.2)
    ('7,265,000,000', '0.3')

    The float format prints thousands with commas up to 1e15; above that only an exponent is readable.
    """
    rounded = float(f"{value:.10g}")
    if abs(rounded) >= 1e15 or (rounded != 0 and abs(rounded) < 1e-6):
        return f"{rounded:g}"
    text = f"{rounded:,.12f}".rstrip("0").rstrip(".")
    return text or "0"


_FORMS: dict[str, Callable[[float], str]] = {
    "money": money,
    "power": power,
    "energy": energy,
    "bytes": data,
    "time": duration,
    "tokens": tokens,
    "token_rate": token_rate,
    "rent": rent,
    "energy_price": energy_price,
    "chips": count,
    "system_units": count,
    "price_per_unit": money,
    "price_per_chip": money,
    "flop": lambda v: si(v, "FLOP"),
    "flop_rate": lambda v: si(v, "FLOP/s"),
    "byte_rate": lambda v: si(v, "B/s"),
    "parameters": lambda v: f"{short(v)} parameters",
    "flop_per_token": lambda v: si(v, "FLOP/token"),
    "bytes_per_token": lambda v: si(v, "B/token"),
    "date": lambda v: written(v, "date"),
}


def quantity(value: float, dimension: str) -> str:
    """A base-unit value of a dimension in the words people use for it; plain digits and base unit for the others.

    >>> quantity(1.08e9, "money"), quantity(2.5e8, "power")
    ('$1.08B', '250 MW')
    """
    form = _FORMS.get(dimension)
    if form is not None:
        return form(value)
    return significant(value) if dimension == "number" else f"{significant(value)} {base_unit(dimension)}"
