"""Mistakes between owners: budgets, cohorts, transfers, swaps, notice, weights and tiers; all told at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exafleet.facts.world import World, load_world
from exafleet.terms.errors import ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny"
TEXT = (TINY / "scenario.toml").read_text(encoding="utf-8")
SHARING = """
[[sharing]]
owner = "lab"
cohort = "all"
systems = ["hgx-h100"]
lending_limit = "8 GPUs"
price = "$1.50/GPU-hr"
notice = "2 mo"
restart = "6 h"

[[sharing]]
owner = "shop"
cohort = "all"
systems = ["hgx-h100"]
market_share = "80 %"
"""
DOWN = """
[[transfers]]
id = "{name}"
kind = "units"
seller = "{seller}"
buyer = "{buyer}"
system = "hgx-h100"
most = "2 units"
"""


def load(folder: Path, added: str = "", *swaps: tuple[str, str]) -> World:
    text = TEXT
    for old, new in swaps:
        assert old in text, f"the sample no longer holds {old!r}"
        text = text.replace(old, new, 1)
    shutil.copy(TINY / "demand.csv", folder / "demand.csv")
    (folder / "scenario.toml").write_text(text + added, encoding="utf-8")
    return load_world(folder)


def problems(folder: Path, added: str = "", *swaps: tuple[str, str]) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(folder, added, *swaps)
    assert caught.value.exit_code == 2
    found = [str(p) for p in caught.value.problems]
    assert all(p.startswith("scenario.toml:") for p in found)
    return found


def test_sound_sharing_is_read_in_base_units(tmp_path: Path) -> None:
    scenario = load(tmp_path, SHARING + '[fairness]\nrule = "max-min"\n').scenario
    lab, shop = scenario.sharing
    assert lab.price is not None
    assert lab.price.at([scenario.start])[0] * 3600 == pytest.approx(1.5)
    assert (lab.notice, lab.restart, shop.market_share) == (2, 6 * 3600.0, 0.8)
    assert scenario.fairness.rule == "max-min"


@pytest.mark.parametrize(("added", "swap", "told"), [
    (SHARING.replace('owner = "shop"', 'owner = "lab"').replace('["hgx-h100"]', '["gb200-nvl72"]', 1), (),
     "lab is alone in the cohort all: it would lend to itself"),
    (SHARING.replace('"8 GPUs"', '"8 GPUs"\nborrowing_limit = "90,000 GPUs"'), (),
     "borrowing above what the cohort all can lend; got 90,000 chips; allowed: at most"),
    (SHARING.replace('owner = "shop"', 'owner = "shopp"'), (), 'unknown owner "shopp"'),
    (SHARING.replace('"2 mo"', '"13 mo"'), (), "a notice longer than the plan: nothing lent would ever come back"),
    (SHARING.replace('price = "$1.50/GPU-hr"', 'price = "$1/GPU-hr"\nmarket_share = "50 %"'), (),
     'both "price" and "market_share"'),
    ("", ('priority = 2.0', 'weight = 0'), "a weight of zero: this owner would have no share"),
    ("", ('priority = 2.0', 'tier = 3'), "nobody is in tier 2; got tiers 1, 3"),
    ("", ('budget = "unlimited"', 'book = "b"'), None),
    (DOWN.format(name="a", seller="lab", buyer="lab"), (), "seller and buyer are the same"),
    (DOWN.format(name="a", seller="lab", buyer="shop") + DOWN.format(name="b", seller="shop", buyer="lab"), (),
     "cyclic transfers of hgx-h100: lab to shop to lab"),
    (DOWN.format(name="a", seller="lab", buyer="shop"), ('budget = "unlimited"\n', ""),
     "shop has no budget, but may buy from lab, which has one"),
    (DOWN.format(name="a", seller="lab", buyer="shop").replace('"units"', '"slot"') + 'orders = ["nothing"]\n', (),
     'no open order or offer "nothing"'),
    ('[[swaps]]\nid = "s"\nfirst = "h100-ordered"\nsecond = "h100-ordered"\nmost = "1 units"\n', (),
     "both orders are"),
])
def test_each_mistake_is_told_with_its_line(tmp_path: Path, added: str, swap: tuple[str, str] | tuple[()],
                                            told: str | None) -> None:
    swaps = [swap] if swap else []
    if told is None:
        load(tmp_path, added, *swaps)
        return
    found = problems(tmp_path, added, *swaps)
    assert any(told in p for p in found), found


def test_owners_of_one_book_all_say_their_budget(tmp_path: Path) -> None:
    found = problems(tmp_path, "", ('budget = "unlimited"', 'book = "b"'), ("priority = 2.0", 'book = "b"'))
    assert len(found) == 1
    assert "shop has no budget, but shares the book b with lab, which has one" in found[0]


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    added = SHARING.replace('"2 mo"', '"20 mo"') + DOWN.format(name="a", seller="lab", buyer="lab")
    found = problems(tmp_path, added, ("priority = 2.0", "weight = 0\ntier = 4"))
    assert len(found) == 4


def test_a_ring_of_three_is_found_once_and_by_system(tmp_path: Path) -> None:
    third = '\n[[owners]]\nid = "third"\nbudget = "unlimited"\n'
    pairs = (("lab", "shop"), ("shop", "third"), ("third", "lab"))
    ring = "".join(DOWN.format(name=f"t{i}", seller=a, buyer=b) for i, (a, b) in enumerate(pairs))
    found = problems(tmp_path, third + ring)
    assert [f for f in found if "cyclic" in f] == [f for f in found if "lab to shop to third to lab" in f]
    assert len([f for f in found if "cyclic" in f]) == 1
    load(tmp_path, third + ring.replace('"hgx-h100"', '"gb200-nvl72"', 1))
