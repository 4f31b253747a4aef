"""How late things come and how prices move, from rows known on a day."""

import csv
import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.fact import Fact
from exafleet.market.slips import (
    LEVELS,
    Slip,
    _fit,
    coverage,
    failure_spread,
    price_moves,
    rent_moves,
    schedule,
    slips,
)
from exafleet.terms.units import DATA

EARLY, LATE = load_facts(date(2024, 12, 19)), load_facts(date(2026, 6, 30))


def with_rows(facts: Facts, *rows: Fact) -> Facts:
    table = {pair: dict(by_at) for pair, by_at in facts.table.items()}
    for row in rows:
        table.setdefault((row.subject, row.term), {})[row.at] = (row,)
    return replace(facts, table=table)


def row(subject: str, term: str, at: str, day: str, known: str) -> Fact:
    value = float(date.fromisoformat(day).toordinal())
    return Fact(subject=subject, term=term, at=at, value=value, low=value, high=value, unit="date", kind="published",
                source="test", where="test", as_of=date.fromisoformat(known))


def test_no_row_dated_later_is_read() -> None:
    assert slips(EARLY)
    assert all(s.known <= date(2024, 12, 19) for s in slips(EARLY))
    assert {s.name for s in slips(LATE)} > {s.name for s in slips(EARLY)}
    # the same fit from facts that were never told anything later
    before = schedule(EARLY)
    kept = {pair: {at: tuple(f for f in many if f.as_of <= EARLY.as_of) for at, many in by_at.items()}
            for pair, by_at in LATE.table.items()}
    table = {pair: {at: many for at, many in by_at.items() if many} for pair, by_at in kept.items()}
    assert schedule(replace(LATE, as_of=EARLY.as_of, table={k: v for k, v in table.items() if v})) == before


def test_fitted_rows_are_what_the_facts_of_their_day_say() -> None:
    """Every row of the table, for a few days: fitted anew from what was known by then."""
    with (DATA / "uncertainty.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["subject"], r["term"], r["at"]): r for r in csv.DictReader(file)}
    for at, day in (("2023-06", date(2023, 6, 30)), ("2024-12", date(2024, 12, 31)), ("2026-06", date(2026, 6, 30))):
        facts = load_facts(day)
        fits = schedule(facts)
        for level in LEVELS:
            told = rows[(f"deliveries-{level}", "schedule_ratio", at)]
            assert told["as_of"] == day.isoformat()
            for name, share in (("low", 0.1), ("value", 0.5), ("high", 0.9)):
                assert float(told[name]) == pytest.approx(fits[level].quantile(share), rel=6e-3)
        rents = rent_moves(facts)
        for term, value in (("rent_volatility", rents.volatility), ("rent_common", rents.common), ("price_volatility",
                            price_moves(facts).volatility), ("failure_spread", failure_spread(facts)[0])):
            assert float(rows[("gpu-market", term, at)]["value"]) == pytest.approx(value, rel=6e-3)


def made(ratios: list[float], come: bool = True) -> tuple[Slip, ...]:
    day = date(2024, 1, 15)
    return tuple(Slip(level="chip", name=f"c{i}", announced=day, due=0.0, ratio=r, come=come, known=day)
                 for i, r in enumerate(ratios))


def test_many_rows_give_back_what_they_were_made_from() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    ratios = np.exp(0.3 + 0.5 * rng.standard_normal(3000)).tolist()
    found = _fit(made(ratios), 0.0, 1.0)
    assert found.mean == pytest.approx(0.3, abs=4 * found.mean_error)
    assert found.sigma == pytest.approx(0.5, abs=4 * found.sigma_error)
    assert found.mean_error == pytest.approx(0.5 / math.sqrt(3000), rel=0.1)


def test_what_has_not_come_yet_counts_as_later() -> None:
    """Rows cut off at a ratio of 1 and told as missing give the same mean as seeing them all; left out they do not."""
    rng = np.random.Generator(np.random.PCG64(2))
    ratios = np.exp(0.2 + 0.4 * rng.standard_normal(3000))
    seen, missing = made(ratios[ratios < 1.2].tolist()), made([1.2] * int((ratios >= 1.2).sum()), come=False)
    assert _fit((*seen, *missing), 0.0, 1.0).mean == pytest.approx(0.2, abs=0.04)
    assert _fit(seen, 0.0, 1.0).mean < 0.0


def test_a_level_without_rows_takes_the_mean_of_all_and_one_with_many_its_own() -> None:
    fits = schedule(load_facts(date(2023, 6, 30)))
    assert fits["site"].rows == 0
    assert fits["site"].mean == pytest.approx(fits["rack"].mean)
    late = [row("gb200-nvl72", "power_expected", f"p{i}:2020-01", "2020-07-15", "2020-01-15") for i in range(40)]
    late += [row("gb200-nvl72", "power_on", f"p{i}", "2021-01-14", "2021-01-14") for i in range(40)]
    many = schedule(with_rows(EARLY, *late))
    assert many["site"].mean == pytest.approx(math.log(2.0), abs=0.06)
    assert many["chip"].mean < many["site"].mean


def test_a_rumour_announces_nothing() -> None:
    added = row("gb200-nvl72", "power_expected", "x:2020-01", "2020-02-15", "2020-01-15")
    came = row("gb200-nvl72", "power_on", "x", "2024-01-15", "2024-01-15")
    assert "gb200-nvl72 x" in {s.name for s in slips(with_rows(EARLY, added, came))}
    assert "gb200-nvl72 x" not in {s.name for s in slips(with_rows(EARLY, replace(added, kind="rumour"), came))}


def test_later_slips_are_judged_by_what_was_said_before_them() -> None:
    rows = coverage(EARLY, LATE)
    assert rows
    known = {s.name for s in slips(EARLY)}
    assert all(s.name not in known and low < high for s, low, high in rows)


def test_moves_of_made_prices_are_found_again() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    shared = rng.standard_normal(240)
    fresh = replace(EARLY, table={})
    rows = []
    for chip in ("h100-sxm", "h200-sxm"):
        steps = 0.3 / math.sqrt(12) * (math.sqrt(0.6) * shared + math.sqrt(0.4) * rng.standard_normal(240))
        for t, price in enumerate(np.exp(np.cumsum(steps))):
            at = f"on-demand:{2000 + t // 12}-{t % 12 + 1:02d}"
            rows.append(replace(row(chip, "rent_index", at, "2000-01-01", "2000-01-01"), value=float(price)))
    found = rent_moves(with_rows(fresh, *rows))
    assert found.volatility == pytest.approx(0.3, rel=0.12)
    assert found.common == pytest.approx(0.6, abs=0.12)
    assert rent_moves(fresh).rows == 0
    assert price_moves(fresh).rows == 0


def test_quotes_of_different_sellers_are_not_taken_for_moves() -> None:
    """Quotes that differ by seller but go nowhere in ten years: no volatility is read out of them."""
    rng = np.random.Generator(np.random.PCG64(4))
    rows = [replace(row("hgx-h100", "unit_price", f"{2000 + t // 4}-{3 * (t % 4) + 1:02d}", "2000-01-01", "2000-01-01"),
                    value=float(np.exp(0.2 * rng.standard_normal()))) for t in range(40)]
    assert price_moves(with_rows(replace(EARLY, table={}), *rows)).rows == 0  # what is assumed
