"""The owners' tables: figures of the plan, added up another way, and no table where nothing is shared."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from exafleet.plan.accounts import accounts
from exafleet.report.sections import sharing


def test_chip_hours_of_an_owner_are_used_lent_or_idle(tiny: SimpleNamespace) -> None:
    found, market = accounts(tiny.plan), tiny.plan.market
    np.testing.assert_allclose(found.owned, found.own_use + found.lent + found.idle, rtol=1e-9, atol=1e-6)
    hours = market.seconds / 3600
    standing = (tiny.plan.installed[0] * market.chips[tiny.plan.holder_system][:, None]) @ hours
    assert found.owned.sum() == pytest.approx(standing.sum())
    assert found.lent.sum() == pytest.approx(found.borrowed.sum())
    assert found.entitled.sum() == pytest.approx(1.0)
    assert found.paid.sum() == pytest.approx(tiny.plan.books.sum() / len(tiny.plan.books))


def test_useful_work_never_exceeds_the_chip_hours_it_was_done_with(tiny: SimpleNamespace) -> None:
    plan = tiny.plan
    used = (plan.use[0].sum(axis=1) @ plan.market.seconds) / 3600
    assert (plan.useful[0] <= used * (1 + 1e-6) + 1e-3).all()


def test_the_tables_of_a_plan_with_a_loan(tiny: SimpleNamespace) -> None:
    tables = {t.id: t for t in sharing.tables(tiny.plan)}
    assert list(tables) == ["sharing", "shared-fleet", "books"]
    *parts, total = tables["books"].rows
    for column in range(1, len(total)):
        assert float(total[column]) == pytest.approx(sum(float(row[column]) for row in parts), abs=1.0)
    assert [row[0] for row in tables["sharing"].rows] == [o.id for o in tiny.plan.market.scenario.owners]
    assert sum(row[3] for row in tables["sharing"].rows) == pytest.approx(1.0)


def test_owners_who_share_nothing_have_no_such_table(tiny: SimpleNamespace) -> None:
    market = tiny.plan.market
    apart = replace(market, scenario=replace(market.scenario, loans=()), loan_most=market.loan_most[:0])
    assert sharing.tables(replace(tiny.plan, market=apart)) == []
