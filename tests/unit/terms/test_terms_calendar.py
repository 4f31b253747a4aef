"""Months, and when a source can have been read."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.terms.calendar import month, month_end, month_name, month_of, month_seconds, month_start, published
from exafleet.terms.errors import FactError


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2100, 12, 31)))
def test_a_month_goes_there_and_back(day):
    index = month_of(day)
    assert month(month_name(index)) == index == month(day.isoformat())
    assert month_start(index) <= day <= month_end(index)
    assert published(month_name(index)) >= day


@given(st.integers(1990 * 12, 2100 * 12))
def test_twelve_months_are_a_year_of_seconds(index):
    days = sum(month_seconds(index + i) for i in range(12)) / 86400
    assert days in (365, 366)


def test_a_vague_date_is_never_early():
    assert published("2024") == date(2024, 12, 31)
    assert published("2024-Q1") == date(2024, 3, 31)
    assert published("2024-02") == date(2024, 2, 29)
    assert published("2024-12-19") == date(2024, 12, 19)


@pytest.mark.parametrize("text", ["", "2024-13", "24-12", "Dec 2024", "2024-12-32", "2024-Q5"])
def test_nonsense_is_refused(text):
    with pytest.raises(FactError):
        published(text)
    with pytest.raises(FactError):
        month(text)
