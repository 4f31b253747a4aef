"""history.toml: what became known later, block by block, and everything that can be wrong with it at once."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from exafleet.facts.world import known_days, load_world
from exafleet.terms.calendar import month
from exafleet.terms.errors import ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny"
LATER = """
[[known]]
as_of = 2025-04-01
source = "made up"
[[known.sites]]
id = "north"
power = { "2025-01" = "1 MW", "2025-09" = "2 MW" }
[[known.arrived]]
order = "h100-ordered"
arrived = "2025-03"
[[known.holdings]]
owner = "lab"
site = "north"
system = "hgx-h100"
units = 20
bought = "2024-03"

[[known]]
as_of = 2025-07-01
[[known.offers]]
id = "gb200-maker"
lead = "40 wk"
[[known.loans]]
lender = "shop"
borrower = "lab"
gone = true
[[known.sites]]
id = "west"
power = "1 MW"
cooling = ["air"]
install_rate = "1 racks/day"
pue = 1.2
energy_price = "$60/MWh"
carbon = "400 g/kWh"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(TINY, tmp_path / "tiny")
    (tmp_path / "tiny" / "history.toml").write_text(LATER)
    return tmp_path / "tiny"


def test_on_its_own_day_a_scenario_is_what_it_was(folder: Path) -> None:
    then, plain = load_world(folder), load_world(TINY)
    assert then.scenario == plain.scenario
    assert then.data_hash == plain.data_hash


def test_a_record_changes_the_keys_it_writes_from_its_day_on(folder: Path) -> None:
    before, after = (load_world(folder, as_of=d).scenario for d in (date(2025, 3, 31), date(2025, 4, 1)))
    assert before.sites[0].power.months[1] == month("2025-07")
    assert after.sites[0].power.months[1] == month("2025-09")
    assert after.sites[0].pue == before.sites[0].pue
    assert not before.arrived
    assert after.arrived[0].arrived == month("2025-03")
    assert load_world(folder, as_of=date(2025, 7, 1)).scenario.sites[2].id == "west"


def test_what_stands_in_the_hall_is_taken_from_the_day_a_run_starts(folder: Path) -> None:
    def held(state: date | None) -> int:
        return load_world(folder, as_of=date(2025, 7, 1), state=state).scenario.holdings[0].units

    assert held(date(2024, 12, 19)) == 16
    assert held(None) == 20


def test_what_is_gone_is_gone_for_runs_that_start_later(folder: Path) -> None:
    day = date(2025, 7, 1)
    assert not load_world(folder, as_of=day).scenario.loans
    assert load_world(folder, as_of=day, state=date(2025, 4, 1)).scenario.loans


def test_another_horizon(folder: Path) -> None:
    found = load_world(folder, horizon=(month("2025-02"), 3)).scenario
    assert (found.start, found.months) == (month("2025-02"), 3)


def test_days(folder: Path) -> None:
    assert known_days(folder) == (month("2025-01"), (date(2024, 12, 19), date(2025, 4, 1), date(2025, 7, 1)))
    assert known_days(TINY)[1] == (date(2024, 12, 19),)


@pytest.mark.parametrize(("text", "told"), [
    ("[[offers]]\nid = 'x'\n", 'unknown name "offers"'),
    ("known = 3\n", "known is a list of blocks"),
    ("[[known]]\n[[known.sites]]\nid = 'north'\n", "needs the day it was known"),
    ("[[known]]\nas_of = 2024-01-01\n", "earlier than the scenario's own as_of"),
    ("[[known]]\nas_of = 2025-05-01\n[[known]]\nas_of = 2025-04-01\n", "earlier than the block before it"),
    ("[[known]]\nas_of = 2025-05-01\nstuff = 1\n", 'unknown name "stuff"'),
    ("[[known]]\nas_of = 2025-05-01\nforget = 'gb300-gpu'\n", "not a list of subjects"),
    ("[[known]]\nas_of = 2025-05-01\nsites = 'north'\n", "sites is a list of records"),
    ("[[known]]\nas_of = 2025-05-01\n[[known.offers]]\nid = 'gb200-maker'\ngone = true\n", "offers cannot be gone"),
    ("[[known]\n", "not TOML"),
])
def test_what_is_wrong_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    (folder / "history.toml").write_text(text)
    with pytest.raises(ScenarioError, match=r"history\.toml") as error:
        load_world(folder)
    assert told in str(error.value)


def test_every_problem_at_once(folder: Path) -> None:
    (folder / "history.toml").write_text("x = 1\n[[known]]\nas_of = 'soon'\nforget = 2\nwhat = 3\n")
    with pytest.raises(ScenarioError) as error:
        load_world(folder)
    assert len(error.value.problems) == 4


@pytest.mark.parametrize(("record", "told"), [
    ("[[known.arrived]]\narrived = '2025-03'\n", "not clear what arrived"),
    ("[[known.arrived]]\norder = 'h100-ordered'\noffer = 'gb200-maker'\nordered = '2025-01'\narrived = '2025-03'\n",
     "not clear what arrived"),
    ("[[known.arrived]]\noffer = 'gb200-maker'\nordered = '2025-03'\narrived = '2025-01'\n",
     "arrived before it was ordered"),
    ("[[known.arrived]]\noffer = 'gb200-maker'\nordered = '2025-03'\narrived = '2025-12'\n",
     "arrived after the day it was known"),
    ("[[known.arrived]]\norder = 'nobody'\narrived = '2025-01'\n", "nobody"),
    ("[[known.sites]]\nid = 'north'\npower = '1 GB'\n", "history.toml:3"),
])
def test_records_of_a_block_are_checked_like_all_others(folder: Path, record: str, told: str) -> None:
    (folder / "history.toml").write_text(f"[[known]]\nas_of = 2025-05-01\n{record}")
    with pytest.raises(ScenarioError) as error:
        load_world(folder, as_of=date(2025, 5, 1))
    assert told in str(error.value)
    load_world(folder)  # on the scenario's own day nobody has heard of it


def test_own_facts_of_a_subject_can_be_retired(folder: Path) -> None:
    header = "subject,term,at,value,low,high,unit,kind,source,where,as_of,note\n"
    (folder / "facts.csv").write_text(
        header + "gb200-gpu,hbm_bw,,7,,,TB/s,rumour,house,guess,2024-01-01,\n")
    assert load_world(folder).value("gb200-gpu.hbm_bw") == 7e12
    (folder / "history.toml").write_text("[[known]]\nas_of = 2025-05-01\nforget = ['gb200-gpu']\n")
    assert load_world(folder, as_of=date(2025, 4, 30)).value("gb200-gpu.hbm_bw") == 7e12
    assert load_world(folder, as_of=date(2025, 5, 1)).value("gb200-gpu.hbm_bw") == 8e12


def test_what_an_open_order_may_become_is_learnt_after_the_start_and_nothing_else_of_it(tmp_path: Path) -> None:
    """Units on order follow from the plan once it has begun; terms add no order that was never there."""
    folder = tmp_path / "tiny"
    shutil.copytree(TINY, folder)
    (folder / "history.toml").write_text('[[known]]\nas_of = 2025-05-01\n[[known.open_orders]]\nid = "h100-ordered"\n'
                                         'units = 9\ncancel = "5 %"\nchange = [{ to = "h100-dealer", most = "40 %" }]\n'
                                         '[[known.open_orders]]\nid = "another"\nowner = "lab"\n'
                                         'change = [{ to = "h100-dealer" }]\n'
                                         '[[known]]\nas_of = 2025-09-01\n[[known.open_orders]]\nid = "h100-ordered"\n'
                                         'change = []\n')
    began, late = date(2025, 1, 2), date(2025, 6, 1)
    (kept,) = load_world(folder, as_of=late, state=began).scenario.open_orders
    assert (kept.units, kept.cancel) == (4, 0.4)
    assert [(c.to, c.most) for c in kept.change] == [("h100-dealer", 0.4)]
    (before,) = load_world(folder, as_of=began, state=began).scenario.open_orders
    assert before.change == ()
    (withdrawn,) = load_world(folder, as_of=date(2025, 9, 1), state=began).scenario.open_orders
    assert withdrawn.change == ()
