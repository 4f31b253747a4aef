"""Names: in any case, never ambiguous, and with the nearest ones when unknown."""

from __future__ import annotations

from datetime import date

import pytest

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.terms.errors import FactError


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts(date(2026, 6, 30))


@pytest.mark.parametrize(("name", "subject"), [
    ("gb200-nvl72", "gb200-nvl72"), ("GB200 NVL72 rack", None), ("DGX GB200", "gb200-nvl72"), ("mi300x", "mi300x"),
    ("Ironwood", "tpu7x"), ("trillium", "tpu-v6e"), ("Llama-3.1-405B", "llama-3.1-405b"), ("grok 1", "grok-1"),
    ("NVL576", "rubin-ultra-nvl144"), ("NVIDIA GB200 NVL72 rack", "gb200-nvl72"),
])
def test_a_name_is_found_in_any_spelling(facts: Facts, name: str, subject: str | None) -> None:
    if subject is None:
        with pytest.raises(FactError, match="unknown subject"):
            facts.subjects.resolve(name)
    else:
        assert facts.subjects.resolve(name).id == subject


@pytest.mark.parametrize(("name", "meanings"), [
    ("gb200", ("gb200-gpu", "gb200-superchip", "two Blackwell GPUs and one Grace CPU", "gb200-nvl72", "72 GPUs")),
    ("GB300", ("gb300-gpu", "gb300-nvl72")),
    ("NVL144", ("vr-nvl72", "counted dies", "rubin-ultra-nvl144", "144 packages")),
    ("nvl72", ("gb200-nvl72", "gb300-nvl72", "vr-nvl72")),
    ("H100", ("h100-sxm", "h100-pcie", "h100-nvl")),
    ("a100", ("a100-40gb-sxm", "a100-80gb-sxm", "a100-80gb-pcie")),
])
@pytest.mark.parametrize("kinds", [(), ("chip",), ("system",), ("chip", "system")])
def test_a_name_of_two_things_is_refused_with_what_each_is(facts: Facts, name: str, meanings: tuple[str, ...],
                                                           kinds: tuple[str, ...]) -> None:
    with pytest.raises(FactError) as caught:
        facts.subjects.resolve(name, *kinds, where="scenario.toml:4 offers[0].system")
    text = str(caught.value)
    assert text.startswith("scenario.toml:4 offers[0].system: ")
    assert all(m in text for m in meanings)


def test_a_thing_of_another_kind_is_named_as_what_it_is(facts: Facts) -> None:
    with pytest.raises(FactError, match=r'"gb200-superchip" is a component, not a chip.*two Blackwell GPUs'):
        facts.subjects.resolve("gb200-superchip", "chip")


def test_an_unknown_name_shows_the_nearest_of_the_kind(facts: Facts) -> None:
    with pytest.raises(FactError, match=r"unknown system \"gb200-nvl27\". Did you mean 'gb200-nvl72'"):
        facts.subjects.resolve("gb200-nvl27", "system")
    with pytest.raises(FactError, match='unknown model ""'):
        facts.subjects.resolve("", "model")
