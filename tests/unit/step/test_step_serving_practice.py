"""Factors of engines: the narrowest fact counts, an engine's own over anybody's; releases; families of chips."""

import datetime
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.serving_practice import ANY_ENGINE, Phase, engine_of, engines, family, form
from exafleet.terms.errors import FactError, MissingFact

FACTS = load_facts(datetime.date(2026, 11, 26))
BEFORE = load_facts(datetime.date(2026, 11, 23))
H100, MI300X = (system(FACTS, name).chip for name in ("hgx-h100", "mi300x-8"))
OWN = "engine-vllm"
# From the widest to the narrowest.
NAMES = ("decode", "decode-moe", "decode-moe/hopper", "decode-moe/fp8", "decode-moe/fp8/hopper")


def engine(facts=FACTS, name="vllm", release=None, chip=H100):
    return engine_of(facts, chip, name, release, oneshot=3e-6, sigma=0.1)


def slowdown(subject, at, value, facts=BEFORE):
    return facts.with_fact(f"{subject}.serving_slowdown@{at}", value)


@pytest.mark.parametrize("subject", [ANY_ENGINE, OWN])
def test_the_narrowest_fact_wins(subject):
    facts = BEFORE
    for n, at in enumerate(NAMES):
        facts = slowdown(subject, at, 2.0 + n / 10, facts)
        how = engine(facts).of("decode", "fp8")
        assert how.moe == 2.0 + n / 10
    # What is given of one class and format stays with it.
    assert engine(facts).of("decode", "fp8").attention == 2.0
    assert engine(facts).of("decode", "bf16").moe == 2.2
    assert engine(facts, chip=MI300X).of("decode", "fp8").moe == 2.3
    assert engine(facts).of("prefill", "fp8") == engine(BEFORE).of("prefill", "fp8")


@pytest.mark.parametrize("at", NAMES)
def test_an_engines_own_wins_over_anybodys_however_narrow(at):
    facts = slowdown(ANY_ENGINE, NAMES[-1], 3.0)
    facts = slowdown(OWN, at, 2.0, facts)
    assert engine(facts).of("decode", "fp8").moe == 2.0
    assert engine(facts, name="sglang").of("decode", "fp8").moe == 3.0
    assert engine(facts, name="").of("decode", "fp8").moe == 3.0


def test_host_time_is_the_engines_on_the_family_else_the_engines_else_anybodys():
    read = FACTS.find
    own, anyone = read(OWN, "step_overhead"), read(ANY_ENGINE, "step_overhead")
    assert engine().overhead == own["hopper"].value
    assert engine(chip=replace(H100, family="Rubin")).overhead == own[""].value
    assert engine(name="").overhead == anyone[""].value


def test_a_format_nobody_names_has_the_factors_of_all_others():
    found = engine()
    assert found.of("decode", "of no kind") == found.decode[""]
    assert found.decode["bf16-wfp4"] != found.decode[""]


@given(st.floats(2000, 2100), st.floats(0, 3))
def test_the_pace_of_a_release_is_that_of_the_nearest_known(release, earlier):
    known = {at: fact.value for subject in (ANY_ENGINE, "engine-sglang")
             for at, fact in FACTS.find(subject, "serving_release").items()}
    near = min(max(release, known["oldest"]), known["newest"])
    gain = FACTS.value("engine-sglang.serving_maturity")
    pace = engine(name="sglang", release=release).pace
    assert pace == pytest.approx(math.exp(-gain * (near - known["reference"])))
    # Releases of an engine that gains are never slower than those before.
    assert engine(name="sglang", release=release - earlier).pace >= pace


def test_the_newest_release_is_the_default_and_the_reference_has_the_factors_as_they_are():
    assert engine(name="sglang").pace == engine(name="sglang", release=2100.0).pace < 1
    assert engine(name="sglang", release=FACTS.value(f"{ANY_ENGINE}.serving_release@reference")).pace == 1.0
    assert engine(BEFORE, release=2020.0).pace == 1.0


def test_an_unknown_engine_is_refused_with_those_there_are():
    with pytest.raises(FactError, match='unknown serving engine "llamafile"') as refused:
        engine(name="llamafile")
    assert all(name in str(refused.value) for name in engines(FACTS))
    assert {"trtllm", "sglang", "vllm"} <= set(engines(FACTS))


def test_before_anything_was_known_every_missing_figure_is_named():
    with pytest.raises(MissingFact) as refused:
        engine(load_facts(datetime.date(2020, 1, 1)))
    said = str(refused.value)
    assert all(f"{ANY_ENGINE}.{word}" in said for word in ("step_overhead", "request_overhead", "serving_slowdown",
                                                           "memory_reserve", "arrival_bunching"))


def test_errors_of_operators_and_of_engines_are_two_sources():
    of_engine = FACTS.value(f"{ANY_ENGINE}.serving_sigma")
    assert engine().sigma == pytest.approx(math.hypot(of_engine, 0.1))


def test_a_measured_latency_of_small_reductions_counts_before_the_links():
    assert engine().oneshot == FACTS.value("h100-sxm.oneshot_latency")
    assert engine(chip=replace(H100, id="nobodys-chip")).oneshot == 3e-6


@pytest.mark.parametrize(("name", "found"), [
    ("hgx-h100", "hopper"), ("hgx-h200", "hopper"), ("gb200-nvl72", "blackwell"), ("hgx-b300", "blackwell"),
    ("l40s-8", "card"), ("rtx-pro-6000-8", "card"), ("mi300x-8", "cdna3"), ("hgx-a100-80gb", "ampere")])
def test_families_of_chips_and_cards_among_them(name, found):
    assert family(system(FACTS, name).chip) == found


def test_a_chip_of_no_family_is_one_of_its_own():
    assert family(replace(H100, family="")) == "h100-sxm"


def test_formats_in_words():
    assert (form("fp8", "fp8"), form("bf16", "int4")) == ("fp8", "bf16-wint4")


def test_every_factor_of_every_engine_is_a_positive_number():
    for name in ("", *engines(FACTS)):
        for chip in (H100, MI300X):
            found = engine(name=name, chip=chip)
            for phase in (*found.decode.values(), *found.prefill.values()):
                assert all(0 < getattr(phase, f.name) < 100 for f in fields(Phase))
