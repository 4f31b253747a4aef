"""How the market's terms are written, and what is said when they are wrong."""

from pathlib import Path

import pytest

from exafleet.facts.deals import Conversion, Framework, Payment
from exafleet.facts.world import World, load_world
from exafleet.terms.errors import ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny" / "scenario.toml"
OFFER, ORDER = 'id = "gb200-maker"', 'id = "h100-ordered"'


def swapped(folder: Path, *pairs: tuple[str, str], more: str = "") -> World:
    text = TINY.read_text()
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    for beside in TINY.parent.glob("*.csv"):
        (folder / beside.name).write_text(beside.read_text())
    (folder / "scenario.toml").write_text(text + more)
    return load_world(folder / "scenario.toml")


def added(folder: Path, at: str, keys: str, more: str = "") -> World:
    return swapped(folder, (at, f"{at}\n{keys}"), more=more)


def test_terms_of_an_offer(tmp_path: Path) -> None:
    text = ('payments = [{ at = "order", share = "30 %" }, { at = "2 mo after order", share = 0.2 }, '
            '{ at = "1 mo before arrival", share = "40 %" }, { at = "arrival", share = "10 %" }]\n'
            'least = 2\nmultiple = "2 racks"\nframework = { units = "3 racks", penalty = "20 %" }\n'
            'queues = [{ premium = "5 %", sooner = "1 mo", units = "1 racks" }, '
            '{ premium = "9 %", sooner = "2 mo", units = "1 racks" }]')
    offer = swapped(tmp_path, ('deposit = "30 %"\n', text + "\n"),
                    ('queue = { premium = "10 %", sooner = "6 wk", units = "2 racks" }\n', "")).scenario.offers[1]
    assert offer.schedule == (
        Payment(anchor="order", months=0, share=0.3), Payment(anchor="order", months=2, share=0.2),
        Payment(anchor="arrival", months=-1, share=0.4), Payment(anchor="arrival", months=0, share=0.1))
    assert (offer.least, offer.multiple) == (2, 2)
    assert offer.framework == Framework(units=3.0, penalty=0.2)
    assert [q.premium for q in offer.places] == [0.05, 0.09]


def test_a_change_and_a_pool(tmp_path: Path) -> None:
    world = added(tmp_path, ORDER, 'change = [{ to = "gb200-maker", fee = "5 %", most = "40 %" }]', more='''
[[allocations]]
id = "foundry"
offers = ["gb200-maker", "h100-dealer"]
most = { "2025-01" = "64 GPUs", "2025-06" = "128 GPUs" }
shares = { lab = "75 %" }
''')
    assert world.scenario.open_orders[0].change == (Conversion(to="gb200-maker", fee=0.05, most=0.4),)
    pool = world.scenario.allocations[0]
    assert (pool.most.at([24299, 24305]) >= 0).all()
    assert pool.shares == (("lab", 0.75),)


FINANCE = """
[[finance]]
id = "ddtl"
kind = "loan"
lender = "banks"
term = "48 mo"
"""
RULE = """
[[rules]]
id = "wall"
first = "2025-04"
"""


def test_a_loan_a_lease_and_rules_of_trade(tmp_path: Path) -> None:
    world = swapped(tmp_path, more=FINANCE + """base = "4.5 %/yr"
spread = { fact = "coreweave-ddtl-2.spread@below-investment-grade" }
advance = "80 %"
interest_only = "6 mo"
most = "$2M"

[[finance]]
id = "lease"
kind = "lease"
lender = "lessor"
term = "36 mo"
rent = "2.9 %"
offers = ["gb200-maker"]
owners = ["lab"]
""" + RULE + """kind = "tariff"
rate = "25 %"
systems = ["hgx-h100"]

[[rules]]
id = "embargo"
kind = "ban"
stage = "install"
first = "2025-03"
last = "2025-06"
sites = ["south"]
""")
    loan, lease = world.scenario.finance
    assert loan.rate == pytest.approx(0.175)
    assert (loan.advance, loan.interest_only, loan.most, loan.term) == (0.8, 6, 2e6, 48)
    assert lease.rent == pytest.approx(0.029)
    assert (lease.end, lease.offers, lease.owners) == ("return", ("gb200-maker",), ("lab",))
    tariff, ban = world.scenario.rules
    assert (tariff.rate, tariff.last) == (0.25, None)
    assert (ban.stage, ban.sites) == ("install", ("south",))


MORE = [
    (FINANCE, "nothing says what it costs"),
    (FINANCE + 'rate = "9 %/yr"\nspread = "2 %/yr"', 'both "rate" and "base" or "spread"'),
    (FINANCE + 'rate = "9 %/yr"\nrent = "2 %"', 'a loan has no "rent"'),
    (FINANCE + 'rate = "9 %/yr"\ninterest_only = "48 mo"', "no month is left in which it is paid back"),
    (FINANCE + 'rate = "9 %/yr"\noffers = ["gb20"]', 'unknown offer "gb20"'),
    (RULE + 'kind = "tariff"', "a tariff without a rate"),
    (RULE + 'kind = "ban"\nrate = "5 %"', "a ban has no rate"),
    (RULE + 'kind = "ban"\nlast = "2025-01"', "ends before it begins"),
    (RULE + 'kind = "ban"\nsites = ["north"]', "a ban at sites is a ban on installing there"),
    (RULE + 'kind = "ban"\nsuppliers = ["nobody"]', 'nobody called "nobody" sells here; allowed: dealer, maker'),
]


@pytest.mark.parametrize(("more", "said"), MORE, ids=[m[1][:30] for m in MORE])
def test_what_is_wrong_with_finance_and_rules_is_told(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        swapped(tmp_path, more=more + "\n")
    assert said in str(caught.value)
    assert "scenario.toml:" in str(caught.value)


RENTAL, SPOT = 'id = "cloud-half-year"', 'id = "cloud-spot"'


def test_terms_of_renting_and_ways_to_sell(tmp_path: Path) -> None:
    world = swapped(
        tmp_path, (RENTAL, RENTAL + '\ntake = "70 %"\nover = "$3/GPU-hr"\nprepay = "20 %"'),
        (SPOT, SPOT + '\nfactor = "42 %"\ninterruptions = "4 1/d"\nlost = "30 min"'),
        more='\n[[channels]]\nid = "broker"\nmost = "64 GPUs"\nshare = "85 %"\n')
    assert [(c.id, c.share) for c in world.scenario.channels] == [("broker", 0.85)]
    spot, reserved = world.scenario.rentals
    assert (reserved.take, reserved.prepay) == pytest.approx((0.7, 0.2))
    assert float(reserved.over.at(world.scenario.start)) == pytest.approx(3 / 3600)
    assert float(spot.price.at(world.scenario.start)) == pytest.approx(0.42 * 2.97 / 3600)
    assert spot.useful == pytest.approx(1 - 4 * 0.5 / 24)


RENT_WRONG = [
    (SPOT, 'take = "50 %"', 'capacity on demand has no "take"'),
    (RENTAL, 'over = "$3/GPU-hr"', "a price beyond a contract that is paid in full"),
    (SPOT, 'interruptions = "4 1/d"', '"interruptions" and "lost" go together'),
    (SPOT, 'interruptions = "48 1/d"\nlost = "1 h"', "more is lost to interruptions than there is time; got 200 %"),
]


@pytest.mark.parametrize(("at", "keys", "said"), RENT_WRONG, ids=[w[2][:30] for w in RENT_WRONG])
def test_what_is_wrong_with_renting_is_told(tmp_path: Path, at: str, keys: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        added(tmp_path, at, keys)
    assert said in str(caught.value)


WRONG = [
    (OFFER, 'payments = [{ at = "order", share = "30 %" }, { at = "arrival", share = "60 %" }]',
     "payments: the shares add up to 90 %; allowed: shares that add up to 100 %. Add or take away 10 %."),
    (OFFER, 'payments = [{ at = "1 mo before order", share = "100 %" }]',
     "offers.gb200-maker.payments.0.at: not the month of an instalment"),
    (OFFER, 'payments = [{ at = "order", shar = "100 %" }]', 'unknown key "shar"'),
    (OFFER, 'payments = [{ at = "order", share = "100 %" }]', 'both "deposit" and "payments". Keep "payments".'),
    (OFFER, "payments = []", "not a list of tables"),
    (OFFER, 'queues = [{ premium = "5 %", sooner = "1 mo", units = "1 racks" }]', 'both "queue" and "queues"'),
    (OFFER, 'queues = [{ premium = "5 %", sooner = "1 mo" }]', '"units" is missing'),
    (OFFER, "least = 9", "no order can be that large; got 9 units"),
    (OFFER, 'framework = { units = "9 racks", penalty = "20 %" }', "more is promised than the offer has in all"),
    (OFFER, 'framework = { units = "2 racks", penalty = "20 %", owner = "shop" }',
     "shop may not order from gb200-maker"),
    ('id = "h100-dealer"', 'framework = { units = "4 units", penalty = "20 %" }', "nobody is named who pays"),
    (ORDER, 'change = [{ to = "gb200" }]', 'unknown offer "gb200"'),
    (ORDER, 'change = [{ to = "gb200-maker" }, { to = "gb200-maker" }]', "a change into gb200-maker twice"),
]


@pytest.mark.parametrize(("at", "keys", "said"), WRONG, ids=[w[1][:40] for w in WRONG])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, at: str, keys: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        added(tmp_path, at, keys)
    text = str(caught.value)
    assert said in text.replace("[", ".").replace("]", ""), text
    assert "scenario.toml:" in text


def test_an_offer_that_can_never_arrive_is_told(tmp_path: Path) -> None:
    late = swapped(tmp_path, ('lead = { low = "8 wk", mid = "13 wk", high = "30 wk" }', 'lead = "30 mo"'))
    assert any("never arrives within the plan" in note and "scenario.toml:" in note for note in late.notes), late.notes
    none = swapped(tmp_path, ('supply = { "2025-03" = "1 racks/mo", "2025-06" = "2 racks/mo" }',
                              'supply = { "2025-01" = "1 racks/mo", "2025-02" = "0 racks/mo" }'))
    assert any("never arrives: no supply" in note for note in none.notes), none.notes
