"""Months as integers. Above the waist time is a month index; below it there are only seconds.

A month is `year * 12 + (month - 1)`, in UTC. Facts dated only to the month or the year count as published on the
*last* day of it, so that an `as_of` date can never see a figure that was published later.
"""

from __future__ import annotations

import calendar as _calendar
import re
from datetime import date

from exafleet.terms.errors import FactError, Problem

Month = int
_MONTH = re.compile(r"(\d{4})-(\d{2})$")
_YEAR = re.compile(r"(\d{4})$")
SECONDS_PER_DAY = 86_400.0
DAYS_PER_MONTH = 365.25 / 12


def month(text: str) -> Month:
    """Month index of "2025-01" or "2025-01-31"; raises FactError for anything else.

    >>> month_name(month("2025-03") + 11)
    '2026-02'
    """
    found = _MONTH.match(text)
    if found and 1 <= int(found[2]) <= 12:
        return int(found[1]) * 12 + int(found[2]) - 1
    try:
        return month_of(date.fromisoformat(text))
    except ValueError:
        raise FactError(Problem(what="not a month", got=repr(text), allowed='"YYYY-MM", e.g. "2025-01"')) from None


def month_of(day: date) -> Month:
    """Month index of a date."""
    return day.year * 12 + day.month - 1


def month_name(index: Month) -> str:
    """"2025-01" for a month index."""
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def month_start(index: Month) -> date:
    """First day of a month."""
    return date(index // 12, index % 12 + 1, 1)


def month_end(index: Month) -> date:
    """Last day of a month."""
    return date(index // 12, index % 12 + 1, _calendar.monthrange(index // 12, index % 12 + 1)[1])


def month_seconds(index: Month) -> float:
    """Length of a month. [s]"""
    return month_end(index).day * SECONDS_PER_DAY


def published(text: str) -> date:
    """Latest day a source dated "2024", "2024-12", "2024-Q3" or "2024-12-19" can have appeared.

    >>> published("2024-12")
    datetime.date(2024, 12, 31)
    """
    if _YEAR.match(text):
        return date(int(text), 12, 31)
    if _MONTH.match(text):
        return month_end(month(text))
    quarter = re.match(r"(\d{4})-?Q([1-4])$", text)
    if quarter:
        return month_end(int(quarter[1]) * 12 + int(quarter[2]) * 3 - 1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FactError(Problem(what="not a date", got=repr(text),
                                allowed='"YYYY-MM-DD", "YYYY-MM", "YYYY-Qn" or "YYYY"')) from None
