"""Reasons per axis: said for exactly the axes whose range alone leaves nothing."""

from datetime import date

import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.layouts import rows
from exafleet.step.limits import Limits
from exafleet.step.refusal import refusals

FACTS = load_facts(date(2026, 11, 23))
DENSE, MOE, NODE = arch(FACTS, "llama-3-8b"), arch(FACTS, "mixtral-8x7b"), system(FACTS, "dgx-h100")


@pytest.mark.parametrize(("limits", "said"), [
    ({"tp": (3, 3)}, "32 heads"), ({"tp": (16, 16)}, "8 accelerators of a scale-up domain"),
    ({"pp": (5, 5)}, "stages divide 64"), ({"cp": (3, 3)}, "powers of two"), ({"mbs": (65, 70)}, "batch of 128"),
    ({"dp": (3, 3)}, "data-parallel ways"), ({"ep": (2, 2)}, "divide 0 experts"),
    ({"vpp": (17, 40)}, "chunks"), ({"group": (3, 3)}, "groups divide")])
def test_an_axis_alone_says_its_rule(limits: dict[str, tuple[int, int]], said: str) -> None:
    found = refusals(DENSE, NODE, 4096, 128, 64, Limits(**limits))
    assert len(found) == 1
    assert said in found[0]
    assert f"--{next(iter(limits))} " in found[0]


def test_every_axis_at_fault_is_told_and_no_other() -> None:
    found = refusals(MOE, NODE, 4096, 128, 64, Limits(tp=(3, 3), ep=(5, 5), pp=(1, 4)))
    assert [f.split()[0] for f in found] == ["--tp", "--ep"]


def test_ranges_that_only_clash_are_told_together() -> None:
    limits = Limits(tp=(8, 8), pp=(8, 8), dp=(8, 8))
    assert rows(DENSE, NODE, 4096, 128, 64, limits).count == 0
    (found,) = refusals(DENSE, NODE, 4096, 128, 64, limits)
    assert "together" in found


def test_nothing_is_said_where_layouts_are_left() -> None:
    assert refusals(DENSE, NODE, 4096, 128, 64, Limits(tp=(8, 8))) == ()


def test_numbers_that_share_nothing_are_told_without_an_axis() -> None:
    (found,) = refusals(DENSE, NODE, 4096, 8, 77, Limits(tp=(1, 8)))
    assert "77 accelerators" in found


def test_a_clash_tells_the_rules_that_speak_of_another_axis() -> None:
    (found,) = refusals(DENSE, NODE, 4096, 128, 64, Limits(pp=(1, 1), schedule=(2, 2)))
    assert "together none" in found
    assert "--schedule: zero-bubble and DualPipe need more than one stage" in found
