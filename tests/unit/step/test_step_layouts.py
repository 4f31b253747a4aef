"""Layouts: enumeration against brute force, limits, reasons, words."""

import itertools
from dataclasses import fields
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.layouts import CHUNK, Layouts, divisors, illegal, interleaves, join, rows
from exafleet.step.limits import Limits
from exafleet.terms.why import Why

FACTS = load_facts(date(2026, 11, 23))
DENSE, MOE, NODE = arch(FACTS, "llama-3-8b"), arch(FACTS, "mixtral-8x7b"), system(FACTS, "dgx-h100")


def listed(found: Layouts) -> set[tuple[int, ...]]:
    axes = ("tp", "cp", "ep", "etp", "pp", "dp", "mbs", "cp_kind")
    return set(zip(*(getattr(found, a).tolist() for a in axes), strict=True))


@pytest.mark.parametrize(("chips", "batch"), [(8, 16), (16, 24), (12, 12)])
def test_rows_are_all_the_legal_ones(chips: int, batch: int) -> None:
    seq, expected = 4096, set()
    powers = [1, 2, 4, 8, 16]
    for tp, cp, pp, mbs in itertools.product(range(1, 9), powers, range(1, chips + 1), range(1, batch + 1)):
        if chips % (tp * cp * pp) or 32 % tp or (8 % tp and tp % 8) or pp > 32:
            continue
        dp = chips // (tp * cp * pp)
        if batch % dp == 0 and batch // dp % mbs == 0:
            expected.add((tp, cp, 1, 1, pp, dp, mbs, 0))
            # Heads change places over the context ranks, so tensor and context ways together divide them.
            if cp > 1 and 32 % (tp * cp) == 0:
                expected.add((tp, cp, 1, 1, pp, dp, mbs, 1))
    found = rows(DENSE, NODE, seq, batch, chips, Limits())
    assert listed(found.outer) == expected
    assert found.outer.tp.size == len(expected)


def test_experts_spread_over_what_divides_them() -> None:
    found = rows(MOE, NODE, 4096, 64, 16, Limits()).outer
    assert set(found.ep.tolist()) == {1, 2, 4, 8}
    assert ((found.etp == 1) | (found.etp == found.tp)).all()
    ranks = found.dp * found.cp * found.tp
    assert (ranks % (found.ep * found.etp) == 0).all()
    assert len(listed(found)) == found.tp.size


@pytest.mark.parametrize("model", [DENSE, MOE])
def test_chunks_hold_every_legal_candidate_once(model: Arch) -> None:
    found = rows(model, NODE, 4096, 64, 16, Limits())
    parts = [lay.at(np.arange(int(np.prod(lay.shape)))) for _, lay in found.chunks()]
    assert all(np.prod(lay.shape) <= CHUNK for _, lay in found.chunks())
    axes = [f.name for f in fields(Layouts)]
    every = [tuple(candidate) for p in parts for candidate in zip(*(getattr(p, a).tolist() for a in axes), strict=True)]
    assert len(every) == len(set(every)) == found.count
    assert all((illegal(model, NODE, 4096, 64, 16, p) == Why.OK).all() for p in parts)


def test_inner_axes_leave_nothing_legal_out() -> None:
    found = rows(MOE, NODE, 4096, 64, 16, Limits())
    axes = [f.name for f in fields(Layouts)]
    listed_ones = set()
    for _, lay in found.chunks():
        flat = lay.at(np.arange(int(np.prod(lay.shape))))
        listed_ones |= set(zip(*(getattr(flat, a).tolist() for a in axes), strict=True))
    for row in range(0, found.outer.tp.size, 37):
        one = {a: int(getattr(found.outer, a)[row]) for a in axes}
        for vpp, schedule, zero, group in itertools.product((1, 2, 16), range(3), range(4), (0, int(found.own[row]))):
            case = one | {"vpp": vpp, "schedule": schedule, "zero": zero, "group": group}
            legal = illegal(MOE, NODE, 4096, 64, 16, Layouts.of(**{a: [v] for a, v in case.items()}))[0] == Why.OK
            assert legal == (tuple(case[a] for a in axes) in listed_ones), case


@pytest.mark.parametrize("axis", ["tp", "cp", "pp", "dp", "mbs", "zero", "recompute", "vpp"])
def test_limits_hold_on_every_axis(axis: str) -> None:
    found = rows(DENSE, NODE, 4096, 64, 64, Limits(**{axis: (2, 4)}))
    kept = found.inner if axis in ("zero", "recompute", "vpp") else found.outer
    values = getattr(kept, axis)
    assert values.size
    assert ((values >= 2) & (values <= 4)).all()


def test_cost_of_listing_does_not_grow_with_chips() -> None:
    counts = [rows(arch(FACTS, "llama-3.1-405b"), NODE, 8192, chips // 8, chips, Limits()).count
              for chips in (1024, 16384, 131072)]
    assert max(counts) < 3 * min(counts)


@pytest.mark.parametrize(("axes", "reason"), [
    ({"dp": 8}, Why.OK),
    ({"tp": 3, "dp": 2}, Why.NOT_DIVISIBLE),
    ({"dp": 5}, Why.NOT_DIVISIBLE),
    ({"dp": 8, "mbs": 3}, Why.NOT_DIVISIBLE),
    ({"dp": 8, "ep": 2}, Why.NOT_DIVISIBLE),
    ({"pp": 64}, Why.NOT_DIVISIBLE),
    ({"vpp": 2, "dp": 8}, Why.NOT_DIVISIBLE),
    ({"tp": 16}, Why.TOO_MANY)])
def test_a_layout_says_why_it_is_illegal(axes: dict[str, int], reason: Why) -> None:
    lay = Layouts.of(**{a: [v] for a, v in axes.items()})
    chips = int(lay.chips[0])
    assert illegal(DENSE, NODE, 4096, 16, chips, lay).tolist() == [reason]


def test_too_few_and_too_many_chips() -> None:
    lay = Layouts.of(dp=[4, 8, 16])
    assert illegal(DENSE, NODE, 4096, 16, 8, lay).tolist() == [Why.TOO_FEW, Why.OK, Why.TOO_MANY]


def test_interleaving_needs_micro_batches_for_every_stage() -> None:
    lay = Layouts.of(pp=[4, 4], vpp=[2, 2], dp=[1, 1], mbs=[1, 8])
    assert interleaves(DENSE, 16, lay).tolist() == [True, False]


def test_layouts_in_words() -> None:
    lay = Layouts.of(tp=[8], pp=[4], dp=[72], zero=[1])
    assert lay.words() == ["TP8 PP4 DP72 MBS1 ZeRO-1"]
    assert Layouts.of(ep=[8], etp=[2], tp=[2], dp=[8], recompute=[2]).words() == [
        "TP2 EP8 ETP2 DP8 MBS1 ZeRO-1 recompute full"
    ]


def test_joined_lists_keep_their_order() -> None:
    both = join(Layouts.of(tp=[1, 2]).at([0, 1]), Layouts.of(tp=[4]).at([0]))
    assert both.tp.tolist() == [1, 2, 4]


def test_divisors() -> None:
    assert divisors(12, 6).tolist() == [1, 2, 3, 4, 6]
