"""How a number is written in each language of a report, by the name of its form: "money", "power", "month", ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exafleet.terms import format as english
from exafleet.terms import format_zh as chinese
from exafleet.terms.calendar import month_name

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh")
Form = Callable[[float], str]

FORMS: Mapping[str, Mapping[str, Form]] = {
    "en": {
        "money": english.money, "power": english.power, "energy": english.energy, "count": english.count,
        "share": english.percent, "error": english.error, "change": english.change,
        "points": lambda v: english.points(v, signed=True), "month": lambda v: month_name(int(v)),
        "tokens": english.tokens, "token_rate": english.token_rate, "number": english.significant,
        "rent": english.rent, "time": english.duration, "bytes": english.data, "energy_price": english.energy_price,
        "energy_per_token": lambda v: f"{english.significant(v)} J/token",
        "short": english.short, "exact": english.exact, "figure": english.figure,
        "flop": lambda v: english.si(v, "FLOP"), "flop_rate": lambda v: english.si(v, "FLOP/s"),
        "byte_rate": lambda v: english.si(v, "B/s"),
    },
    "zh": {
        "money": chinese.money, "power": english.power, "energy": english.energy, "count": chinese.count,
        "share": chinese.percent, "error": chinese.error, "change": chinese.change, "points": chinese.points,
        "month": lambda v: chinese.month(int(v)), "tokens": chinese.tokens, "token_rate": chinese.token_rate,
        "number": chinese.significant, "rent": chinese.rent, "time": chinese.duration, "bytes": english.data,
        "energy_price": chinese.energy_price, "energy_per_token": lambda v: f"{chinese.significant(v)} J/token",
        "short": chinese.short, "exact": chinese.exact, "figure": chinese.figure,
        "flop": lambda v: english.si(v, "FLOP"), "flop_rate": lambda v: english.si(v, "FLOP/s"),
        "byte_rate": lambda v: english.si(v, "B/s"),
    },
}
