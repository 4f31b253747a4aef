"""The rule of cash: where an owner's money is used up, one more USD is worth what the prices of its months sum to."""

from dataclasses import replace

import numpy as np
import pytest

from exafleet.market.futures import draw
from exafleet.market.market import market
from exafleet.plan.evaluate import evaluate
from exafleet.plan.solve import solve_market
from exafleet.report.sections.worth import binding, headline

BUDGET = 209e3   # just above the least that any plan of the sample keeps to [USD]


def short(tiny, usd):
    """The sample with so little money for its first owner, from the first month on."""
    first, *others = tiny.world.scenario.owners
    start = tiny.world.scenario.start
    return replace(tiny.world, scenario=replace(tiny.world.scenario, owners=(
        replace(first, budget=((start, usd),)), *others)))


@pytest.fixture(scope="module")
def scarce(tiny):
    sold = market(short(tiny, BUDGET), tiny.rates)
    return solve_market(sold, tiny.rates, draw(sold, 1, 0, rates=tiny.rates))


def test_a_usd_more_saves_what_the_months_without_money_sum_to(tiny, scarce):
    """Against the same decisions costed anew with a thousand USD more."""
    worth = sum(b.price for b in scarce.binding if b.rule == "cash")
    more = market(short(tiny, BUDGET + 1e3), tiny.rates)
    saved = scarce.objective - evaluate(more, tiny.rates, scarce, draw(more, 1, 0, rates=tiny.rates)).mean
    assert worth > 1.0
    assert saved == pytest.approx(1e3 * worth, rel=1e-3)


def test_the_prices_of_the_months_sum_to_the_worth_of_the_first_one(scarce):
    """Money that is not used in a month is there in the next: a price is what the month itself adds."""
    owner = scarce.market.scenario.owners[0].id
    prices = np.zeros(scarce.market.months)
    for one in scarce.binding:
        if one.rule == "cash" and one.place == owner:
            prices[one.month] = one.price
    later = prices[::-1].cumsum()[::-1]
    assert later[0] == pytest.approx(later.max())
    assert np.all(prices >= 0)
    assert not [b for b in scarce.binding if b.rule == "cash" and b.place != owner], "the other owner's is unlimited"


def test_the_report_has_a_row_for_it_and_the_headline_speaks_of_money(scarce):
    table = binding(scarce)
    row = next(r for r in table.rows if r[0] == "cash")
    owner = scarce.market.scenario.owners[0].id
    assert (row[1], row[5]) == (owner, "1 USD more")
    assert table.origins[table.rows.index(row)] == (f"owners.{owner}.budget",)
    assert "binds but money" in headline(scarce)


def test_money_that_suffices_has_no_price(tiny):
    assert not [b for b in tiny.plan.binding if b.rule == "cash"]
