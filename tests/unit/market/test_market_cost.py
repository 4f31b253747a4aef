"""Costs in parts: they add up, and they move the way money does."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.market.cost import (
    HOUR,
    MONTH,
    YEAR,
    Bought,
    Owned,
    Progress,
    Rented,
    Run,
    annuity,
    owned,
    rented,
    training_cost,
    used_up,
    worth,
)

RUN = Run(
    chip_time=1e6 * HOUR, price=40_000.0, held=YEAR, chip_share=0.6, power=1000.0, pue=1.2, energy_price=0.1 / 3.6e6
)
RULE = Progress(growth=0.14, network=0.19)
BOUGHT = {"servers": Bought(price=4e7, life=5 * YEAR, left=0.1), "site": Bought(price=1e7, life=15 * YEAR)}
FLEET = Owned(
    chips=1000, bought=BOUGHT, interest=0.08, power=1.2e6, pue=1.2, energy_price=0.07 / 3.6e6,
    by_time={"staff": 1e6 / YEAR}, goodput=0.9,
)


def test_a_run_by_hand():
    parts = training_cost(RUN, RULE)
    hardware = 40_000 * 10**-0.14 * 0.14 * math.log(10) / 8766 * 1e6
    assert float(parts["chips"] + parts["servers"]) == pytest.approx(hardware)
    assert float(parts["network"]) == pytest.approx(hardware * 0.19 / 0.81)
    assert float(parts["energy"]) == pytest.approx(1e6 * 1.2 * 0.1)
    assert float(parts.total) == pytest.approx(float(np.sum(parts.values)))


def test_hardware_that_is_kept_loses_what_it_is_worth_less():
    """What is used up over a short time is the difference of what it is worth before and after."""
    day = YEAR / 365.25
    lost = worth(1.0, 0.0, 0.14) - worth(1.0, day, 0.14)
    assert used_up(1.0, 0.14) * day == pytest.approx(lost, rel=1e-3)


@given(st.floats(0, 10), st.floats(0.01, 1))
def test_older_hardware_costs_less(years, growth):
    rule = replace(RULE, growth=growth)
    older = training_cost(replace(RUN, held=(years + 1) * YEAR), rule)
    assert float(older.total) < float(training_cost(replace(RUN, held=years * YEAR), rule).total)


@given(st.floats(0, 0.3, allow_subnormal=False), st.floats(0.5, 30), st.floats(0, 0.9))
def test_an_annuity_is_worth_what_it_pays_for(interest, years, left):
    """Present value of the payments, plus that of what is left, is the price."""
    one = Bought(price=100.0, life=years * YEAR, left=left)
    discount = years if interest == 0 else -math.expm1(-years * math.log1p(interest)) / interest
    paid = annuity(one, interest) * YEAR * discount
    assert paid + left * 100.0 * (1 + interest) ** -years == pytest.approx(100.0)


def test_a_cluster_adds_up_and_idle_lines_are_nothing():
    cluster = Rented(
        gpus=8, rent=2.0 / HOUR, lines={"storage": 100 / MONTH}, support=0.05, goodput=0.02, setup=3600.0, months=36
    )
    parts = rented(cluster)
    assert dict(zip(parts.names, parts.values.tolist(), strict=True)) == pytest.approx(
        {"gpu": 11_520, "storage": 100, "network": 0, "control plane": 0, "cpu": 0, "support": 581, "goodput": 230.4,
         "setup": 100, "debugging": 0})


def test_owned_parts_add_up_to_the_useful_hour():
    parts = owned(FLEET)
    paid = sum(annuity(b, 0.08) for b in FLEET.bought.values()) + 1.2e6 * 1.2 * 0.07 / 3.6e6 + 1e6 / YEAR
    assert float(parts.total) == pytest.approx(paid * HOUR / (1000 * 0.9))


@pytest.mark.parametrize(
    "dearer",
    [{"interest": 0.2}, {"pue": 1.5}, {"goodput": 0.5}, {"energy_price": 1e-7}, {"by_time": {"staff": 1.0}}],
)
def test_what_costs_more_costs_more(dearer):
    assert float(owned(replace(FLEET, **dearer)).total) > float(owned(FLEET).total)


def test_epochs_rule_is_a_choice_of_depreciation():
    by_rule = owned(replace(FLEET, growth=0.14))
    assert float(by_rule["servers"]) == pytest.approx(4e7 * 0.14 * math.log(10) / YEAR * HOUR / 1000)
    assert float(by_rule["energy"]) == float(owned(FLEET)["energy"])


# ------------------------------------------------------------------------------------------------ the command


def said(*words):
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["cost", *words])
    return done.exit_code, done.stdout, done.stderr


def test_training_is_told_in_parts_and_in_json():
    import json

    code, out, _ = said("training", "GPT-4", "--format", "json")
    run = json.loads(out)["runs"]["gpt-4"]
    assert code == 0
    assert sum(run["parts"].values()) == pytest.approx(run["total"])
    code, out, _ = said("training", "all", "--money-of", "2025-06")
    assert code == 0
    assert "grok-3" in out


def test_another_rent_and_size_scale_what_hangs_on_them():
    import json

    _, out, _ = said("cluster", "--tier", "silver", "--gpus", "2048", "--rent", "4 USD/h", "--format", "json")
    found = json.loads(out)["tiers"]["silver"]["parts"]
    assert found["gpu"] == pytest.approx(5_898_240)
    assert found["goodput"] == pytest.approx(202_015)
    assert found["debugging"] == pytest.approx(16_667)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["training", "gpt-5"], "MODEL: no training run of this model is known; got 'gpt-5'; allowed: llama-"),
        (["training", "gpt-4", "--money-of", "1999-01"], "--money-of: no price index of that month; got '1999-01'"),
        (["cluster", "--tier", "bronze"], "--tier: no such tier; got 'bronze'; allowed: gold, hyperscaler, "),
        (["cluster", "--rent", "2 cows"], "--rent: "),
        (["training", "gpt-4", "--as-of", "2020-01-01"], "MODEL: no training run of this model is known"),
    ],
)
def test_mistakes_are_told(words, told):
    code, _, error = said(*words)
    assert code == 2
    assert error.startswith(f"error: {told}")
