"""Published costs of training runs and clusters, found again from their published inputs.

Epoch prints its costs to the cent in `model_costs.csv` (github.com/epoch-research/training-cost-trends @263c40a1), in
money of December 2024. The rule and the inputs are theirs, the arithmetic is ours; a tenth of a per mille is left for
inputs rounded on the way. In money of June 2025, which its script prints, three digits are given.
"""

from datetime import date

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.market.cost import inflation, progress_of, rented, run_of, tier, training_cost


@pytest.fixture(scope="module")
def facts():
    return load_facts(date.max)


def cost(facts, model, month):
    return float(training_cost(run_of(facts, model), progress_of(facts)).total) * inflation(facts, model, month)


@pytest.mark.parametrize(
    ("model", "published"),
    [("llama-3.1-405b", 51_040_524.06), ("gpt-4", 40_695_706.41), ("gemini-1.0-ultra", 28_309_604.04)],
)
def test_epochs_file_of_costs(facts, model, published):
    assert cost(facts, model, "2024-12") == pytest.approx(published, rel=1e-4)


@pytest.mark.parametrize(
    ("model", "millions"),
    [("llama-3.1-405b", 52.9), ("gpt-4", 42.2), ("gemini-1.0-ultra", 29.3), ("grok-3", 305.0)],
)
def test_epochs_costs_in_money_of_june_2025(facts, model, millions):
    """Half a unit of the third digit, and the same tenth of a per mille."""
    half = 0.05 if millions < 100 else 0.5
    assert cost(facts, model, "2025-06") / 1e6 == pytest.approx(millions, abs=half + 1e-4 * millions)


def test_the_papers_own_figures_of_2023(facts):
    """arXiv 2405.21015 says 40 M USD for GPT-4 and 30 M USD for Gemini Ultra: one digit, so half a unit of it."""
    assert cost(facts, "gpt-4", "2023-12") / 1e7 == pytest.approx(4, abs=0.5)
    assert cost(facts, "gemini-1.0-ultra", "2023-12") / 1e7 == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("name", "month", "term", "ratio"),
    [("gold", 5_539_138, 199_408_973, 1.00), ("hyperscaler", 6_989_395, 251_618_208, 1.26),
     ("silver", 6_200_693, 223_224_957, 1.12)],
)
def test_the_default_cluster_of_semianalysis(facts, name, month, term, ratio):
    """Every printed line is rounded to a dollar, so the sum may be off by a dollar a line."""
    parts = rented(tier(facts, name))
    lines = len(parts.names)
    assert float(parts.total) == pytest.approx(month, abs=lines)
    assert 36 * float(parts.total) == pytest.approx(term, abs=36 * lines)
    gold = float(rented(tier(facts, "gold")).total)
    assert float(parts.total) / gold == pytest.approx(ratio, abs=0.005)


def test_the_differences_between_tiers_as_printed(facts):
    total = {name: float(rented(tier(facts, name)).total) for name in ("gold", "hyperscaler", "silver")}
    assert total["hyperscaler"] - total["gold"] == pytest.approx(1_450_257, abs=18)
    assert total["silver"] - total["gold"] == pytest.approx(661_555, abs=18)


def test_what_is_inferred_is_round(facts):
    """Rents of two digits, 5 % of support and one share of lost time for two tiers speak for months of 720 hours."""
    rents = [tier(facts, name).rent * 3600 for name in ("gold", "hyperscaler", "silver")]
    assert np.abs(np.array(rents) - [1.84, 2.178, 2.0]).max() < 1e-6
    assert tier(facts, "hyperscaler").support == pytest.approx(0.05, abs=1e-6)
    assert tier(facts, "gold").goodput == pytest.approx(tier(facts, "hyperscaler").goodput, rel=1e-4)
