"""Collectives against step-by-step simulations of rings and trees, and against counts of links."""

from dataclasses import replace

import numpy as np
import pytest

from exafleet.ops.collective import KINDS, Channel, Fabric, Tier, all_gather, all_reduce, all_to_all

NET = Fabric(system="ring", domain=64, nic={},
             link=dict.fromkeys(KINDS, Channel(bandwidth=100e9, latency=0.0, half=0.0)))


def ring_all_gather(size: float, ranks: int, bandwidth: float) -> tuple[float, bool]:
    """Pass pieces to the right until everybody has all of them: time, and whether everybody does."""
    have = [{r} for r in range(ranks)]
    sending, time = list(range(ranks)), 0.0
    for _ in range(ranks - 1):
        sending = [sending[(r - 1) % ranks] for r in range(ranks)]
        for r in range(ranks):
            have[r].add(sending[r])
        time += size / ranks / bandwidth
    return time, all(h == set(range(ranks)) for h in have)


@pytest.mark.parametrize("ranks", [2, 3, 8, 64])
def test_all_gather_takes_the_time_of_the_ring(ranks: int) -> None:
    time, complete = ring_all_gather(1e9, ranks, 100e9)
    assert complete
    assert float(all_gather(1e9, ranks, 1, NET)) == pytest.approx(time)


@pytest.mark.parametrize("ranks", [2, 8, 64])
def test_all_reduce_is_a_scatter_and_a_gather(ranks: int) -> None:
    time, _ = ring_all_gather(1e9, ranks, 100e9)
    assert float(all_reduce(1e9, ranks, 1, NET)) == pytest.approx(2 * time)


FAR = Channel(bandwidth=50e9, latency=10e-6, half=0.0)
WIDE = Fabric(system="wide", domain=1, link={}, nic=dict.fromkeys(KINDS, FAR), ring_step=3e-6, tree_share=0.9)


def doubling(size: float, ranks: int) -> float:
    """Everybody swaps all it has with a partner twice as far each time: latency and bytes of every step."""
    have, time = [{r} for r in range(ranks)], 0.0
    for power in range(ranks.bit_length() - 1):
        time += FAR.latency + len(have[0]) * size / ranks / (FAR.bandwidth * WIDE.tree_share)
        have = [have[r] | have[r ^ (1 << power)] for r in range(ranks)]
    assert all(len(h) == ranks for h in have)
    return time


def passing(size: float, ranks: int) -> float:
    """A ring whose first step costs the start and every other one hop."""
    return FAR.latency + (ranks - 2) * WIDE.ring_step + (ranks - 1) * size / ranks / FAR.bandwidth


@pytest.mark.parametrize("ranks", [2, 4, 16, 256, 4096])
@pytest.mark.parametrize("size", [1e4, 1e7, 1e10])
def test_a_gather_takes_the_better_of_ring_and_tree(size: float, ranks: int) -> None:
    expected = min(passing(size, ranks), doubling(size, ranks))
    assert float(all_gather(size, ranks, 1, WIDE)) == pytest.approx(expected, rel=1e-9)


def test_time_grows_with_the_group_and_slower_than_it() -> None:
    ranks = 2 ** np.arange(1, 18)
    times = all_gather(1e6, ranks, 1, WIDE)
    assert (np.diff(times) > 0).all()
    assert times[-1] < 17 * times[0]


def test_levels_of_switches_slow_what_crosses_them() -> None:
    tiers = (Tier(reach=32, oversubscription=1.0, latency=2e-6), Tier(reach=256, oversubscription=7.0, latency=3e-6))
    tall = replace(WIDE, tiers=tiers)
    for collective in (all_gather, all_reduce, all_to_all):
        assert float(collective(1e9, 32, 1, tall)) == pytest.approx(float(collective(1e9, 32, 1, WIDE)))
        assert float(collective(1e9, 1024, 1, tall)) > float(collective(1e9, 1024, 1, WIDE))
    # Three quarters of an all-to-all over four pods leave their pod, through a seventh of the bandwidth.
    assert float(all_to_all(1e12, 1024, 1, tall)) == pytest.approx(0.75 * 1e12 * 7 / FAR.bandwidth, rel=1e-3)
    # A gather sends what leaves a pod once for its 256 ranks, so thin links between pods cost nothing ...
    assert float(all_gather(1e12, 1024, 1, tall)) == pytest.approx(float(all_gather(1e12, 1024, 1, WIDE)), rel=1e-3)
    # ... unless each pod holds one rank of the group alone.
    assert float(all_gather(1e12, 4, 256, tall)) == pytest.approx(7 * float(all_gather(1e12, 4, 256, WIDE)), rel=1e-3)


@pytest.mark.parametrize(("ranks", "stride", "share"), [(4, 1, 1 / 3), (16, 1, 2 / 3), (64, 1, 1), (16, 4, 2 / 3)])
def test_a_group_on_a_torus_has_the_links_of_its_axes(ranks: int, stride: int, share: float) -> None:
    torus = replace(NET, domain=4096, torus=3)
    switched = replace(NET, domain=4096)
    assert float(all_gather(1e9, ranks, stride, torus)) == pytest.approx(
        float(all_gather(1e9, ranks, stride, switched)) / share)


@pytest.mark.parametrize("side", [4, 8])
def test_an_all_to_all_on_a_torus_is_bound_by_its_middle(side: int) -> None:
    """Half the traffic of one half crosses to the other over 2 side^2 links; each chip has 6 of a sixth of its rate."""
    torus, chips, sent = replace(NET, domain=side**3, torus=3), side**3, 1e9
    crossing = chips / 2 * sent / 2
    expected = crossing / (2 * side**2 * 100e9 / 6)
    found = float(all_to_all(sent, chips, 1, torus))
    assert found == pytest.approx(expected * (chips - 1) / chips, rel=1e-9)
