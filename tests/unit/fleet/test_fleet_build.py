"""Rates of a small scenario: sizes, reasons, bands, and what happens when a figure is not known."""

import datetime
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.deals import Offer, OpenOrder, Rental
from exafleet.facts.hardware import system
from exafleet.facts.records import Holding, ResearchJob, Scenario, ServeJob, TrainJob
from exafleet.facts.records import Risk as RiskRecord
from exafleet.facts.steps import Spread, Steps
from exafleet.fleet.build import ceiling, gang_sizes, rates, scenario_systems, used_chips
from exafleet.fleet.power import Activity, power
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
START, MONTHS = 2026 * 12, 12
ALWAYS = Steps.constant(1.0)

TRAIN = TrainJob(id="train", owner="o", model="llama-3-8b", tokens=1e12, seq=8192, batch=4194304.0, dtype="bf16",
                 earliest=START, due=START + 6, least=8)
SERVE = ServeJob(id="serve", owner="o", model="llama-3-70b", input_tokens=1000, output_tokens=500, ttft=1.0, tpot=0.05,
                 dtype="fp8", demand=ALWAYS, unserved=0.0, kv_dtype="fp8")
RESEARCH = ResearchJob(id="research", owner="o", model="llama-3-8b", reference="hgx-h100", demand=ALWAYS, unserved=0.0)


def scenario(*jobs):
    spread = Spread(low=0, mid=0, high=0)
    return Scenario(
        name="small", file="", as_of=FACTS.as_of, start=START, months=MONTHS, discount=0.1, resale=0.6, owners=(),
        sites=(), jobs=jobs, loans=(), moves=(), risk=RiskRecord(),
        holdings=(Holding(owner="o", site="s", system="hgx-h100", units=4, bought=START, price=3e5),),
        open_orders=(OpenOrder(id="x", owner="o", supplier="a", system="gb200-nvl72", units=1, promised=START,
                               price=3e6, paid=0.5, slip=spread),),
        offers=(Offer(id="y", supplier="a", system="gb200-nvl72", price=ALWAYS, first=START, last=START + 12,
                      lead=spread, supply=Steps.constant(0.5), total=20.0),
                Offer(id="z", supplier="b", system="hgx-a100-80gb", price=ALWAYS, first=START, last=START + 12,
                      lead=spread, supply=Steps.constant(9.0), total=2.0)),
        rentals=(Rental(id="r", provider="p", system="hgx-h100", price=ALWAYS, term=1, most=Steps.constant(64.0),
                        first=START, last=START + 12),))


def built(*jobs, facts=FACTS):
    return rates(SimpleNamespace(facts=facts, scenario=scenario(*jobs)))


def test_systems_in_the_order_of_the_scenario_each_once():
    assert scenario_systems(scenario()) == ("hgx-h100", "gb200-nvl72", "hgx-a100-80gb")


def test_ceiling_counts_what_is_owned_ordered_offered_and_rented():
    # 4 servers and 64 rented chips; one rack ordered and half a rack a month for a year; two servers on offer.
    found = [ceiling(scenario(), system(FACTS, s)) for s in ("hgx-h100", "gb200-nvl72", "hgx-a100-80gb")]
    assert found == [4 * 8 + 64, (1 + 6) * 72, 16]


@pytest.mark.parametrize(("least", "most", "held", "sizes"), [
    (8, 32, 1e9, [8, 16, 24, 32]), (1, 1e9, 20, [8, 16]), (100, 50, 1e9, []), (40, 44, 1e9, [40]), (8, 1e9, 7, [])])
def test_gang_sizes(least, most, held, sizes):
    assert gang_sizes(system(FACTS, "hgx-h100"), least, most, held) == sizes


def test_gang_sizes_are_few_and_reach_the_largest():
    sizes = gang_sizes(system(FACTS, "hgx-h100"), 8, 100_000, 1e9)
    assert len(sizes) == 6
    assert sizes[0] == 8
    assert sizes[-1] == 98304
    assert sizes == sorted(sizes)


def test_a_72_chip_domain_may_leave_eight_as_spares():
    assert used_chips(system(FACTS, "gb200-nvl72"), 144) == (144, 128)
    assert used_chips(system(FACTS, "hgx-h100"), 64) == (64,)


def test_rates_of_all_kinds_of_job():
    found = built(TRAIN, SERVE, RESEARCH)
    runs = (found.why == Why.OK) & (found.sizes > 0)
    assert runs[0, 0].sum() >= 3
    assert found.units == ("token", "token", "chip-s")
    assert (found.low[runs] <= found.work_per_s[runs]).all()
    assert (found.work_per_s[runs] <= found.high[runs]).all()
    assert ((found.goodput[runs] > 0.8) & (found.goodput[runs] < 1)).all()
    assert (found.work_per_s[~runs] == 0).all()
    assert all(found.layout[j][k][z] for j, k, z in zip(*np.nonzero(runs), strict=True))
    assert (found.mfu[0][runs[0]] > 0.1).all()
    assert (found.mfu[1] == 0).all()


def test_power_is_that_of_the_chips_and_all_around_them():
    found = built(TRAIN, SERVE)
    on = system(FACTS, "hgx-h100")
    for job, activity in enumerate((Activity.TRAINING, Activity.SERVING)):
        size = int(found.sizes[job, 0, 0])
        assert found.power[job, 0, 0] == pytest.approx(float(power(on, FACTS, activity, size).total))


def test_a_reference_chip_counts_as_one_and_a_faster_one_as_more():
    found = built(RESEARCH)
    per_chip = found.work_per_s[0, :, 0] / found.sizes[0, :, 0]
    assert per_chip[0] == pytest.approx(found.goodput[0, 0, 0])
    assert per_chip[1] > 1.5 > 0.6 > per_chip[2] > 0.2
    assert found.low[0, 0, 0] == found.high[0, 0, 0]


def test_reasons_instead_of_exceptions():
    held_off = replace(TRAIN, systems=("gb200-nvl72",))
    large, gone = replace(TRAIN, model="gpt-moe-1.8t", most=16), replace(TRAIN, model="nothing-9b")
    greedy, low = replace(TRAIN, least=10_000), replace(SERVE, dtype="fp4", kv_dtype="fp8")
    found = built(held_off, large, gone, greedy, low)
    assert [Why(w) for w in found.why[:, 0, 0]] == [Why.NOT_OFFERED, Why.HBM_FULL, Why.NO_FACTS, Why.TOO_FEW,
                                                    Why.NO_DTYPE]
    assert found.why[4, 1, 0] == Why.OK


def test_a_system_not_yet_known_has_no_rate():
    then = load_facts(datetime.date(2023, 6, 30))
    found = built(TRAIN, facts=then)
    assert found.why[0, 1, 0] == Why.NO_FACTS


def test_the_same_question_twice_gives_the_same_bytes():
    one, two = built(TRAIN, SERVE, RESEARCH), built(TRAIN, SERVE, RESEARCH)
    assert one.work_per_s.tobytes() == two.work_per_s.tobytes()
    assert one.layout == two.layout


def test_an_empty_scenario_gives_empty_rates():
    assert built().work_per_s.shape == (0, 3, 1)
